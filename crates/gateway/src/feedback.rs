//! Feedback of consumers about answers: `POST /v1/feedback`.

use config::Metric;
use http::StatusCode;
use http::request::Parts;
use openai::Invalid;
use protocol::model::Protocol;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::caller::Caller;
use crate::error::{Error, Fault, Refusal};
use crate::gateway::Gateway;
use crate::host::Host;
use crate::host::body::Body;
use crate::request::read_body::{self, BodyBounds};
use crate::response::{Forwarded, Reply};
use crate::rollouts::feedback::{self, LedgerUnavailable, Marked};
use crate::telemetry::request_scope::RequestScope;

/// Maximum length of the body, in bytes.
const MAX_BODY_BYTES: usize = 4 << 10;
/// Score of an answer that the consumer disliked.
const DISLIKED: i64 = -1;

#[derive(Deserialize)]
struct RawFeedback {
    request_id: Option<Value>,
    score: Option<Value>,
}

/// Takes the feedback of the consumer that made a request.
pub(crate) async fn run<P: Host>(
    gateway: &Gateway,
    (parts, body): (&Parts, &mut Body),
    caller: &Caller<'_>,
    scope: &mut RequestScope<P>,
) -> Result<Reply<P>, Error> {
    let host = &scope.host().clone();
    let bounds = gateway.body_bounds(caller, scope.began());
    let bounds = BodyBounds { max_bytes: bounds.max_bytes.min(MAX_BODY_BYTES), ..bounds };
    let received = read_body::read_json_body(host, &parts.headers, body, bounds).await?;
    let (id, score) = parse(&received.bytes)?;
    let consumer = caller.authenticated_id().ok_or(Refusal::FeedbackNotFound)?;
    let unavailable = |LedgerUnavailable| Fault::LedgerUnavailable;
    let found = feedback::find(host, consumer, &id).await.map_err(unavailable)?;
    let rated = found.ok_or(Refusal::FeedbackNotFound)?;
    match feedback::mark(host, consumer, &id).await.map_err(unavailable)? {
        Marked::First => {}
        Marked::Again => return Err(Refusal::FeedbackGiven.into()),
    }
    let route = gateway.config().routes.iter().find(|route| route.id == rated.route);
    if let (DISLIKED, Some(route), Some(unit)) = (score, route, rated.unit) {
        // An isolate without requests of the route has to learn the state in force.
        gateway.rollouts().share(host, route).await;
        gateway.rollouts().add_event(route, Metric::Disliked, unit);
    }
    let body = json!({ "request_id": id, "score": score }).to_string().into();
    let (status, protocol) = (StatusCode::OK, Protocol::Chat);
    Ok(Reply::Forwarded(Forwarded { status, body, protocol, tagger: None }))
}

fn parse(body: &[u8]) -> Result<(String, i64), Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::Invalid(Invalid::NotJson(error.to_string())))?;
    if !value.is_object() {
        return Err(Refusal::Invalid(Invalid::NotAnObject));
    }
    let wrong = |param, expected| Refusal::Invalid(Invalid::Wrong { param, expected });
    let raw: RawFeedback = serde_json::from_value(value)
        .map_err(|error| Refusal::Invalid(Invalid::NotJson(error.to_string())))?;
    let missing = |param| Refusal::Invalid(Invalid::Missing(param));
    let id = raw.request_id.ok_or_else(|| missing("request_id"))?;
    let Value::String(id) = id else { return Err(wrong("request_id", "a text")) };
    let score = raw.score.ok_or_else(|| missing("score"))?;
    match score.as_i64() {
        Some(score @ (-1 | 1)) => Ok((id, score)),
        Some(_) | None => Err(wrong("score", "1 for a good answer or -1 for a bad one")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn feedback_has_an_id_and_a_score() {
        let parsed = |body: &str| parse(body.as_bytes());
        assert_eq!(parsed(r#"{"request_id":"a","score":-1}"#).ok(), Some(("a".to_owned(), -1)));
        assert_eq!(parsed(r#"{"score":1,"request_id":"b","x":1}"#).ok(), Some(("b".to_owned(), 1)));
        for (body, message) in [
            ("", "not valid JSON"),
            ("[]", "must be a JSON object"),
            (r#"{"score":1}"#, "'request_id' is missing"),
            (r#"{"request_id":"a"}"#, "'score' is missing"),
            (r#"{"request_id":7,"score":1}"#, "'request_id'"),
            (r#"{"request_id":"a","score":0}"#, "1 for a good answer or -1 for a bad one"),
            (r#"{"request_id":"a","score":0.5}"#, "'score'"),
            (r#"{"request_id":"a","score":"1"}"#, "'score'"),
        ] {
            let refusal = parsed(body).expect_err("it is wrong").to_api_error();
            assert!(refusal.message.contains(message), "{body}: {}", refusal.message);
            assert_eq!(refusal.status, 400);
        }
    }
}

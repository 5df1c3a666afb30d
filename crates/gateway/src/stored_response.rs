//! Calls about responses that a provider stores: sent to the key that made them, for their consumer only.

use bytes::Bytes;
use config::Provider;
use http::Uri;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method};
use openai::{Endpoint, TextSize};
use protocol::AnswerContext;
use protocol::model::Protocol;

use crate::auth::caller::Caller;
use crate::error::{Error, Fault, Refusal};
use crate::gateway::Gateway;
use crate::host::futures::timeout;
use crate::host::{GATEWAY_USER_AGENT, Host};
use crate::record::{ANSWERED, Attempt, AttemptKind, CALLERS_FAULT, TIMEOUT};
use crate::request::endpoint::StoredResponseCall;
use crate::response::recorder::Retention;
use crate::response::{Reply, ServedAnswer};
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::answer::{Answer, AnswerContent};
use crate::upstream::dispatch::Dispatched;
use crate::upstream::request::add_key;
use crate::upstream::response_tag::{ResponseTagger, StoredResponse, find_stored};

/// Maximum length of a stored response, in bytes.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// Result of a call without a readable answer.
const NO_ANSWER: &str = "not_an_answer";

/// Forwards a call about a stored response.
pub(crate) async fn run<P: Host>(
    gateway: &Gateway,
    call: StoredResponseCall,
    parts: &Parts,
    caller: &Caller<'_>,
    scope: &mut RequestScope<P>,
) -> Result<Reply<P>, Error> {
    let host = &scope.host().clone();
    let config = gateway.shared_config();
    let owner = caller.authenticated_id().unwrap_or_default();
    let stored = find_stored(config, owner, &call.id);
    let stored = stored.ok_or(Refusal::StoredResponseNotFound { param: None })?;
    let provider = config.provider(stored.provider);
    let url = url(provider, &stored, call.action, parts.uri.query());
    let url = url.ok_or(Refusal::StoredResponseNotFound { param: None })?;
    let request = upstream_request(provider, stored.key, call.method, url);
    let label = format!("{}/{}", provider.id, "responses");
    let attempt = Attempt::start(label, stored.key, AttemptKind::Primary, host.now());
    let index = scope.attempt_started(attempt, None, TextSize::default());
    // The routes that name the provider may differ; the longest time of any bounds the call.
    let wait = config.routes.iter().map(|route| route.timeouts.total).max().unwrap_or_default();
    let exchange = async {
        let (head, body) = host.fetch(request).await.ok()?.into_parts();
        Some((head, body.collect(MAX_RESPONSE_BYTES).await.ok()?))
    };
    let outcome = timeout(host, wait, exchange).await;
    let is_late = outcome.is_none();
    let Some((head, body)) = outcome.flatten() else {
        let result = if is_late { TIMEOUT } else { NO_ANSWER };
        scope.attempt_finished(index, result, None, None);
        return Err(if is_late { Fault::Timeout } else { Fault::Upstream }.into());
    };
    let is_callers = head.status.is_success() || matches!(head.status.as_u16(), 400 | 404 | 409);
    let result = match is_callers {
        true if head.status.is_success() => ANSWERED,
        true => CALLERS_FAULT,
        false => NO_ANSWER,
    };
    scope.attempt_finished(index, result, Some(head.status), None);
    if !is_callers {
        return Err(Fault::Upstream.into());
    }
    let tagger = head.status.is_success().then(|| ResponseTagger::new(provider, stored.key, owner));
    let answer = Answer {
        status: head.status,
        content_type: head.headers.get(CONTENT_TYPE).cloned(),
        content: AnswerContent::Whole(body),
        protocol: Protocol::Responses,
        translation: None,
        origin: Some((stored.provider, stored.key)),
    };
    Ok(Reply::Answer(ServedAnswer {
        answer: Dispatched { answer, continuation_targets: None },
        timeouts: config.routes[0].timeouts,
        guards: None,
        retention: Retention::default(),
        context: AnswerContext::default(),
        tagger,
    }))
}

/// The URL of a stored response, with the caller's query.
fn url(
    provider: &Provider,
    stored: &StoredResponse,
    action: &str,
    query: Option<&str>,
) -> Option<Uri> {
    let base = provider.url(Endpoint::ChatCompletions, Protocol::Responses, "")?.to_string();
    let (path, own_query) =
        base.split_once('?').map_or((&*base, None), |(path, query)| (path, Some(query)));
    let mut url = format!("{path}/");
    json::percent::encode(&stored.id, &json::percent::UNRESERVED, &mut url);
    url.push_str(action);
    for (index, query) in own_query.into_iter().chain(query).enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        url.push_str(query);
    }
    url.try_into().ok()
}

fn upstream_request(
    provider: &Provider,
    key: Option<usize>,
    method: Method,
    url: Uri,
) -> http::Request<Bytes> {
    let mut request = http::Request::new(Bytes::new());
    (*request.method_mut(), *request.uri_mut()) = (method, url);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, GATEWAY_USER_AGENT);
    add_key(headers, provider, key.map(|position| &provider.keys[position]));
    request
}

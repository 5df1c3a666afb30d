//! Responses of the admin API: a document, no content, or an error in OpenAI's shape.

use civil_time::{Timestamp, rfc3339};
use config::{Problem, Problems};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, StatusCode};
use openai::{ErrorBody, ErrorObject};
use serde_json::Value;

use crate::host::body::Body;
use crate::host::error::HostError;
use crate::response::json::json_response;

pub(super) type AdminResult = Result<AdminResponse, AdminError>;

/// Body of a response.
#[derive(Debug)]
enum ResponseBody {
    None,
    Json(Vec<u8>),
    /// A whole response of the pipeline.
    Passed(Box<http::Response<Body>>),
}

/// A successful response.
#[derive(Debug)]
pub(super) struct AdminResponse {
    status: StatusCode,
    body: ResponseBody,
    headers: Vec<(&'static str, Box<str>)>,
}

impl AdminResponse {
    /// A response that is not JSON.
    pub(super) fn from_text(text: String, content_type: &'static str) -> Self {
        Self::from_json_text(text).with_header("content-type", content_type.to_owned())
    }

    /// A response with the members of objects in a fixed order that people can read.
    pub(super) fn json(value: &Value) -> Self {
        let mut text = String::new();
        write_ordered(value, &mut text);
        Self::from_json_text(text)
    }

    /// A response with JSON text, unchanged.
    pub(super) fn from_json_text(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            body: ResponseBody::Json(text.into_bytes()),
            headers: Vec::new(),
        }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A response for a created resource and its location.
    pub(super) fn created(value: &Value, location: String) -> Self {
        let reply = Self::json(value).with_header("location", location);
        Self { status: StatusCode::CREATED, ..reply }
    }

    /// A response of the pipeline, with its own status and headers.
    pub(super) fn from_response(response: http::Response<Body>) -> Self {
        let body = ResponseBody::Passed(Box::new(response));
        Self { status: StatusCode::OK, body, headers: Vec::new() }
    }

    pub(super) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: ResponseBody::None, headers: Vec::new() }
    }
}

/// Members that stand first, in this order.
const FIRST_MEMBERS: [&str; 12] = [
    "id", "version", "name", "target", "limit", "consumer", "key", "at", "start", "from", "to",
    "data",
];

/// Members that stand last, in this order.
const LAST_MEMBERS: [&str; 8] =
    ["quotas", "attempts", "guards", "changes", "detail", "document", "cursor", "newest"];

/// Writes JSON with ordered members; those without a place of their own are sorted by name between the first
/// and the last ones.
fn write_ordered(value: &Value, text: &mut String) {
    let place = |list: &[&str], name: &str| list.iter().position(|member| *member == name);
    match value {
        Value::Object(members) => {
            let rank = |name: &str| match (place(&FIRST_MEMBERS, name), place(&LAST_MEMBERS, name))
            {
                (Some(position), _) => (0, position),
                (None, None) => (1, 0),
                (None, Some(position)) => (2, position),
            };
            let mut ordered: Vec<(&String, &Value)> = members.iter().collect();
            sorting::sort_by_key(&mut ordered, |(name, _)| (rank(name), *name));
            text.push('{');
            for (position, (name, value)) in ordered.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.extend([Value::from(name.as_str()).to_string().as_str(), ":"]);
                write_ordered(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_ordered(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

/// A time in responses: RFC 3339 in UTC, with milliseconds.
pub(super) fn rfc3339_json(at: Timestamp) -> Value {
    Value::String(rfc3339::format_timestamp(at))
}

/// Returns the description of the admin API (OpenAPI 3.1).
pub(super) fn openapi() -> AdminResult {
    Ok(AdminResponse::from_json_text(OPENAPI.to_owned()))
}

pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// Error of an admin request.
#[derive(Debug)]
pub(super) struct AdminError {
    status: StatusCode,
    /// Machine-readable error code.
    pub(super) code: &'static str,
    message: Box<str>,
    param: Option<Box<str>>,
    header: Option<(&'static str, Box<str>)>,
    /// An additional member that OpenAI's errors do not have.
    extra_member: Option<Box<(&'static str, Value)>>,
}

impl AdminError {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Box<str>>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            header: None,
            extra_member: None,
        }
    }

    pub(super) fn with_member(self, name: &'static str, value: Value) -> Self {
        Self { extra_member: Some(Box::new((name, value))), ..self }
    }

    pub(super) fn with_header(self, name: &'static str, value: String) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    pub(super) fn with_param(self, param: &str) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub(super) fn with_status(self, status: StatusCode, code: &'static str) -> Self {
        Self { status, code, ..self }
    }

    pub(super) fn invalid_json(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    }

    pub(super) fn unknown_url() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_url", "This path does not exist.")
    }

    pub(super) fn not_found(code: &'static str, message: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(super) fn conflict(code: &'static str, message: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(super) fn method_not_allowed(allow: String) -> Self {
        let message = format!("Method not allowed: this path accepts {allow}.");
        let failure = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
        Self { header: Some(("allow", allow.into())), ..failure }
    }

    pub(super) fn unauthorized(presented: bool) -> Self {
        let message = if presented {
            "The admin token is invalid."
        } else {
            "The admin token is missing: send it as \"Authorization: Bearer <token>\"."
        };
        let failure = Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message);
        Self { header: Some(("www-authenticate", "Bearer".into())), ..failure }
    }

    /// The session of a cookie is unknown, over, or revoked.
    pub(super) fn session_ended() -> Self {
        let message = "The session has ended: sign in again.";
        Self::new(StatusCode::UNAUTHORIZED, "session_ended", message)
    }

    pub(super) fn key_pepper_missing() -> Self {
        let message = "The secret KEY_PEPPER is not set: it is needed for keys and for sessions.";
        Self::new(StatusCode::NOT_IMPLEMENTED, "key_pepper_missing", message)
    }

    /// An invalid field or parameter.
    pub(super) fn invalid(param: &str, found: impl AsRef<str>, expected: impl AsRef<str>) -> Self {
        let message = format!("{param}: found {}, expected {}", found.as_ref(), expected.as_ref());
        let failure = Self::new(StatusCode::BAD_REQUEST, "invalid_request", message);
        Self { param: Some(param.into()), ..failure }
    }

    /// An invalid document.
    pub(super) fn problems(problems: &Problems) -> Self {
        // A syntax error has a position and no field.
        let named = |path: &&str| !path.is_empty() && !path.contains(' ');
        let param = problems.iter().map(|problem| problem.path.as_str()).find(named);
        let param = param.or_else(|| problems.iter().find_map(unknown_field)).map(Box::from);
        let message = problems.to_string().replace('\n', "; ");
        Self { param, ..Self::new(StatusCode::BAD_REQUEST, "invalid_request", message) }
    }

    pub(super) fn store_unavailable() -> Self {
        Self::unavailable("store_unavailable", "The store is unavailable. Retry later.")
    }

    pub(super) fn ledger_unavailable() -> Self {
        Self::unavailable("ledger_unavailable", "The ledger is unavailable. Retry later.")
    }

    pub(super) fn unavailable(code: &'static str, message: &str) -> Self {
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        Self { header: Some(("retry-after", "1".into())), ..failure }
    }
}

/// The field in a syntax error such as "the unknown field `notes`".
fn unknown_field(problem: &Problem) -> Option<&str> {
    let (_, rest) = problem.found.split_once("unknown field `")?;
    rest.split_once('`').map(|(name, _)| name)
}

/// The host's own error text is not sent to operators.
impl From<HostError> for AdminError {
    fn from(_: HostError) -> Self {
        Self::store_unavailable()
    }
}

/// `renewed` is a cookie that the response sets, unless it sets one itself.
pub(super) fn into_response(
    answer: AdminResult,
    renewed: Option<String>,
    request_id: &str,
) -> http::Response<Body> {
    let (mut response, more) = match answer {
        Ok(AdminResponse { status, body: ResponseBody::Json(body), headers }) => {
            (json_response(status, body), headers)
        }
        Ok(AdminResponse { status: _, body: ResponseBody::Passed(response), headers }) => {
            (*response, headers)
        }
        Ok(AdminResponse { status, body: ResponseBody::None, headers }) => {
            let mut response = http::Response::new(Body::Empty);
            *response.status_mut() = status;
            (response, headers)
        }
        Err(failure) => {
            let is_ours = failure.status.is_server_error();
            let error = ErrorObject {
                message: &failure.message,
                kind: if is_ours { "server_error" } else { "invalid_request_error" },
                param: failure.param.as_deref(),
                code: Some(failure.code),
            };
            let mut body = ErrorBody { error }.to_json();
            if let Some((name, value)) = failure.extra_member.map(|more| *more) {
                // Inserted into the inner of the two objects that end here.
                body.truncate(body.len() - 2);
                body.extend_from_slice(format!(",\"{name}\":{value}}}}}").as_bytes());
            }
            let headers = failure.header.into_iter().collect();
            (json_response(failure.status, body), headers)
        }
    };
    let headers = response.headers_mut();
    // Responses are secret or valid only at this moment.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let renewed = renewed.map(|cookie| ("set-cookie", cookie.into_boxed_str()));
    let id = ("x-request-id", request_id.into());
    for (name, value) in renewed.into_iter().chain(more).chain([id]) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::write_ordered;

    #[test]
    fn finding_43_members_stand_in_a_readable_order() {
        let value = json!({
            "cursor": null, "data": [{ "created_at": "x", "id": "a\"b", "by": [1, 2.5], "quotas": {} }],
        });
        let mut text = String::new();
        write_ordered(&value, &mut text);
        let expected =
            r#"{"data":[{"id":"a\"b","by":[1,2.5],"created_at":"x","quotas":{}}],"cursor":null}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
    }
}

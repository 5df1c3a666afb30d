//! Everything that the gateway says itself instead of an upstream. [`Refusal`] is the caller's
//! fault, [`Fault`] is ours or an upstream's; both become an OpenAI error in one place.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::StatusCode;
use openai::{ErrorBody, ErrorObject, Invalid};

use crate::record::Attempt;

mod blocked;
mod limit_exceeded;

pub use blocked::BlockResponse;
pub use limit_exceeded::LimitExceeded;

/// The caller's fault.
#[derive(Debug)]
pub enum Refusal {
    /// No key, or one that nobody has.
    InvalidKey {
        /// Whether there was a key at all.
        presented: bool,
    },
    /// The key is good but not for this model.
    ModelNotAllowed(String),
    /// The key is good but not for this value of a parameter.
    ParameterNotAllowed {
        /// The path to the field.
        param: String,
        /// What is allowed there.
        expected: String,
    },
    /// Nobody may call from this address, or not with this key.
    AddressNotAllowed,
    /// A budget does not allow it.
    Limited(Box<LimitExceeded>),
    /// The body does not say what to do.
    Invalid(Invalid),
    /// Guards cannot check what the body holds.
    Unchecked {
        /// The field.
        param: &'static str,
        /// What is in it.
        what: &'static str,
    },
    /// The body broke off.
    BodyBroken,
    /// The path offers nothing.
    UnknownUrl,
    /// The path offers something, by another method.
    MethodNotAllowed {
        /// The one that works.
        allow: &'static str,
    },
    /// The content is not JSON by its own word.
    UnsupportedMediaType,
    /// The body is compressed.
    Encoded,
    /// The body is too long.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// No route serves the model.
    ModelNotFound(String),
    /// The route serves the model, but none of its targets offers this endpoint.
    EndpointNotOffered {
        /// The model.
        model: String,
        /// The path after `/v1`.
        path: &'static str,
    },
}

/// Ours or an upstream's fault.
#[derive(Debug)]
pub enum Fault {
    /// Every target was tried in vain; what came of it is in the record's attempts.
    Upstream,
    /// Every target was silent for too long, or the time for all of them is up.
    Timeout,
    /// No upstream could answer, and the request is too long to be sent again.
    NotReplayed {
        /// The longest body that would be, in bytes.
        most: usize,
        /// Whether there was no answer in time.
        is_late: bool,
    },
    /// Every key of every target rests.
    NoHealthyUpstream {
        /// Whole seconds until the first of them may be tried.
        retry_after: u64,
    },
    /// A limit's ledger cannot be reached, and the limit says that nothing goes without it.
    LedgerUnavailable,
    /// A guard cannot be asked, and says that nothing goes without it.
    GuardUnavailable,
    /// Nobody can say now whose key it is: the store, or an issuer's keys, cannot be reached.
    AuthenticationUnavailable,
}

/// Why a request has no upstream's answer.
#[derive(Debug)]
pub enum Error {
    /// The caller's fault.
    Refusal(Refusal),
    /// Ours or an upstream's.
    Fault(Fault),
    /// A guard blocks the request or its answer, and the configuration says what takes its place.
    Blocked(Box<BlockResponse>),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An error as the caller sees it.
#[derive(Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error's name for programs.
    pub code: &'static str,
    /// The family of the error, in OpenAI's words.
    pub kind: &'static str,
    /// The field that is at fault.
    pub param: Option<Cow<'static, str>>,
    /// A sentence for people.
    pub message: String,
    /// More headers: `allow`, `retry-after`, how a limited caller stands.
    pub headers: Vec<(&'static str, String)>,
}

const INVALID_REQUEST: &str = "invalid_request_error";
const UPSTREAM_ERROR: &str = "upstream_error";
const SERVER_ERROR: &str = "server_error";

impl Refusal {
    /// The error that the caller gets.
    pub fn to_api_error(&self) -> ApiError {
        let plain = |status, code, message| ApiError {
            status,
            code,
            kind: INVALID_REQUEST,
            param: None,
            message,
            headers: Vec::new(),
        };
        match self {
            Self::InvalidKey { presented: false } => ApiError {
                headers: vec![("www-authenticate", "Bearer".to_owned())],
                ..plain(StatusCode::UNAUTHORIZED, "invalid_api_key", "No API key was found in the request.".to_owned())
            },
            Self::InvalidKey { presented: true } => ApiError {
                headers: vec![("www-authenticate", "Bearer".to_owned())],
                ..plain(StatusCode::UNAUTHORIZED, "invalid_api_key", "The API key is not valid.".to_owned())
            },
            Self::ModelNotAllowed(model) => plain(
                StatusCode::FORBIDDEN,
                "model_not_allowed",
                format!("This API key may not use the model '{model}'."),
            ),
            Self::ParameterNotAllowed { param, expected } => ApiError {
                param: Some(Cow::Owned(param.clone())),
                ..plain(
                    StatusCode::FORBIDDEN,
                    "parameter_not_allowed",
                    format!("'{param}' {expected}."),
                )
            },
            Self::AddressNotAllowed => plain(
                StatusCode::FORBIDDEN,
                "address_not_allowed",
                "Calls from this address are not allowed.".to_owned(),
            ),
            Self::Limited(limited) => limited.to_api_error(),
            Self::Invalid(invalid) => {
                let (code, param) = match invalid {
                    Invalid::NotJson(_) | Invalid::NotAnObject => ("invalid_json", None),
                    Invalid::Missing(param)
                    | Invalid::Twice(param)
                    | Invalid::Ambiguous(param)
                    | Invalid::Wrong { param, .. } => {
                        ("invalid_request", Some(*param))
                    }
                };
                ApiError { param: param.map(Cow::Borrowed), ..plain(StatusCode::BAD_REQUEST, code, invalid.to_string()) }
            }
            Self::Unchecked { param, what } => ApiError {
                param: Some(Cow::Borrowed(*param)),
                ..plain(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    format!("'{param}' cannot be checked: there is {what} in it."),
                )
            },
            Self::BodyBroken => plain(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                "The body broke off before its end.".to_owned(),
            ),
            Self::UnknownUrl => plain(
                StatusCode::NOT_FOUND,
                "unknown_url",
                "There is nothing at this path. Try /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models or /healthz.".to_owned(),
            ),
            Self::MethodNotAllowed { allow } => ApiError {
                headers: vec![("allow", (*allow).to_owned())],
                ..plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("This path takes {allow}."))
            },
            Self::UnsupportedMediaType => plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The content-type must be application/json.".to_owned(),
            ),
            Self::Encoded => plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body must not be compressed: send it without content-encoding.".to_owned(),
            ),
            Self::TooLarge { limit } => plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                format!("The body is longer than {limit} bytes."),
            ),
            Self::ModelNotFound(model) => ApiError {
                param: Some(Cow::Borrowed("model")),
                ..plain(StatusCode::NOT_FOUND, "model_not_found", format!("No route serves the model '{model}'."))
            },
            Self::EndpointNotOffered { model, path } => ApiError {
                param: Some(Cow::Borrowed("model")),
                ..plain(
                    StatusCode::NOT_FOUND,
                    "model_not_found",
                    format!("No target of the model '{model}' offers {path}."),
                )
            },
        }
    }
}

impl Fault {
    /// The error that the caller gets. `attempts` names what was tried; it holds no key and no body.
    pub fn to_api_error(&self, attempts: &[Attempt]) -> ApiError {
        let plain = |status, code, message| ApiError {
            status,
            code,
            kind: UPSTREAM_ERROR,
            param: None,
            message,
            headers: Vec::new(),
        };
        match self {
            Self::Upstream => plain(
                StatusCode::BAD_GATEWAY,
                "upstream_error",
                format!("No upstream could answer: {}.", AttemptList(attempts)),
            ),
            Self::Timeout => plain(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timeout",
                format!("No upstream answered in time: {}.", AttemptList(attempts)),
            ),
            Self::NotReplayed { most: max, is_late } => {
                let (status, code) = if *is_late {
                    (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout")
                } else {
                    (StatusCode::BAD_GATEWAY, "upstream_error")
                };
                let tried = AttemptList(attempts);
                let message = format!(
                    "No upstream could answer: {tried}. The request is longer than {max} bytes, so it is sent once."
                );
                plain(status, code, message)
            }
            Self::NoHealthyUpstream { retry_after } => ApiError {
                headers: vec![("retry-after", retry_after.to_string())],
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "no_healthy_upstream",
                    "Every upstream for this model is resting after failures.".to_owned(),
                )
            },
            Self::LedgerUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ledger_unavailable",
                    "A limit of this API key cannot be checked now.".to_owned(),
                )
            },
            Self::GuardUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "guard_unavailable",
                    "A guard that must check this request cannot be reached.".to_owned(),
                )
            },
            Self::AuthenticationUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "authentication_unavailable",
                    "The API key cannot be checked now.".to_owned(),
                )
            },
        }
    }
}

/// Names status and target of each attempt.
struct AttemptList<'a>(&'a [Attempt]);

impl std::fmt::Display for AttemptList<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none was called");
        }
        for (index, attempt) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} ({}", attempt.target, attempt.result)?;
            if let Some(status) = attempt.status {
                write!(f, ", status {status}")?;
            }
            f.write_char(')')?;
        }
        Ok(())
    }
}

impl ApiError {
    /// The OpenAI error.
    pub fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            error: ErrorObject {
                message: &self.message,
                kind: self.kind,
                param: self.param.as_deref(),
                code: Some(self.code),
            },
        }
    }
}

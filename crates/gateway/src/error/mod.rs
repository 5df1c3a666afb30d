//! Errors that the gateway returns instead of an upstream's answer. [`Refusal`] is the caller's
//! fault, [`Fault`] is the gateway's or an upstream's; both become an OpenAI error here.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::StatusCode;
use openai::{ErrorBody, ErrorObject, Invalid};

use crate::record::Attempt;

mod blocked;
mod limit_exceeded;
mod stream_error;

pub(crate) use blocked::BlockResponse;
pub(crate) use limit_exceeded::LimitExceeded;
pub(crate) use stream_error::StreamError;

/// Errors that are the caller's fault.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No key, or an unknown one.
    InvalidKey {
        /// Whether the request had a key.
        presented: bool,
    },
    /// The key is valid, but not for this model.
    ModelNotAllowed(String),
    /// The key is valid, but not for this value of a parameter.
    ParameterNotAllowed {
        /// Path of the field.
        param: String,
        /// The allowed values.
        expected: String,
    },
    /// Calls from this address are not allowed, in general or with this key.
    AddressNotAllowed,
    /// A limit refuses the request.
    Limited(Box<LimitExceeded>),
    /// The body is invalid.
    Invalid(Invalid),
    /// Guards cannot check the body.
    Unchecked {
        /// The field.
        param: &'static str,
        /// Its unsupported content.
        what: &'static str,
    },
    /// The body broke off.
    BodyBroken,
    /// The path has no endpoint.
    UnknownUrl,
    /// The path has an endpoint, with another method.
    MethodNotAllowed {
        /// The allowed methods.
        allow: &'static str,
    },
    /// The content type is not JSON.
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
    /// A route serves the model, but none of its targets offers this endpoint.
    EndpointNotOffered {
        model: String,
        /// The path after `/v1`.
        path: &'static str,
    },
}

/// Errors that are the gateway's or an upstream's fault.
#[derive(Debug)]
pub(crate) enum Fault {
    /// All targets failed; the record's attempts hold the causes.
    Upstream,
    /// No target answered in time, or the total time is up.
    Timeout,
    /// No upstream answered, and the request is too long to be sent again.
    NotReplayed {
        /// Maximum length of a body that is sent again, in bytes.
        max: usize,
        /// Whether the last attempt timed out.
        is_late: bool,
    },
    /// All keys of all targets are cooling down.
    NoHealthyUpstream {
        /// Seconds until the first key or target is available.
        retry_after: u64,
    },
    /// A limit's ledger is unavailable, and the limit is closed on errors.
    LedgerUnavailable,
    /// A guard is unavailable, and the guard is closed on errors.
    GuardUnavailable,
    /// The key cannot be checked: the store or an issuer's keys are unavailable.
    AuthenticationUnavailable,
}

/// Reasons for which a request gets no upstream's answer.
#[derive(Debug)]
pub(crate) enum Error {
    /// The caller's fault.
    Refusal(Refusal),
    /// The gateway's or an upstream's fault.
    Fault(Fault),
    /// A guard blocks the request or its answer; the configured response takes its place.
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

/// An error as the caller receives it.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// The error's `code`.
    pub code: &'static str,
    /// The error's `type`: OpenAI's class of the error.
    pub kind: &'static str,
    /// The `param`: the field at fault.
    pub param: Option<Cow<'static, str>>,
    /// The message for people.
    pub message: String,
    /// Further headers: `allow`, `retry-after`, rate limits.
    pub headers: Vec<(&'static str, String)>,
}

const INVALID_REQUEST: &str = "invalid_request_error";
const UPSTREAM_ERROR: &str = "upstream_error";
const SERVER_ERROR: &str = "server_error";

impl Refusal {
    /// The error that the caller receives.
    pub(crate) fn to_api_error(&self) -> ApiError {
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
                    Invalid::TooManyMembers => ("invalid_request", None),
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
                    format!("Guards cannot check '{param}': it contains {what}."),
                )
            },
            Self::BodyBroken => plain(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                "The body ended before its announced length.".to_owned(),
            ),
            Self::UnknownUrl => plain(
                StatusCode::NOT_FOUND,
                "unknown_url",
                "Unknown path. Use /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, or /healthz.".to_owned(),
            ),
            Self::MethodNotAllowed { allow } => ApiError {
                headers: vec![("allow", (*allow).to_owned())],
                ..plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("This path accepts {allow} only."))
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
                format!("The body exceeds the maximum of {limit} bytes."),
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
    /// The error that the caller receives. It names the attempts, without keys or bodies.
    pub(crate) fn to_api_error(&self, attempts: &[Attempt]) -> ApiError {
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
            Self::NotReplayed { max, is_late } => {
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
                    format!("All upstreams for this model are cooling down after failures. Try again in {retry_after}s."),
                )
            },
            Self::LedgerUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ledger_unavailable",
                    "A limit of this API key cannot be checked: the ledger is unavailable. Try again in 5s.".to_owned(),
                )
            },
            Self::GuardUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "guard_unavailable",
                    "A guard that must check this request is unavailable. Try again in 5s.".to_owned(),
                )
            },
            Self::AuthenticationUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "authentication_unavailable",
                    "The API key cannot be checked: the key store or the token issuer is unavailable. Try again in 5s.".to_owned(),
                )
            },
        }
    }
}

/// Target, result, and status of each attempt.
struct AttemptList<'a>(&'a [Attempt]);

impl std::fmt::Display for AttemptList<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no target was called");
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
    pub(crate) fn body(&self) -> ErrorBody<'_> {
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

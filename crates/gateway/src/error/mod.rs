//! Errors that the gateway returns instead of an upstream's answer. [`Refusal`] is the caller's
//! fault, [`Fault`] is the gateway's or an upstream's; both become an OpenAI error here.

use std::borrow::Cow;

use http::StatusCode;
use openai::{ErrorBody, ErrorObject, Invalid};
use protocol::request::{InvalidRequest, Problem, Untranslatable};

mod blocked;
mod fault;
mod limit_exceeded;
mod shape;
mod stream_error;

pub(crate) use blocked::BlockResponse;
pub(crate) use limit_exceeded::LimitExceeded;
pub(crate) use shape::{ErrorShape, UnservedApi};
pub(crate) use stream_error::StreamError;

/// Errors that are the caller's fault.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No key, or an unknown one.
    InvalidKey {
        /// Whether the request had a key.
        presented: bool,
    },
    /// The key is known, and its consumer is disabled.
    ConsumerDisabled,
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
    /// The body is invalid in the caller's protocol.
    InvalidForProtocol(InvalidRequest),
    /// No target can take the request, because no target's protocol can express a member.
    Untranslatable(Box<Untranslatable>),
    /// No stored response with this id belongs to the caller.
    StoredResponseNotFound {
        /// The field that names it; `None` if the path does.
        param: Option<&'static str>,
    },
    /// No request with this id belongs to the caller and takes feedback.
    FeedbackNotFound,
    /// The request has its feedback already.
    FeedbackGiven,
    /// The answer is to be made in the background, where nobody would measure it.
    Background,
    /// The tokens of a prompt cannot be counted: no target has a call for it.
    NoTokenCount {
        /// The model that the request names.
        model: String,
    },
    /// Guards cannot check the body.
    Unchecked {
        /// The field.
        param: &'static str,
        /// Its unsupported content.
        what: &'static str,
    },
    /// The body broke off.
    BodyBroken,
    /// The body did not arrive in time.
    BodyTimeout {
        /// Bytes that arrived.
        received: usize,
    },
    /// The path has no endpoint.
    UnknownUrl,
    /// The path belongs to a protocol that the gateway does not serve.
    UnservedApi(UnservedApi),
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
    /// All targets failed, the last one by its rate limit.
    RateLimited {
        /// Seconds until the earliest known time for another try.
        retry_after: u64,
    },
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
    /// No provider of the model has a key: their secrets are not set.
    NoProviderKey,
    /// A limit's ledger is unavailable, and the limit is closed on errors.
    LedgerUnavailable,
    /// A guard is unavailable, and the guard is closed on errors.
    GuardUnavailable,
    /// The key cannot be checked: the store or an issuer's keys are unavailable.
    AuthenticationUnavailable,
    /// The bodies of other requests use the isolate's memory.
    Overloaded,
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
    /// The shape of the body.
    pub shape: ErrorShape,
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
            shape: ErrorShape::default(),
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
            Self::ConsumerDisabled => ApiError {
                headers: vec![("www-authenticate", "Bearer".to_owned())],
                ..plain(StatusCode::UNAUTHORIZED, "invalid_api_key", "The consumer of this API key is disabled.".to_owned())
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
                    Invalid::ResponsesForm => ("invalid_request", Some("messages")),
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
            Self::InvalidForProtocol(invalid) => {
                let code = match invalid.problem {
                    Problem::NotJson(_) => "invalid_json",
                    Problem::TooDeep
                    | Problem::TooManyParts
                    | Problem::Missing
                    | Problem::Twice
                    | Problem::Expected(_) => "invalid_request",
                };
                let param = Some(invalid.path.clone()).filter(|path| !path.is_empty());
                ApiError { param: param.map(Cow::Owned), ..plain(StatusCode::BAD_REQUEST, code, invalid.to_string()) }
            }
            Self::Untranslatable(reason) => ApiError {
                param: Some(Cow::Owned(reason.path.clone())),
                ..plain(StatusCode::BAD_REQUEST, "untranslatable", reason.to_string())
            },
            Self::StoredResponseNotFound { param: None } => plain(
                StatusCode::NOT_FOUND,
                "response_not_found",
                "No stored response with this id belongs to this key.".to_owned(),
            ),
            Self::StoredResponseNotFound { param: Some(param) } => ApiError {
                param: Some(Cow::Borrowed(*param)),
                ..plain(
                    StatusCode::BAD_REQUEST,
                    "previous_response_not_found",
                    format!("'{param}' names nothing that belongs to this key and is stored by a target of the model. Send the whole conversation."),
                )
            },
            Self::FeedbackNotFound => ApiError {
                param: Some(Cow::Borrowed("request_id")),
                ..plain(
                    StatusCode::NOT_FOUND,
                    "request_not_found",
                    "No request of this key in the last 24 hours has this id and takes feedback. Send the x-request-id of its response.".to_owned(),
                )
            },
            Self::FeedbackGiven => ApiError {
                param: Some(Cow::Borrowed("request_id")),
                ..plain(
                    StatusCode::CONFLICT,
                    "feedback_exists",
                    "This request has its feedback already.".to_owned(),
                )
            },
            Self::Background => ApiError {
                param: Some(Cow::Borrowed("background")),
                ..plain(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    "'background' is not supported, because the gateway could not measure the answer. Send the request with 'stream'.".to_owned(),
                )
            },
            Self::NoTokenCount { model } => ApiError {
                param: Some(Cow::Borrowed("model")),
                ..plain(
                    StatusCode::NOT_FOUND,
                    "token_count_not_available",
                    format!("No target of the model '{model}' counts tokens. Estimate them, or send the request."),
                )
            },
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
            Self::BodyTimeout { received } => plain(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                format!("The body did not arrive in time: {received} bytes were received. Send it faster, or send less."),
            ),
            Self::UnknownUrl => plain(
                StatusCode::NOT_FOUND,
                "unknown_url",
                "Unknown path. Use /v1/chat/completions, /v1/responses, /v1/messages, /v1/completions, /v1/embeddings, /v1/models, or /healthz.".to_owned(),
            ),
            Self::UnservedApi(protocol) => ApiError {
                shape: protocol.shape(),
                ..plain(StatusCode::NOT_FOUND, "unknown_url", protocol.message().to_owned())
            },
            Self::MethodNotAllowed { allow } => ApiError {
                headers: vec![("allow", (*allow).to_owned())],
                ..plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("This path accepts {allow} only."))
            },
            Self::UnsupportedMediaType => plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The content-type must be application/json. If the body is JSON, send that header: fetch sends text/plain for a text.".to_owned(),
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

impl ApiError {
    /// The JSON document.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let error = ErrorObject {
            message: &self.message,
            kind: self.kind,
            param: self.param.as_deref(),
            code: Some(self.code),
        };
        self.shape.to_json(&ErrorBody { error })
    }
}

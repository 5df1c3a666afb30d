//! Classes of failures by the names, statuses, and sentences of providers.

use crate::model::FailureClass;

/// Names of errors and their class, the more exact ones first: an error has a code and a type.
///
/// Sources: OpenAI, "Error codes"; Anthropic, "Errors"; Google APIs, `google.rpc.Code`.
const NAMES: &[(&str, FailureClass)] = &[
    ("context_length_exceeded", FailureClass::TooLong),
    ("context_window_exceeded", FailureClass::TooLong),
    ("model_context_window_exceeded", FailureClass::TooLong),
    ("insufficient_quota", FailureClass::OutOfCredit),
    ("billing_error", FailureClass::OutOfCredit),
    ("billing_hard_limit_reached", FailureClass::OutOfCredit),
    ("insufficient_balance", FailureClass::OutOfCredit),
    ("invalid_api_key", FailureClass::Unauthenticated),
    ("API_KEY_INVALID", FailureClass::Unauthenticated),
    ("authentication_error", FailureClass::Unauthenticated),
    ("UNAUTHENTICATED", FailureClass::Unauthenticated),
    ("permission_error", FailureClass::Forbidden),
    ("PERMISSION_DENIED", FailureClass::Forbidden),
    ("model_not_found", FailureClass::NotFound),
    ("not_found_error", FailureClass::NotFound),
    ("NOT_FOUND", FailureClass::NotFound),
    ("conflict_error", FailureClass::Conflict),
    ("request_too_large", FailureClass::TooLarge),
    ("rate_limit_exceeded", FailureClass::RateLimited),
    ("rate_limit_error", FailureClass::RateLimited),
    ("RESOURCE_EXHAUSTED", FailureClass::RateLimited),
    ("server_is_overloaded", FailureClass::Overloaded),
    ("overloaded_error", FailureClass::Overloaded),
    ("service_unavailable_error", FailureClass::Overloaded),
    ("slow_down", FailureClass::Overloaded),
    ("UNAVAILABLE", FailureClass::Overloaded),
    ("timeout_error", FailureClass::Timeout),
    ("DEADLINE_EXCEEDED", FailureClass::Timeout),
    ("server_error", FailureClass::Upstream),
    ("api_error", FailureClass::Upstream),
    ("INTERNAL", FailureClass::Upstream),
    ("invalid_prompt", FailureClass::BadRequest),
    ("invalid_request_error", FailureClass::BadRequest),
    ("INVALID_ARGUMENT", FailureClass::BadRequest),
    // Types of OpenAI's limits: the code says whether credit is meant.
    ("requests", FailureClass::RateLimited),
    ("tokens", FailureClass::RateLimited),
];

/// Parts of sentences about a prompt that is too long, in lower case.
const TOO_LONG: [&str; 7] = [
    // Anthropic.
    "prompt is too long",
    "exceed context limit",
    // OpenAI, vLLM, DeepSeek.
    "maximum context length",
    "context window",
    "context length",
    // Bedrock.
    "input is too long",
    // Gemini.
    "exceeds the maximum number of tokens",
];

/// Whether a sentence says that the prompt is too long for the model.
pub(crate) fn says_too_long(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    TOO_LONG.iter().any(|part| message.contains(part))
}

/// Class of an error with these names and this sentence.
pub(crate) fn class_of<'n>(
    status: Option<u16>,
    names: impl Iterator<Item = &'n str>,
    message: &str,
) -> FailureClass {
    let place = |name: &str| NAMES.iter().position(|(other, _)| *other == name);
    let named = names.filter_map(place).min().map(|at| NAMES[at].1);
    let class = match (status, named) {
        (None, named) => named.unwrap_or(FailureClass::Upstream),
        // General names say less than the status.
        (Some(status), None | Some(FailureClass::BadRequest | FailureClass::Upstream)) => {
            by_status(status)
        }
        (Some(status), Some(named)) => {
            let is_of_family = named.status(crate::model::Protocol::Chat) / 100 == status / 100;
            if is_of_family { named } else { by_status(status) }
        }
    };
    let may_be_length = match class {
        FailureClass::BadRequest | FailureClass::TooLarge => true,
        FailureClass::Upstream => status.is_none() && named.is_none(),
        _ => false,
    };
    if may_be_length && says_too_long(message) { FailureClass::TooLong } else { class }
}

fn by_status(status: u16) -> FailureClass {
    match status {
        401 => FailureClass::Unauthenticated,
        402 => FailureClass::OutOfCredit,
        403 => FailureClass::Forbidden,
        404 => FailureClass::NotFound,
        408 | 504 => FailureClass::Timeout,
        409 => FailureClass::Conflict,
        413 => FailureClass::TooLarge,
        429 => FailureClass::RateLimited,
        503 | 529 => FailureClass::Overloaded,
        400..=499 => FailureClass::BadRequest,
        _ => FailureClass::Upstream,
    }
}

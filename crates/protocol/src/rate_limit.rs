//! Headers about rate limits in the words of each protocol.

use crate::listing::rfc3339;
use crate::model::Protocol;

/// State of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Measure of the limit.
    pub measure: RateLimitMeasure,
    /// Maximum in a period.
    pub limit: u64,
    /// Rest of the period.
    pub remaining: u64,
    /// Milliseconds until the limit is back at its maximum; `None` if it never is.
    pub resets_in_millis: Option<u64>,
}

/// Measure of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitMeasure {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens,
}

/// Headers of the limits. OpenAI's reset is a duration (OpenAI, "Rate limits"), Anthropic's a point
/// in time in RFC 3339 (Anthropic, "Rate limits").
pub fn headers(
    caller: Protocol,
    limits: &[RateLimit],
    now_epoch_seconds: u64,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(3 * limits.len());
    for limit in limits {
        let [maximum, remaining, reset] = names(caller, limit.measure);
        headers.push((maximum, limit.limit.to_string()));
        headers.push((remaining, limit.remaining.to_string()));
        let Some(millis) = limit.resets_in_millis else { continue };
        let value = match caller {
            Protocol::Chat | Protocol::Responses => openai::format_duration(millis),
            Protocol::Messages => rfc3339(now_epoch_seconds.saturating_add(millis.div_ceil(1_000))),
        };
        headers.push((reset, value));
    }
    headers
}

/// Names for the limit, the rest, and the reset.
fn names(caller: Protocol, measure: RateLimitMeasure) -> [&'static str; 3] {
    match (caller, measure) {
        (Protocol::Chat | Protocol::Responses, RateLimitMeasure::Requests) => [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
        (Protocol::Chat | Protocol::Responses, RateLimitMeasure::Tokens) => {
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
        }
        (Protocol::Messages, RateLimitMeasure::Requests) => [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        (Protocol::Messages, RateLimitMeasure::Tokens) => [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    }
}

/// Name of the header with the request's id, beside `x-request-id`. `None` if the protocol has no
/// other one.
pub fn request_id_header(caller: Protocol) -> Option<&'static str> {
    (caller == Protocol::Messages).then_some("request-id")
}

#[cfg(test)]
mod tests {
    use super::{RateLimit, RateLimitMeasure, headers, request_id_header};
    use crate::model::Protocol;

    // Golden case 66, the headers.
    #[test]
    fn headers_have_the_names_of_the_caller() {
        let limits = [
            RateLimit {
                measure: RateLimitMeasure::Requests,
                limit: 10,
                remaining: 0,
                resets_in_millis: Some(359_001),
            },
            RateLimit {
                measure: RateLimitMeasure::Tokens,
                limit: 5_000,
                remaining: 12,
                resets_in_millis: None,
            },
        ];
        let own = |caller| {
            let headers = headers(caller, &limits, 1_767_225_599);
            headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        let openai = [
            "x-ratelimit-limit-requests: 10",
            "x-ratelimit-remaining-requests: 0",
            "x-ratelimit-reset-requests: 6m0s",
            "x-ratelimit-limit-tokens: 5000",
            "x-ratelimit-remaining-tokens: 12",
        ];
        assert_eq!(own(Protocol::Chat), openai);
        assert_eq!(own(Protocol::Responses), openai);
        let anthropic = [
            "anthropic-ratelimit-requests-limit: 10",
            "anthropic-ratelimit-requests-remaining: 0",
            "anthropic-ratelimit-requests-reset: 2026-01-01T00:05:59Z",
            "anthropic-ratelimit-tokens-limit: 5000",
            "anthropic-ratelimit-tokens-remaining: 12",
        ];
        assert_eq!(own(Protocol::Messages), anthropic);
        assert_eq!(request_id_header(Protocol::Messages), Some("request-id"));
        assert_eq!(request_id_header(Protocol::Chat), None);
    }
}

//! Classification of upstream responses and failures.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::record::TIMEOUT;

use super::additions::Addition;
use super::circuit_breaker::Signal;

/// Cool-down of a key, or of a target without keys, after a quota that waiting does not renew.
pub(crate) const QUOTA_COOL_DOWN: Duration = Duration::from_secs(300);

/// The longest body that is searched for a signature, in bytes.
pub(crate) const MAX_REPORT_BYTES: usize = 64 << 10;

/// Failure of one call to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or it broke before the head of a response.
    NoResponse,
    /// The connection broke before an answer was committed.
    Connect,
    /// No byte within the timeout.
    Timeout,
    /// Status 429.
    TooManyRequests {
        /// Wait from `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Status 5xx.
    ServerError {
        /// Wait from `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Status 401 or 407: the provider does not accept the gateway's key. Never the caller's fault.
    KeyRefused,
    /// Status 402: the gateway's account is empty, or cannot pay for this request.
    Unpaid,
    /// The account's money, quota, or plan is used up, whatever the status.
    QuotaExhausted {
        /// Wait that the provider asks for.
        retry_after: Option<Duration>,
    },
    /// The account does not have the model, the deployment, or access from this region.
    Unavailable,
    /// A status 4xx that says nothing about the request.
    Unrelated {
        /// Wait from `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The provider refuses a field that the gateway has added to the caller's request.
    AdditionRefused(Addition),
    /// Status 403: the key may not do this. The reason may be only the model or the prompt.
    ModelRefused,
    /// A success status without a valid answer: HTML, broken JSON, an error event, a stream without
    /// content, a redirect.
    NotAnAnswer,
    /// A refusal that may be about this request, in a form that no client of the API understands: a
    /// page, or an error with a success status; or a 404 without a code for a model that the route
    /// lists. Another target may answer.
    Declined,
    /// A compressed body, although none was requested: the gateway must be able to read what it
    /// passes on.
    Compressed,
}

impl Failure {
    /// Signal for the target's circuit breaker. `has_key`: the provider has keys, and a key that it
    /// refuses or throttles cools down on its own. `worth_waiting`: the longest wait before a
    /// retry.
    pub(crate) fn signal(self, has_key: bool, worth_waiting: Duration) -> Signal {
        match self {
            Self::TooManyRequests { retry_after: Some(wait) } if wait > worth_waiting => {
                if has_key { Signal::Neutral } else { Signal::Throttled(wait) }
            }
            Self::QuotaExhausted { retry_after } if !has_key => {
                Signal::Throttled(retry_after.unwrap_or_default().max(QUOTA_COOL_DOWN))
            }
            Self::Connect => Signal::Unreachable,
            Self::NoResponse
            | Self::Timeout
            | Self::TooManyRequests { .. }
            | Self::ServerError { .. }
            | Self::Unrelated { .. }
            | Self::NotAnAnswer
            | Self::Compressed => Signal::Failure,
            // The request's path or form may be what the account does not have.
            Self::Unavailable if !has_key => Signal::Failure,
            Self::KeyRefused
            | Self::Unpaid
            | Self::ModelRefused
            | Self::QuotaExhausted { .. }
            | Self::Unavailable
            | Self::Declined
            | Self::AdditionRefused(_) => Signal::Neutral,
        }
    }

    /// Name in records and errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoResponse | Self::Connect => "connect",
            Self::Timeout => TIMEOUT,
            Self::TooManyRequests { .. } => "429",
            Self::ServerError { .. } => "5xx",
            Self::KeyRefused | Self::Unpaid => "key_refused",
            Self::ModelRefused => "model_refused",
            Self::QuotaExhausted { .. } => "quota_exhausted",
            Self::Unavailable => "unavailable",
            Self::Unrelated { .. } => "4xx",
            Self::AdditionRefused(_) => "addition_refused",
            Self::NotAnAnswer | Self::Declined => "not_an_answer",
            Self::Compressed => "compressed",
        }
    }
}

/// Classification of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalClass {
    /// The caller's own fault, which is passed on unchanged.
    CallersFault,
    /// A failure that the caller should not see.
    Failure(Failure),
}

/// Whether a body may be read and passed on: it is not compressed.
pub(crate) fn is_uncompressed(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3), or OpenAI's `retry-after-ms`. The date form is not
/// read: no provider of the table sends it.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| parse_decimal_seconds(headers.get(name)?.to_str().ok()?.trim());
    number("retry-after-ms").map(|millis| millis / 1000).or_else(|| number("retry-after"))
}

/// Seconds with decimals. Not parsed as `f64`, which would add 12 KiB to the bundle.
pub(crate) fn parse_decimal_seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let billionths = format!("{decimals:0<9.9}").parse().ok()?;
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_nanos(billionths))
}

#[cfg(test)]
mod tests {
    use crate::record::REFUSALS;
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{Addition, Failure, Signal, is_uncompressed, retry_after};

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            name.parse::<http::HeaderName>().expect("a name"),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn wait_is_read_in_seconds_or_milliseconds() {
        for (name, value, millis) in [
            ("retry-after", "2", Some(2_000.0)),
            ("retry-after-ms", "1500", Some(1_500.0)),
            ("retry-after", "0.0625", Some(62.5)),
            ("retry-after-ms", "12.5", Some(12.5)),
            ("retry-after", "-1", None),
            ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            let expected = millis.map(|millis| Duration::from_secs_f64(millis / 1_000.0));
            assert_eq!(retry_after(&headers(name, value)), expected, "{name} {value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn compressed_bodies_are_recognized() {
        for encoding in ["gzip", "br", "zstd", "deflate, gzip"] {
            assert!(!is_uncompressed(&headers("content-encoding", encoding)), "{encoding}");
        }
        assert!(is_uncompressed(&headers("content-encoding", "Identity")));
        assert!(is_uncompressed(&HeaderMap::new()));
    }

    #[test]
    fn failures_map_to_health_signals() {
        let worth = Duration::from_secs(2);
        let busy =
            |seconds| Failure::TooManyRequests { retry_after: Some(Duration::from_secs(seconds)) };
        let table = [
            (Failure::NoResponse, Signal::Failure, Signal::Failure),
            (Failure::Connect, Signal::Unreachable, Signal::Unreachable),
            (Failure::Timeout, Signal::Failure, Signal::Failure),
            (Failure::NotAnAnswer, Signal::Failure, Signal::Failure),
            (Failure::Compressed, Signal::Failure, Signal::Failure),
            (Failure::ServerError { retry_after: None }, Signal::Failure, Signal::Failure),
            (Failure::TooManyRequests { retry_after: None }, Signal::Failure, Signal::Failure),
            (busy(2), Signal::Failure, Signal::Failure),
            (busy(3), Signal::Neutral, Signal::Throttled(Duration::from_secs(3))),
            (Failure::KeyRefused, Signal::Neutral, Signal::Neutral),
            (Failure::ModelRefused, Signal::Neutral, Signal::Neutral),
            (Failure::AdditionRefused(Addition::Usage), Signal::Neutral, Signal::Neutral),
            (Failure::Unrelated { retry_after: None }, Signal::Failure, Signal::Failure),
            (Failure::Unavailable, Signal::Neutral, Signal::Failure),
            (Failure::Declined, Signal::Neutral, Signal::Neutral),
            (
                Failure::QuotaExhausted { retry_after: None },
                Signal::Neutral,
                Signal::Throttled(super::QUOTA_COOL_DOWN),
            ),
        ];
        for (failure, with_key, without) in table {
            assert_eq!(failure.signal(true, worth), with_key, "{failure:?}");
            assert_eq!(failure.signal(false, worth), without, "{failure:?}");
        }
    }

    #[test]
    fn refusals_are_known_to_the_record() {
        let retry_after = None;
        let refusals = [
            Failure::TooManyRequests { retry_after },
            Failure::KeyRefused,
            Failure::Unpaid,
            Failure::ModelRefused,
            Failure::QuotaExhausted { retry_after },
            Failure::Unavailable,
        ];
        assert!(refusals.into_iter().all(|failure| REFUSALS.contains(&failure.name())));
    }
}

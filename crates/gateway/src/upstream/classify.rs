//! Classification of upstream responses and failures.

use std::time::Duration;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};

use super::circuit_breaker::Signal;

/// Failure of one call to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or it broke before an answer was committed.
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
    /// Status 403: the key may not do this. The reason may be only the model or the prompt.
    ModelRefused,
    /// A success status without a valid answer: HTML, broken JSON, an error event, a stream without
    /// content, a redirect.
    NotAnAnswer,
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
            Self::Connect
            | Self::Timeout
            | Self::TooManyRequests { .. }
            | Self::ServerError { .. }
            | Self::NotAnAnswer
            | Self::Compressed => Signal::Failure,
            Self::KeyRefused | Self::Unpaid | Self::ModelRefused => Signal::Neutral,
        }
    }

    /// Name in records and errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::TooManyRequests { .. } => "429",
            Self::ServerError { .. } => "5xx",
            Self::KeyRefused | Self::Unpaid => "key_refused",
            Self::ModelRefused => "model_refused",
            Self::NotAnAnswer => "not_an_answer",
            Self::Compressed => "compressed",
        }
    }
}

/// Classification of a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadClass {
    /// An answer follows.
    Answer,
    /// The caller's own fault, which is passed on unchanged.
    CallersFault,
    /// A failure that the caller should not see.
    Failure(Failure),
}

/// Classifies a response's head.
pub(crate) fn classify_head(status: StatusCode, headers: &HeaderMap) -> HeadClass {
    let head = match status.as_u16() {
        200..=299 => HeadClass::Answer,
        401 | 407 => HeadClass::Failure(Failure::KeyRefused),
        402 => HeadClass::Failure(Failure::Unpaid),
        403 => HeadClass::Failure(Failure::ModelRefused),
        408 => HeadClass::Failure(Failure::Timeout),
        429 => HeadClass::Failure(Failure::TooManyRequests { retry_after: retry_after(headers) }),
        400..=499 => HeadClass::CallersFault,
        500..=599 => HeadClass::Failure(Failure::ServerError { retry_after: retry_after(headers) }),
        _ => HeadClass::Failure(Failure::NotAnAnswer),
    };
    match head {
        // A body that is not passed on need not be readable.
        HeadClass::Answer | HeadClass::CallersFault if !is_uncompressed(headers) => {
            HeadClass::Failure(Failure::Compressed)
        }
        HeadClass::Answer | HeadClass::CallersFault | HeadClass::Failure(_) => head,
    }
}

fn is_uncompressed(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3), or OpenAI's `retry-after-ms`. The date form is not
/// read: no provider of the table sends it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| parse_decimal_seconds(headers.get(name)?.to_str().ok()?.trim());
    number("retry-after-ms").map(|millis| millis / 1000).or_else(|| number("retry-after"))
}

/// Seconds with decimals. Not parsed as `f64`, which would add 12 KiB to the bundle.
fn parse_decimal_seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let billionths = format!("{decimals:0<9.9}").parse().ok()?;
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_nanos(billionths))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{Failure, HeadClass, Signal, classify_head};

    #[track_caller]
    fn assert_head(status: u16, header: Option<(&'static str, &'static str)>, expected: HeadClass) {
        let headers: HeaderMap = header
            .into_iter()
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(
            classify_head(StatusCode::from_u16(status).expect("a status"), &headers),
            expected,
            "{status} {header:?}"
        );
    }

    #[test]
    fn heads_are_classified_by_status_and_headers() {
        let later = |seconds| Some(Duration::from_secs_f64(seconds));
        assert_head(200, None, HeadClass::Answer);
        assert_head(301, None, HeadClass::Failure(Failure::NotAnAnswer));
        for status in [400, 404, 409, 413, 415, 422] {
            assert_head(status, None, HeadClass::CallersFault);
        }
        assert_head(401, None, HeadClass::Failure(Failure::KeyRefused));
        assert_head(407, None, HeadClass::Failure(Failure::KeyRefused));
        assert_head(402, None, HeadClass::Failure(Failure::Unpaid));
        assert_head(403, None, HeadClass::Failure(Failure::ModelRefused));
        assert_head(408, None, HeadClass::Failure(Failure::Timeout));
        assert_head(429, None, HeadClass::Failure(Failure::TooManyRequests { retry_after: None }));
        assert_head(
            429,
            Some(("retry-after", "2")),
            HeadClass::Failure(Failure::TooManyRequests { retry_after: later(2.0) }),
        );
        assert_head(
            429,
            Some(("retry-after-ms", "1500")),
            HeadClass::Failure(Failure::TooManyRequests { retry_after: later(1.5) }),
        );
        assert_head(
            429,
            Some(("retry-after", "0.0625")),
            HeadClass::Failure(Failure::TooManyRequests { retry_after: later(0.0625) }),
        );
        assert_head(
            429,
            Some(("retry-after-ms", "12.5")),
            HeadClass::Failure(Failure::TooManyRequests { retry_after: later(0.0125) }),
        );
        assert_head(
            429,
            Some(("retry-after", "-1")),
            HeadClass::Failure(Failure::TooManyRequests { retry_after: None }),
        );
        assert_head(
            503,
            Some(("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")),
            HeadClass::Failure(Failure::ServerError { retry_after: None }),
        );
        for status in [200, 206, 400, 404, 413, 422, 499] {
            for encoding in ["gzip", "br", "zstd", "deflate, gzip"] {
                let compressed = HeadClass::Failure(Failure::Compressed);
                assert_head(status, Some(("content-encoding", encoding)), compressed);
            }
        }
        assert_head(200, Some(("content-encoding", "Identity")), HeadClass::Answer);
        assert_head(
            401,
            Some(("content-encoding", "gzip")),
            HeadClass::Failure(Failure::KeyRefused),
        );
        assert_head(599, None, HeadClass::Failure(Failure::ServerError { retry_after: None }));
    }

    #[test]
    fn failures_map_to_health_signals() {
        let worth = Duration::from_secs(2);
        let busy =
            |seconds| Failure::TooManyRequests { retry_after: Some(Duration::from_secs(seconds)) };
        let table = [
            (Failure::Connect, Signal::Failure, Signal::Failure),
            (Failure::Timeout, Signal::Failure, Signal::Failure),
            (Failure::NotAnAnswer, Signal::Failure, Signal::Failure),
            (Failure::Compressed, Signal::Failure, Signal::Failure),
            (Failure::ServerError { retry_after: None }, Signal::Failure, Signal::Failure),
            (Failure::TooManyRequests { retry_after: None }, Signal::Failure, Signal::Failure),
            (busy(2), Signal::Failure, Signal::Failure),
            (busy(3), Signal::Neutral, Signal::Throttled(Duration::from_secs(3))),
            (Failure::KeyRefused, Signal::Neutral, Signal::Neutral),
            (Failure::ModelRefused, Signal::Neutral, Signal::Neutral),
        ];
        for (failure, with_key, without) in table {
            assert_eq!(failure.signal(true, worth), with_key, "{failure:?}");
            assert_eq!(failure.signal(false, worth), without, "{failure:?}");
        }
    }
}

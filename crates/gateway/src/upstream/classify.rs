//! What an upstream's behaviour means.

use std::time::Duration;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};

use super::circuit_breaker::Signal;

/// What came of one call to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it broke before an answer was committed.
    Connect,
    /// No byte in time.
    Timeout,
    /// Status 429.
    TooManyRequests {
        /// What `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// Status 5xx.
    ServerError {
        /// What `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// Status 401 or 407: it does not take our key. Never the caller's fault.
    KeyRefused,
    /// Status 402: our account is empty, or has too little for what this request may cost.
    Unpaid,
    /// Status 403: our key may not do this, which may well be only about the model, or the prompt.
    ModelRefused,
    /// A good status with something that is not an answer: HTML, broken JSON, an error event, a
    /// stream without content, a redirect.
    NotAnAnswer,
    /// A compressed body, though none was asked for: what passes must be read.
    Compressed,
}

impl Failure {
    /// What it says about the health of the target. `has_key`: the provider has keys, and one that it
    /// refuses or finds too busy rests by itself. `worth_waiting`: the longest wait that is waited for.
    pub fn signal(self, has_key: bool, worth_waiting: Duration) -> Signal {
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

    /// Its name in records and errors.
    pub fn name(self) -> &'static str {
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

/// What the head of an upstream's response means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadClass {
    /// An answer follows.
    Answer,
    /// The caller's own fault, to be passed on as it is.
    CallersFault,
    /// A failure that the caller should not see.
    Failure(Failure),
}

/// Reads a response's head.
pub fn classify_head(status: StatusCode, headers: &HeaderMap) -> HeadClass {
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
        // What is not shown need not be read.
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

/// `Retry-After` in seconds (RFC 9110, 10.2.3), or OpenAI's `retry-after-ms`. The form with a date
/// is not read: no provider of the table sends it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| parse_decimal_seconds(headers.get(name)?.to_str().ok()?.trim());
    number("retry-after-ms").map(|millis| millis / 1000).or_else(|| number("retry-after"))
}

/// Seconds with decimals. Not by way of `f64`, whose reading from text is 12 KiB of the bundle.
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
    fn every_class_of_status() {
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
    fn what_a_failure_says_about_a_targets_health() {
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

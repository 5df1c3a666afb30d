//! What an upstream's behaviour means.

use std::time::Duration;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};

use super::breaker::Sign;

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
    pub fn sign(self, has_key: bool, worth_waiting: Duration) -> Sign {
        match self {
            Self::TooManyRequests { retry_after: Some(wait) } if wait > worth_waiting => {
                if has_key { Sign::Nothing } else { Sign::Busy(wait) }
            }
            Self::Connect
            | Self::Timeout
            | Self::TooManyRequests { .. }
            | Self::ServerError { .. }
            | Self::NotAnAnswer
            | Self::Compressed => Sign::Failed,
            Self::KeyRefused | Self::Unpaid | Self::ModelRefused => Sign::Nothing,
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
pub enum Head {
    /// An answer follows.
    Answer,
    /// The caller's own fault, to be passed on as it is.
    CallersFault,
    /// A failure that the caller should not see.
    Failure(Failure),
}

/// Reads a response's head.
pub fn head(status: StatusCode, headers: &HeaderMap) -> Head {
    let head = match status.as_u16() {
        200..=299 => Head::Answer,
        401 | 407 => Head::Failure(Failure::KeyRefused),
        402 => Head::Failure(Failure::Unpaid),
        403 => Head::Failure(Failure::ModelRefused),
        408 => Head::Failure(Failure::Timeout),
        429 => Head::Failure(Failure::TooManyRequests { retry_after: retry_after(headers) }),
        400..=499 => Head::CallersFault,
        500..=599 => Head::Failure(Failure::ServerError { retry_after: retry_after(headers) }),
        _ => Head::Failure(Failure::NotAnAnswer),
    };
    match head {
        // What is not shown need not be read.
        Head::Answer | Head::CallersFault if !is_plain(headers) => {
            Head::Failure(Failure::Compressed)
        }
        Head::Answer | Head::CallersFault | Head::Failure(_) => head,
    }
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3), or OpenAI's `retry-after-ms`. The form with a date
/// is not read: no provider of the table sends it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| seconds(headers.get(name)?.to_str().ok()?.trim());
    number("retry-after-ms").map(|millis| millis / 1000).or_else(|| number("retry-after"))
}

/// Seconds with decimals. Not by way of `f64`, whose reading from text is 12 KiB of the bundle.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let billionths = format!("{decimals:0<9.9}").parse().ok()?;
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_nanos(billionths))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{Failure, Head, Sign, head};

    #[track_caller]
    fn check(status: u16, header: Option<(&'static str, &'static str)>, expected: Head) {
        let headers: HeaderMap = header
            .into_iter()
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(
            head(StatusCode::from_u16(status).expect("a status"), &headers),
            expected,
            "{status} {header:?}"
        );
    }

    #[test]
    fn every_class_of_status() {
        let later = |seconds| Some(Duration::from_secs_f64(seconds));
        check(200, None, Head::Answer);
        check(301, None, Head::Failure(Failure::NotAnAnswer));
        for status in [400, 404, 409, 413, 415, 422] {
            check(status, None, Head::CallersFault);
        }
        check(401, None, Head::Failure(Failure::KeyRefused));
        check(407, None, Head::Failure(Failure::KeyRefused));
        check(402, None, Head::Failure(Failure::Unpaid));
        check(403, None, Head::Failure(Failure::ModelRefused));
        check(408, None, Head::Failure(Failure::Timeout));
        check(429, None, Head::Failure(Failure::TooManyRequests { retry_after: None }));
        check(
            429,
            Some(("retry-after", "2")),
            Head::Failure(Failure::TooManyRequests { retry_after: later(2.0) }),
        );
        check(
            429,
            Some(("retry-after-ms", "1500")),
            Head::Failure(Failure::TooManyRequests { retry_after: later(1.5) }),
        );
        check(
            429,
            Some(("retry-after", "0.0625")),
            Head::Failure(Failure::TooManyRequests { retry_after: later(0.0625) }),
        );
        check(
            429,
            Some(("retry-after-ms", "12.5")),
            Head::Failure(Failure::TooManyRequests { retry_after: later(0.0125) }),
        );
        check(
            429,
            Some(("retry-after", "-1")),
            Head::Failure(Failure::TooManyRequests { retry_after: None }),
        );
        check(
            503,
            Some(("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")),
            Head::Failure(Failure::ServerError { retry_after: None }),
        );
        for status in [200, 206, 400, 404, 413, 422, 499] {
            for encoding in ["gzip", "br", "zstd", "deflate, gzip"] {
                let compressed = Head::Failure(Failure::Compressed);
                check(status, Some(("content-encoding", encoding)), compressed);
            }
        }
        check(200, Some(("content-encoding", "Identity")), Head::Answer);
        check(401, Some(("content-encoding", "gzip")), Head::Failure(Failure::KeyRefused));
        check(599, None, Head::Failure(Failure::ServerError { retry_after: None }));
    }

    #[test]
    fn what_a_failure_says_about_a_targets_health() {
        let worth = Duration::from_secs(2);
        let busy =
            |seconds| Failure::TooManyRequests { retry_after: Some(Duration::from_secs(seconds)) };
        let table = [
            (Failure::Connect, Sign::Failed, Sign::Failed),
            (Failure::Timeout, Sign::Failed, Sign::Failed),
            (Failure::NotAnAnswer, Sign::Failed, Sign::Failed),
            (Failure::Compressed, Sign::Failed, Sign::Failed),
            (Failure::ServerError { retry_after: None }, Sign::Failed, Sign::Failed),
            (Failure::TooManyRequests { retry_after: None }, Sign::Failed, Sign::Failed),
            (busy(2), Sign::Failed, Sign::Failed),
            (busy(3), Sign::Nothing, Sign::Busy(Duration::from_secs(3))),
            (Failure::KeyRefused, Sign::Nothing, Sign::Nothing),
            (Failure::ModelRefused, Sign::Nothing, Sign::Nothing),
        ];
        for (failure, with_key, without) in table {
            assert_eq!(failure.sign(true, worth), with_key, "{failure:?}");
            assert_eq!(failure.sign(false, worth), without, "{failure:?}");
        }
    }
}

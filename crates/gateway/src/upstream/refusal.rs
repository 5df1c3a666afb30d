//! Refusals of providers: whether the caller, the operator, or the provider is at fault. The table
//! of signatures decides, then the status.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use openai::ErrorReport;

use crate::routing::plan::ModelOrigin;

use crate::request::headers::is_media_type;

use super::classify::{
    Failure, MAX_REPORT_BYTES, RefusalClass, parse_decimal_seconds, retry_after,
};
use super::refusal_table::SIGNATURES;

/// Kind that any provider may be behind: the rows of all kinds apply to it.
const ANY_PROVIDER: &str = "openai-compatible";

/// Reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The gateway's key, or the account behind it, is refused.
    KeyRefused,
    /// Money, quota, or plan of the account is used up: waiting a moment does not renew it.
    QuotaExhausted,
    /// The account, its region, or its deployment does not have the model.
    Unavailable,
    /// There is no such model: the operator's fault if the operator named it, else the caller's.
    UnknownModel,
    /// Too many requests or tokens for now.
    RateLimited,
    /// The provider has too little capacity, or an internal error.
    Overloaded,
    /// The request itself: its form, its length, its content.
    CallersFault,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Signature {
    /// Kinds of providers; empty if the name means the same everywhere.
    pub(super) kinds: &'static [&'static str],
    /// Code, type, status, or reason, in any case.
    pub(super) name: &'static str,
    /// Beginning of the message; empty if any.
    pub(super) message: &'static str,
    pub(super) verdict: Verdict,
}

impl Signature {
    /// Finds the first row that matches an error of a provider of this kind.
    pub(super) fn lookup(kind: &str, report: &ErrorReport) -> Option<&'static Self> {
        SIGNATURES.iter().copied().flatten().find(|row| row.matches(kind, report))
    }

    fn matches(&self, kind: &str, report: &ErrorReport) -> bool {
        let is_kind = self.kinds.is_empty() || kind == ANY_PROVIDER || self.kinds.contains(&kind);
        let starts = |text: &str| {
            text.get(..self.message.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(self.message))
        };
        is_kind
            && report.names().any(|name| name.eq_ignore_ascii_case(self.name))
            && starts(&report.message)
    }
}

/// Refusal of a provider, as far as it was read.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    /// The provider's kind.
    pub kind: &'a str,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    /// The body; empty if it could not be read whole.
    pub body: &'a [u8],
    /// Reason in the body.
    pub report: &'a ErrorReport,
    pub model_origin: ModelOrigin,
}

impl Refusal<'_> {
    /// Classifies a refusal. The second part is the signature that was found.
    pub(crate) fn classify(&self) -> (RefusalClass, Option<&'static str>) {
        let report = self.report;
        let Some(row) = Signature::lookup(self.kind, report) else {
            return (self.classify_unnamed(report), None);
        };
        let retry_after = self.retry_after(report);
        let class = match row.verdict {
            Verdict::KeyRefused => RefusalClass::Failure(Failure::KeyRefused),
            Verdict::QuotaExhausted => {
                RefusalClass::Failure(Failure::QuotaExhausted { retry_after })
            }
            Verdict::Unavailable => RefusalClass::Failure(Failure::Unavailable),
            Verdict::UnknownModel => match self.model_origin {
                ModelOrigin::Target | ModelOrigin::Route => {
                    RefusalClass::Failure(Failure::Unavailable)
                }
                ModelOrigin::Caller => self.pass_on(report),
            },
            // A request above the limit of a minute never fits (Groq).
            Verdict::RateLimited if self.status == StatusCode::PAYLOAD_TOO_LARGE => {
                RefusalClass::Failure(Failure::Declined)
            }
            Verdict::RateLimited => RefusalClass::Failure(Failure::TooManyRequests { retry_after }),
            Verdict::Overloaded => RefusalClass::Failure(Failure::ServerError { retry_after }),
            Verdict::CallersFault => self.pass_on(report),
        };
        (class, Some(row.name))
    }

    /// Class of a refusal of the caller's request, unless its status must never reach the caller.
    fn pass_on(&self, report: &ErrorReport) -> RefusalClass {
        match self.status.as_u16() {
            401 | 402 | 403 | 407 | 408 | 429 => self.class_of_status(report),
            400..=499 => RefusalClass::CallersFault,
            _ => self.class_of_status(report),
        }
    }

    /// Classifies a refusal without a signature.
    fn classify_unnamed(&self, report: &ErrorReport) -> RefusalClass {
        let is_markup = self.body.trim_ascii_start().starts_with(b"<")
            || (self.body.is_empty() && self.has_html_type());
        match self.status.as_u16() {
            // A proxy's page: the request may have caused it, as a firewall's rule does.
            400 | 403 | 415 | 422 if is_markup => RefusalClass::Failure(Failure::Declined),
            404 if is_markup => RefusalClass::Failure(Failure::NotAnAnswer),
            404 => self.classify_not_found(report),
            _ => self.class_of_status(report),
        }
    }

    /// Classifies a 404 without a signature: an unknown path, model, or other object.
    fn classify_not_found(&self, report: &ErrorReport) -> RefusalClass {
        if report.is_empty() {
            // No API's refusal: the path does not exist.
            return RefusalClass::Failure(Failure::NotAnAnswer);
        }
        let is_path = report.message.eq_ignore_ascii_case("not found");
        let is_other_object = !matches!(&*report.param, "" | "model");
        match self.model_origin {
            _ if is_path => RefusalClass::Failure(Failure::Unavailable),
            _ if is_other_object => RefusalClass::CallersFault,
            ModelOrigin::Target => RefusalClass::Failure(Failure::Unavailable),
            // Without a code it may still be about this request, which must not cool the target down.
            ModelOrigin::Route => RefusalClass::Failure(Failure::Declined),
            ModelOrigin::Caller => RefusalClass::CallersFault,
        }
    }

    fn class_of_status(&self, report: &ErrorReport) -> RefusalClass {
        let retry_after = self.retry_after(report);
        RefusalClass::Failure(match self.status.as_u16() {
            401 | 407 => Failure::KeyRefused,
            402 => Failure::Unpaid,
            403 => Failure::ModelRefused,
            408 => Failure::Timeout,
            429 => Failure::TooManyRequests { retry_after },
            400 | 404 | 413 | 415 | 422 => return RefusalClass::CallersFault,
            400..=499 => Failure::Unrelated { retry_after },
            500..=599 => Failure::ServerError { retry_after },
            _ => Failure::NotAnAnswer,
        })
    }

    /// Wait that the provider asks for, in the head or in the body.
    fn retry_after(&self, report: &ErrorReport) -> Option<Duration> {
        let in_body = || parse_decimal_seconds(report.retry_delay.as_deref()?.strip_suffix('s')?);
        retry_after(self.headers).or_else(in_body)
    }

    fn has_html_type(&self) -> bool {
        let value = self.headers.get(http::header::CONTENT_TYPE);
        value.is_some_and(|value| is_media_type(value, "text/html"))
    }
}

/// Reads the reason in a body. Empty if it reports nothing, or is longer than any report.
pub(crate) fn read_report(body: &[u8]) -> ErrorReport {
    let is_short = body.len() <= MAX_REPORT_BYTES;
    is_short.then(|| ErrorReport::parse(body)).flatten().unwrap_or_default()
}

/// Failure of an answer with a success status that holds an error.
pub(crate) fn classify_error_answer(kind: &str, body: &[u8]) -> (Failure, Option<&'static str>) {
    let report = read_report(body);
    if let Some(row) = Signature::lookup(kind, &report) {
        let failure = match row.verdict {
            Verdict::KeyRefused => Failure::KeyRefused,
            Verdict::QuotaExhausted => Failure::QuotaExhausted { retry_after: None },
            Verdict::RateLimited => Failure::TooManyRequests { retry_after: None },
            Verdict::Unavailable | Verdict::UnknownModel | Verdict::Overloaded => {
                Failure::NotAnAnswer
            }
            Verdict::CallersFault => Failure::Declined,
        };
        return (failure, Some(row.name));
    }
    // Gateways write the status of their own upstream as the code.
    let status = report.names().find_map(|name| match name {
        "401" => Some(Failure::KeyRefused),
        "402" => Some(Failure::Unpaid),
        "429" => Some(Failure::TooManyRequests { retry_after: None }),
        _ => None,
    });
    (status.unwrap_or(Failure::NotAnAnswer), None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{Failure, ModelOrigin, Refusal, RefusalClass, classify_error_answer, read_report};

    #[track_caller]
    fn assert_class(status: u16, body: &str, model_origin: ModelOrigin, expected: RefusalClass) {
        let refusal = Refusal {
            kind: "openai-compatible",
            status: StatusCode::from_u16(status).expect("a status"),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
            report: &read_report(body.as_bytes()),
            model_origin,
        };
        assert_eq!(refusal.classify().0, expected, "{status} {body} {model_origin:?}");
    }

    const PLAIN: &str = r#"{"error":{"message":"m","type":"invalid_request_error","code":null}}"#;

    #[test]
    fn refusals_without_a_signature_are_classified_by_status() {
        let failure = RefusalClass::Failure;
        for status in [400, 404, 413, 415, 422] {
            assert_class(status, PLAIN, ModelOrigin::Caller, RefusalClass::CallersFault);
            let page = match status {
                404 => failure(Failure::NotAnAnswer),
                413 => RefusalClass::CallersFault,
                _ => failure(Failure::Declined),
            };
            assert_class(status, "<html>no</html>", ModelOrigin::Caller, page);
        }
        for status in [405, 406, 409, 410, 421, 423, 424, 425, 426, 451, 460, 494, 498, 499] {
            assert_class(
                status,
                PLAIN,
                ModelOrigin::Caller,
                failure(Failure::Unrelated { retry_after: None }),
            );
        }
        assert_class(401, PLAIN, ModelOrigin::Caller, failure(Failure::KeyRefused));
        assert_class(401, "<html>", ModelOrigin::Caller, failure(Failure::KeyRefused));
        assert_class(407, "", ModelOrigin::Caller, failure(Failure::KeyRefused));
        assert_class(402, PLAIN, ModelOrigin::Caller, failure(Failure::Unpaid));
        assert_class(403, PLAIN, ModelOrigin::Caller, failure(Failure::ModelRefused));
        assert_class(403, "<!doctype html>", ModelOrigin::Caller, failure(Failure::Declined));
        assert_class(408, PLAIN, ModelOrigin::Caller, failure(Failure::Timeout));
        assert_class(
            529,
            PLAIN,
            ModelOrigin::Caller,
            failure(Failure::ServerError { retry_after: None }),
        );
        assert_class(600, "", ModelOrigin::Caller, failure(Failure::NotAnAnswer));
        assert_class(400, "", ModelOrigin::Caller, RefusalClass::CallersFault);
        assert_class(400, "prompt is too long", ModelOrigin::Caller, RefusalClass::CallersFault);
    }

    #[test]
    fn unknown_model_is_the_fault_of_its_author() {
        let unavailable = RefusalClass::Failure(Failure::Unavailable);
        let missing = r#"{"error":{"message":"m","code":"model_not_found"}}"#;
        for status in [400, 404] {
            assert_class(status, missing, ModelOrigin::Target, unavailable);
            assert_class(status, missing, ModelOrigin::Route, unavailable);
            assert_class(status, missing, ModelOrigin::Caller, RefusalClass::CallersFault);
        }
        assert_class(404, PLAIN, ModelOrigin::Target, unavailable);
        let declined = RefusalClass::Failure(Failure::Declined);
        assert_class(404, PLAIN, ModelOrigin::Route, declined);
        assert_class(404, PLAIN, ModelOrigin::Caller, RefusalClass::CallersFault);
        let file = r#"{"error":{"message":"m","param":"file_id","code":null}}"#;
        assert_class(404, file, ModelOrigin::Target, RefusalClass::CallersFault);
        for path in [r#"{"detail":"Not Found"}"#, r#"{"error":{"message":"Not found"}}"#] {
            assert_class(404, path, ModelOrigin::Caller, unavailable);
        }
        for page in ["", "404 page not found", "<html>"] {
            let not_an_answer = RefusalClass::Failure(Failure::NotAnAnswer);
            assert_class(404, page, ModelOrigin::Caller, not_an_answer);
        }
    }

    #[test]
    fn signature_precedes_the_status() {
        let failure = RefusalClass::Failure;
        let key = r#"{"error":{"code":"API_KEY_INVALID"}}"#;
        let quota = r#"{"error":{"code":"insufficient_quota"}}"#;
        let content = r#"{"error":{"code":"content_filter"}}"#;
        for status in [400, 403, 404, 409, 429, 500] {
            assert_class(status, key, ModelOrigin::Caller, failure(Failure::KeyRefused));
            assert_class(
                status,
                quota,
                ModelOrigin::Caller,
                failure(Failure::QuotaExhausted { retry_after: None }),
            );
        }
        for status in [400, 409, 421, 422, 451] {
            assert_class(status, content, ModelOrigin::Target, RefusalClass::CallersFault);
        }
        assert_class(403, content, ModelOrigin::Target, failure(Failure::ModelRefused));
        let large = r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#;
        let busy = failure(Failure::TooManyRequests { retry_after: None });
        assert_class(413, large, ModelOrigin::Caller, failure(Failure::Declined));
        assert_class(429, large, ModelOrigin::Caller, busy);
    }

    #[test]
    fn wait_is_read_from_the_head_or_the_body() {
        let body = br#"[{"error":{"code":429,"details":[{"retryDelay":"34.5s"}]}}]"#;
        let mut headers = HeaderMap::new();
        for expected in [34_500, 7_000] {
            let refusal = Refusal {
                kind: "gemini",
                status: StatusCode::TOO_MANY_REQUESTS,
                headers: &headers,
                body,
                report: &read_report(body),
                model_origin: ModelOrigin::Caller,
            };
            let retry_after = Some(Duration::from_millis(expected));
            let busy = RefusalClass::Failure(Failure::TooManyRequests { retry_after });
            assert_eq!(refusal.classify().0, busy);
            headers.insert("retry-after", HeaderValue::from_static("7"));
        }
    }

    #[test]
    fn errors_with_a_success_status_are_failures() {
        for (body, expected) in [
            (r#"{"base_resp":{"status_code":1004}}"#, Failure::KeyRefused),
            (
                r#"{"error":{"code":429,"message":"m"}}"#,
                Failure::TooManyRequests { retry_after: None },
            ),
            (r#"{"error":{"code":502,"message":"m"}}"#, Failure::NotAnAnswer),
            (
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Failure::QuotaExhausted { retry_after: None },
            ),
            ("<html>", Failure::NotAnAnswer),
        ] {
            assert_eq!(classify_error_answer("minimax", body.as_bytes()).0, expected, "{body}");
        }
    }
}

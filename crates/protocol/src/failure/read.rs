//! Reading of errors, whole or in a stream.

use serde_json::value::RawValue;

use super::class::class_of;
use crate::members::pick;
use crate::model::{Failure, FailureClass};

/// Most bytes of a body that are read as an error.
const MAX_ERROR_BYTES: usize = 1 << 18;

/// Reads a provider's error body, in any of the forms that `openai::ErrorReport` knows. A body that
/// is no error is described by its status alone.
pub fn from_body(status: u16, body: &[u8]) -> Failure<'static> {
    let mut failure = from_report(Some(status), body).unwrap_or_else(|| {
        let class = class_of(Some(status), std::iter::empty(), "");
        Failure::new(class, format!("the provider answered with status {status}"))
    });
    let has_own_status = failure.class == FailureClass::BadRequest && status != 400;
    failure.status = has_own_status.then_some(status);
    failure
}

/// Reads the data of an error event: nested as most protocols have it, or flat as the reference of
/// Responses has it. Data that is not JSON is an error without a description.
pub fn from_event(data: &[u8]) -> Failure<'static> {
    let nested = str::from_utf8(data).ok().and_then(|text| pick(text, ["error"])).map(|[it]| it);
    match nested {
        Some(Some(error)) => from_object(error),
        Some(None) => from_report(None, data).unwrap_or_else(unnamed),
        None => unnamed(),
    }
}

/// Reads the value of a member `error`.
pub(crate) fn from_object(error: &RawValue) -> Failure<'static> {
    let wrapped = format!("{{\"error\":{}}}", error.get());
    from_report(None, wrapped.as_bytes()).unwrap_or_else(unnamed)
}

fn unnamed() -> Failure<'static> {
    Failure::new(FailureClass::Upstream, "the provider reported an error without a description")
}

fn from_report(status: Option<u16>, body: &[u8]) -> Option<Failure<'static>> {
    if body.len() > MAX_ERROR_BYTES {
        return None;
    }
    let report = openai::ErrorReport::parse(body).filter(|report| !report.is_empty())?;
    let class = class_of(status, report.names(), &report.message);
    let mut failure = Failure::new(class, report.message.clone());
    if failure.message.is_empty() {
        failure.message = "the provider reported an error without a message".into();
    }
    let code = report.names().find(|name| is_code(name));
    failure.code = code.map(|name| name.to_owned().into());
    failure.param = Some(report.param).filter(|param| !param.is_empty()).map(Into::into);
    failure.retry_after_seconds = report.retry_delay.as_deref().and_then(whole_seconds);
    Some(failure)
}

/// Whether a name is a code as OpenAI has them: not a type, a status, or a number.
fn is_code(name: &str) -> bool {
    let is_type = matches!(name, "error" | "requests" | "tokens") || name.ends_with("_error");
    !is_type
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Whole seconds of a delay such as `34.5s` (`google.protobuf.Duration`), rounded up.
fn whole_seconds(delay: &str) -> Option<u64> {
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    (seconds >= 0.0).then(|| seconds.ceil() as u64)
}

//! A single call to a provider beside the dispatch: without a fallback, a circuit breaker, or a stream.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;
use openai::TextSize;

use crate::host::Host;
use crate::host::futures::timeout;
use crate::record::{ANSWERED, Attempt, AttemptKind, CALLERS_FAULT, TIMEOUT};
use crate::telemetry::request_scope::RequestScope;

use super::classify::is_uncompressed;

/// Result of a call without a usable answer.
const NO_ANSWER: &str = "not_an_answer";

/// Bounds on a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallBounds<'a> {
    /// Time for the whole call.
    pub wait: Duration,
    /// Maximum length of the answer, in bytes.
    pub max_bytes: usize,
    /// Statuses of answers that are the caller's fault.
    pub callers_fault: &'a [u16],
}

/// A call without an answer for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFailure {
    /// No answer in time.
    Timeout,
    /// No usable answer.
    NoAnswer,
}

/// Makes a call, and records it as an attempt at `label` with a key. An answer has a success status, or one of
/// the caller's fault.
pub(crate) async fn call_once<P: Host>(
    host: &P,
    (label, key): (String, Option<usize>),
    request: http::Request<Bytes>,
    bounds: CallBounds<'_>,
    scope: &mut RequestScope<P>,
) -> Result<(Parts, Bytes), CallFailure> {
    let attempt = Attempt::start(label, key, AttemptKind::Primary, host.now());
    let index = scope.attempt_started(attempt, None, TextSize::default());
    let exchange = async {
        let (head, body) = host.fetch(request).await.ok()?.into_parts();
        let body = is_uncompressed(&head.headers).then_some(body)?;
        Some((head, body.collect(bounds.max_bytes).await.ok()?))
    };
    let outcome = timeout(host, bounds.wait, exchange).await;
    let failure = if outcome.is_none() { CallFailure::Timeout } else { CallFailure::NoAnswer };
    let Some((head, body)) = outcome.flatten() else {
        let result = if failure == CallFailure::Timeout { TIMEOUT } else { NO_ANSWER };
        scope.attempt_finished(index, result, None, None);
        return Err(failure);
    };
    let result = result_of(head.status, bounds.callers_fault);
    scope.attempt_finished(index, result, Some(head.status), None);
    if result == NO_ANSWER { Err(CallFailure::NoAnswer) } else { Ok((head, body)) }
}

fn result_of(status: StatusCode, callers_fault: &[u16]) -> &'static str {
    match status {
        status if status.is_success() => ANSWERED,
        status if callers_fault.contains(&status.as_u16()) => CALLERS_FAULT,
        _ => NO_ANSWER,
    }
}

//! Outcomes of reading and writing an answer.

use crate::model::{Failure, FailureClass};
use crate::shed::Shed;

/// Answer in a caller's protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenAnswer {
    /// The JSON document.
    pub body: Vec<u8>,
    /// Content that the protocol cannot express.
    pub shed: Shed,
}

/// Failure of an answer that cannot be read.
pub(crate) fn unreadable(cause: &str) -> Failure<'static> {
    Failure::new(FailureClass::Upstream, format!("the provider's answer {cause}"))
}

/// Whether an object is an error in place of an answer.
pub(crate) fn error_in_place(
    error: Option<&serde_json::value::RawValue>,
) -> Option<Failure<'static>> {
    error.map(crate::failure::from_object)
}

//! OpenAI's error shape: `{"error":{"message","type","param","code"}}`.

use serde::Serialize;

/// Error body.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    /// Error object, the only member.
    pub error: ErrorObject<'a>,
}

/// Description of an error.
#[derive(Debug, Serialize)]
pub struct ErrorObject<'a> {
    /// Sentence for people.
    pub message: &'a str,
    /// Family of the error, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Field at fault.
    pub param: Option<&'a str>,
    /// Name of the error for programs.
    pub code: Option<&'a str>,
}

impl ErrorBody<'_> {
    /// Returns the JSON document.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and options always serialize")
    }

    /// Returns the document as one server-sent event.
    pub fn to_event(&self) -> Vec<u8> {
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&self.to_json());
        event.extend_from_slice(b"\n\n");
        event
    }
}

//! OpenAI's error shape: `{"error":{"message","type","param","code"}}`.

use serde::Serialize;

/// A whole error body.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    /// The only member.
    pub error: ErrorObject<'a>,
}

/// What is inside an error body.
#[derive(Debug, Serialize)]
pub struct ErrorObject<'a> {
    /// A sentence for people.
    pub message: &'a str,
    /// The family of the error, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The field that is at fault.
    pub param: Option<&'a str>,
    /// The error's name for programs.
    pub code: Option<&'a str>,
}

impl ErrorBody<'_> {
    /// The JSON document.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and options always serialise")
    }

    /// The document as one server-sent event.
    pub fn to_event(&self) -> Vec<u8> {
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&self.to_json());
        event.extend_from_slice(b"\n\n");
        event
    }
}

//! Error shapes of other protocols, for their clients: a client shows the message only of the shape that it
//! knows.

use openai::ErrorBody;
use serde::Serialize;

/// A protocol of which the gateway does not serve every path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnservedApi {
    /// OpenAI's Responses API: `/v1/responses`.
    Responses,
    /// Anthropic's Messages API: `/v1/messages`.
    Messages,
    /// Google's Gemini API: `/v1beta/models/M:generateContent`.
    Gemini,
}

impl UnservedApi {
    /// The message for people: the API to use instead, and its name in common clients.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Responses => {
                "This path or method of the Responses API is not available here. Use POST /v1/responses, \
                 POST /v1/responses/input_tokens, GET or DELETE /v1/responses/ID, GET /v1/responses/ID/input_items, \
                 or POST /v1/responses/ID/cancel."
            }
            Self::Messages => {
                "This path of Anthropic's API is not available here. Use POST /v1/messages, or \
                 POST /v1/messages/count_tokens."
            }
            Self::Gemini => {
                "The Gemini API is not available here. Use POST /v1/chat/completions, /v1/responses, or \
                 /v1/messages."
            }
        }
    }

    /// The shape of the protocol's errors.
    pub(super) fn shape(self) -> ErrorShape {
        match self {
            // The response is put into the caller's protocol as a whole.
            Self::Responses | Self::Messages => ErrorShape::OpenAi,
            Self::Gemini => ErrorShape::Google,
        }
    }
}

/// Shape of an error's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ErrorShape {
    /// `{"error":{"message","type","param","code"}}`
    #[default]
    OpenAi,
    /// `{"error":{"code","message","status"}}`
    Google,
}

impl ErrorShape {
    /// The JSON document of an error whose cause is an unknown path.
    pub(super) fn to_json(self, error: &ErrorBody<'_>) -> Vec<u8> {
        match self {
            Self::OpenAi => error.to_json(),
            Self::Google => {
                let error =
                    GoogleDetail { code: 404, message: error.error.message, status: "NOT_FOUND" };
                serde_json::to_vec(&GoogleError { error })
                    .expect("strings and numbers always serialize")
            }
        }
    }
}

#[derive(Serialize)]
struct GoogleError<'a> {
    error: GoogleDetail<'a>,
}

#[derive(Serialize)]
struct GoogleDetail<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
}

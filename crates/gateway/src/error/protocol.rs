//! Error shapes of other protocols, for their clients: a client shows the message only of the shape that it
//! knows.

use openai::ErrorBody;
use serde::Serialize;

/// A protocol that the gateway does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignProtocol {
    /// OpenAI's Responses API: `/v1/responses`.
    Responses,
    /// Anthropic's Messages API: `/v1/messages`.
    Messages,
    /// Google's Gemini API: `/v1beta/models/M:generateContent`.
    Gemini,
}

impl ForeignProtocol {
    /// The message for people: the API to use instead, and its name in common clients.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Responses => {
                "The Responses API is not available here. Use the Chat Completions API, POST /v1/chat/completions: \
                 openai.chat(model) in the AI SDK, OpenAIChatCompletionsModel in OpenAI Agents, openai-chat: in \
                 Pydantic AI, use_responses_api=False in LangChain."
            }
            Self::Messages => {
                "The Messages API is not available here. Use a client of OpenAI's Chat Completions API, \
                 POST /v1/chat/completions."
            }
            Self::Gemini => {
                "The Gemini API is not available here. Use a client of OpenAI's Chat Completions API, \
                 POST /v1/chat/completions."
            }
        }
    }

    /// The shape of the protocol's errors.
    pub(super) fn shape(self) -> ErrorShape {
        match self {
            Self::Responses => ErrorShape::OpenAi,
            Self::Messages => ErrorShape::Anthropic,
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
    /// `{"type":"error","error":{"type","message"},"request_id"}`
    Anthropic,
    /// `{"error":{"code","message","status"}}`
    Google,
}

impl ErrorShape {
    /// Header of the request id, beside `x-request-id`.
    pub(crate) fn request_id_header(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("request-id"),
            Self::OpenAi | Self::Google => None,
        }
    }

    /// The JSON document of an error whose cause is an unknown path.
    pub(super) fn to_json(self, error: &ErrorBody<'_>, request_id: Option<&str>) -> Vec<u8> {
        let message = error.error.message;
        let json = match self {
            Self::OpenAi => return error.to_json(),
            Self::Anthropic => serde_json::to_vec(&AnthropicError {
                kind: "error",
                error: AnthropicDetail { kind: "not_found_error", message },
                request_id,
            }),
            Self::Google => serde_json::to_vec(&GoogleError {
                error: GoogleDetail { code: 404, message, status: "NOT_FOUND" },
            }),
        };
        json.expect("strings and numbers always serialize")
    }
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicDetail<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicDetail<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
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

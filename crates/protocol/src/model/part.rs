//! Parts of a message: texts, reasoning, media, tool calls, and their results.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Protocol;

/// Part of a message, of the system prompt, or of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<'a> {
    /// Content.
    pub kind: PartKind<'a>,
    /// End of a prefix that the provider may cache (Messages, `cache_control`).
    pub cache: Option<CacheBreakpoint>,
    /// Bytes that only their maker can read, which belong to the part.
    pub seal: Option<Seal<'a>>,
}

/// Content of a part.
#[derive(Clone, Debug)]
pub enum PartKind<'a> {
    /// Text for or from the model.
    Text {
        /// The text.
        text: Cow<'a, str>,
        /// Sources of the text.
        citations: Vec<Citation<'a>>,
    },
    /// Refusal of the model, in words.
    Refusal(Cow<'a, str>),
    /// Thoughts of the model.
    Reasoning {
        /// Texts in order; empty if only the seal is there.
        texts: Vec<ReasoningText<'a>>,
        /// Whether the maker has hidden the texts (Messages, `redacted_thinking`).
        is_redacted: bool,
    },
    /// Image, sound, video, or document.
    Media {
        /// Kind of the medium.
        kind: MediaKind,
        /// Origin of its bytes.
        source: MediaSource<'a>,
        /// Name of the file.
        name: Option<Cow<'a, str>>,
        /// Resolution that is asked for (Chat and Responses, `detail`).
        detail: Option<Cow<'a, str>>,
    },
    /// Call of a tool by the model.
    ToolCall {
        /// Id that the result names.
        id: Cow<'a, str>,
        /// Name of the tool.
        name: Cow<'a, str>,
        /// Arguments.
        arguments: ArgumentsText<'a>,
    },
    /// Result of a tool call.
    ToolResult {
        /// Id of the call.
        call_id: Cow<'a, str>,
        /// Content, as parts.
        parts: Vec<Part<'a>>,
        /// Whether the tool has failed; `None` if the protocol does not tell.
        is_error: Option<bool>,
    },
    /// Part that exists in one protocol only: a hosted tool's call or result, compaction, a reference.
    Foreign {
        /// The protocol.
        protocol: Protocol,
        /// Its type by the protocol's name.
        name: Cow<'a, str>,
        /// The part as it came.
        raw: &'a RawValue,
    },
}

/// Arguments of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentsText<'a> {
    /// JSON text of an object, as it came. Empty if an answer broke off before it.
    Json(Cow<'a, str>),
    /// Free text, of a custom tool.
    Text(Cow<'a, str>),
}

/// Kind of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// Picture.
    Image,
    /// Sound.
    Audio,
    /// Film.
    Video,
    /// PDF or another document.
    Document,
}

/// Origin of a medium's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaSource<'a> {
    /// Bytes in base64.
    Base64 {
        /// Media type (RFC 6838).
        media_type: Cow<'a, str>,
        /// Base64 (RFC 4648), as it came.
        data: Cow<'a, str>,
    },
    /// Address from which the provider loads it.
    Url(Cow<'a, str>),
    /// Text of a document.
    Text(Cow<'a, str>),
    /// File that a provider stores.
    File {
        /// Protocol whose files the id is of.
        protocol: Protocol,
        /// Id of the file.
        id: Cow<'a, str>,
    },
}

/// Text of a thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasoningText<'a> {
    /// Kind of the text.
    pub kind: ReasoningTextKind,
    /// The text.
    pub text: Cow<'a, str>,
}

/// Kind of a thought's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningTextKind {
    /// Summary that the provider has written.
    Summary,
    /// The thought itself.
    Full,
}

/// Bytes that only their maker can read: a signature, an encrypted thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal<'a> {
    /// Maker.
    pub maker: SealMaker<'a>,
    /// The bytes, as the maker's protocol writes them.
    pub bytes: Cow<'a, str>,
}

/// Maker of a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealMaker<'a> {
    /// The seal came unwrapped, so it is of this protocol.
    Protocol(Protocol),
    /// The seal came wrapped with its maker's name: `sr1.MAKER.BYTES`.
    Named(Cow<'a, str>),
}

/// End of a prefix that the provider may cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBreakpoint {
    /// Time for which the provider keeps the prefix.
    pub lifetime: CacheLifetime,
}

/// Time for which a provider keeps a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheLifetime {
    /// Five minutes, the default of Messages.
    #[default]
    FiveMinutes,
    /// One hour.
    OneHour,
}

/// Source of a text.
#[derive(Clone, Debug)]
pub enum Citation<'a> {
    /// Page of the web.
    Url {
        /// Address.
        url: Cow<'a, str>,
        /// Title of the page.
        title: Option<Cow<'a, str>>,
        /// First and last position in the text, in characters; `None` if the protocol does not tell.
        range: Option<(u64, u64)>,
        /// Text of the page.
        quoted: Option<Cow<'a, str>>,
    },
    /// Source in a form of one protocol.
    Foreign {
        /// The protocol.
        protocol: Protocol,
        /// The citation as it came.
        raw: &'a RawValue,
    },
}

//! Guards: what is unsafe in a text, as pure functions of the text or of a service's answer and the
//! configured bars.
//!
//! It sends nothing and decides nothing about replies: the rooms do.

pub mod aliyun;
pub mod chunking;
pub mod json_unescape;
mod lenient_json;
pub mod llm_judge;
pub mod openai_moderation;
pub mod pii;
pub mod settings;
mod stream_window;
mod text_fields;
mod word_list;

pub use pii::Masks;
pub use stream_window::{MaskRestorer, StreamWindow, tail_start};
pub use text_fields::{GuardInput, GuardText, TextFields};
pub use word_list::WordList;

/// How risky something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Not at all (`none`, `S0`).
    #[default]
    None,
    /// `low`, `S1`
    Low,
    /// `medium`, `S2`
    Medium,
    /// `high`, `S3`
    High,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a risk is about, in the words of Alibaba's `MultiModalGuard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// `contentModeration`: what is said.
    Content,
    /// `promptAttack`: an attempt to misuse the model.
    PromptAttack,
    /// `sensitiveData`: personal data and secrets.
    SensitiveData,
    /// `maliciousUrl`
    MaliciousUrl,
    /// `modelHallucination`
    Hallucination,
    /// `customLabel`: what the operator has taught the service.
    CustomLabel,
}

impl Dimension {
    /// Its name on the wire and in replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Content => "contentModeration",
            Self::PromptAttack => "promptAttack",
            Self::SensitiveData => "sensitiveData",
            Self::MaliciousUrl => "maliciousUrl",
            Self::Hallucination => "modelHallucination",
            Self::CustomLabel => "customLabel",
        }
    }
}

/// Which side of a conversation is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What is asked.
    Request,
    /// What is answered.
    Response,
}

impl Phase {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub dimension: Dimension,
    /// How risky it is.
    pub level: Level,
    /// The service's or the pattern's name for it: low-cardinality, never a part of the text.
    pub label: String,
}

/// What a guard says of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass,
    /// It may pass with these parts of it changed: in order, apart from each other, on borders of
    /// characters.
    Mask(Vec<Edit>, Vec<Finding>),
    /// It may not pass, for these reasons; never empty.
    Block(Vec<Finding>),
}

/// A part of a text that another takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the text.
    pub at: std::ops::Range<usize>,
    /// What stands there instead.
    pub text: String,
}

/// A service did not say what it thinks; what it said instead goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardError(pub String);

//! Verdicts of guards: levels, dimensions, findings, and edits.

use std::ops::Range;

/// Level of a risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// No risk (`none`, `S0`).
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
    /// Name in the configuration, replies, and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Subject of a risk, named after Alibaba's `MultiModalGuard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// `contentModeration`: unsafe content.
    Content,
    /// `promptAttack`: attempt to misuse the model.
    PromptAttack,
    /// `sensitiveData`: personal data and secrets.
    SensitiveData,
    /// `maliciousUrl`
    MaliciousUrl,
    /// `modelHallucination`
    Hallucination,
    /// `customLabel`: label that the operator has defined at the service.
    CustomLabel,
}

impl Dimension {
    /// Name on the wire and in replies.
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

/// Direction of the checked text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Text of the caller.
    Request,
    /// Text of the model.
    Response,
}

impl Phase {
    /// Name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// Reason of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Subject of the risk.
    pub dimension: Dimension,
    /// Level of the risk.
    pub level: Level,
    /// Name by the service or the pattern: low cardinality, never a part of the text.
    pub label: String,
}

/// Result of a guard for one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The text may pass.
    Pass,
    /// The text may pass with these edits: in order, apart from each other, on character borders.
    Mask(Vec<Edit>, Vec<Finding>),
    /// The text must not pass, for these reasons; never empty.
    Block(Vec<Finding>),
    /// The text must not pass: it has more to mask than [`MAX_MATCHES`](crate::pii::MAX_MATCHES).
    TooMany,
}

/// Replacement of a part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// Replacement text.
    pub text: String,
}

/// Failed check: the service returned no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardError {
    /// Cause, for the log.
    pub reason: String,
    /// Whether the service refuses the call because there were too many.
    pub is_rate_limited: bool,
}

impl GuardError {
    /// A failure for any other reason than too many calls.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_rate_limited: false }
    }
}

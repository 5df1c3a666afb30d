//! The closed list of what is recorded of a request. No secret has a place in it, and content only
//! where a route says so.

use civil_time::Timestamp;
use openai::Tokens;
use serde::Serialize;

/// The operation of whoever asks for the list of models.
pub const MODELS_OPERATION: &str = "models";

/// One request, from its arrival to its last byte: one line of JSON in the host's log.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// Always `request`, so that a log can be searched for these lines.
    pub event: &'static str,
    /// The `x-request-id` of the answer.
    pub id: String,
    /// Milliseconds since the Unix epoch at arrival.
    pub at_ms: u64,
    /// What was asked for: `chat`, `text_completion`, `embeddings`, `models`.
    pub operation: Option<&'static str>,
    /// Who asked.
    pub consumer: Option<String>,
    /// The consumer's group.
    pub group: Option<String>,
    /// The route that the model chose.
    pub route: Option<String>,
    /// The model that the caller named.
    pub model: Option<String>,
    /// Whether a route has exactly this name. Others may be anything that a caller makes up.
    #[serde(skip)]
    pub is_model_configured: bool,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The `provider/model` that answered.
    pub target: Option<String>,
    /// The first target, where it rested and another was called instead.
    #[serde(rename = "rested")]
    pub cooling_down_target: Option<String>,
    /// Every call to an upstream, in order.
    pub attempts: Vec<Attempt>,
    /// The HTTP status of the answer; absent where the caller left before there was one.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// The `code` of the error that the caller was told.
    pub error: Option<&'static str>,
    /// The limit that refused the request, or instead of which a fallback served it.
    pub limited_by: Option<String>,
    /// Whether the ledger was away, so that this gateway counted by itself.
    #[serde(rename = "ledger_away")]
    pub ledger_unavailable: bool,
    /// What the cache had: `hit`, `miss` or `bypass`; absent where there is none.
    pub cache: Option<&'static str>,
    /// The guard that did not let the request or its answer pass.
    pub blocked_by: Option<String>,
    /// What guards have found, and where they failed; what simply passed is not in it.
    pub guards: Vec<GuardRecord>,
    /// Which guards have looked, at which phase: what the others are counted beside.
    #[serde(skip)]
    pub guards_run: Vec<(String, &'static str)>,
    /// Whether the request was too long to be sent again where it would have been.
    pub not_replayed: bool,
    /// Whether another target went on where the stream of the first broke off.
    pub continued: bool,
    /// What was spent.
    pub tokens: Tokens,
    /// What that cost by the configuration's prices; absent where no price is known, which counts as
    /// nothing.
    pub cost_usd: Option<f64>,
    /// Milliseconds from arrival to the first content.
    pub first_token_ms: Option<u64>,
    /// Milliseconds from arrival to the end.
    pub total_ms: u64,
    /// What was asked, masked and cut; only of routes that keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What was answered; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// A guard's word on a part of a request or of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuardRecord {
    /// Its name.
    pub guard: String,
    /// `request` or `response`.
    pub phase: &'static str,
    /// `block`, `mask` or `error`.
    pub result: &'static str,
    /// What was found, by the service's or the pattern's name for it; empty where it failed.
    pub label: String,
    /// How risky that is.
    pub level: &'static str,
}

/// What was noted, for the record.
#[derive(Debug, Default)]
pub struct RecordedFindings {
    pub(crate) found: Vec<GuardRecord>,
    pub(crate) guards_run: Vec<(String, &'static str)>,
}

impl RecordedFindings {
    /// Writes them into a record.
    pub fn write_to(self, record: &mut Record) {
        record.guards.extend(self.found);
        record.guards_run.extend(self.guards_run);
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller went away first.
    #[default]
    HungUp,
    /// A whole answer was delivered; an upstream's refusal of the caller's request is one too.
    Answered,
    /// The gateway refused the request: the caller's fault.
    Refused,
    /// No upstream could answer.
    Failed,
    /// The answer broke off after it had begun, and the caller was told.
    Truncated,
    /// A guard did not let the request or its answer pass.
    Blocked,
}

impl Record {
    /// Whether the model's name can be told apart from one that a caller has made up: a route has it, or
    /// somebody has answered to it.
    pub fn has_known_model(&self) -> bool {
        let is_well = self.status.is_some_and(|status| (200..300).contains(&status));
        self.is_model_configured || (self.target.is_some() && is_well)
    }
}

impl Outcome {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HungUp => "hung_up",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Truncated => "truncated",
            Self::Blocked => "blocked",
        }
    }
}

/// One call to an upstream.
#[derive(Debug, Serialize)]
pub struct Attempt {
    /// `provider/model`.
    pub target: String,
    /// The position of the provider's key that was used, from zero.
    pub key: Option<usize>,
    /// What it was for.
    #[serde(rename = "part")]
    pub kind: AttemptKind,
    /// What came of it.
    pub result: &'static str,
    /// The HTTP status, where one came.
    pub status: Option<u16>,
    /// The host's own words about a failed connection.
    pub detail: Option<String>,
    /// Milliseconds that it took, for a stream until its first content.
    pub ms: u64,
    /// When it began.
    #[serde(skip)]
    pub began: Timestamp,
}

/// What a call to an upstream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// The whole answer.
    #[default]
    #[serde(rename = "whole")]
    Primary,
    /// The whole answer, beside another call for it that is late.
    Hedge,
    /// The rest of an answer that broke off.
    #[serde(rename = "rest")]
    Continuation,
}

/// The result of a call that was still under way when the caller went away.
pub const ABANDONED: &str = "abandoned";
/// The result of a call that was answered.
pub const ANSWERED: &str = "answered";
/// The result of a call that was answered with the caller's own mistake.
pub const CALLERS_FAULT: &str = "callers_fault";
/// The result of a call that was given up because another, beside it, was quicker.
pub const HEDGED_OUT: &str = "hedged_out";

impl Attempt {
    /// A call that begins now, and stays `abandoned` unless it ends.
    pub fn start(target: String, key: Option<usize>, kind: AttemptKind, now: Timestamp) -> Self {
        let (result, status, detail) = (ABANDONED, None, None);
        Self { target, key, kind, result, status, detail, ms: 0, began: now }
    }

    /// Whether the upstream may bill it: it did not fail, as far as is known.
    pub fn may_cost(&self) -> bool {
        matches!(self.result, ABANDONED | ANSWERED | CALLERS_FAULT)
    }
}

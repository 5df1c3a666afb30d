//! The record of a request: a closed list of fields. It has no field for a secret, and holds
//! content only if the route says so.

mod attempt;

use openai::{TokenSource, Tokens};
use rollout::Side;
use serde::{Serialize, Serializer};

#[cfg(test)]
pub(crate) use attempt::REFUSALS;
pub(crate) use attempt::{ABANDONED, ANSWERED, CALLERS_FAULT, HEDGED_OUT, TIMEOUT};
pub use attempt::{Attempt, AttemptKind};

/// The operation of a request for the list of models.
pub(crate) const MODELS_OPERATION: &str = "models";
/// The operation of a request for the count of a prompt's tokens.
pub(crate) const COUNT_TOKENS_OPERATION: &str = "count_tokens";
/// The operation of a request about a stored response.
pub(crate) const STORED_RESPONSE_OPERATION: &str = "stored_response";
/// The operation of a feedback about an answer.
pub(crate) const FEEDBACK_OPERATION: &str = "feedback";

/// One request, from its arrival to its last byte: one line of JSON in the host's log.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// Always `request`, so that these lines can be found in a log.
    pub event: &'static str,
    /// The `x-request-id` of the response.
    pub id: String,
    /// Milliseconds since the Unix epoch at arrival.
    pub at_ms: u64,
    /// `chat`, `text_completion`, `embeddings`, or `models`.
    pub operation: Option<&'static str>,
    /// Name of the consumer.
    pub consumer: Option<String>,
    /// The consumer's group.
    pub group: Option<String>,
    /// The place of the key, as `[auth] sources` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_source: Option<String>,
    /// The id of the issued key, for usage and the request log.
    #[serde(skip)]
    pub key_id: Option<String>,
    /// The request's `user`, for usage.
    #[serde(skip)]
    pub user: Option<String>,
    /// The product that `user-agent` names, for usage.
    #[serde(skip)]
    pub client: Option<String>,
    /// The route of the model.
    pub route: Option<String>,
    /// The model that the caller named.
    pub model: Option<String>,
    /// Whether a route has exactly this name. Callers can make up any other name.
    #[serde(skip)]
    pub is_model_configured: bool,
    /// Whether the caller asked for a stream.
    pub stream: bool,
    /// The `provider/model` that answered.
    pub target: Option<String>,
    /// The first target, if it was cooling down and another one was called instead.
    #[serde(rename = "rested")]
    pub cooling_down_target: Option<String>,
    /// Side of the route's rollout that was drawn for the request.
    #[serde(rename = "side", skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutUnit>,
    /// Targets that were passed over, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedTarget>,
    /// Every call to an upstream, in order.
    pub attempts: Vec<Attempt>,
    /// The HTTP status of the response; `None` if the caller hung up before it.
    pub status: Option<u16>,
    /// How the request ended.
    pub outcome: Outcome,
    /// The `code` of the error in the response.
    pub error: Option<&'static str>,
    /// The limit that refused the request, or that caused a fallback.
    pub limited_by: Option<String>,
    /// Limits of a day or longer of which a tenth or less was left to the request.
    #[serde(skip)]
    pub near_limits: Vec<String>,
    /// Whether the ledger was unavailable, so that this gateway counted alone.
    #[serde(rename = "ledger_away")]
    pub ledger_unavailable: bool,
    /// `hit`, `miss`, or `bypass`; `None` without a cache.
    pub cache: Option<&'static str>,
    /// The guard that blocked the request or its answer.
    pub blocked_by: Option<String>,
    /// Findings and failures of guards; guards that passed are not listed.
    pub guards: Vec<GuardRecord>,
    /// The guards that ran, with their phases: the total that findings are compared with.
    #[serde(skip)]
    pub guards_run: Vec<(String, &'static str)>,
    /// Whether the request was too long to be sent again after a failure.
    pub not_replayed: bool,
    /// Whether another target completed a stream that broke off.
    pub continued: bool,
    /// The caller's protocol, if it is not Chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    /// Paths of the request that a translation left out without a change of the meaning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shed: Vec<String>,
    /// Whether the answer ended at its maximum length.
    #[serde(skip)]
    pub is_cut: bool,
    /// Tokens spent.
    pub tokens: Tokens,
    /// Cost by the configuration's prices; `None` if no price is known, which counts as zero.
    pub cost_usd: Option<f64>,
    /// Milliseconds from arrival to the first content.
    pub first_token_ms: Option<u64>,
    /// Milliseconds from arrival to the end.
    pub total_ms: u64,
    /// The prompt, masked and truncated; only if the route records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The answer, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// A target that was passed over without a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedTarget {
    /// `provider/model`.
    pub target: String,
    /// Reason for which it was not called.
    pub reason: SkipReason,
}

/// Reason to pass over a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its circuit breaker is open, or half-open with its one call taken.
    CircuitOpen,
    /// Every key of its provider cools down.
    KeysCoolDown,
    /// No key of its provider is set.
    NoKey,
    /// A limit leaves only a later target.
    Limit,
}

/// A guard's finding in a part of a request or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuardRecord {
    /// Id of the guard.
    pub guard: String,
    /// `request` or `response`.
    pub phase: &'static str,
    /// `block`, `mask`, or `error`.
    pub result: &'static str,
    /// The finding's name at the service, or the pattern's; empty if the guard failed.
    pub label: String,
    /// Risk level.
    pub level: &'static str,
}

/// Side of a rollout that was drawn for a request. The record shows only the side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutUnit {
    /// Side of the chosen target.
    pub side: Side,
    /// `provider/model` of the chosen target. The answer of another one belongs to neither side.
    pub target: String,
    /// Version of the rollout's state under which the target was chosen.
    pub version: u64,
    /// Hash of the name whose requests count once. `None` if the request counts by itself.
    pub name: Option<u64>,
}

impl Serialize for RolloutUnit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.side.serialize(serializer)
    }
}

/// Findings of guards, for the record.
#[derive(Debug, Default)]
pub(crate) struct RecordedFindings {
    pub(crate) found: Vec<GuardRecord>,
    pub(crate) guards_run: Vec<(String, &'static str)>,
}

impl RecordedFindings {
    /// Adds the findings to a record.
    pub(crate) fn write_to(self, record: &mut Record) {
        record.guards.extend(self.found);
        record.guards_run.extend(self.guards_run);
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller hung up.
    #[default]
    HungUp,
    /// A whole answer was delivered; an upstream's refusal of the caller's request counts too.
    Answered,
    /// The gateway refused the request: the caller's fault.
    Refused,
    /// No upstream answered.
    Failed,
    /// The answer broke off after it had begun, and the caller received an error event.
    Truncated,
    /// A guard blocked the request or its answer.
    Blocked,
}

impl Record {
    /// Adds a target that was passed over, once.
    pub(crate) fn pass_over(&mut self, target: String, reason: SkipReason) {
        if self.skipped.iter().all(|other| other.target != target) {
            self.skipped.push(SkippedTarget { target, reason });
        }
    }

    /// Tokens by estimate that calls cost whose answers were not used; part of the input tokens.
    pub(crate) fn lost_tokens(&self) -> u64 {
        self.attempts.iter().filter_map(|attempt| attempt.tokens).fold(0, u64::saturating_add)
    }

    /// Whether an upstream may bill the request: else it costs nothing.
    pub(crate) fn may_be_billed(&self) -> bool {
        let mut attempts = self.attempts.iter();
        match self.outcome {
            // A blocked answer is charged too, because its provider may bill it.
            Outcome::Answered | Outcome::Truncated | Outcome::Blocked => true,
            Outcome::HungUp => attempts.any(Attempt::counts),
            // An answer that a guard cannot check is charged too.
            Outcome::Refused | Outcome::Failed => {
                attempts.any(|attempt| attempt.is_lost() || attempt.result == ANSWERED)
            }
        }
    }

    /// Adds the tokens of calls whose answers were not used to the input tokens.
    pub(crate) fn add_lost_tokens(&mut self) {
        let lost = self.lost_tokens();
        self.tokens.input = self.tokens.input.saturating_add(lost);
        if lost > 0 && self.tokens.counted == TokenSource::None {
            self.tokens.counted = TokenSource::Estimated;
        }
    }

    /// Adds the thinking before the answer of a caller that left before its usage.
    pub(crate) fn add_hidden_thinking(&mut self) {
        let is_unknown = self.tokens.counted == TokenSource::Estimated
            && self.tokens.doubt.is_none()
            && self.tokens.reasoning == 0;
        if self.outcome != Outcome::HungUp || !is_unknown {
            return;
        }
        let answered = self.attempts.iter().rev().find(|attempt| attempt.result == ANSWERED);
        let hidden = answered.map_or(0, Attempt::hidden_thinking);
        self.tokens.reasoning = hidden;
        self.tokens.output = self.tokens.output.saturating_add(hidden);
    }

    /// Whether the model's name is not just made up by the caller: a route has it, or a target has
    /// answered to it.
    pub(crate) fn has_known_model(&self) -> bool {
        let is_well = self.status.is_some_and(|status| (200..300).contains(&status));
        self.is_model_configured || (self.target.is_some() && is_well)
    }
}

impl Outcome {
    /// All outcomes.
    pub(crate) const ALL: [Self; 6] =
        [Self::HungUp, Self::Answered, Self::Refused, Self::Failed, Self::Truncated, Self::Blocked];

    /// The name in the record.
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

//! One call to an upstream, as the record of its request shows it.

use civil_time::Timestamp;
use config::ModelPrice;
use serde::Serialize;

/// Tokens of thinking that are charged for each second of silence before the first content, if the
/// caller leaves before the usage. Models that think write 50 to 200 tokens a second.
const THINKING_TOKENS_PER_SECOND: u64 = 100;

/// One call to an upstream.
#[derive(Debug, Serialize)]
pub struct Attempt {
    /// `provider/model`.
    pub target: String,
    /// The index of the provider's key, from zero.
    pub key: Option<usize>,
    /// Purpose of the call.
    #[serde(rename = "part")]
    pub kind: AttemptKind,
    /// Result of the call.
    pub result: &'static str,
    /// The HTTP status; `None` without a response.
    pub status: Option<u16>,
    /// The host's reason for a failed connection, or the name of the provider's error.
    pub detail: Option<String>,
    /// `stream_to_json` or `json_to_stream` if the answer had another form than the caller asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub converted: Option<&'static str>,
    /// Duration in milliseconds, for a stream until its first content.
    pub ms: u64,
    /// Tokens of the prompt by estimate that are charged for a call whose answer was not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Start of the call.
    #[serde(skip)]
    pub began: Timestamp,
    /// Tokens of the prompt by estimate.
    #[serde(skip)]
    pub prompt_tokens: u64,
    /// Price at the target.
    #[serde(skip)]
    pub price: Option<ModelPrice>,
    /// Tokens of thinking that the caller is not shown, at most. Zero if the target does not think.
    #[serde(skip)]
    pub max_thinking: u64,
}

/// Purpose of a call to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// The whole answer.
    #[default]
    #[serde(rename = "whole")]
    Primary,
    /// The whole answer, concurrently with another call for it that is slow.
    Hedge,
    /// The rest of an answer that broke off.
    #[serde(rename = "rest")]
    Continuation,
}

impl AttemptKind {
    /// The name in the record.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Primary => "whole",
            Self::Hedge => "hedge",
            Self::Continuation => "rest",
        }
    }
}

/// The result of a call that was in flight when the caller hung up.
pub(crate) const ABANDONED: &str = "abandoned";
/// The result of a call that was answered.
pub(crate) const ANSWERED: &str = "answered";
/// The result of a call that was answered with the caller's own mistake.
pub(crate) const CALLERS_FAULT: &str = "callers_fault";
/// The result of a call without an answer in time.
pub(crate) const TIMEOUT: &str = "timeout";
/// The results of calls that the provider has refused, whatever the status.
pub(crate) const REFUSALS: [&str; 5] =
    ["429", "key_refused", "model_refused", "quota_exhausted", "unavailable"];
/// The result of a call that was canceled because a concurrent one was faster.
pub(crate) const HEDGED_OUT: &str = "hedged_out";

impl Attempt {
    /// Starts a call; its result stays `abandoned` unless it ends.
    pub(crate) fn start(
        target: String,
        key: Option<usize>,
        kind: AttemptKind,
        now: Timestamp,
    ) -> Self {
        let (result, status, detail) = (ABANDONED, None, None);
        let (tokens, prompt_tokens, price) = (None, 0, None);
        let (ms, began, converted) = (0, now, None);
        Self {
            target,
            key,
            kind,
            result,
            status,
            detail,
            converted,
            ms,
            tokens,
            began,
            prompt_tokens,
            price,
            max_thinking: 0,
        }
    }

    /// Tokens of thinking by estimate that nobody was shown or told: in proportion to the silence
    /// before the first content.
    pub(crate) fn hidden_thinking(&self) -> u64 {
        let tokens = self.ms.saturating_mul(THINKING_TOKENS_PER_SECOND) / 1_000;
        tokens.min(self.max_thinking)
    }

    /// Whether the call counts as a request: the upstream has answered it, or may bill it.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.result, ANSWERED | CALLERS_FAULT) || self.is_lost()
    }

    /// Whether the upstream may bill the call although its answer was not used: it has the prompt
    /// and did not refuse it. A failed connection and an error status are free; the timeout of a
    /// gateway before the model is not, since the model may have computed. A hedge that lost is the
    /// gateway's own decision, and not charged to the caller.
    pub(crate) fn is_lost(&self) -> bool {
        match (self.result, self.status) {
            (ANSWERED | CALLERS_FAULT | HEDGED_OUT, _) => false,
            // Some providers refuse with a success status.
            (result, Some(200..=299)) if REFUSALS.contains(&result) => false,
            (_, Some(200..=299 | 504 | 524)) => true,
            (_, Some(_)) => false,
            (result, None) => matches!(result, ABANDONED | TIMEOUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;

    use super::{Attempt, AttemptKind};

    #[test]
    fn hidden_thinking_grows_with_the_silence_within_the_maximum() {
        let now = Timestamp::default();
        let thinking = |ms, max_thinking| {
            let attempt = Attempt::start(String::new(), None, AttemptKind::Primary, now);
            Attempt { ms, max_thinking, ..attempt }.hidden_thinking()
        };
        assert_eq!([thinking(2_500, 0), thinking(2_500, 999), thinking(2_500, 70)], [0, 250, 70]);
        assert_eq!(thinking(u64::MAX, u64::MAX), u64::MAX / 1_000);
    }
}

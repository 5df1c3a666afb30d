//! Tokens of a request, reported by the provider or estimated.

use serde::Serialize;

use crate::token_estimate::estimate_tokens;
use crate::{TextSize, Usage};

/// Token counts of a request and their source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Prompt tokens from the provider's cache; part of `input`.
    pub cached: u64,
    /// Prompt tokens that the provider wrote to its cache; part of `input`.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Reasoning tokens; part of `output`.
    pub reasoning: u64,
    /// Source of the counts.
    pub counted: TokenSource,
    /// Reason for which the provider's report was not taken as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<UsageDoubt>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Source of token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// Nothing was spent.
    #[default]
    None,
    /// Reported by the provider.
    Reported,
    /// Estimated by the gateway from the text.
    Estimated,
}

/// Reason for which a provider's report was not taken as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageDoubt {
    /// Zero tokens beside text.
    Zero,
    /// Counts are missing, or text followed the report.
    Partial,
    /// More tokens than any model handles for such a request.
    Implausible,
}

/// Measured sizes that complete a report, and the bounds of a plausible one.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerSize {
    /// Text of the prompt.
    pub prompt: TextSize,
    /// Text of the answer.
    pub answer: TextSize,
    /// Part of `answer` that came after the last report of its tokens.
    pub unreported: TextSize,
    /// Length that the request allows.
    pub bounds: OutputBounds,
}

/// Length of an answer that a request allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputBounds {
    /// Maximum over all choices; `None` if the request has no maximum.
    pub max: Option<u64>,
    /// Number of choices.
    pub choices: u64,
}

impl Default for OutputBounds {
    fn default() -> Self {
        Self { max: None, choices: 1 }
    }
}

/// Prompt tokens that are believed whatever the prompt's length: tools of a provider add pages of
/// text. No context of a known model but the longest (10 million) is longer.
const PLAUSIBLE_INPUT: u64 = 1 << 20;
/// Answer tokens of a choice that are believed if the request has no maximum.
const PLAUSIBLE_OUTPUT: u64 = 1 << 20;
/// Answer tokens of a choice that are believed whatever the request's maximum: some providers apply
/// it to the visible part only, and think longer.
const PLAUSIBLE_BEYOND_MAX: u64 = 1 << 18;
/// Factor by which a plausible count may exceed an estimate or a maximum.
const PLAUSIBLE_FACTOR: u64 = 4;

impl Tokens {
    /// Adds the counts of another part of the same answer.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cached: self.cached.saturating_add(other.cached),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            counted: match (self.counted, other.counted) {
                (counted, TokenSource::None) | (TokenSource::None, counted) => counted,
                (TokenSource::Reported, TokenSource::Reported) => TokenSource::Reported,
                (TokenSource::Estimated, _) | (_, TokenSource::Estimated) => TokenSource::Estimated,
            },
            doubt: self.doubt.or(other.doubt),
        }
    }

    /// Returns an estimate of a prompt without an answer.
    pub fn of_prompt(prompt: TextSize) -> Self {
        Self { input: estimate_tokens(prompt), counted: TokenSource::Estimated, ..Self::default() }
    }

    /// Counts the tokens of an answer: the provider's report, completed by estimates.
    pub fn count(usage: Option<Usage>, size: &AnswerSize) -> Self {
        let Some(usage) = usage else {
            let output = estimate_tokens(size.answer);
            return Self { output, ..Self::of_prompt(size.prompt) };
        };
        Self::from_report(usage, size).bounded(size)
    }

    fn from_report(usage: Usage, size: &AnswerSize) -> Self {
        let (mut input, mut output) = (usage.input, usage.output);
        let mut doubt = None;
        let mut is_divided = false;
        let sum = input.saturating_add(output);
        if usage.total > sum {
            let rest = usage.total - sum;
            if input > 0 {
                // Thinking outside of the answer's count.
                output += rest;
            } else if output > 0 {
                input = rest;
            } else {
                // Only the total is reported. An embedding has a prompt only.
                is_divided = true;
                let is_prompt = size.bounds.max == Some(0) || size.answer.is_empty();
                input = if is_prompt { rest } else { estimate_tokens(size.prompt).min(rest) };
                output = rest - input;
            }
        } else if usage.total == 0 && usage.reasoning > output {
            output = output.saturating_add(usage.reasoning);
        }
        if output == 0 && !is_divided && !size.answer.is_empty() {
            // Zero beside text is no report.
            doubt = Some(if input == 0 { UsageDoubt::Zero } else { UsageDoubt::Partial });
            output = estimate_tokens(size.answer);
        } else if !size.unreported.is_empty() {
            doubt = Some(UsageDoubt::Partial);
            output = output.saturating_add(estimate_tokens(size.unreported));
        }
        if input == 0 && (usage.lacks_input || doubt == Some(UsageDoubt::Zero)) {
            input = estimate_tokens(size.prompt);
            if input > 0 {
                doubt = doubt.or(Some(UsageDoubt::Partial));
            }
        }
        Self {
            input,
            output,
            cached: usage.cached.min(input),
            cache_write: usage.cache_write.min(input - usage.cached.min(input)),
            reasoning: usage.reasoning.min(output),
            counted: match doubt {
                None => TokenSource::Reported,
                Some(_) => TokenSource::Estimated,
            },
            doubt,
        }
    }

    /// Replaces counts that no model reaches for such a request: they would use up a balance.
    fn bounded(self, size: &AnswerSize) -> Self {
        let likely_input = estimate_tokens(size.prompt);
        let choices = size.bounds.choices.max(1);
        let text = estimate_tokens(size.answer);
        let (likely_output, floor) = match size.bounds.max {
            Some(max) => (max.max(text), PLAUSIBLE_BEYOND_MAX),
            None => (text, PLAUSIBLE_OUTPUT),
        };
        let bounded_count = |count: u64, likely: u64, floor: u64| {
            let bound = likely.saturating_mul(PLAUSIBLE_FACTOR).max(floor);
            if count > bound { likely } else { count }
        };
        let input = bounded_count(self.input, likely_input, PLAUSIBLE_INPUT);
        let output = bounded_count(self.output, likely_output, floor.saturating_mul(choices));
        if (input, output) == (self.input, self.output) {
            return self;
        }
        let cached = self.cached.min(input);
        Self {
            input,
            output,
            cached,
            cache_write: self.cache_write.min(input - cached),
            reasoning: self.reasoning.min(output),
            counted: TokenSource::Estimated,
            doubt: Some(UsageDoubt::Implausible),
        }
    }
}

#[cfg(test)]
mod tests;

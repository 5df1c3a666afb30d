//! Tokens of a request, reported by the provider or estimated.

use serde::Serialize;

use crate::{TextSize, Usage, token_estimate};

/// Token counts of a request and their source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Prompt tokens from the provider's cache; part of `input`.
    pub cached: u64,
    /// Reasoning tokens; part of `output`.
    pub reasoning: u64,
    /// Source of the counts.
    pub counted: TokenSource,
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

impl Tokens {
    /// Adds the counts of another part of the same answer.
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cached: self.cached.saturating_add(other.cached),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            counted: match (self.counted, other.counted) {
                (counted, TokenSource::None) | (TokenSource::None, counted) => counted,
                (TokenSource::Reported, TokenSource::Reported) => TokenSource::Reported,
                (TokenSource::Estimated, _) | (_, TokenSource::Estimated) => TokenSource::Estimated,
            },
        }
    }

    /// Returns the provider's count, or an estimate from the text if there is none.
    pub fn from_usage_or_estimate(
        usage: Option<Usage>,
        prompt: TextSize,
        answer: TextSize,
    ) -> Self {
        match usage {
            Some(usage) => Self {
                input: usage.input,
                output: usage.output,
                cached: usage.cached,
                reasoning: usage.reasoning,
                counted: TokenSource::Reported,
            },
            None => Self {
                input: token_estimate::estimate_tokens(prompt),
                output: token_estimate::estimate_tokens(answer),
                counted: TokenSource::Estimated,
                ..Self::default()
            },
        }
    }
}

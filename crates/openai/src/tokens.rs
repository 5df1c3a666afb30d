//! Tokens of a request, as the provider reported them or as an estimate.

use serde::Serialize;

use crate::{TextSize, Usage, token_estimate};

/// Tokens of a request and where the numbers are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Those of the prompt that came from the provider's cache.
    pub cached: u64,
    /// Those of the answer that were spent on reasoning.
    pub reasoning: u64,
    /// Who counted.
    pub counted: TokenSource,
}

/// Who counted the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// Nothing was spent.
    #[default]
    None,
    /// The provider.
    Reported,
    /// The gateway, from the text.
    Estimated,
}

impl Tokens {
    /// Those of two parts of an answer together.
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

    /// The provider's count where there is one, else an estimate from the text that went by.
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

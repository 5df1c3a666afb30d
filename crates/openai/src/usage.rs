//! `usage` object in the dialects of providers.

use serde::Deserialize;

/// Tokens reported by a provider. Field names follow OpenAI's API reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// `prompt_tokens`
    pub input: u64,
    /// `completion_tokens`
    pub output: u64,
    /// `prompt_tokens_details.cached_tokens`, or DeepSeek's `prompt_cache_hit_tokens`: part of
    /// `input`.
    pub cached: u64,
    /// `completion_tokens_details.reasoning_tokens`: part of `output`.
    pub reasoning: u64,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_cache_hit_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Usage {
    /// Parses a `usage` value. `None` if it has no count: `{}` is not zero tokens. `None` too if a
    /// count is higher than any model can reach: it would use up a balance forever.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        let wire: WireUsage = serde_json::from_str(json).ok()?;
        if wire.prompt_tokens.is_none() && wire.completion_tokens.is_none() {
            return None;
        }
        if wire.prompt_tokens.max(wire.completion_tokens) > Some(u32::MAX.into()) {
            return None;
        }
        let cached = wire.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Some(Self {
            input: wire.prompt_tokens.unwrap_or(0),
            output: wire.completion_tokens.unwrap_or(0),
            cached: cached.or(wire.prompt_cache_hit_tokens).unwrap_or(0),
            reasoning: wire
                .completion_tokens_details
                .and_then(|details| details.reasoning_tokens)
                .unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[track_caller]
    fn assert_usage(json: &str, expected: Option<[u64; 4]>) {
        let read = Usage::parse(json)
            .map(|usage| [usage.input, usage.output, usage.cached, usage.reasoning]);
        assert_eq!(read, expected, "{json}");
    }

    #[test]
    fn usage_of_every_dialect_is_parsed() {
        assert_usage(
            r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}"#,
            Some([9, 1, 0, 0]),
        );
        assert_usage(r#"{"prompt_tokens":3,"total_tokens":3}"#, Some([3, 0, 0, 0]));
        assert_usage(r#"{"prompt_tokens":0,"completion_tokens":0}"#, Some([0, 0, 0, 0]));
        assert_usage(
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":2}}"#,
            Some([9, 4, 5, 2]),
        );
        assert_usage(
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_cache_hit_tokens":7,"prompt_tokens_details":null}"#,
            Some([9, 4, 7, 0]),
        );
        assert_usage("{}", None);
        assert_usage(r#"{"prompt_tokens":1,"completion_tokens":18446744073709551615}"#, None);
        assert_usage(r#"{"prompt_tokens":4294967296}"#, None);
        assert_usage(r#"{"prompt_tokens":-1}"#, None);
        assert_usage(r#""many""#, None);
    }
}

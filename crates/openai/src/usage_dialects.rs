//! Dialects of usage: the places and names under which providers report token counts.
//!
//! A new dialect is a new row; nothing else reads a member's name. Each row has its source.

/// Token count of a usage report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Prompt. Parts that a cache holds are included.
    Prompt,
    /// Prompt in the names of Responses and Messages. Messages leaves out the parts that
    /// [`Self::ReadApart`] and [`Self::WrittenApart`] count, Responses does not have those.
    Input,
    /// Answer.
    Output,
    /// Prompt, answer, and everything that a provider counts beside them.
    Total,
    /// Part of the prompt that was read from the provider's cache.
    Cached,
    /// Part of the prompt that was written to the provider's cache.
    CacheWrite,
    /// Part of the prompt that was not in the provider's cache.
    CacheMiss,
    /// Prompt that was read from the cache, in the name of Messages.
    ReadApart,
    /// Prompt that was written to the cache, in the name of Messages.
    WrittenApart,
    /// Reasoning. Whether it is part of the answer's count shows in the total.
    Reasoning,
}

/// Place of a count in a usage object.
pub(crate) struct Dialect {
    /// Name of the member.
    pub(crate) member: &'static str,
    /// Name inside that member, if it is an object.
    pub(crate) detail: Option<&'static str>,
    pub(crate) count: Count,
}

const fn member(member: &'static str, count: Count) -> Dialect {
    Dialect { member, detail: None, count }
}

const fn detail(member: &'static str, detail: &'static str, count: Count) -> Dialect {
    Dialect { member, detail: Some(detail), count }
}

/// Every known place. If several report the same count, the highest value counts: a gateway between
/// may fill one of them with zero.
pub(crate) const DIALECTS: &[Dialect] = &[
    // OpenAI Chat Completions (platform.openai.com/docs/api-reference/chat/object), which most
    // providers follow.
    member("prompt_tokens", Count::Prompt),
    member("completion_tokens", Count::Output),
    member("total_tokens", Count::Total),
    detail("prompt_tokens_details", "cached_tokens", Count::Cached),
    detail("completion_tokens_details", "reasoning_tokens", Count::Reasoning),
    // OpenAI since GPT-5.6 (developers.openai.com/api/docs/guides/prompt-caching) and OpenRouter
    // (openrouter.ai/docs/guides/best-practices/prompt-caching): writes are part of the prompt.
    detail("prompt_tokens_details", "cache_write_tokens", Count::CacheWrite),
    // OpenAI Responses (platform.openai.com/docs/api-reference/responses/object).
    member("input_tokens", Count::Input),
    member("output_tokens", Count::Output),
    detail("input_tokens_details", "cached_tokens", Count::Cached),
    detail("input_tokens_details", "cache_write_tokens", Count::CacheWrite),
    detail("output_tokens_details", "reasoning_tokens", Count::Reasoning),
    // Anthropic Messages (docs.anthropic.com/en/docs/build-with-claude/prompt-caching): apart from
    // `input_tokens`. Beside `prompt_tokens`, as LiteLLM and others write them, they are part of it.
    member("cache_read_input_tokens", Count::ReadApart),
    member("cache_creation_input_tokens", Count::WrittenApart),
    // DeepSeek (api-docs.deepseek.com/guides/kv_cache): hits and misses add up to the prompt.
    member("prompt_cache_hit_tokens", Count::Cached),
    member("prompt_cache_miss_tokens", Count::CacheMiss),
    // Moonshot (platform.moonshot.ai/docs/api/chat), which has no details of the prompt.
    member("cached_tokens", Count::Cached),
    // Mistral (docs.mistral.ai/openapi.yaml, `UsageInfo`): two further spellings.
    member("num_cached_tokens", Count::Cached),
    detail("prompt_token_details", "cached_tokens", Count::Cached),
    // Alibaba Cloud Model Studio (alibabacloud.com/help/model-studio/context-cache): explicit cache.
    detail("prompt_tokens_details", "cache_creation_input_tokens", Count::CacheWrite),
    detail("input_tokens_details", "cache_creation_input_tokens", Count::CacheWrite),
    // Perplexity (docs.perplexity.ai/api-reference/chat-completions-post) and SGLang (`UsageInfo`).
    member("reasoning_tokens", Count::Reasoning),
    // Gemini (ai.google.dev/api/generate-content#UsageMetadata): thoughts are outside of the
    // candidates, and inside the total.
    member("promptTokenCount", Count::Prompt),
    member("candidatesTokenCount", Count::Output),
    member("totalTokenCount", Count::Total),
    member("cachedContentTokenCount", Count::Cached),
    member("thoughtsTokenCount", Count::Reasoning),
];

/// Members of an answer or a chunk that hold a usage object, or an object with a `usage` in it.
///
/// Moonshot and others put it into a choice (github.com/earendil-works/pi/issues/2017), which the
/// parser of choices reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// The usage itself.
    Usage,
    /// An object with a member `usage`.
    Wrapper,
}

/// Every known container.
pub(crate) const CONTAINERS: &[(&str, Container)] = &[
    ("usage", Container::Usage),
    // Groq, in the last chunk of a stream (console.groq.com/docs/api-reference).
    ("x_groq", Container::Wrapper),
    // Gemini's own format behind gateways that leave it in place.
    ("usageMetadata", Container::Usage),
];

/// The kind of container that a member's name stands for.
pub(crate) fn container(name: &str) -> Option<Container> {
    CONTAINERS.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind)
}

/// Whether a member of an answer holds its usage, in the dialect of any provider.
pub fn is_usage_container(name: &str) -> bool {
    container(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::DIALECTS;

    #[test]
    fn dialects_name_each_place_once() {
        for (at, one) in DIALECTS.iter().enumerate() {
            let is_same =
                |other: &super::Dialect| (other.member, other.detail) == (one.member, one.detail);
            assert!(!DIALECTS[..at].iter().any(is_same), "{} {:?}", one.member, one.detail);
        }
    }
}

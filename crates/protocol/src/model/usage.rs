//! Tokens of an answer.

/// Tokens of an answer, as totals and the parts of them.
///
/// `input` and `output` are everything; all other counts of tokens are part of one of the two. A
/// writer for a protocol that counts parts beside each other subtracts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens of the prompt.
    pub input: u64,
    /// Part of `input` that was read from the provider's cache.
    pub cached: u64,
    /// Part of `input` that the provider wrote to its cache.
    pub cache_write: CacheWrite,
    /// Part of `input` that is sound.
    pub input_audio: u64,
    /// All tokens of the answer.
    pub output: u64,
    /// Part of `output` that is reasoning.
    pub reasoning: u64,
    /// Part of `output` that is sound.
    pub output_audio: u64,
    /// Searches of the web that the provider ran.
    pub web_searches: u64,
    /// Pages of the web that the provider fetched.
    pub web_fetches: u64,
}

/// Tokens written to a provider's cache, by the time for which it keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheWrite {
    /// The shorter time: five minutes (Messages), 30 minutes (Chat and Responses).
    pub short: u64,
    /// The longer time: one hour (Messages), 12 hours (Responses).
    pub long: u64,
}

impl CacheWrite {
    /// Tokens for either time.
    pub fn total(self) -> u64 {
        self.short.saturating_add(self.long)
    }
}

impl Usage {
    /// Prompt and answer.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Part of `input` that neither came from a cache nor was written to one. Zero if a provider
    /// reports more cached tokens than tokens.
    pub fn uncached_input(&self) -> u64 {
        self.input.saturating_sub(self.cached).saturating_sub(self.cache_write.total())
    }
}

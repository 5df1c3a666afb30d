//! Prices as parsed, and their lookup by provider and model.

use super::index::ProviderIndex;
use super::model_index::ModelPattern;

/// The price of a model, in billionths of a USD for 1,000 tokens: the usual USD for a million tokens,
/// times 10⁶.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// 1,000 tokens of the prompt.
    pub input: u64,
    /// 1,000 tokens of the prompt that came from the provider's cache.
    pub cached: u64,
    /// 1,000 tokens of the prompt that the provider wrote to its cache.
    pub cache_write: u64,
    /// 1,000 tokens of the answer.
    pub output: u64,
}

impl Price {
    /// The higher of two prices, for each kind of token.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cached: self.cached.max(other.cached),
            cache_write: self.cache_write.max(other.cache_write),
            output: self.output.max(other.output),
        }
    }
}

/// Maximum number of tiers of a price: the longest known list has four ranges.
pub(super) const MAX_TIERS: usize = 4;

/// The price of a model, by the length of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelPrice {
    pub(super) base: Price,
    pub(super) tiers: [Option<PriceTier>; MAX_TIERS],
}

/// The price of requests with a long prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceTier {
    /// It applies to prompts of more tokens than this.
    pub above: u64,
    /// The price of all tokens of such a request.
    pub price: Price,
}

impl ModelPrice {
    /// Creates a price that is the same for all prompts.
    pub fn flat(base: Price) -> Self {
        Self { base, ..Self::default() }
    }

    /// The price of a request with a prompt of this many tokens.
    pub fn at(&self, prompt_tokens: u64) -> Price {
        let reached = self.tiers().filter(|tier| prompt_tokens > tier.above);
        reached.max_by_key(|tier| tier.above).map_or(self.base, |tier| tier.price)
    }

    /// The tiers in the order of the document.
    pub fn tiers(&self) -> impl Iterator<Item = PriceTier> {
        self.tiers.into_iter().flatten()
    }
}

/// `[[prices]]`
#[derive(Debug, Default)]
pub struct Prices {
    pub(super) all: Vec<PriceEntry>,
}

/// The price of some models at one provider, or at all.
#[derive(Debug)]
pub(super) struct PriceEntry {
    pub(super) provider: Option<ProviderIndex>,
    /// Exact or a prefix, never a regular expression.
    pub(super) model: ModelPattern,
    pub(super) price: ModelPrice,
}

impl Prices {
    /// Every price in the order of the document: its provider (`None` for all providers), its models, and
    /// the price.
    pub fn rows(&self) -> impl Iterator<Item = (Option<ProviderIndex>, &ModelPattern, ModelPrice)> {
        self.all.iter().map(|one| (one.provider, &one.model, one.price))
    }

    /// The price of a model at a provider. An entry that names the provider precedes one for all, an exact
    /// name precedes a prefix, and a longer prefix precedes a shorter one. `None` if no entry matches.
    pub fn lookup(&self, provider: ProviderIndex, model: &str) -> Option<ModelPrice> {
        let rank = |entry: &PriceEntry| {
            let matches_provider = match entry.provider {
                Some(index) => index == provider,
                None => true,
            };
            let length = match &entry.model {
                ModelPattern::Exact(name) => (name == model).then_some(usize::MAX),
                ModelPattern::Prefix(prefix) => {
                    model.starts_with(prefix.as_str()).then_some(prefix.len())
                }
                ModelPattern::Regex(_) => None,
            };
            length.filter(|_| matches_provider).map(|length| (entry.provider.is_some(), length))
        };
        let matching = self.all.iter().filter_map(|entry| Some((rank(entry)?, entry.price)));
        matching.max_by_key(|(rank, _)| *rank).map(|(_, price)| price)
    }
}

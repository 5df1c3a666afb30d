//! `[[prices]]`

use serde::Deserialize;

use super::units::{finite, finite_number};

/// The price of a model in USD for a million tokens, with at most nine decimals.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    /// The model's name at the provider: exact, or `prefix*`.
    pub(crate) model: String,
    /// The id of the provider with this price. Default: every provider.
    pub(crate) provider: Option<String>,
    /// A million tokens of the prompt.
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) input: f64,
    /// A million tokens of the answer.
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) output: f64,
    /// A million tokens of the prompt that came from the provider's cache. Default: the value of `input`.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) cached_input: Option<f64>,
    /// A million tokens of the prompt that the provider wrote to its cache. Default: the value of `input`.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) cache_write: Option<f64>,
    /// Other prices for requests with long prompts, at most four. Default: none.
    pub(crate) tiers: Option<Vec<PriceTier>>,
}

/// The price of requests whose prompt is longer than `above`: it applies to all their tokens.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceTier {
    /// The number of prompt tokens above which the tier applies, those of the provider's cache included.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 1_000_000_000)))]
    pub(crate) above: u64,
    /// A million tokens of the prompt.
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) input: f64,
    /// A million tokens of the answer.
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) output: f64,
    /// A million tokens of the prompt that came from the provider's cache; `cached_input` means the same. Default:
    /// the value of `input`.
    #[serde(default, alias = "cached_input", deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) cached: Option<f64>,
    /// A million tokens of the prompt that the provider wrote to its cache. Default: the value of `input`.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 100_000)))]
    pub(crate) cache_write: Option<f64>,
}

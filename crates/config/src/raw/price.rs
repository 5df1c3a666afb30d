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
}

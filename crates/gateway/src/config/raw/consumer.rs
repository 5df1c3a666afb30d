//! `[[consumers]]`

use serde::Deserialize;

use super::SecretText;
use super::unit::finite;

/// Somebody who calls.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Consumer {
    /// Its name in records and limits.
    pub(in crate::config) id: String,
    /// The group it belongs to.
    pub(in crate::config) group: Option<String>,
    /// Keys that it already has; new ones come from the admin API.
    #[serde(default)]
    pub(in crate::config) keys: Vec<SecretText>,
    /// The ids of the routes it may use; every route unless said otherwise.
    pub(in crate::config) routes: Option<Vec<String>>,
    /// What its requests may ask for.
    pub(in crate::config) params: Option<Parameters>,
}

/// Bounds on a request's parameters.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Parameters {
    /// Bounds on `max_tokens`.
    pub(in crate::config) max_tokens: Option<Range>,
    /// Bounds on `max_completion_tokens`.
    pub(in crate::config) max_completion_tokens: Option<Range>,
    /// Bounds on `temperature`.
    pub(in crate::config) temperature: Option<Range>,
    /// Bounds on `top_p`.
    pub(in crate::config) top_p: Option<Range>,
    /// Bounds on `n`.
    pub(in crate::config) n: Option<Range>,
    /// Bounds on `presence_penalty`.
    pub(in crate::config) presence_penalty: Option<Range>,
    /// Bounds on `frequency_penalty`.
    pub(in crate::config) frequency_penalty: Option<Range>,
    /// Parameters that may not be sent at all.
    pub(in crate::config) forbid: Vec<String>,
}

impl Parameters {
    /// Every bounded parameter by its name.
    pub(in crate::config) fn ranges(&self) -> [(&'static str, Option<&Range>); 7] {
        [
            ("max_tokens", self.max_tokens.as_ref()),
            ("max_completion_tokens", self.max_completion_tokens.as_ref()),
            ("temperature", self.temperature.as_ref()),
            ("top_p", self.top_p.as_ref()),
            ("n", self.n.as_ref()),
            ("presence_penalty", self.presence_penalty.as_ref()),
            ("frequency_penalty", self.frequency_penalty.as_ref()),
        ]
    }
}

/// A lower bound, an upper bound, or both; each belongs to the range.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Range {
    /// The least.
    #[serde(deserialize_with = "finite")]
    pub(in crate::config) min: Option<f64>,
    /// The most.
    #[serde(deserialize_with = "finite")]
    pub(in crate::config) max: Option<f64>,
}

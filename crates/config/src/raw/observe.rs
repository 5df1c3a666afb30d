//! `[observe]`

use std::collections::BTreeMap;

use serde::Deserialize;

use super::SecretText;
use super::units::finite;

/// What observers are told.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Observe {
    /// How many consumers metrics tell apart, 10,000 at most; others are `other`. 100 unless said
    /// otherwise.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 10_000)))]
    pub(crate) max_consumers: Option<u32>,
    /// Where traces and metrics are sent; nowhere unless said otherwise.
    pub(crate) otlp: Option<Otlp>,
    /// The routes whose prompts and answers are in the log; none unless said otherwise.
    pub(crate) content: Vec<Content>,
}

/// A collector that speaks OTLP over HTTP.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    /// Its address, to which `/v1/traces` and `/v1/metrics` are added.
    pub(crate) endpoint: String,
    /// More headers, such as a key.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, SecretText>,
    /// Whether spans are sent. True unless said otherwise.
    pub(crate) traces: Option<bool>,
    /// Whether metrics are sent. True unless said otherwise.
    pub(crate) metrics: Option<bool>,
    /// What part of requests is traced where the caller's `traceparent` does not say. 1 unless said
    /// otherwise.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 1)))]
    pub(crate) sample: Option<f64>,
    /// The `service.name` of what is sent. `serin` unless said otherwise.
    pub(crate) service: Option<String>,
}

/// Routes whose prompts and answers are in the log.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// The ids of the routes.
    pub(crate) routes: Vec<String>,
    /// How many characters of each prompt and of each answer, 100,000 at most. 2000 unless said
    /// otherwise.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 100_000)))]
    pub(crate) max: Option<u32>,
}

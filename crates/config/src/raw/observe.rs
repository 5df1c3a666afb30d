//! `[observe]`

use std::collections::BTreeMap;

use serde::Deserialize;

use super::units::finite;
use super::{SecretText, Span};

/// Metrics, traces, and logged content.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Observe {
    /// The number of consumers with their own metric series, at most 10,000. All others share the series
    /// `other`. Default: 100.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 10_000)))]
    pub(crate) max_consumers: Option<u32>,
    /// The collector of traces and metrics. Default: none.
    pub(crate) otlp: Option<Otlp>,
    /// Routes whose prompts and answers are logged. Default: none.
    pub(crate) content: Vec<Content>,
    /// The request log of the admin API.
    pub(crate) requests: Requests,
}

/// The request log of the admin API.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Requests {
    /// The time for which a request is kept, at most 168h; `0s` for no log. Default: `24h`.
    pub(crate) keep: Option<Span>,
    /// The most requests of one hour, at most 20,000; the oldest go first. Default: 2000.
    #[cfg_attr(feature = "author", schemars(range(min = 4, max = 20_000)))]
    pub(crate) max: Option<u32>,
    /// The share of good requests to keep, from 0 to 1. Others are always kept. Default: 1.
    #[serde(deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 1)))]
    pub(crate) sample: Option<f64>,
}

/// A collector with OTLP over HTTP.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    /// Its base URL, to which the gateway appends `/v1/traces` and `/v1/metrics`.
    pub(crate) endpoint: String,
    /// Additional headers, such as a key.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, SecretText>,
    /// Whether spans are sent. Default: true.
    pub(crate) traces: Option<bool>,
    /// Whether metrics are sent. Default: true.
    pub(crate) metrics: Option<bool>,
    /// The share of requests to trace if the caller's `traceparent` does not decide, from 0 to 1. Default: 1.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 1)))]
    pub(crate) sample: Option<f64>,
    /// The `service.name` of spans and metrics. Default: `serin`.
    pub(crate) service: Option<String>,
}

/// Routes whose prompts and answers are logged.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// The ids of the routes.
    pub(crate) routes: Vec<String>,
    /// The most characters of each prompt and of each answer, at most 100,000. Default: 2000.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 100_000)))]
    pub(crate) max: Option<u32>,
}

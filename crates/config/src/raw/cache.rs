//! `[cache]` and `[history]`

use serde::Deserialize;

use super::units::finite;
use super::{Size, Span};

/// Allowed values of `scope`.
pub(crate) const SCOPES: [&str; 3] = ["consumer", "group", "all"];

/// The response cache.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Cache {
    /// The ids of the routes whose answers are stored. Default: every route.
    pub(crate) routes: Option<Vec<String>>,
    /// Time to live of an entry, at most 720h.
    pub(crate) ttl: Span,
    /// The greatest reduction of the time to live, as a share from 0 to 0.5, so that entries do not expire
    /// together. Default: 0.1.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 0.5)))]
    pub(crate) jitter: Option<f64>,
    /// Callers that share an entry: the same `consumer`, the same `group`, or `all`. Default: `consumer`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["consumer", "group", "all", null])))]
    pub(crate) scope: Option<String>,
    /// The highest temperature at which an answer is stored. Default: 1.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 2)))]
    pub(crate) max_temperature: Option<f64>,
    /// The longest answer to store, at most 1MiB. Default: 256KiB.
    pub(crate) max_entry: Option<Size>,
    /// The pause between the events of a stored stream, at most 1s. Default: none.
    pub(crate) pace: Option<Span>,
    /// Whether an answer from the cache counts toward limits like a new one. Default: false.
    pub(crate) charge: Option<bool>,
}

/// Stored conversations: the last turns are inserted before a request with a single question.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// The ids of the routes that store conversations. Default: every route.
    pub(crate) routes: Option<Vec<String>>,
    /// Identification of a caller's conversation: `header:NAME`, or `user` for the request's field.
    pub(crate) session: String,
    /// The most turns (a question and its answer) to insert before a request, at most 100. Default: 5.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 100)))]
    pub(crate) turns: Option<u32>,
    /// The most bytes of these turns, at most 512KiB. Default: 16KiB.
    pub(crate) max_bytes: Option<Size>,
    /// The time for which a conversation is stored after its last turn, at most 720h. Default: 1h.
    pub(crate) ttl: Option<Span>,
}

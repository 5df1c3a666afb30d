//! `[cache]` and `[history]`

use serde::Deserialize;

use super::units::finite;
use super::{Size, Span};

/// What `scope` may say.
pub(crate) const SCOPES: [&str; 3] = ["consumer", "group", "all"];

/// Answers that are served again.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Cache {
    /// The ids of the routes whose answers are kept; every route unless said otherwise.
    pub(crate) routes: Option<Vec<String>>,
    /// How long an answer is kept, 720h at most.
    pub(crate) ttl: Span,
    /// By what part the time may be shorter, so that not all answers end at once. 0.1 unless said
    /// otherwise.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 0.5)))]
    pub(crate) jitter: Option<f64>,
    /// Who may be served whose answer; `consumer`, its own alone, unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["consumer", "group", "all", null])))]
    pub(crate) scope: Option<String>,
    /// Above this temperature no answer is kept. 1 unless said otherwise.
    #[serde(default, deserialize_with = "finite")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 2)))]
    pub(crate) max_temperature: Option<f64>,
    /// The longest answer that is kept, 1MiB at most. 256KiB unless said otherwise.
    pub(crate) max_entry: Option<Size>,
    /// The pause between the events of a kept stream, 1s at most; none unless said otherwise.
    pub(crate) pace: Option<Span>,
    /// Charges an answer from the cache to limits as if it had been bought. False unless said
    /// otherwise.
    pub(crate) charge: Option<bool>,
}

/// The last turns of a conversation, put before a question that comes alone.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// The ids of the routes that remember; every route unless said otherwise.
    pub(crate) routes: Option<Vec<String>>,
    /// What names a caller's conversation: `header:NAME`, or `user` for the request's.
    pub(crate) session: String,
    /// The most turns, a question and its answer each, that are put before a request, 100 at most. 5
    /// unless said otherwise.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 100)))]
    pub(crate) turns: Option<u32>,
    /// The most bytes of them, 512KiB at most. 16KiB unless said otherwise.
    pub(crate) max_bytes: Option<Size>,
    /// How long a conversation is kept after its last turn, 720h at most. 1h unless said otherwise.
    pub(crate) ttl: Option<Span>,
}

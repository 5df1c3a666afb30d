//! `[cache]`

use serde::Deserialize;

use super::Span;

/// What `scope` may say.
pub(in crate::config) const SCOPES: [&str; 3] = ["consumer", "group", "all"];

/// Answers that are served again.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Cache {
    /// The ids of the routes whose answers are kept; every route unless said otherwise.
    pub(in crate::config) routes: Option<Vec<String>>,
    /// How long an answer is kept.
    pub(in crate::config) ttl: Span,
    /// Who may be served whose answer; `consumer`, its own alone, unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["consumer", "group", "all", null])))]
    pub(in crate::config) scope: Option<String>,
}

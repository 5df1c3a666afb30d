//! `[[limits]]`

use serde::Deserialize;

/// What `per` may say.
pub(in crate::config) const PERIODS: [&str; 6] =
    ["second", "minute", "hour", "day", "month", "total"];

/// A limit on requests or tokens.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Limit {
    /// Its name in records and in the admin API.
    pub(in crate::config) id: String,
    /// Where it applies; everywhere unless said otherwise.
    #[serde(default)]
    pub(in crate::config) on: On,
    /// What each balance belongs to: `all`, `consumer`, `group`, `ip`, `header:NAME`, `param:NAME`
    /// or `cookie:NAME`.
    pub(in crate::config) by: String,
    /// Which values it covers: an exact one, `*`, `~regex`, or an address block for `ip`. All unless
    /// said otherwise.
    pub(in crate::config) keys: Option<Vec<String>>,
    /// How many tokens.
    pub(in crate::config) tokens: Option<Quota>,
    /// How many requests.
    pub(in crate::config) requests: Option<Quota>,
}

/// Where a limit applies: where all that is said holds.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct On {
    /// The ids of routes.
    pub(in crate::config) routes: Option<Vec<String>>,
    /// The names of groups.
    pub(in crate::config) groups: Option<Vec<String>>,
}

/// So many in such a time.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Quota {
    /// `second`, `minute` and `hour` slide; `day` and `month` are the calendar's; `total` never ends.
    #[cfg_attr(feature = "author", schemars(extend("enum" = PERIODS)))]
    pub(in crate::config) per: String,
    /// How many.
    #[cfg_attr(feature = "author", schemars(range(min = 1)))]
    pub(in crate::config) max: u64,
    /// Whose calendar a `day` or `month` follows: `Asia/Shanghai`. UTC unless said otherwise.
    pub(in crate::config) timezone: Option<String>,
}

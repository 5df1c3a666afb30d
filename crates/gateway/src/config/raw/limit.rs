//! `[[limits]]`

use serde::Deserialize;

use super::unit::finite_number;

/// What `per` may say.
pub(in crate::config) const PERIODS: [&str; 6] =
    ["second", "minute", "hour", "day", "month", "total"];

/// A limit on requests, tokens or cost, reserved before a call and settled after it.
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
    /// How many tokens, of the prompt and of the answer.
    pub(in crate::config) tokens: Option<Quota>,
    /// How many requests.
    pub(in crate::config) requests: Option<Quota>,
    /// How many USD, by the prices of the document.
    pub(in crate::config) cost: Option<Cost>,
    /// Caps the answer's length to what is left. False unless said otherwise.
    pub(in crate::config) hard: Option<bool>,
    /// Lets a gateway take slices of the budget in advance, and admit from them without a call.
    /// False unless said otherwise.
    pub(in crate::config) lease: Option<bool>,
    /// What happens where the ledger cannot be reached: `open` counts within the gateway alone,
    /// `closed` refuses with 503. Open unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["open", "closed", null])))]
    pub(in crate::config) on_error: Option<String>,
    /// Output tokens that are reserved for a request that names no maximum, 1,000,000 at most. 1024
    /// unless said otherwise.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 1_000_000)))]
    pub(in crate::config) default_output: Option<u64>,
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
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 9_007_199_254_740_992_u64)))]
    pub(in crate::config) max: u64,
    /// Whose calendar a `day` or `month` follows: `Asia/Shanghai`. UTC unless said otherwise.
    pub(in crate::config) timezone: Option<String>,
}

/// So many USD in such a time.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Cost {
    /// `second`, `minute` and `hour` slide; `day` and `month` are the calendar's; `total` never ends.
    #[cfg_attr(feature = "author", schemars(extend("enum" = PERIODS)))]
    pub(in crate::config) per: String,
    /// How many USD, with nine decimals at most.
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 9_007_199)))]
    pub(in crate::config) max: f64,
    /// Whose calendar a `day` or `month` follows: `Asia/Shanghai`. UTC unless said otherwise.
    pub(in crate::config) timezone: Option<String>,
}

//! `[[limits]]`

use serde::Deserialize;

use super::units::finite_number;

/// What `per` may say.
pub(crate) const PERIODS: [&str; 6] = ["second", "minute", "hour", "day", "month", "total"];

/// A limit on requests, tokens or cost, reserved before a call and settled after it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// Its name in records and in the admin API.
    pub(crate) id: String,
    /// Where it applies; everywhere unless said otherwise.
    #[serde(default)]
    pub(crate) on: On,
    /// What each balance belongs to: `all`, `consumer`, `group`, `ip`, `header:NAME`, `param:NAME`
    /// or `cookie:NAME`.
    pub(crate) by: String,
    /// Which values it covers: an exact one, `*`, `~regex`, or an address block for `ip`. All unless
    /// said otherwise.
    pub(crate) keys: Option<Vec<String>>,
    /// How many tokens, of the prompt and of the answer.
    pub(crate) tokens: Option<Quota>,
    /// How many requests.
    pub(crate) requests: Option<Quota>,
    /// How many USD, by the prices of the document.
    pub(crate) cost: Option<Cost>,
    /// Caps the answer's length to what is left. False unless said otherwise.
    pub(crate) hard: Option<bool>,
    /// Lets a gateway take slices of the budget in advance, and admit from them without a call.
    /// False unless said otherwise.
    pub(crate) lease: Option<bool>,
    /// What happens where the ledger cannot be reached: `open` counts within the gateway alone,
    /// `closed` refuses with 503. Open unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["open", "closed", null])))]
    pub(crate) on_error: Option<String>,
    /// Output tokens that are reserved for a request that names no maximum, 1,000,000 at most. 1024
    /// unless said otherwise.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 1_000_000)))]
    pub(crate) default_output: Option<u64>,
}

/// Where a limit applies: where all that is said holds.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct On {
    /// The ids of routes.
    pub(crate) routes: Option<Vec<String>>,
    /// The names of groups.
    pub(crate) groups: Option<Vec<String>>,
}

/// So many in such a time.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Quota {
    /// `second`, `minute` and `hour` slide; `day` and `month` are the calendar's; `total` never ends.
    #[cfg_attr(feature = "author", schemars(extend("enum" = PERIODS)))]
    pub(crate) per: String,
    /// How many.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 9_007_199_254_740_992_u64)))]
    pub(crate) max: u64,
    /// Whose calendar a `day` or `month` follows: `Asia/Shanghai`. UTC unless said otherwise.
    pub(crate) timezone: Option<String>,
}

/// So many USD in such a time.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// `second`, `minute` and `hour` slide; `day` and `month` are the calendar's; `total` never ends.
    #[cfg_attr(feature = "author", schemars(extend("enum" = PERIODS)))]
    pub(crate) per: String,
    /// How many USD, with nine decimals at most.
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 9_007_199)))]
    pub(crate) max: f64,
    /// Whose calendar a `day` or `month` follows: `Asia/Shanghai`. UTC unless said otherwise.
    pub(crate) timezone: Option<String>,
}

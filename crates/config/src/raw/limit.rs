//! `[[limits]]`

use serde::Deserialize;

use super::units::finite_number;

/// Allowed values of `per`.
pub(crate) const PERIODS: [&str; 6] = ["second", "minute", "hour", "day", "month", "total"];

/// A limit on requests, tokens or cost, reserved before a call and settled after it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// Its name in records and the admin API.
    pub(crate) id: String,
    /// The requests that it applies to. Default: all.
    #[serde(default)]
    pub(crate) on: On,
    /// The value that selects the account: `all`, `consumer`, `group`, `ip`, `header:NAME`, `param:NAME`, or
    /// `cookie:NAME`.
    pub(crate) by: String,
    /// The values of `by` that it covers: exact ones, `*`, `~regex`, or CIDR blocks for `ip`. Default: all.
    pub(crate) keys: Option<Vec<String>>,
    /// The quota of tokens of prompts and answers.
    pub(crate) tokens: Option<Quota>,
    /// The quota of requests.
    pub(crate) requests: Option<Quota>,
    /// The quota of cost in USD, by the prices of the document.
    pub(crate) cost: Option<Cost>,
    /// Whether the answer's length is capped to the remaining quota. Default: false.
    pub(crate) hard: Option<bool>,
    /// Whether an isolate may lease slices of the quota, and admit requests from them without a call to the
    /// ledger. Default: false.
    pub(crate) lease: Option<bool>,
    /// Behavior while the ledger is unavailable: `open` counts within the isolate, `closed` refuses with 503.
    /// Default: `open`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["open", "closed", null])))]
    pub(crate) on_error: Option<String>,
    /// Output tokens to reserve for a request without a maximum, at most 1,000,000. Default: 1024.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 1_000_000)))]
    pub(crate) default_output: Option<u64>,
}

/// The requests that a limit applies to. All given conditions must hold.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct On {
    /// The ids of routes.
    pub(crate) routes: Option<Vec<String>>,
    /// The names of the consumers' groups.
    pub(crate) groups: Option<Vec<String>>,
}

/// A maximum for one period.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Quota {
    /// The period. `second`, `minute`, and `hour` are sliding windows, `day` and `month` follow the calendar, and
    /// `total` never ends.
    #[cfg_attr(feature = "author", schemars(extend("enum" = PERIODS)))]
    pub(crate) per: String,
    /// The maximum.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 9_007_199_254_740_992_u64)))]
    pub(crate) max: u64,
    /// The time zone of a `day` or `month`: `Asia/Shanghai`. Default: UTC.
    pub(crate) timezone: Option<String>,
}

/// A maximum cost for one period.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// The period. `second`, `minute`, and `hour` are sliding windows, `day` and `month` follow the calendar, and
    /// `total` never ends.
    #[cfg_attr(feature = "author", schemars(extend("enum" = PERIODS)))]
    pub(crate) per: String,
    /// The maximum in USD, with at most nine decimals.
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0, max = 9_007_199)))]
    pub(crate) max: f64,
    /// The time zone of a `day` or `month`: `Asia/Shanghai`. Default: UTC.
    pub(crate) timezone: Option<String>,
}

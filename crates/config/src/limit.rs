//! Limits as parsed: quotas, their accounts, and the values that they cover.

use std::net::IpAddr;

use civil_time::zone::Zone;
use http::HeaderName;
use regex_lite::Regex;

use super::index::RouteIndex;
use super::ip_access::CidrBlock;

/// `[[limits]]`
#[derive(Debug)]
pub struct Limit {
    /// Its name in records, metrics and the admin API.
    pub id: String,
    /// The routes it applies to. `None` for all.
    pub routes: Option<Vec<RouteIndex>>,
    /// The groups it applies to. `None` for all callers, those without a group included.
    pub groups: Option<Vec<String>>,
    /// The value that selects the account.
    pub by: By,
    /// The values of `by` that it covers. Empty for all.
    pub keys: Vec<ValuePattern>,
    /// One quota for each measure; never empty.
    pub quotas: Vec<Quota>,
    /// Whether the answer's length is capped to the remaining quota.
    pub hard: bool,
    /// Whether an isolate may lease slices of the quota, and admit from them without a call to the ledger.
    pub lease: bool,
    /// Behavior while the ledger is unavailable.
    pub on_error: OnError,
    /// Output tokens to reserve for a request without a maximum.
    pub default_output: u64,
    /// The book that this limit shares with others. `None` for one book per value of `by`.
    pub colocation_group: Option<String>,
}

/// The value that selects one of a limit's accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// One account for all callers.
    All,
    /// The consumer. Callers without a key share one account.
    Consumer,
    /// The consumer's group. A consumer without one is not covered.
    Group,
    /// The caller's IP address.
    Address,
    /// A header's value. A request without it is not covered.
    Header(HeaderName),
    /// A query parameter's value. A request without it is not covered.
    Parameter(String),
    /// A cookie's value. A request without it is not covered.
    Cookie(String),
}

/// A pattern of the values that a limit covers.
#[derive(Clone, Debug)]
pub enum ValuePattern {
    /// Every value, written `*`.
    Any,
    /// This value.
    Exact(String),
    /// Every value in which the expression matches anywhere, written `~regex`.
    Regex(Regex),
    /// The addresses of a block.
    Block(CidrBlock),
}

impl ValuePattern {
    /// Whether the limit covers a value.
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == value,
            Self::Regex(regex) => regex.is_match(value),
            Self::Block(block) => {
                value.parse::<IpAddr>().is_ok_and(|address| block.contains(address))
            }
        }
    }
}

/// The most of one measure in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The measure.
    pub measure: Measure,
    /// The maximum in tokens, requests, or billionths of a USD. Above zero.
    pub max: u64,
    /// The period.
    pub per: Period,
}

/// The unit that a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Tokens of the prompt and of the answer.
    Tokens,
    /// Requests.
    Requests,
    /// Billionths of a USD (10⁻⁹).
    Cost,
}

impl Measure {
    /// Its name in accounts, records and the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::Cost => "cost",
        }
    }
}

/// The period of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Any 1,000 ms.
    Second,
    /// Any 60 s.
    Minute,
    /// Any 60 minutes.
    Hour,
    /// A calendar day.
    Day(Zone),
    /// A calendar month.
    Month(Zone),
    /// Forever: a balance that does not renew.
    Total,
}

/// Behavior while the ledger is unavailable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The isolate counts alone, and the record notes it.
    #[default]
    Open,
    /// The request is refused with 503.
    Closed,
}

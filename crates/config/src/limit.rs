//! Limits as parsed: what is counted, for whom, in which time.

use std::net::IpAddr;

use civil_time::zone::Zone;
use http::HeaderName;
use regex_lite::Regex;

use super::ip_access::CidrBlock;
use super::model::RouteIndex;

/// `[[limits]]`
#[derive(Debug)]
pub struct Limit {
    /// Its name in records, metrics and the admin API.
    pub id: String,
    /// The routes it applies to; `None` means all.
    pub routes: Option<Vec<RouteIndex>>,
    /// The groups it applies to; `None` means all callers, those without a group too.
    pub groups: Option<Vec<String>>,
    /// What each balance belongs to.
    pub by: By,
    /// The values it covers; empty means all.
    pub keys: Vec<ValuePattern>,
    /// What is counted, one quota for each measure; never empty.
    pub quotas: Vec<Quota>,
    /// Whether the answer's length is capped to what is left.
    pub hard: bool,
    /// Whether a gateway may take slices in advance, and admit from them without a call.
    pub lease: bool,
    /// What happens where the ledger cannot be reached.
    pub on_error: OnError,
    /// Output tokens that are reserved for a request that names no maximum.
    pub default_output: u64,
    /// The limits with the same home are kept in one place, whatever they are kept by; `None`: one
    /// place for each value of `by`.
    pub colocation_group: Option<String>,
}

/// What each balance of a limit belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// One balance for everybody.
    All,
    /// The consumer; callers without a key are one together.
    Consumer,
    /// The consumer's group. A consumer without one is not covered.
    Group,
    /// The caller's address.
    Address,
    /// A header's value. A request without it is not covered.
    Header(HeaderName),
    /// A query parameter's value. A request without it is not covered.
    Parameter(String),
    /// A cookie's value. A request without it is not covered.
    Cookie(String),
}

/// A value, or values, that a limit covers.
#[derive(Clone, Debug)]
pub enum ValuePattern {
    /// Every value, written `*`.
    Any,
    /// This one.
    Exact(String),
    /// Those that an expression matches anywhere, written `~regex`.
    Regex(Regex),
    /// Those addresses.
    Block(CidrBlock),
}

impl ValuePattern {
    /// Whether a value is meant.
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

/// So many in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What is counted.
    pub measure: Measure,
    /// How many: tokens, requests, or billionths of a USD. Above zero.
    pub max: u64,
    /// In which time.
    pub per: Period,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Tokens of prompt and answer.
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

/// The time that a quota is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Any 1,000 ms.
    Second,
    /// Any 60 s.
    Minute,
    /// Any 60 minutes.
    Hour,
    /// A day of the calendar.
    Day(Zone),
    /// A month of the calendar.
    Month(Zone),
    /// For ever: a balance.
    Total,
}

/// What happens where the ledger cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// This gateway counts by itself, and the record says so.
    #[default]
    Open,
    /// The request is refused with 503.
    Closed,
}

/// `[[prices]]`: what a model costs, in billionths of a USD for a thousand tokens. (USD for a million
/// tokens, as price lists have it, times 10⁶.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// A thousand tokens of the prompt.
    pub input: u64,
    /// A thousand tokens of the prompt that came from the provider's cache.
    pub cached: u64,
    /// A thousand tokens of the answer.
    pub output: u64,
}

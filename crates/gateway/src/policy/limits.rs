//! Which limits a request meets, under which names they are kept, and what it would take of each.

use std::net::{IpAddr, Ipv6Addr};

use http::header::COOKIE;
use http::{HeaderMap, Uri};
use sha2::{Digest, Sha256};

use crate::config::{By, Config, Limit, Measure, Period, Price, Quota, RouteIndex, canonical};
use crate::ledger::{Place, Rule, Window};
use crate::observe::Tokens;
use crate::time::Timestamp;

/// What limits look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The route that answers; `None`: a model that no route serves.
    pub route: Option<RouteIndex>,
    /// The caller's name, `anonymous` for one without a key.
    pub consumer: &'a str,
    /// Its group.
    pub group: Option<&'a str>,
    /// Where it calls from.
    pub address: Option<IpAddr>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's address.
    pub uri: &'a Uri,
}

/// A limit that a request meets, and the value whose balance it is.
#[derive(Debug)]
pub struct Met<'a> {
    /// The limit.
    pub limit: &'a Limit,
    /// The value, as [`Limit::by`] reads it from the request.
    pub value: String,
}

/// Every limit that a request meets, in the order of the configuration.
pub fn met<'a>(config: &'a Config, subject: &Subject<'_>) -> Vec<Met<'a>> {
    let meet = |limit: &'a Limit| {
        let routes = limit.routes.as_ref();
        if !routes.is_none_or(|routes| subject.route.is_some_and(|route| routes.contains(&route))) {
            return None;
        }
        let groups = limit.groups.as_ref();
        let is_in = |group: &str| groups.is_none_or(|groups| groups.iter().any(|it| it == group));
        if groups.is_some() && !subject.group.is_some_and(is_in) {
            return None;
        }
        let value = value(&limit.by, subject)?;
        let is_covered = limit.keys.is_empty() || limit.keys.iter().any(|key| key.covers(&value));
        is_covered.then_some(Met { limit, value })
    };
    config.limits.iter().filter_map(meet).collect()
}

/// The address of all callers whose address nobody knows.
const UNKNOWN: &str = "unknown";

/// The value in a request that a limit is kept by; `None`: the request has none.
fn value(by: &By, subject: &Subject<'_>) -> Option<String> {
    match by {
        By::All => Some(String::new()),
        By::Consumer => Some(subject.consumer.to_owned()),
        By::Group => subject.group.map(str::to_owned),
        // Whoever hides where it calls from must not be without a limit for it.
        By::Address => Some(
            subject
                .address
                .map_or_else(|| UNKNOWN.to_owned(), |address| canonical(address).to_string()),
        ),
        By::Header(name) => {
            subject.headers.get(name)?.to_str().ok().map(str::to_owned).filter(|it| !it.is_empty())
        }
        By::Parameter(name) => named(subject.uri.query()?.split('&'), name),
        By::Cookie(name) => {
            let cookies = subject.headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok());
            named(cookies.flat_map(|line| line.split(';').map(str::trim)), name)
        }
    }
}

/// The value of the first `name=value` with this name, if it is not empty.
fn named<'a>(mut pairs: impl Iterator<Item = &'a str>, name: &str) -> Option<String> {
    let value = pairs.find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
    (!value.is_empty()).then(|| value.to_owned())
}

/// The name of the account that a limit keeps for a value.
pub fn account(limit: &Limit, measure: Measure, value: &str) -> String {
    format!("{}:{}:{}", limit.id, measure.name(), kept_as(&limit.by, value))
}

/// The place where a limit keeps the account of a value.
pub fn place(limit: &Limit, value: &str) -> Place {
    if let Some(home) = &limit.home {
        return Place::new(home.clone());
    }
    let kept = kept_as(&limit.by, value);
    Place::new(match &limit.by {
        By::All => format!("all:{}", limit.id),
        By::Consumer => format!("consumer:{kept}"),
        By::Group => format!("group:{kept}"),
        By::Address => format!("ip:{kept}"),
        By::Header(name) => format!("header:{}:{kept}", kept_short(name.as_str())),
        By::Parameter(name) => format!("param:{}:{kept}", kept_short(name)),
        By::Cookie(name) => format!("cookie:{}:{kept}", kept_short(name)),
    })
}

/// The rule of a quota at a moment.
pub fn rule(quota: &Quota, now: Timestamp) -> Rule {
    let window = match quota.per {
        Period::Second => Window::Sliding(1_000),
        Period::Minute => Window::Sliding(60_000),
        Period::Hour => Window::Sliding(3_600_000),
        Period::Day(zone) => {
            let day = zone.day(now);
            Window::Stretch(day.start, day.end)
        }
        Period::Month(zone) => {
            let month = zone.month(now);
            Window::Stretch(month.start, month.end)
        }
        Period::Total => Window::Total,
    };
    Rule { max: quota.max, window }
}

/// A value as it may stand in the ledger: headers, parameters and cookies may well hold somebody's
/// secret, and any text at all, so only a digest of theirs is kept. Of an IPv6 address the network
/// counts (64 bits, RFC 6177): a host has as many addresses in it as it likes.
fn kept_as(by: &By, value: &str) -> String {
    match by {
        By::All => "_".to_owned(),
        By::Consumer | By::Group => kept_short(value),
        By::Address => match value.parse().map(canonical) {
            Ok(IpAddr::V6(address)) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                format!("{}/64", Ipv6Addr::from_bits(network))
            }
            Ok(IpAddr::V4(_)) | Err(_) => value.to_owned(),
        },
        By::Header(_) | By::Parameter(_) | By::Cookie(_) => digest(value),
    }
}

/// A name as it is where it is short and plain, else its digest.
fn kept_short(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() <= 48 && name.bytes().all(is_plain) { name.to_owned() } else { digest(name) }
}

/// 96 bits of SHA-256, in hexadecimal.
fn digest(value: &str) -> String {
    let bytes = Sha256::digest(value.as_bytes());
    format!("~{}", base16ct::lower::encode_string(&bytes[..12]))
}

/// What a request would take of a quota: what is certain, and what its answer adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Taken in any case.
    pub fixed: u64,
    /// For a thousand tokens of the answer.
    pub output: u64,
}

impl Demand {
    /// What a prompt of so many tokens takes.
    pub fn of(measure: Measure, prompt: u64, price: Price) -> Self {
        match measure {
            Measure::Tokens => Self { fixed: prompt, output: 1_000 },
            Measure::Requests => Self { fixed: 1, output: 0 },
            Measure::Cost => Self { fixed: thousandth(prompt, price.input), output: price.output },
        }
    }

    /// With an answer of so many tokens.
    pub fn with(self, output: u64) -> u64 {
        self.fixed.saturating_add(thousandth(output, self.output))
    }

    /// The longest answer, in tokens, that fits into so much; `None`: any.
    pub fn longest(self, granted: u64) -> Option<u64> {
        let rest = u128::from(granted.saturating_sub(self.fixed));
        let tokens = (rest * 1_000).checked_div(self.output.into())?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

/// What tokens cost, in billionths of a USD, rounded up.
pub fn cost(tokens: Tokens, price: Price) -> u64 {
    let cached = tokens.cached.min(tokens.input);
    let sum = u128::from(tokens.input - cached) * u128::from(price.input)
        + u128::from(cached) * u128::from(price.cached)
        + u128::from(tokens.output) * u128::from(price.output);
    u64::try_from(sum.div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn thousandth(tokens: u64, price: u64) -> u64 {
    let product = u128::from(tokens) * u128::from(price);
    u64::try_from(product.div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Uri};

    use super::{Demand, Subject, cost, digest, kept_as, value};
    use crate::config::{By, Measure, Price};
    use crate::observe::Tokens;

    #[track_caller]
    fn read(by: By, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert("x-team", HeaderValue::from_static("blue"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        headers.append("cookie", HeaderValue::from_static("a=1; session=s%201"));
        headers.append("cookie", HeaderValue::from_static("b=2"));
        let uri = Uri::from_static("/v1/models?a=&tenant=t1&tenant=t2");
        let subject = Subject {
            route: None,
            consumer: "app",
            group: None,
            address: "::ffff:192.0.2.1".parse().ok(),
            headers: &headers,
            uri: &uri,
        };
        assert_eq!(value(&by, &subject).as_deref(), expected, "{by:?}");
    }

    #[test]
    fn where_a_value_is_read() {
        let header = |name| By::Header(http::HeaderName::from_static(name));
        let text = str::to_owned;
        read(By::All, Some(""));
        read(By::Consumer, Some("app"));
        read(By::Group, None);
        read(By::Address, Some("192.0.2.1"));
        read(header("x-team"), Some("blue"));
        read(header("x-empty"), None);
        read(header("x-none"), None);
        read(By::Parameter(text("tenant")), Some("t1"));
        read(By::Parameter(text("a")), None);
        read(By::Cookie(text("session")), Some("s%201"));
        read(By::Cookie(text("b")), Some("2"));
        read(By::Cookie(text("sess")), None);
    }

    #[test]
    fn who_calls_from_nowhere_is_covered() {
        let (headers, uri) = (HeaderMap::new(), Uri::from_static("/v1/models"));
        let subject = Subject {
            route: None,
            consumer: "app",
            group: None,
            address: None,
            headers: &headers,
            uri: &uri,
        };
        assert_eq!(value(&By::Address, &subject).as_deref(), Some("unknown"));
        assert_eq!(kept_as(&By::Address, "unknown"), "unknown");
    }

    #[test]
    fn what_may_be_a_secret_is_kept_as_a_digest() {
        let header = By::Header(http::HeaderName::from_static("x-api-key"));
        assert_eq!(kept_as(&header, "sk-very-secret"), digest("sk-very-secret"));
        assert_eq!(digest("a"), "~ca978112ca1bbdcafac231b3");
        assert_eq!(kept_as(&By::Consumer, "mobile-app"), "mobile-app");
        assert_eq!(kept_as(&By::Consumer, "a b"), digest("a b"));
        assert_eq!(kept_as(&By::Address, "2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(kept_as(&By::Address, "192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn what_a_request_takes() {
        // 0.15 and 0.60 USD for a million tokens.
        let price = Price { input: 150_000, cached: 75_000, output: 600_000 };
        let tokens = Demand::of(Measure::Tokens, 12, price);
        assert_eq!((tokens.with(100), tokens.longest(62)), (112, Some(50)));
        let requests = Demand::of(Measure::Requests, 12, price);
        assert_eq!((requests.with(100), requests.longest(1)), (1, None));
        let money = Demand::of(Measure::Cost, 12, price);
        assert_eq!((money.with(100), money.longest(61_800)), (61_800, Some(100)));
        assert_eq!(Demand::of(Measure::Cost, 12, Price::default()).with(100), 0);
        let spent = Tokens { input: 12, cached: 4, output: 100, ..Tokens::default() };
        assert_eq!(cost(spent, price), 61_500);
        assert_eq!(cost(Tokens { input: 1, ..Tokens::default() }, Price { input: 1, ..price }), 1);
    }
}

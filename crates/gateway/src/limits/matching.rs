//! Which limits a request meets, under which names they are kept, and what it would take of each.

use std::net::{IpAddr, Ipv6Addr};

use civil_time::Timestamp;
use config::{By, Config, Limit, Measure, Period, Price, Quota, RouteIndex, to_canonical};
use http::header::COOKIE;
use http::{HeaderMap, Uri};
use ledger::{BookId, Rule, Window};
use openai::Tokens;
use sha2::{Digest, Sha256};

/// What limits look at.
#[derive(Clone, Copy, Debug)]
pub struct LimitSubject<'a> {
    /// The route that answers; `None`: a model that no route serves.
    pub route: Option<RouteIndex>,
    /// The caller's name, `anonymous` for one without a key.
    pub consumer: &'a str,
    /// Its group.
    pub group: Option<&'a str>,
    /// Where it calls from.
    pub client_ip: Option<IpAddr>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's address.
    pub uri: &'a Uri,
}

/// A limit that a request meets, and the value whose balance it is.
#[derive(Debug)]
pub struct MatchedLimit<'a> {
    /// The limit.
    pub limit: &'a Limit,
    /// The value, as [`Limit::by`] reads it from the request.
    pub value: String,
}

/// Every limit that a request meets, in the order of the configuration.
pub fn matching_limits<'a>(
    config: &'a Config,
    subject: &LimitSubject<'_>,
) -> Vec<MatchedLimit<'a>> {
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
        let value = limit_value(&limit.by, subject)?;
        let is_covered = limit.keys.is_empty() || limit.keys.iter().any(|key| key.matches(&value));
        is_covered.then_some(MatchedLimit { limit, value })
    };
    config.limits.iter().filter_map(meet).collect()
}

/// The address of all callers whose address nobody knows.
const UNKNOWN_ADDRESS: &str = "unknown";

/// The value in a request that a limit is kept by; `None`: the request has none.
fn limit_value(by: &By, subject: &LimitSubject<'_>) -> Option<String> {
    match by {
        By::All => Some(String::new()),
        By::Consumer => Some(subject.consumer.to_owned()),
        By::Group => subject.group.map(str::to_owned),
        // Whoever hides where it calls from must not be without a limit for it.
        By::Address => Some(subject.client_ip.map_or_else(
            || UNKNOWN_ADDRESS.to_owned(),
            |address| to_canonical(address).to_string(),
        )),
        By::Header(name) => {
            subject.headers.get(name)?.to_str().ok().map(str::to_owned).filter(|it| !it.is_empty())
        }
        By::Parameter(name) => find_pair(subject.uri.query()?.split('&'), name),
        By::Cookie(name) => {
            let cookies = subject.headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok());
            find_pair(cookies.flat_map(|line| line.split(';').map(str::trim)), name)
        }
    }
}

/// The value of the first `name=value` with this name, if it is not empty.
fn find_pair<'a>(mut pairs: impl Iterator<Item = &'a str>, name: &str) -> Option<String> {
    let value = pairs.find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
    (!value.is_empty()).then(|| value.to_owned())
}

/// The name of the account that a limit keeps for a value.
pub fn account_name(limit: &Limit, measure: Measure, value: &str) -> String {
    format!("{}:{}:{}", limit.id, measure.name(), stored_value(&limit.by, value))
}

/// The place where a limit keeps the account of a value.
pub fn book_id(limit: &Limit, value: &str) -> BookId {
    if let Some(home) = &limit.colocation_group {
        return BookId::new(home.clone());
    }
    let kept = stored_value(&limit.by, value);
    BookId::new(match &limit.by {
        By::All => format!("all:{}", limit.id),
        By::Consumer => format!("consumer:{kept}"),
        By::Group => format!("group:{kept}"),
        By::Address => format!("ip:{kept}"),
        By::Header(name) => format!("header:{}:{kept}", short_or_digest(name.as_str())),
        By::Parameter(name) => format!("param:{}:{kept}", short_or_digest(name)),
        By::Cookie(name) => format!("cookie:{}:{kept}", short_or_digest(name)),
    })
}

/// The rule of a quota at a moment.
pub fn ledger_rule(quota: &Quota, now: Timestamp) -> Rule {
    let window = match quota.per {
        Period::Second => Window::Sliding(1_000),
        Period::Minute => Window::Sliding(60_000),
        Period::Hour => Window::Sliding(3_600_000),
        Period::Day(zone) => {
            let day = zone.day(now);
            Window::Fixed(day.start, day.end)
        }
        Period::Month(zone) => {
            let month = zone.month(now);
            Window::Fixed(month.start, month.end)
        }
        Period::Total => Window::Total,
    };
    Rule { max: quota.max, window }
}

/// A value as it may stand in the ledger: headers, parameters and cookies may well hold somebody's
/// secret, and any text at all, so only a digest of theirs is kept. Of an IPv6 address the network
/// counts (64 bits, RFC 6177): a host has as many addresses in it likes.
fn stored_value(by: &By, value: &str) -> String {
    match by {
        By::All => "_".to_owned(),
        By::Consumer | By::Group => short_or_digest(value),
        By::Address => match value.parse().map(to_canonical) {
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
fn short_or_digest(name: &str) -> String {
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
pub struct QuotaCost {
    /// Taken in any case.
    pub fixed: u64,
    /// For a thousand tokens of the answer.
    pub output: u64,
}

impl QuotaCost {
    /// What a prompt of so many tokens takes.
    pub fn for_prompt(measure: Measure, prompt: u64, price: Price) -> Self {
        match measure {
            Measure::Tokens => Self { fixed: prompt, output: 1_000 },
            Measure::Requests => Self { fixed: 1, output: 0 },
            Measure::Cost => {
                Self { fixed: per_thousand(prompt, price.input), output: price.output }
            }
        }
    }

    /// With an answer of so many tokens.
    pub fn with_output(self, output: u64) -> u64 {
        self.fixed.saturating_add(per_thousand(output, self.output))
    }

    /// The longest answer, in tokens, that fits into so much; `None`: any.
    pub fn max_output(self, granted: u64) -> Option<u64> {
        let rest = u128::from(granted.saturating_sub(self.fixed));
        let tokens = (rest * 1_000).checked_div(self.output.into())?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

/// What tokens cost, in billionths of a USD, rounded up.
pub fn cost_billionths(tokens: Tokens, price: Price) -> u64 {
    let cached = tokens.cached.min(tokens.input);
    let sum = u128::from(tokens.input - cached) * u128::from(price.input)
        + u128::from(cached) * u128::from(price.cached)
        + u128::from(tokens.output) * u128::from(price.output);
    u64::try_from(sum.div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn per_thousand(tokens: u64, price: u64) -> u64 {
    let product = u128::from(tokens) * u128::from(price);
    u64::try_from(product.div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use config::{By, Measure, Price};
    use http::{HeaderMap, HeaderValue, Uri};
    use openai::Tokens;

    use super::{LimitSubject, QuotaCost, cost_billionths, digest, limit_value, stored_value};

    #[track_caller]
    fn assert_value(by: By, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert("x-team", HeaderValue::from_static("blue"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        headers.append("cookie", HeaderValue::from_static("a=1; session=s%201"));
        headers.append("cookie", HeaderValue::from_static("b=2"));
        let uri = Uri::from_static("/v1/models?a=&tenant=t1&tenant=t2");
        let subject = LimitSubject {
            route: None,
            consumer: "app",
            group: None,
            client_ip: "::ffff:192.0.2.1".parse().ok(),
            headers: &headers,
            uri: &uri,
        };
        assert_eq!(limit_value(&by, &subject).as_deref(), expected, "{by:?}");
    }

    #[test]
    fn where_a_value_is_read() {
        let header = |name| By::Header(http::HeaderName::from_static(name));
        let text = str::to_owned;
        assert_value(By::All, Some(""));
        assert_value(By::Consumer, Some("app"));
        assert_value(By::Group, None);
        assert_value(By::Address, Some("192.0.2.1"));
        assert_value(header("x-team"), Some("blue"));
        assert_value(header("x-empty"), None);
        assert_value(header("x-none"), None);
        assert_value(By::Parameter(text("tenant")), Some("t1"));
        assert_value(By::Parameter(text("a")), None);
        assert_value(By::Cookie(text("session")), Some("s%201"));
        assert_value(By::Cookie(text("b")), Some("2"));
        assert_value(By::Cookie(text("sess")), None);
    }

    #[test]
    fn who_calls_from_nowhere_is_covered() {
        let (headers, uri) = (HeaderMap::new(), Uri::from_static("/v1/models"));
        let subject = LimitSubject {
            route: None,
            consumer: "app",
            group: None,
            client_ip: None,
            headers: &headers,
            uri: &uri,
        };
        assert_eq!(limit_value(&By::Address, &subject).as_deref(), Some("unknown"));
        assert_eq!(stored_value(&By::Address, "unknown"), "unknown");
    }

    #[test]
    fn what_may_be_a_secret_is_kept_as_a_digest() {
        let header = By::Header(http::HeaderName::from_static("x-api-key"));
        assert_eq!(stored_value(&header, "sk-very-secret"), digest("sk-very-secret"));
        assert_eq!(digest("a"), "~ca978112ca1bbdcafac231b3");
        assert_eq!(stored_value(&By::Consumer, "mobile-app"), "mobile-app");
        assert_eq!(stored_value(&By::Consumer, "a b"), digest("a b"));
        assert_eq!(stored_value(&By::Address, "2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(stored_value(&By::Address, "192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn what_a_request_takes() {
        // 0.15 and 0.60 USD for a million tokens.
        let price = Price { input: 150_000, cached: 75_000, output: 600_000 };
        let tokens = QuotaCost::for_prompt(Measure::Tokens, 12, price);
        assert_eq!((tokens.with_output(100), tokens.max_output(62)), (112, Some(50)));
        let requests = QuotaCost::for_prompt(Measure::Requests, 12, price);
        assert_eq!((requests.with_output(100), requests.max_output(1)), (1, None));
        let money = QuotaCost::for_prompt(Measure::Cost, 12, price);
        assert_eq!((money.with_output(100), money.max_output(61_800)), (61_800, Some(100)));
        assert_eq!(QuotaCost::for_prompt(Measure::Cost, 12, Price::default()).with_output(100), 0);
        let spent = Tokens { input: 12, cached: 4, output: 100, ..Tokens::default() };
        assert_eq!(cost_billionths(spent, price), 61_500);
        assert_eq!(
            cost_billionths(Tokens { input: 1, ..Tokens::default() }, Price { input: 1, ..price }),
            1
        );
    }
}

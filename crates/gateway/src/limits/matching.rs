//! Limits that match a request, and the names of their books and accounts.

use std::net::{IpAddr, Ipv6Addr};

use civil_time::Timestamp;
use config::{By, Config, Limit, Measure, Period, Quota, RouteIndex, to_canonical};
use http::{HeaderMap, Uri};
use ledger::{BookId, Rule, Window};
use sha2::{Digest, Sha256};

use crate::request::headers::{cookie, find_pair};

use super::made_up_values::OTHER_VALUE;

/// Properties of a request that limits match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitSubject<'a> {
    /// The route that answers; `None` if no route serves the model.
    pub route: Option<RouteIndex>,
    /// The caller's name, `anonymous` for one without a key.
    pub consumer: &'a str,
    /// The caller's group.
    pub group: Option<&'a str>,
    /// The caller's IP address, if known.
    pub client_ip: Option<IpAddr>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's URL.
    pub uri: &'a Uri,
}

/// A limit that matches a request, and the value that selects its account.
#[derive(Debug)]
pub(crate) struct MatchedLimit<'a> {
    pub limit: &'a Limit,
    /// The value that [`Limit::by`] selects in the request.
    pub value: String,
}

/// Returns the limits that match a request, in the order of the configuration.
pub(crate) fn matching_limits<'a>(
    config: &'a Config,
    subject: &LimitSubject<'_>,
) -> Vec<MatchedLimit<'a>> {
    let matches = |limit: &'a Limit| {
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
    config.limits.iter().filter_map(matches).collect()
}

/// Value of all callers whose address is unknown.
pub(crate) const UNKNOWN_ADDRESS: &str = "unknown";

/// The value in a request that selects a limit's account; `None` if the request has none.
fn limit_value(by: &By, subject: &LimitSubject<'_>) -> Option<String> {
    match by {
        By::All => Some(String::new()),
        By::Consumer => Some(subject.consumer.to_owned()),
        By::Group => subject.group.map(str::to_owned),
        // A caller with a hidden address must not be without the limit.
        By::Address => Some(subject.client_ip.map_or_else(
            || UNKNOWN_ADDRESS.to_owned(),
            |address| to_canonical(address).to_string(),
        )),
        By::Header(name) => {
            subject.headers.get(name)?.to_str().ok().map(str::to_owned).filter(|it| !it.is_empty())
        }
        By::Parameter(name) => find_pair(subject.uri.query()?.split('&'), name).map(str::to_owned),
        By::Cookie(name) => cookie(subject.headers, name).map(str::to_owned),
    }
}

/// Name of the account of a limit and a value.
pub(crate) fn account_name(limit: &Limit, measure: Measure, value: &str) -> String {
    format!("{}:{}:{}", limit.id, measure.name(), stored_value(&limit.by, value))
}

/// The book that holds the account of a limit and a value.
pub(crate) fn book_id(limit: &Limit, value: &str) -> BookId {
    if let Some(group) = &limit.colocation_group {
        return BookId::new(group.clone());
    }
    let value = stored_value(&limit.by, value);
    BookId::new(match &limit.by {
        By::All => format!("all:{}", limit.id),
        By::Consumer => format!("consumer:{value}"),
        By::Group => format!("group:{value}"),
        By::Address => format!("ip:{value}"),
        By::Header(name) => format!("header:{}:{value}", short_or_digest(name.as_str())),
        By::Parameter(name) => format!("param:{}:{value}", short_or_digest(name)),
        By::Cookie(name) => format!("cookie:{}:{value}", short_or_digest(name)),
    })
}

/// The ledger's rule for a quota at `now`.
pub(crate) fn ledger_rule(quota: &Quota, now: Timestamp) -> Rule {
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

/// A value as it is stored in the ledger. Headers, parameters, and cookies may hold secrets and any
/// text, so only their digests are stored. Of an IPv6 address only the network counts (64 bits, RFC
/// 6177): a host may use any number of addresses in it.
pub(crate) fn stored_value(by: &By, value: &str) -> String {
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
        By::Header(_) | By::Parameter(_) | By::Cookie(_) if value.starts_with(OTHER_VALUE) => {
            value.to_owned()
        }
        By::Header(_) | By::Parameter(_) | By::Cookie(_) => digest(value),
    }
}

/// A name itself if it is short and plain, else its digest.
fn short_or_digest(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() <= 48 && name.bytes().all(is_plain) { name.to_owned() } else { digest(name) }
}

/// 96 bits of SHA-256, in hexadecimal.
pub(super) fn digest(value: &str) -> String {
    let bytes = Sha256::digest(value.as_bytes());
    format!("~{}", base16ct::lower::encode_string(&bytes[..12]))
}

#[cfg(test)]
mod tests {
    use config::By;
    use http::{HeaderMap, HeaderValue, Uri};

    use super::{LimitSubject, digest, limit_value, stored_value};

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
    fn limit_value_is_read_from_its_source() {
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
    fn unknown_address_has_an_account() {
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
    fn possible_secret_is_stored_as_a_digest() {
        let header = By::Header(http::HeaderName::from_static("x-api-key"));
        assert_eq!(stored_value(&header, "sk-very-secret"), digest("sk-very-secret"));
        assert_eq!(digest("a"), "~ca978112ca1bbdcafac231b3");
        assert_eq!(stored_value(&By::Consumer, "mobile-app"), "mobile-app");
        assert_eq!(stored_value(&By::Consumer, "a b"), digest("a b"));
        assert_eq!(stored_value(&By::Address, "2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(stored_value(&By::Address, "192.0.2.1"), "192.0.2.1");
    }
}

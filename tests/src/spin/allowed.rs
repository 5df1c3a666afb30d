//! Hosts that an app may call, in the notation of Spin's `allowed_outbound_hosts`. Templates and
//! networks in CIDR notation are not supported.

use anyhow::{Context, bail};
use http::Uri;

#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    scheme: String,
    host: String,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    /// The scheme's default port.
    SchemeDefault,
    Only(u16),
}

impl AllowedHosts {
    /// Parses a list of patterns.
    pub fn parse(patterns: &[String]) -> anyhow::Result<Self> {
        patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Whether a call to this address is allowed.
    pub fn permits(&self, uri: &Uri) -> bool {
        self.0.iter().any(|pattern| pattern.matches(uri))
    }
}

impl Pattern {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            bail!("allowed host {text:?}: expected scheme://host:port");
        };
        let (host, port) = match rest.rsplit_once(':') {
            None => (rest, Port::SchemeDefault),
            Some((host, "*")) => (host, Port::Any),
            Some((host, port)) => {
                let port = port
                    .parse()
                    .with_context(|| format!("port in {text:?}: expected a number or *"))?;
                (host, Port::Only(port))
            }
        };
        Ok(Self { scheme: scheme.to_owned(), host: host.to_owned(), port })
    }

    fn matches(&self, uri: &Uri) -> bool {
        let scheme = uri.scheme_str().unwrap_or("https");
        let usual = match scheme {
            "http" => 80,
            "redis" => 6379,
            _ => 443,
        };
        let port = uri.port_u16().unwrap_or(usual);
        let host = uri.host().unwrap_or_default();
        let host_matches = match self.host.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|child| child.ends_with('.')),
            None => self.host == "*" || self.host.eq_ignore_ascii_case(host),
        };
        let port_matches = match self.port {
            Port::Any => true,
            Port::SchemeDefault => port == usual,
            Port::Only(only) => port == only,
        };
        (self.scheme == "*" || self.scheme == scheme) && host_matches && port_matches
    }
}

#[cfg(test)]
mod tests {
    use super::AllowedHosts;

    #[track_caller]
    fn assert_permitted(pattern: &str, uri: &str, permitted: bool) {
        let allowed = AllowedHosts::parse(&[pattern.to_owned()]).expect("the pattern is valid");
        let uri = uri.parse().expect("the address is valid");
        assert_eq!(allowed.permits(&uri), permitted, "{pattern} against {uri}");
    }

    #[test]
    fn patterns_match_by_scheme_host_and_port() {
        assert_permitted("https://api.openai.com", "https://api.openai.com/v1", true);
        assert_permitted("https://api.openai.com", "https://api.openai.com:443/v1", true);
        assert_permitted("https://api.openai.com", "https://api.openai.com:444/v1", false);
        assert_permitted("https://api.openai.com", "http://api.openai.com/v1", false);
        assert_permitted("https://api.openai.com", "https://evil.api.openai.com/", false);
        assert_permitted("https://*.openai.azure.com", "https://me.openai.azure.com/", true);
        assert_permitted("https://*.openai.azure.com", "https://openai.azure.com/", false);
        assert_permitted("https://*.openai.azure.com", "https://evilopenai.azure.com/", false);
        assert_permitted("http://127.0.0.1:*", "http://127.0.0.1:9100/v1", true);
        assert_permitted("http://127.0.0.1:9100", "http://127.0.0.1:9101/", false);
        assert_permitted("redis://db", "redis://user:password@db/3", true);
        assert_permitted("redis://db", "redis://db:6380", false);
        assert_permitted("*://*:*", "http://example.com:1/", true);
    }

    #[test]
    fn invalid_pattern_is_refused() {
        for pattern in ["api.openai.com", "https://api.openai.com:https"] {
            assert!(AllowedHosts::parse(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}

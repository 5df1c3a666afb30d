//! Query parameters: each at most once unless it is repeatable, and no unknown one.

use std::time::Duration;

use civil_time::{Timestamp, rfc3339};
use json::percent;

use super::request_body::EXPECTED_TIME;
use super::response::AdminError;

/// Parameters of a request at most.
const MAX_PARAMETERS: usize = 100;

/// Parsed query parameters.
#[derive(Debug)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Parses the parameters. Refuses an unknown one, since it would have no effect.
    pub(super) fn parse(query: Option<&str>, allowed: &[&'static str]) -> Result<Self, AdminError> {
        Self::parse_repeatable(query, allowed, &[])
    }

    /// The same, with parameters among the allowed ones that may be given several times.
    pub(super) fn parse_repeatable(
        query: Option<&str>,
        allowed: &[&'static str],
        repeatable: &[&'static str],
    ) -> Result<Self, AdminError> {
        let mut read = Self(Vec::new());
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = allowed.iter().find(|known| **known == name) else {
                let expected = match allowed {
                    [] => "none".to_owned(),
                    _ => format!("one of {}", allowed.join(", ")),
                };
                let error = AdminError::invalid("query", format!("{name:?}"), expected);
                return Err(error.with_param(name));
            };
            if read.0.len() >= MAX_PARAMETERS {
                let expected = format!("at most {MAX_PARAMETERS} parameters");
                return Err(AdminError::invalid(name, "more parameters", expected));
            }
            if read.get(name).is_some() && !repeatable.contains(name) {
                return Err(AdminError::invalid(name, "the parameter twice", "it at most once"));
            }
            // A `+` is not a space: offsets of timestamps contain it, and no parameter has spaces.
            let value = percent::decode(value);
            let value = value.ok_or_else(|| {
                AdminError::invalid(name, "an invalid \"%\" sequence", "percent-encoded UTF-8")
            })?;
            read.0.push((name, value.into_owned()));
        }
        Ok(read)
    }

    /// The value of a parameter; `None` if it is absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The values of a repeatable parameter.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(known, _)| *known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// A duration such as `250ms`, `20s`, `5m` or `24h`. `None` if it is absent.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, AdminError> {
        self.get(name).map(|text| parse_duration(name, text)).transpose()
    }

    /// Whether a parameter is `true`, or present without a value.
    pub(super) fn flag(&self, name: &str) -> Result<bool, AdminError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => Err(AdminError::invalid(name, format!("{other:?}"), "true or false")),
        }
    }

    /// A time: RFC 3339, a date in UTC, or whole seconds since 1970. `None` if it is absent.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, AdminError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let moment = rfc3339::parse_timestamp_or_date(text)
            .ok_or_else(|| AdminError::invalid(name, format!("{text:?}"), EXPECTED_TIME))?;
        Ok(Some(moment))
    }

    /// The page size: 50 by default, at most 200.
    pub(super) fn page_limit(&self) -> Result<usize, AdminError> {
        self.page_limit_within(50, 200)
    }

    /// The page size, with another default and maximum.
    pub(super) fn page_limit_within(
        &self,
        default: usize,
        max: usize,
    ) -> Result<usize, AdminError> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
        limit
            .ok_or_else(|| AdminError::invalid("limit", format!("{text:?}"), format!("1 to {max}")))
    }
}

/// Parses a duration such as `250ms`, `20s`, `5m` or `24h`.
pub(super) fn parse_duration(name: &str, text: &str) -> Result<Duration, AdminError> {
    config::parse_duration(text).ok_or_else(|| {
        AdminError::invalid(
            name,
            format!("{text:?}"),
            "a duration such as \"20s\", \"5m\" or \"24h\"",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn parse_refuses_unknown_and_repeated_parameters() {
        let read = |query| Query::parse(Some(query), &["limit", "cursor"]);
        let query = read("cursor=a%3Db&").expect("it is right");
        assert_eq!((query.get("cursor"), query.get("limit")), (Some("a=b"), None));
        let query = read("cursor=a%2Fb+%C3%BC").expect("it is right");
        assert_eq!(query.get("cursor"), Some("a/b+ü"));
        for wrong in ["x=1", "limit=1&limit=1", "cursor=%", "cursor=%zz", "cursor=%ff"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let limit = |query| read(query).and_then(|query| query.page_limit()).ok();
        assert_eq!((limit("limit=200"), limit("")), (Some(200), Some(50)));
        assert_eq!((limit("limit=0"), limit("limit=201"), limit("limit=x")), (None, None, None));
    }
}

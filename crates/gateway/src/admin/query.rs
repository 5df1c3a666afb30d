//! Query parameters: each at most once, and no unknown one.

use json::percent;

use super::response::AdminError;

/// Parsed query parameters.
#[derive(Debug)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Parses the parameters. Refuses an unknown one, since it would have no effect.
    pub(super) fn parse(query: Option<&str>, allowed: &[&'static str]) -> Result<Self, AdminError> {
        let mut read = Self(Vec::new());
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = allowed.iter().find(|known| **known == name) else {
                let expected = match allowed {
                    [] => "none".to_owned(),
                    _ => format!("one of {}", allowed.join(", ")),
                };
                return Err(AdminError::invalid("query", format!("{name:?}"), expected));
            };
            if read.get(name).is_some() {
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

    /// The page size: 50 by default, at most 200.
    pub(super) fn page_limit(&self) -> Result<usize, AdminError> {
        let Some(text) = self.get("limit") else { return Ok(50) };
        let limit = text.parse().ok().filter(|limit| (1..=200).contains(limit));
        limit.ok_or_else(|| AdminError::invalid("limit", format!("{text:?}"), "1 to 200"))
    }
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

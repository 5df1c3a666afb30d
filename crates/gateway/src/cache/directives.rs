//! Cache directives of a request.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// Directives of a request. By default, it is served from the cache, and its answer is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheDirectives {
    /// Neither reads nor writes the cache.
    pub disabled: bool,
    /// Does not read the cache.
    pub no_cache: bool,
    /// The maximum age of an entry, in seconds.
    pub max_age: Option<u64>,
    /// Uses the cache regardless of the temperature.
    pub force: bool,
}

/// Header with the caller's directive in a request, and the cache's result in a response.
const HEADER: &str = "x-serin-cache";

impl CacheDirectives {
    /// Reads `cache-control` (RFC 9111, 5.2.1) and `x-serin-cache: off | force`.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for word in header_words(headers, CACHE_CONTROL.as_str()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let is = |expected: &str| name.trim().eq_ignore_ascii_case(expected);
            if is("no-store") {
                directives.disabled = true;
            } else if is("no-cache") {
                directives.no_cache = true;
            } else if is("max-age") {
                directives.max_age =
                    value.trim().trim_matches('"').parse().ok().or(directives.max_age);
            }
        }
        for word in header_words(headers, HEADER) {
            directives.disabled |= word.eq_ignore_ascii_case("off");
            directives.force |= word.eq_ignore_ascii_case("force");
        }
        directives
    }
}

fn header_words<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::CacheDirectives;

    #[track_caller]
    fn assert_directives(headers: &[(&'static str, &'static str)], expected: CacheDirectives) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(CacheDirectives::from_headers(&map), expected, "{headers:?}");
    }

    #[test]
    fn directives_are_read_from_headers() {
        let none = CacheDirectives::default();
        assert_directives(&[], none);
        assert_directives(
            &[("cache-control", "No-Cache")],
            CacheDirectives { no_cache: true, ..none },
        );
        assert_directives(
            &[("cache-control", "max-age=0, no-store")],
            CacheDirectives { disabled: true, max_age: Some(0), ..none },
        );
        assert_directives(
            &[("cache-control", "max-age = \"60\"")],
            CacheDirectives { max_age: Some(60), ..none },
        );
        assert_directives(&[("cache-control", "max-age=x, no-transform")], none);
        assert_directives(&[("x-serin-cache", "OFF")], CacheDirectives { disabled: true, ..none });
        assert_directives(&[("x-serin-cache", "force")], CacheDirectives { force: true, ..none });
        assert_directives(&[("x-serin-cache", "no-store")], none);
        assert_directives(
            &[("cache-control", "x"), ("cache-control", "no-cache"), ("x-serin-cache", "force")],
            CacheDirectives { no_cache: true, force: true, ..none },
        );
    }
}

//! What a caller says about being served from the cache.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// A request's own word. The default is to be served what there is, and to have kept what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// It takes nothing from the cache and leaves nothing in it.
    pub off: bool,
    /// It takes nothing from the cache.
    pub fresh: bool,
    /// The oldest answer that it takes, in seconds.
    pub max_age: Option<u64>,
    /// It is served and kept however high its temperature is.
    pub forced: bool,
}

/// The caller's header of this name; the answer's says what became of it.
const HEADER: &str = "x-serin-cache";

impl Wish {
    /// Reads `cache-control` (RFC 9111, 5.2.1) and `x-serin-cache: off | force`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self::default();
        for word in words(headers, CACHE_CONTROL.as_str()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let is = |expected: &str| name.trim().eq_ignore_ascii_case(expected);
            if is("no-store") {
                wish.off = true;
            } else if is("no-cache") {
                wish.fresh = true;
            } else if is("max-age") {
                wish.max_age = value.trim().trim_matches('"').parse().ok().or(wish.max_age);
            }
        }
        for word in words(headers, HEADER) {
            wish.off |= word.eq_ignore_ascii_case("off");
            wish.forced |= word.eq_ignore_ascii_case("force");
        }
        wish
    }
}

fn words<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::Wish;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: Wish) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(Wish::of(&map), expected, "{headers:?}");
    }

    #[test]
    fn every_word() {
        let none = Wish::default();
        check(&[], none);
        check(&[("cache-control", "No-Cache")], Wish { fresh: true, ..none });
        check(
            &[("cache-control", "max-age=0, no-store")],
            Wish { off: true, max_age: Some(0), ..none },
        );
        check(&[("cache-control", "max-age = \"60\"")], Wish { max_age: Some(60), ..none });
        check(&[("cache-control", "max-age=x, no-transform")], none);
        check(&[("x-serin-cache", "OFF")], Wish { off: true, ..none });
        check(&[("x-serin-cache", "force")], Wish { forced: true, ..none });
        check(&[("x-serin-cache", "no-store")], none);
        check(
            &[("cache-control", "x"), ("cache-control", "no-cache"), ("x-serin-cache", "force")],
            Wish { fresh: true, forced: true, ..none },
        );
    }
}

//! The cookie of a session, and the origin of requests that carry it.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, StatusCode};

use crate::request::headers;

use super::response::AdminError;

/// Browsers accept this name only with `Secure`, from the host itself, for every path.
const SECURE_NAME: &str = "__Host-serin";

/// Name on plain HTTP over loopback, where some browsers refuse `Secure`.
const LOOPBACK_NAME: &str = "serin";

/// The form of the cookie for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionCookie {
    Secure,
    Loopback,
}

impl SessionCookie {
    pub(super) fn for_request(parts: &Parts) -> Self {
        let is_plain = parts.uri.scheme() != Some(&Scheme::HTTPS);
        if is_plain && host(parts).is_some_and(|authority| is_loopback(authority.host())) {
            Self::Loopback
        } else {
            Self::Secure
        }
    }

    /// The value that the request carries.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<&str> {
        headers::cookie(headers, self.name())
    }

    /// The header that sets the cookie, until the browser ends.
    pub(super) fn set(self, value: &str) -> String {
        format!("{}={value}{}", self.name(), self.attributes())
    }

    /// The header that removes the cookie.
    pub(super) fn clear(self) -> String {
        format!("{}=; Max-Age=0{}", self.name(), self.attributes())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secure => SECURE_NAME,
            Self::Loopback => LOOPBACK_NAME,
        }
    }

    fn attributes(self) -> &'static str {
        match self {
            Self::Secure => "; Path=/; Secure; HttpOnly; SameSite=Strict",
            Self::Loopback => "; Path=/; HttpOnly; SameSite=Strict",
        }
    }
}

/// Refuses a change that another site may have caused. With a cookie the browser must name the origin;
/// without one a program needs not.
pub(super) fn check_same_origin(parts: &Parts, has_cookie: bool) -> Result<(), AdminError> {
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return Ok(());
    }
    let text = |name: &str| parts.headers.get(name).map(|it| it.to_str().unwrap_or_default());
    let is_same = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin.split_once("://").is_some_and(|(_, origin)| {
            host(parts).is_some_and(|host| host.as_str().eq_ignore_ascii_case(origin))
        }),
        (None, None) => !has_cookie,
    };
    if is_same {
        return Ok(());
    }
    let message = "A request with a session must come from a page of the gateway itself. Programs send the token \
                   as \"Authorization: Bearer <token>\".";
    Err(AdminError::new(StatusCode::FORBIDDEN, "cross_site_request", message))
}

/// The host and port that the request names.
fn host(parts: &Parts) -> Option<Authority> {
    let header = parts.headers.get(HOST).and_then(|it| it.to_str().ok()?.parse().ok());
    header.or_else(|| parts.uri.authority().cloned())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::{SessionCookie, check_same_origin};

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[track_caller]
    fn assert_form(uri: &str, host: Option<&str>, expected: SessionCookie) {
        let headers: Vec<(&str, &str)> = host.map(|host| ("host", host)).into_iter().collect();
        assert_eq!(SessionCookie::for_request(&parts("GET", uri, &headers)), expected, "{uri}");
    }

    #[test]
    fn cookie_is_secure_except_on_plain_loopback() {
        for host in ["127.0.0.1:8787", "localhost:3000", "LOCALHOST", "[::1]:8787", "127.0.0.2"] {
            assert_form("/admin/v1/session", Some(host), SessionCookie::Loopback);
            assert_form(&format!("https://{host}/x"), Some(host), SessionCookie::Secure);
        }
        assert_form("http://127.0.0.1:8787/x", None, SessionCookie::Loopback);
        for host in ["example.com", "localhost.example.com", "10.0.0.1", "[2001:db8::1]"] {
            assert_form("/admin/v1/session", Some(host), SessionCookie::Secure);
        }
        assert_form("/admin/v1/session", None, SessionCookie::Secure);
        let set = SessionCookie::Secure.set("v");
        assert_eq!(set, "__Host-serin=v; Path=/; Secure; HttpOnly; SameSite=Strict");
        let clear = SessionCookie::Loopback.clear();
        assert_eq!(clear, "serin=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict");
    }

    #[track_caller]
    fn assert_origin(method: &str, headers: &[(&str, &str)], with_cookie: bool, without: bool) {
        let mut all = vec![("host", "gw.example.com:8443")];
        all.extend(headers);
        let parts = parts(method, "/admin/v1/config", &all);
        assert_eq!(check_same_origin(&parts, true).is_ok(), with_cookie, "{headers:?}");
        assert_eq!(check_same_origin(&parts, false).is_ok(), without, "{headers:?}");
    }

    #[test]
    fn change_with_cookie_must_come_from_the_same_origin() {
        assert_origin("GET", &[("sec-fetch-site", "cross-site")], true, true);
        assert_origin("POST", &[("sec-fetch-site", "same-origin")], true, true);
        for site in ["cross-site", "same-site", "none", ""] {
            let headers = [("sec-fetch-site", site), ("origin", "https://gw.example.com:8443")];
            assert_origin("PUT", &headers, false, false);
        }
        assert_origin("DELETE", &[("origin", "https://gw.example.com:8443")], true, true);
        for origin in ["https://gw.example.com", "https://evil.example", "null", ""] {
            assert_origin("DELETE", &[("origin", origin)], false, false);
        }
        assert_origin("POST", &[], false, true);
    }
}

//! CORS: calls from pages of other origins (the Fetch standard).
//!
//! Keys are the only credentials, and a page sends them itself. Cookies authenticate nobody; a page of an
//! origin that the configuration names may send them, since a limit can be counted by one.

use config::Origins;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::host::body::Body;

/// Time for which a browser caches a preflight response, in seconds; no browser caches longer than
/// a day.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Response headers that a page may read. `*` counts for requests without credentials only, so the gateway's
/// own are listed as well.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "*, age, request-id, retry-after, x-request-id, x-should-retry, x-serin-route, \
     x-serin-target, x-serin-attempts, x-serin-cache, x-serin-history, x-serin-shed, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
     x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, \
     anthropic-ratelimit-requests-limit, anthropic-ratelimit-requests-remaining, \
     anthropic-ratelimit-requests-reset, anthropic-ratelimit-tokens-limit, \
     anthropic-ratelimit-tokens-remaining, anthropic-ratelimit-tokens-reset",
);

/// An allowed origin.
#[derive(Debug)]
pub(crate) struct Cors {
    /// Value of `access-control-allow-origin`.
    allow_origin: HeaderValue,
    /// Whether the configuration names the origin.
    is_named: bool,
}

impl Cors {
    /// The request's origin, if it is allowed.
    pub(crate) fn from_headers(origins: &Origins, headers: &HeaderMap) -> Option<Self> {
        let origin = headers.get(ORIGIN)?;
        match origins {
            Origins::All => {
                Some(Self { allow_origin: HeaderValue::from_static("*"), is_named: false })
            }
            Origins::Some(origins) => {
                let is_same = |other: &String| origin.as_bytes() == other.as_bytes();
                let is_named = origins.iter().any(is_same);
                is_named.then(|| Self { allow_origin: origin.clone(), is_named })
            }
        }
    }

    /// The response to a preflight request; `None` for any other request.
    pub(crate) fn preflight_response(&self, parts: &Parts) -> Option<Response<Body>> {
        let is_preflight = parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if parts.method != Method::OPTIONS || !is_preflight {
            return None;
        }
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.add_headers(response.headers_mut());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
        // Client libraries add headers of their own, which no provider receives.
        if let Some(names) = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
        Some(response)
    }

    /// Adds the headers that let the page read a response.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.allow_origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        // Browsers refuse credentials together with `*`.
        if self.is_named {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Adds the header that keeps shared caches from giving the response for one origin to another. Responses to
/// requests without an origin, or of one that is not allowed, differ as well.
pub(crate) fn add_vary(origins: &Origins, headers: &mut HeaderMap) {
    let depends_on_origin = match origins {
        Origins::All => true,
        Origins::Some(origins) => !origins.is_empty(),
    };
    if depends_on_origin {
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
}

#[cfg(test)]
mod tests {
    use config::Origins;
    use http::HeaderMap;
    use http::header::VARY;

    use super::add_vary;

    #[test]
    fn responses_vary_with_the_origin() {
        for (origins, expected) in [
            (Origins::All, true),
            (Origins::Some(vec!["https://a.example".to_owned()]), true),
            (Origins::Some(Vec::new()), false),
        ] {
            let mut headers = HeaderMap::new();
            add_vary(&origins, &mut headers);
            assert_eq!(headers.contains_key(VARY), expected, "{origins:?}");
        }
    }
}

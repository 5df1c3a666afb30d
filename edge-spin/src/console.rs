//! Files of the web console, compressed and compiled into the component. It serves `GET` and `HEAD` below
//! `/console/`; the headers are those of `console/_headers`, which Workers serve too.

use bytes::Bytes;
use gateway::host::body::Body;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LOCATION, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

/// File of the build.
struct File {
    path: &'static str,
    content_type: &'static str,
    etag: &'static str,
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/console.rs"));

const PREFIX: &str = "/console";
const PAGE: &str = "/console/index.html";
const ASSETS: &str = "/console/assets/";
/// Page of a component that was built without the console.
const NOT_BUILT: &str = "The console is not part of this component. Build it with `node console/build.mjs`, then \
                         build the component again.\n";

/// Answers a request for the console; `None` if it is for the gateway.
pub(crate) fn answer<B>(request: &Request<B>) -> Option<Response<Body>> {
    let rest = request.uri().path().strip_prefix(PREFIX)?;
    let is_head = request.method() == Method::HEAD;
    if !(rest.is_empty() || rest.starts_with('/')) || !(is_head || request.method() == Method::GET)
    {
        return None;
    }
    if rest.is_empty() {
        let mut response = respond(StatusCode::TEMPORARY_REDIRECT, PAGE_HEADERS, Body::Empty);
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("/console/"));
        return Some(response);
    }
    let path = request.uri().path();
    let is_asset = path.starts_with(ASSETS);
    let found = FILES.iter().find(|file| file.path == path);
    // A path without a file is a screen: the page shows it.
    let found =
        found.or_else(|| if is_asset { None } else { FILES.iter().find(|file| file.path == PAGE) });
    let headers = if is_asset && found.is_some() { ASSET_HEADERS } else { PAGE_HEADERS };
    let Some(file) = found else {
        let body = if is_asset || is_head {
            Body::Empty
        } else {
            Body::Whole(Bytes::from_static(NOT_BUILT.as_bytes()))
        };
        let status = if is_asset { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut response = respond(status, headers, body);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        return Some(response);
    };
    let is_known = is_match(request.headers(), file.etag);
    let status = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let body =
        if is_known || is_head { Body::Empty } else { Body::Whole(Bytes::from_static(file.gzip)) };
    let mut response = respond(status, headers, body);
    let more = response.headers_mut();
    more.insert(ETAG, HeaderValue::from_static(file.etag));
    more.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if !is_known {
        more.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        more.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

fn respond(
    status: StatusCode,
    headers: &'static [(&'static str, &'static str)],
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Whether the caller has the file already. A proxy may have marked the tag as weak.
fn is_match(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)
    })
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
    use http::{Method, Request, StatusCode};

    use super::{ASSETS, FILES, answer};

    fn request(method: Method, path: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("the path is valid");
        request
    }

    #[test]
    fn only_reads_below_the_prefix_are_answered() {
        for (method, path) in [
            (Method::POST, "/console/v1/chat/completions"),
            (Method::GET, "/v1/models"),
            (Method::GET, "/consoles"),
            (Method::GET, "/admin/v1/config"),
        ] {
            assert!(answer(&request(method, path)).is_none(), "{path}");
        }
        for path in ["/console", "/console/", "/console/routes/chat", "/console/assets/none.js"] {
            assert!(answer(&request(Method::GET, path)).is_some(), "{path}");
        }
    }

    #[test]
    fn every_answer_has_the_policy_and_only_files_may_be_kept() {
        for path in ["/console", "/console/", "/console/routes/chat", "/console/assets/none.js"] {
            let answer = answer(&request(Method::GET, path)).expect("the path is the console's");
            let policy = answer.headers().get(CONTENT_SECURITY_POLICY).expect("a policy");
            assert!(
                policy.as_bytes().starts_with(b"default-src 'none'; script-src 'self'"),
                "{path}"
            );
            assert_eq!(answer.headers()[CACHE_CONTROL], "no-cache", "{path}");
        }
        for file in FILES.iter().filter(|file| file.path.starts_with(ASSETS)) {
            let answer =
                answer(&request(Method::GET, file.path)).expect("the path is the console's");
            assert_eq!(answer.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
            assert_eq!(answer.headers()[CONTENT_TYPE], file.content_type);
        }
    }

    #[test]
    fn missing_asset_is_not_found_and_known_file_is_not_sent() {
        let missing = answer(&request(Method::GET, "/console/assets/none.js"));
        assert_eq!(missing.map(|answer| answer.status()), Some(StatusCode::NOT_FOUND));
        // Holds for a component with the console only.
        let Some(file) = FILES.first() else { return };
        let mut again = request(Method::GET, file.path);
        again.headers_mut().insert(IF_NONE_MATCH, file.etag.parse().expect("a tag is a value"));
        let answer = answer(&again).expect("the path is the console's");
        assert_eq!(
            (answer.status(), &answer.headers()[ETAG]),
            (StatusCode::NOT_MODIFIED, &file.etag.parse().expect("a tag"))
        );
    }
}

//! Requests to Alibaba's service: the form, byte for byte as signed.

use bytes::Bytes;
use civil_time::Timestamp;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderValue, Method, Uri};
use json::percent::{self, UNRESERVED};
use secret::Secret;

use crate::lenient_json::to_json_string;
use crate::settings::{Aliyun, AliyunAction};

use super::sign::{Credentials, UnsignedRequest};

/// Maximum number of characters that the service accepts in one call.
pub const MAX_TEXT_CHARS: usize = 2_000;

const API_VERSION: &str = "2022-03-02";
const FORM_CONTENT_TYPE: &str = "application/x-www-form-urlencoded";
/// Client name of gateways.
const REQUEST_FROM: &str = "CIPFrom/AIGateway";

/// Values that make each request unique.
#[derive(Clone, Copy, Debug)]
pub struct RequestNonce {
    /// Current time.
    pub now: Timestamp,
    /// Random number; never the same for two requests.
    pub nonce: u128,
}

/// Creates the session id that connects the chunks of one text: 20 random hexadecimal digits.
pub fn new_session_id(entropy: u128) -> String {
    format!("{:020x}", entropy >> 48)
}

/// Builds the check of a text of at most [`MAX_TEXT_CHARS`] characters.
pub fn text_request(
    aliyun: &Aliyun,
    service: &str,
    content: &str,
    session: &str,
    nonce: RequestNonce,
) -> http::Request<Bytes> {
    let action = match aliyun.action {
        AliyunAction::Text => "TextModerationPlus",
        AliyunAction::MultiModal => "MultiModalGuard",
    };
    let parameters = format!(
        r#"{{"content":{},"sessionId":{},"requestFrom":"{REQUEST_FROM}"}}"#,
        to_json_string(content),
        to_json_string(session)
    );
    signed_request(aliyun, action, service, &parameters, None, nonce)
}

/// Builds the check of an image. The image of a `data:` URL is sent along; the service fetches any
/// other URL.
pub fn image_request(
    aliyun: &Aliyun,
    service: &str,
    url: &str,
    nonce: RequestNonce,
) -> http::Request<Bytes> {
    let inline = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:"));
    match inline.and_then(|_| url.split_once(',')) {
        Some((_, data)) => image_base64_request(aliyun, service, data, nonce),
        None => image_url_request(aliyun, service, url, nonce),
    }
}

/// Builds the check of an image that the service fetches itself.
fn image_url_request(
    aliyun: &Aliyun,
    service: &str,
    url: &str,
    nonce: RequestNonce,
) -> http::Request<Bytes> {
    let parameters =
        format!(r#"{{"imageUrls":[{}],"requestFrom":"{REQUEST_FROM}"}}"#, to_json_string(url));
    signed_request(aliyun, "MultiModalGuard", service, &parameters, None, nonce)
}

/// Builds the check of an image that is sent along in base64.
fn image_base64_request(
    aliyun: &Aliyun,
    service: &str,
    data: &str,
    nonce: RequestNonce,
) -> http::Request<Bytes> {
    let parameters = format!(r#"{{"requestFrom":"{REQUEST_FROM}"}}"#);
    signed_request(aliyun, "MultiModalGuardForBase64", service, &parameters, Some(data), nonce)
}

fn signed_request(
    aliyun: &Aliyun,
    action: &str,
    service: &str,
    parameters: &str,
    image: Option<&str>,
    nonce: RequestNonce,
) -> http::Request<Bytes> {
    let mut body = String::with_capacity(parameters.len() * 3 / 2 + 32);
    body.push_str("ServiceParameters=");
    percent::encode(parameters, &UNRESERVED, &mut body);
    if let Some(image) = image {
        body.reserve(image.len() * 11 / 10);
        body.push_str("&ImageBase64Str=");
        percent::encode(image, &UNRESERVED, &mut body);
    }
    let mut query = "Service=".to_owned();
    percent::encode(service, &UNRESERVED, &mut query);
    let (base, host) = host_and_url(&aliyun.endpoint);
    let unsigned = UnsignedRequest {
        host: &host,
        query: &query,
        content_type: Some(FORM_CONTENT_TYPE),
        action,
        version: API_VERSION,
        body: body.as_bytes(),
        now: nonce.now,
        nonce: &uuid(nonce.nonce),
    };
    let signed = unsigned.sign(&Credentials {
        id: aliyun.access_key_id.reveal(),
        secret: aliyun.access_key.reveal(),
        token: aliyun.security_token.as_ref().map(Secret::reveal),
    });
    let mut request = http::Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    // An invalid endpoint becomes a call that fails, and `on_error` decides.
    *request.uri_mut() = Uri::try_from(format!("{base}/?{query}")).unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(REQUEST_FROM));
    for (name, value) in signed {
        // A key that is not a valid header value is left out, and the service refuses the
        // signature.
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(matches!(name, "authorization" | "x-acs-security-token"));
            headers.insert(name, value);
        }
    }
    request
}

/// Returns an endpoint in its common form, with its `host` header. Some hosts omit the scheme's
/// default port and some do not; without it they agree.
fn host_and_url(endpoint: &str) -> (String, String) {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let scheme = scheme.to_ascii_lowercase();
    let authority = authority.to_ascii_lowercase();
    let own = if scheme == "http" { ":80" } else { ":443" };
    let host = authority.strip_suffix(own).unwrap_or(&authority).to_owned();
    (format!("{scheme}://{host}{}", path.trim_end_matches('/')), host)
}

/// Formats 122 random bits as a UUID of version 4.
fn uuid(entropy: u128) -> String {
    let bits = entropy & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let text = format!("{bits:032x}");
    let (a, b, c, d, e) = (&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use civil_time::rfc3339::parse_timestamp;
    use secret::Secret;

    use crate::settings::{Aliyun, AliyunAction};

    use super::{RequestNonce, host_and_url, image_request, new_session_id, text_request, uuid};

    fn aliyun(endpoint: &str) -> Aliyun {
        Aliyun {
            endpoint: endpoint.to_owned(),
            access_key_id: Secret::new("testid"),
            access_key: Secret::new("testsecret"),
            security_token: None,
            action: AliyunAction::Text,
            request_service: String::new(),
            response_service: String::new(),
            image_service: None,
            block_levels: Vec::new(),
            mask: false,
        }
    }

    fn stamp() -> RequestNonce {
        RequestNonce { now: parse_timestamp("2026-01-02T03:04:05Z").unwrap(), nonce: 1 }
    }

    #[test]
    fn text_request_matches_golden_vector() {
        let aliyun = aliyun("https://green-cip.cn-shanghai.aliyuncs.com");
        let session = new_session_id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let request =
            text_request(&aliyun, "llm_query_moderation", "hello 你好 a+b*c~", &session, stamp());
        assert_eq!(
            request.uri(),
            "https://green-cip.cn-shanghai.aliyuncs.com/?Service=llm_query_moderation"
        );
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert!(header("authorization").ends_with(
            "Signature=bed2e59291047e2369e04d04f9ea281af39d1539eaab3fcc98bfc307334cb9a2"
        ));
        assert_eq!(header("x-acs-signature-nonce"), "00000000-0000-4000-8000-000000000001");
        assert_eq!(header("x-acs-date"), "2026-01-02T03:04:05Z");
        assert!(request.headers()["authorization"].is_sensitive());
        assert!(!request.headers().contains_key("host"));
    }

    #[test]
    fn image_is_sent_by_url_or_inline() {
        let aliyun = aliyun("https://green.example");
        let ask = |url: &str| {
            let request = image_request(&aliyun, "img_query_security_check", url, stamp());
            let action = request.headers()["x-acs-action"].to_str().unwrap().to_owned();
            (action, String::from_utf8(request.into_body().to_vec()).unwrap())
        };
        let (action, body) = ask("https://a.example/b.png");
        assert_eq!(action, "MultiModalGuard");
        assert!(body.contains("%22imageUrls%22%3A%5B%22https%3A%2F%2Fa.example%2Fb.png%22%5D"));
        let (action, body) = ask("data:image/png;base64,aGk+/w==");
        assert_eq!(action, "MultiModalGuardForBase64");
        assert!(body.ends_with("&ImageBase64Str=aGk%2B%2Fw%3D%3D"), "{body}");
    }

    #[test]
    fn host_header_omits_default_port() {
        let assert_host = |endpoint: &str, base: &str, host: &str| {
            assert_eq!(host_and_url(endpoint), (base.to_owned(), host.to_owned()));
        };
        assert_host("https://A.example:443", "https://a.example", "a.example");
        assert_host("http://a.example:80/", "http://a.example", "a.example");
        assert_host("http://a.example:443", "http://a.example:443", "a.example:443");
        assert_host(
            "http://127.0.0.1:9100/w/green",
            "http://127.0.0.1:9100/w/green",
            "127.0.0.1:9100",
        );
        assert_host("http://[::1]:9100", "http://[::1]:9100", "[::1]:9100");
    }

    #[test]
    fn invalid_endpoint_does_not_panic() {
        let request = text_request(&aliyun("not an address"), "s", "a", "b", stamp());
        assert_eq!(request.uri(), "/");
    }

    #[test]
    fn uuid_keeps_random_bits() {
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_ne!(uuid(1 << 61), uuid(0));
        assert_eq!(new_session_id(u128::MAX), "ffffffffffffffffffff");
        assert_eq!(new_session_id(1 << 48).len(), 20);
    }
}

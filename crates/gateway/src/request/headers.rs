//! Parsing of common headers: bearer tokens and media types.

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue};

/// The token of `authorization: Bearer …`, without surrounding spaces; `None` if it is empty.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The value of the first cookie with this name; `None` if it is empty.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok());
    find_pair(lines.flat_map(|line| line.split(';').map(str::trim)), name)
}

/// The value of the first `name=value` with this name; `None` if it is empty.
pub(crate) fn find_pair<'a>(
    mut pairs: impl Iterator<Item = &'a str>,
    name: &str,
) -> Option<&'a str> {
    let pair = |pair: &'a str| pair.split_once('=').filter(|(key, _)| *key == name);
    pairs.find_map(pair).map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// The first product of `user-agent` without its version, in lower case: `openai/python`, `curl`. `None` if
/// there is none.
pub(crate) fn client_product(headers: &HeaderMap) -> Option<String> {
    const MAX_CHARS: usize = 40;
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    let product = text.split([' ', '(', ';', ',']).next()?;
    let is_version =
        |text: &str| text.trim_start_matches('v').starts_with(|it: char| it.is_ascii_digit());
    let product = product.split_once('/').map_or(product, |(name, rest)| {
        let end = rest.split('/').take_while(|part| !is_version(part)).map(|part| part.len() + 1);
        &product[..name.len() + end.sum::<usize>()]
    });
    let product = product.chars().take(MAX_CHARS).collect::<String>().to_ascii_lowercase();
    (!product.is_empty()).then_some(product)
}

/// Whether the body has one of these media types, with or without parameters. A missing header is
/// accepted, since some clients omit it; one with bytes outside of ASCII is not.
pub(crate) fn has_media_type(headers: &HeaderMap, expected: &[&str]) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        value.to_str().is_ok() && expected.iter().any(|it| is_media_type(value, it))
    })
}

/// Whether a content type is `text/event-stream`, with or without parameters.
pub(crate) fn is_event_stream(content_type: &HeaderValue) -> bool {
    is_media_type(content_type, "text/event-stream")
}

/// Whether a content type is this one, with or without parameters.
pub(crate) fn is_media_type(content_type: &HeaderValue, expected: &str) -> bool {
    let media_type = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(expected.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, CONTENT_TYPE};
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{bearer_token, client_product, has_media_type, is_event_stream};

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn bearer_token_is_found_in_any_case_and_trimmed() {
        for (value, expected) in [
            ("Bearer a", Some("a")),
            ("bearer  a ", Some("a")),
            ("Basic a", None),
            ("Bearer", None),
            ("Bearer  ", None),
        ] {
            assert_eq!(bearer_token(&headers(AUTHORIZATION, value)), expected, "{value}");
        }
    }

    #[test]
    fn client_product_has_no_version() {
        for (value, expected) in [
            ("OpenAI/Python 1.2.3", Some("openai/python")),
            ("claude-cli/1.0.44 (external, cli)", Some("claude-cli")),
            ("curl/8.5.0", Some("curl")),
            ("a/b/v2/c", Some("a/b")),
            ("Mozilla/5.0 (X11)", Some("mozilla")),
            ("", None),
            ("(x)", None),
        ] {
            let found = client_product(&headers(http::header::USER_AGENT, value));
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        assert_eq!(client_product(&HeaderMap::new()), None);
        let long = client_product(&headers(
            http::header::USER_AGENT,
            concat!("a234567890", "b234567890", "c234567890", "d234567890", "e"),
        ));
        assert_eq!(long.map(|it| it.len()), Some(40));
    }

    #[test]
    fn media_type_is_compared_without_its_parameters() {
        let expected = ["application/json"];
        for (value, accepted) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/jsonl", false),
            ("", false),
        ] {
            assert_eq!(
                has_media_type(&headers(CONTENT_TYPE, value), &expected),
                accepted,
                "{value}"
            );
        }
        assert!(has_media_type(&HeaderMap::new(), &expected));
        assert!(is_event_stream(&HeaderValue::from_static("text/event-stream;charset=utf-8")));
        assert!(!is_event_stream(&HeaderValue::from_static("text/plain")));
    }
}

//! Headers as one text of alternating lines: a name, its value, and so on.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Parses headers from `host.js`. Skips invalid ones.
pub(crate) fn read(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    let mut lines = text.split('\n');
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Formats headers for `host.js`. Skips values that are not UTF-8, which JavaScript cannot represent.
pub(crate) fn write(headers: &HeaderMap) -> String {
    let mut text = String::with_capacity(headers.len() * 48);
    for (name, value) in headers {
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else { continue };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(name.as_str());
        text.push('\n');
        text.push_str(value);
    }
    text
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{read, write};

    #[test]
    fn written_headers_are_read_unchanged() {
        let mut headers = HeaderMap::new();
        headers.insert("x-empty", HeaderValue::from_static(""));
        headers.append("x-twice", HeaderValue::from_static("a: b"));
        headers.append("x-twice", HeaderValue::from_static("c"));
        headers.insert("x-umlaut", HeaderValue::from_str("grün").expect("a header may hold it"));
        assert_eq!(read(&write(&headers)), headers);
        assert_eq!(read(""), HeaderMap::new());
    }
}

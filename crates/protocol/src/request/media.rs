//! Media: data URLs (RFC 2397), and media types by the first bytes.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::MediaSource;

/// Media types of images that Messages accepts (Anthropic API reference, "Vision").
pub(super) const MESSAGES_IMAGES: [&str; 4] =
    ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// First characters of files in base64, with their media types.
const SIGNATURES: [(&str, &str); 6] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
    ("Qk", "image/bmp"),
];

/// Reads an address: the bytes of a data URL in base64, or the address as it is.
pub(super) fn source_from_url(url: Cow<'_, str>) -> MediaSource<'_> {
    if !url.starts_with("data:") {
        return MediaSource::Url(url);
    }
    match url {
        Cow::Borrowed(text) => match split_data_url(text) {
            Some((media_type, data)) => {
                MediaSource::Base64 { media_type: media_type.into(), data: data.into() }
            }
            None => MediaSource::Url(Cow::Borrowed(text)),
        },
        Cow::Owned(text) => match split_data_url(&text) {
            Some((media_type, data)) => MediaSource::Base64 {
                media_type: media_type.to_owned().into(),
                data: data.to_owned().into(),
            },
            None => MediaSource::Url(Cow::Owned(text)),
        },
    }
}

/// Splits a data URL into the media type without parameters and the base64 text.
fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let head = head.strip_suffix(";base64")?;
    Some((head.split(';').next().unwrap_or_default(), data))
}

/// Returns the media type by the first bytes. `None` if they are not known.
pub(super) fn sniff(data: &str) -> Option<&'static str> {
    let is_webp = || {
        let head = data.as_bytes().get(..16).and_then(|head| STANDARD.decode(head).ok());
        head.is_some_and(|head| &head[8..] == b"WEBP")
    };
    let (_, media_type) = SIGNATURES.iter().find(|(signature, media_type)| {
        data.starts_with(signature) && (*media_type != "image/webp" || is_webp())
    })?;
    Some(media_type)
}

/// Decodes a text from base64.
pub(super) fn decode_text(data: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::{sniff, source_from_url};
    use crate::model::MediaSource;

    #[test]
    fn data_url_is_split() {
        let source = source_from_url("data:image/png;charset=x;base64,AAAA".into());
        let expected = MediaSource::Base64 { media_type: "image/png".into(), data: "AAAA".into() };
        assert_eq!(source, expected);
        for url in ["data:text/plain,a", "data:", "https://a/b", ""] {
            assert_eq!(source_from_url(url.into()), MediaSource::Url(url.into()));
        }
    }

    #[test]
    fn media_type_is_read_from_first_bytes() {
        assert_eq!(sniff("iVBORw0KGgoAAAAN"), Some("image/png"));
        assert_eq!(sniff("UklGRiQAAABXRUJQVlA4"), Some("image/webp"));
        assert_eq!(sniff("UklGRiQAAABXQVZFZm10"), None);
        assert_eq!(sniff("UklGR"), None);
        assert_eq!(sniff("AAAA"), None);
    }
}

//! Seals of one maker within another protocol: `sr1.MAKER.BASE64URL`.
//!
//! A seal is a text that only its maker can read: a signature or an encrypted thought. A seal that
//! crosses to a caller of another protocol is wrapped with its maker's name, so that it returns to its
//! maker only. The maker verifies it, so a forged seal does no harm.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{Protocol, Seal, SealMaker};

/// First bytes of a wrapped seal.
pub const SEAL_PREFIX: &str = "sr1.";

/// Wraps a seal with the name of its maker, which must be of `[A-Za-z0-9_-]`.
pub fn wrap_seal(maker: &str, bytes: &str) -> String {
    let mut text = format!("{SEAL_PREFIX}{maker}.");
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text
}

/// Reads a seal from its member in a request of `protocol`. A wrapped seal that does not decode is of
/// a maker without a name, so that no provider receives it.
pub fn parse_seal(protocol: Protocol, text: Cow<'_, str>) -> Seal<'_> {
    let Some(wrapped) = text.strip_prefix(SEAL_PREFIX) else {
        return Seal { maker: SealMaker::Protocol(protocol), bytes: text };
    };
    let (maker, bytes) = unwrap(wrapped).unwrap_or_default();
    Seal { maker: SealMaker::Named(Cow::Owned(maker)), bytes: Cow::Owned(bytes) }
}

fn unwrap(wrapped: &str) -> Option<(String, String)> {
    let (maker, encoded) = wrapped.split_once('.')?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    Some((maker.to_owned(), String::from_utf8(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::{parse_seal, wrap_seal};
    use crate::model::{Protocol, Seal, SealMaker};

    #[test]
    fn wrapped_seal_returns_with_its_maker() {
        let wrapped = wrap_seal("anthropic-1f", "EqQBCgIYAh=é");
        let seal = parse_seal(Protocol::Chat, wrapped.into());
        let maker = SealMaker::Named("anthropic-1f".into());
        assert_eq!(seal, Seal { maker, bytes: "EqQBCgIYAh=é".into() });
    }

    #[test]
    fn seal_without_wrapping_is_of_the_callers_protocol() {
        let seal = parse_seal(Protocol::Messages, "EqQB".into());
        assert_eq!(seal.maker, SealMaker::Protocol(Protocol::Messages));
    }

    #[test]
    fn broken_wrapping_is_of_no_maker() {
        for text in ["sr1.", "sr1.x", "sr1.x.%", "sr1.x._w"] {
            let seal = parse_seal(Protocol::Messages, text.into());
            assert_eq!(seal.maker, SealMaker::Named("".into()), "{text}");
        }
    }
}

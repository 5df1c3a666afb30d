//! Parts of a token. Parsing proves nothing: [`super::verify`] does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::rules::{Rejection, Rules};

/// Maximum length of a token, in bytes. Hosts limit headers to 16 KiB or more, and tokens that go
/// with every request are far shorter.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Supported algorithms (RFC 7518, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// Token in compact form with parsed header and decoded signature, not verified.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// Signed text: the first two parts as received, with the dot between them.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    token_type: Option<String>,
    payload: &'a str,
}

impl<'a> Token<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, Rejection> {
        let parts = TokenParts::split(token).ok_or(Rejection::Malformed)?;
        let header = parts.header().ok_or(Rejection::Malformed)?;
        // Extensions that must be understood (RFC 7515, 4.1.11): none is supported.
        if header.contains_key("crit") {
            return Err(Rejection::Malformed);
        }
        let name = header.get("alg").and_then(Value::as_str).ok_or(Rejection::Malformed)?;
        let algorithm = Algorithm::from_name(name).ok_or(Rejection::Algorithm)?;
        let kid = parse_kid(&header).map_err(|InvalidKid| Rejection::Malformed)?.map(str::to_owned);
        let signature = decode_base64url(parts.signature).ok_or(Rejection::Malformed)?;
        let token_type = header.get("typ").and_then(Value::as_str).map(str::to_owned);
        let (signed, payload) = (parts.signed, parts.payload);
        Ok(Self { signed, signature, algorithm, kid, token_type, payload })
    }

    /// Checks the type in the header. It is a media type, and "application/" may be left out (RFC 7515,
    /// 4.1.9).
    pub(super) fn check_type(&self, rules: &Rules<'_>) -> Result<(), Rejection> {
        let Some(required) = rules.token_type else { return Ok(()) };
        let short = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.strip_prefix("application/").map_or_else(|| text.clone(), str::to_owned)
        };
        let is_required = self.token_type.as_deref().is_some_and(|it| short(it) == short(required));
        if is_required { Ok(()) } else { Err(Rejection::TokenType) }
    }

    /// Decodes the claims, which are untrusted until the signature is verified.
    pub(super) fn claims(&self) -> Option<Claims> {
        decode_object(self.payload).map(Claims::new)
    }
}

/// Content of an unverified token, for the choice of keys. Anybody can write it, so nothing else
/// may depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedToken {
    /// `iss` claim.
    pub issuer: Option<String>,
}

/// Reads the issuer of a token without verification.
pub fn read_unverified(token: &str) -> Option<UnverifiedToken> {
    let parts = TokenParts::split(token)?;
    parse_kid(&parts.header()?).ok()?;
    let issuer = match decode_object(parts.payload)?.remove("iss") {
        None => None,
        Some(Value::String(issuer)) => Some(issuer),
        Some(_) => return None,
    };
    Some(UnverifiedToken { issuer })
}

/// Whether a credential is a token and not a key: three parts of base64url, the first of which is a
/// JSON object with `alg`. The token may still be one that is never accepted.
pub fn looks_like_jwt(token: &str) -> bool {
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    TokenParts::split(token).is_some_and(|parts| {
        parts.payload.bytes().chain(parts.signature.bytes()).all(base64url)
            && parts.header().is_some_and(|header| header.contains_key("alg"))
    })
}

struct TokenParts<'a> {
    signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> TokenParts<'a> {
    fn split(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // Five parts are an encrypted token (RFC 7516).
        (!payload.contains('.')).then_some(Self { signed, header, payload, signature })
    }

    fn header(&self) -> Option<Map<String, Value>> {
        decode_object(self.header)
    }
}

struct InvalidKid;

fn parse_kid(header: &Map<String, Value>) -> Result<Option<&str>, InvalidKid> {
    match header.get("kid") {
        None => Ok(None),
        Some(kid) => kid.as_str().map(Some).ok_or(InvalidKid),
    }
}

/// Decodes a part that is a JSON object. The last of duplicate members counts, which RFC 7515
/// (section 4) and RFC 7519 (section 4) allow. Header and claims are read by this function alone,
/// so that no two readers can differ.
fn decode_object(part: &str) -> Option<Map<String, Value>> {
    json::from_bytes(&decode_base64url(part)?).ok()
}

/// Decodes base64url (RFC 7515, section 2): without padding, and with zeros in the spare bits of
/// the last character. So each value has one spelling.
pub(super) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

//! Whole tokens: the vectors of RFC 7515, tokens signed by OpenSSL (`tests/fixtures/jwt/make.py`),
//! and tokens signed here with a secret.

mod keys;
mod rules;
mod signatures;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use civil_time::Timestamp;
use hmac::{Hmac, Mac};
use secret::Secret;
use serde_json::Value;
use sha2::Sha256;

use super::{KeySet, Rules};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// 2023-11-14, before the fixtures expire.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const ANY: Rules<'static> = Rules {
    issuer: None,
    audiences: &[],
    token_type: None,
    max_lifetime: None,
    skew: Duration::ZERO,
};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../tests/fixtures/tokens.json")).unwrap()
}

fn token(name: &str) -> String {
    fixture()["tokens"][name].as_str().unwrap().to_owned()
}

/// Returns the fixture's keys of these names.
fn jwks(kids: &[&str]) -> KeySet {
    let keys: Vec<_> = kids.iter().map(|kid| jwk(kid).to_string()).collect();
    KeySet::from_jwks(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
}

fn jwk(kid: &str) -> Value {
    let fixture = fixture();
    let keys = fixture["jwks"]["keys"].as_array().unwrap();
    keys.iter().find(|key| key["kid"] == kid).unwrap().clone()
}

fn secret() -> KeySet {
    KeySet::from_secret(&Secret::new(SECRET)).unwrap()
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Signs with HMAC under any header.
fn signed(header: &str, payload: &str, key: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    hmac.update(signed.as_bytes());
    format!("{signed}.{}", encode(hmac.finalize().into_bytes()))
}

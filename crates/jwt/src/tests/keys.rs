//! Key documents.

use ::secret::Secret;
use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use crate::{InvalidKeys, KeySet, Rejection, verify};

use super::{ANY, NOW, fixture, jwk, secret, signed, token};

#[track_caller]
fn assert_jwks(document: &str, expected: Result<&str, InvalidKeys>) {
    let found = KeySet::from_jwks(document.as_bytes()).map(|keys| format!("{keys:?}"));
    assert_eq!(found.as_deref(), expected.as_ref().copied(), "{document}");
}

/// Returns a key of the fixture with one member set; null removes it.
#[track_caller]
fn assert_jwk_with(kid: &str, name: &str, value: Value, usable: bool) {
    let mut key = jwk(kid);
    if value.is_null() {
        key.as_object_mut().unwrap().remove(name);
    } else {
        key[name] = value;
    }
    let expected = if usable { Ok("KeySet(1)") } else { Err(InvalidKeys::NoneUsable) };
    assert_jwks(&key.to_string(), expected);
    assert_jwks(
        &json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}, 7, key]}).to_string(),
        expected,
    );
}

#[test]
fn document_with_set_or_key_is_accepted() {
    // Nine keys: two have the wrong size and one the wrong curve.
    assert_jwks(&fixture()["jwks"].to_string(), Ok("KeySet(6)"));
    assert_jwks(&jwk("p-256").to_string(), Ok("KeySet(1)"));
    assert_jwks(r#"{"keys":[]}"#, Err(InvalidKeys::NoneUsable));
    assert_jwks(r#"{"keys":{}}"#, Err(InvalidKeys::NotKeys));
    assert_jwks(r#"{"keys":null,"kty":"EC"}"#, Err(InvalidKeys::NotKeys));
    assert_jwks("{}", Err(InvalidKeys::NotKeys));
    assert_jwks("[]", Err(InvalidKeys::NotKeys));
    assert_jwks("", Err(InvalidKeys::NotKeys));
    assert_jwks("<html>", Err(InvalidKeys::NotKeys));
}

#[test]
fn document_above_limits_is_refused() {
    let keys = |count| json!({"keys": vec![jwk("p-256"); count]}).to_string();
    assert_jwks(&keys(64), Ok("KeySet(64)"));
    assert_jwks(&keys(65), Err(InvalidKeys::TooMany));
    let key = jwk("p-256").to_string();
    assert_jwks(&format!("{key}{}", " ".repeat(256 * 1024 - key.len())), Ok("KeySet(1)"));
    assert_jwks(&format!("{key}{}", " ".repeat(256 * 1024)), Err(InvalidKeys::TooLong));
}

#[test]
fn key_for_other_use_or_algorithm_is_skipped() {
    for kid in ["rsa-2048", "p-256"] {
        assert_jwk_with(kid, "kid", Value::Null, true);
        assert_jwk_with(kid, "kid", json!(7), false);
        assert_jwk_with(kid, "use", json!("sig"), true);
        assert_jwk_with(kid, "use", json!("enc"), false);
        assert_jwk_with(kid, "use", json!(7), false);
        assert_jwk_with(kid, "key_ops", json!(["verify"]), true);
        assert_jwk_with(kid, "key_ops", json!(["encrypt"]), false);
        assert_jwk_with(kid, "key_ops", json!("verify"), false);
        assert_jwk_with(kid, "alg", json!("HS256"), false);
        assert_jwk_with(kid, "alg", json!("none"), false);
        assert_jwk_with(kid, "alg", json!(7), false);
        assert_jwk_with(kid, "kty", json!("oct"), false);
        assert_jwk_with(kid, "kty", json!("rsa"), false);
        assert_jwk_with(kid, "x5c", json!(["anything"]), true);
    }
    assert_jwk_with("rsa-2048", "alg", json!("RS256"), true);
    assert_jwk_with("rsa-2048", "alg", json!("ES256"), false);
    assert_jwk_with("rsa-2048", "alg", json!("PS256"), false);
    assert_jwk_with("rsa-2048", "alg", json!("RS512"), false);
    assert_jwk_with("rsa-2048", "kty", json!("EC"), false);
    assert_jwk_with("p-256", "alg", json!("ES256"), true);
    assert_jwk_with("p-256", "alg", json!("RS256"), false);
    assert_jwk_with("p-256", "kty", json!("RSA"), false);
}

#[test]
fn key_with_invalid_numbers_is_refused() {
    assert_jwk_with("rsa-2048", "n", Value::Null, false);
    assert_jwk_with("rsa-2048", "n", json!("AQAB"), false);
    assert_jwk_with("rsa-2048", "n", jwk("rsa-1024")["n"].clone(), false);
    assert_jwk_with("rsa-2048", "n", json!("not base64url!"), false);
    assert_jwk_with("rsa-2048", "e", Value::Null, false);
    assert_jwk_with("rsa-2048", "e", json!("AQ"), false);
    assert_jwk_with("rsa-2048", "e", json!("AQAA"), false);
    assert_jwk_with("rsa-2048", "e", json!("Aw"), true);
    assert_jwk_with("rsa-2048", "e", json!("AQAB="), false);
    assert_jwk_with("p-256", "crv", json!("P-384"), false);
    assert_jwk_with("p-256", "crv", json!("secp256k1"), false);
    assert_jwk_with("p-256", "crv", Value::Null, false);
    assert_jwk_with("p-256", "y", Value::Null, false);
    // Points off the curve.
    assert_jwk_with("p-256", "y", jwk("p-256-other")["y"].clone(), false);
    assert_jwk_with("p-256", "x", json!("A".repeat(43)), false);
    assert_jwk_with("p-256", "x", jwk("p-384")["x"].clone(), false);
}

/// A secret in a published document would let everybody sign.
#[test]
fn published_secret_is_skipped() {
    let oct = json!({"kty": "oct", "alg": "HS256", "k": super::encode(super::SECRET)});
    assert_jwks(&oct.to_string(), Err(InvalidKeys::NoneUsable));
    let keys = KeySet::from_jwks(json!({"keys": [oct, jwk("p-256")]}).to_string().as_bytes());
    let token = signed(r#"{"alg":"HS256"}"#, r#"{"exp":4102444800}"#, super::SECRET.as_bytes());
    assert_eq!(verify(&token, &keys.unwrap(), &ANY, NOW).map(drop), Err(Rejection::Algorithm));
}

#[test]
fn secret_below_32_bytes_is_refused() {
    let of = |text: &str| KeySet::from_secret(&Secret::new(text)).map(|keys| format!("{keys:?}"));
    assert_eq!(of(&"x".repeat(31)), Err(InvalidKeys::ShortSecret));
    assert_eq!(of(&format!("{}\n", "x".repeat(31))), Err(InvalidKeys::ShortSecret));
    assert_eq!(of(&"x".repeat(32)).as_deref(), Ok("KeySet(1)"));
    assert_eq!(of(&"x".repeat(1000)).as_deref(), Ok("KeySet(1)"));

    let token =
        signed(r#"{"alg":"HS256","kid":"any"}"#, r#"{"exp":4102444800}"#, super::SECRET.as_bytes());
    assert!(verify(&token, &secret(), &ANY, NOW).is_ok());
    let other = KeySet::from_secret(&Secret::new(&"x".repeat(32))).unwrap();
    assert_eq!(verify(&token, &other, &ANY, NOW).map(drop), Err(Rejection::Signature));
}

#[test]
fn token_without_kid_is_tried_with_four_keys() {
    let keys = |others: usize| {
        let mut keys = vec![jwk("p-256-other"); others];
        keys.push(jwk("p-256"));
        KeySet::from_jwks(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    };
    let verdict = |name, others| verify(&token(name), &keys(others), &ANY, NOW).map(drop);
    assert_eq!(verdict("p-256 without kid", 3), Ok(()));
    assert_eq!(verdict("p-256 without kid", 4), Err(Rejection::Signature));
    assert_eq!(verdict("p-256", 63), Ok(()));
}

proptest! {
    #[test]
    fn key_document_of_any_bytes_does_not_panic(document in any::<Vec<u8>>(), text in "[ -~]{0,40}") {
        assert!(KeySet::from_jwks(&document).is_err());
        assert!(KeySet::from_jwks(json!({"kty": "RSA", "n": text, "e": text}).to_string().as_bytes()).is_err());
        assert!(KeySet::from_jwks(json!({"kty": "EC", "crv": "P-256", "x": text, "y": text}).to_string().as_bytes()).is_err());
    }
}

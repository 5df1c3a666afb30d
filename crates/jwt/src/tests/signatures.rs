//! Signatures of other implementations: verified unchanged, rejected after any change.

use civil_time::Timestamp;
use crypto_bigint::{Encoding, U256};
use proptest::prelude::{any, proptest};
use proptest::sample::Index;

use crate::token::decode_base64url;
use crate::{Claims, KeySet, Rejection, verify};

use super::{ANY, NOW, SECRET, encode, fixture, jwks, secret, signed, token};

/// RFC 7515, appendix A: A.2 and A.3 have the same header and claims.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[track_caller]
fn assert_vector(header: &str, signature: &str, keys: &KeySet) {
    let token = format!("{header}.{CLAIMS}.{signature}");
    let at = |seconds: u64| verify(&token, keys, &ANY, Timestamp::from_millis(seconds * 1000));
    assert_eq!(at(1_300_819_379).unwrap().get_text("iss"), Some("joe"));
    assert_eq!(at(1_300_819_380).map(drop), Err(Rejection::Expired));
}

#[test]
fn rfc_7515_a1_token_is_verified() {
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    assert_vector(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        &KeySet::from_bytes(&decode_base64url(key).unwrap()).unwrap(),
    );
}

#[test]
fn rfc_7515_a2_token_is_verified() {
    let key = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
    assert_vector(
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        &KeySet::from_jwks(key.as_bytes()).unwrap(),
    );
}

#[test]
fn rfc_7515_a3_token_is_verified() {
    let key = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    assert_vector(
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        &KeySet::from_jwks(key.as_bytes()).unwrap(),
    );
}

#[track_caller]
fn assert_fixture(name: &str, kids: &[&str], expected: Result<(), Rejection>) {
    assert_eq!(verify_fixture(&token(name), &jwks(kids)).map(drop), expected);
}

fn verify_fixture(token: &str, keys: &KeySet) -> Result<Claims, Rejection> {
    verify(token, keys, &ANY, NOW)
}

const ALL: [&str; 9] = [
    "rsa-1024",
    "rsa-2048",
    "rsa-2050",
    "rsa-3072-e3",
    "rsa-4096",
    "rsa-4104",
    "p-256-other",
    "p-384",
    "p-256",
];

#[test]
fn token_signed_by_openssl_is_verified() {
    assert_fixture("rsa-2048", &ALL, Ok(()));
    assert_fixture("rsa-2050", &ALL, Ok(()));
    assert_fixture("rsa-3072-e3", &ALL, Ok(()));
    assert_fixture("rsa-4096", &ALL, Ok(()));
    assert_fixture("p-256", &ALL, Ok(()));
    let claims = verify_fixture(&token("p-256"), &jwks(&ALL)).unwrap();
    assert_eq!(claims.get_text("realm.team"), Some("red"));
}

#[test]
fn keys_of_wrong_size_are_skipped() {
    assert_fixture("rsa-1024", &ALL, Err(Rejection::UnknownKey));
    assert_fixture("rsa-4104", &ALL, Err(Rejection::UnknownKey));
}

#[test]
fn kid_selects_key() {
    assert_fixture("rsa-2048", &["rsa-2050", "p-256"], Err(Rejection::UnknownKey));
    assert_fixture("rsa-2048 without kid", &ALL, Ok(()));
    assert_fixture("p-256 without kid", &ALL, Ok(()));
    assert_fixture("rsa-2048 without kid", &["rsa-2050", "rsa-4096"], Err(Rejection::Signature));
    assert_fixture("p-256 without kid", &["p-256-other"], Err(Rejection::Signature));
    assert_fixture("p-256 without kid", &["rsa-2048"], Err(Rejection::Algorithm));
    assert_fixture("rsa-2048 with p-256's kid", &ALL, Err(Rejection::Algorithm));
}

#[test]
fn algorithm_that_differs_from_key_is_rejected() {
    assert_fixture("rsa-2048 with SHA-512", &ALL, Err(Rejection::Signature));
    assert_fixture("rsa-2048 as RS512", &ALL, Err(Rejection::Algorithm));
    assert_fixture("p-256 in DER", &ALL, Err(Rejection::Signature));
}

/// Attack of RFC 8725, 2.1: any encoding of a public key as the shared secret.
#[test]
fn public_key_as_hmac_secret_is_rejected() {
    let fixture = fixture();
    let payload = r#"{"exp":4102444800}"#;
    for kid in ["rsa-2048", "p-256"] {
        let pem = fixture["pem"][kid].as_str().unwrap();
        let jwk = super::jwk(kid);
        let raw =
            decode_base64url(jwk.get("n").or(jwk.get("x")).unwrap().as_str().unwrap()).unwrap();
        for key in [pem.as_bytes(), pem.trim().as_bytes(), jwk.to_string().as_bytes(), &raw] {
            for header in
                [r#"{"alg":"HS256"}"#.to_owned(), format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#)]
            {
                let token = signed(&header, payload, key);
                assert_eq!(
                    verify_fixture(&token, &jwks(&[kid])).map(drop),
                    Err(Rejection::Algorithm)
                );
            }
            for alg in ["RS256", "ES256"] {
                let token = signed(&format!(r#"{{"alg":"{alg}"}}"#), payload, key);
                assert!(verify_fixture(&token, &jwks(&[kid])).is_err());
            }
        }
    }
}

/// Returns the token with the bytes of its signature replaced.
fn with_signature(token: &str, signature: &[u8]) -> String {
    format!("{}.{}", token.rsplit_once('.').unwrap().0, encode(signature))
}

fn signature_of(token: &str) -> Vec<u8> {
    decode_base64url(token.rsplit_once('.').unwrap().1).unwrap()
}

#[test]
fn signature_of_wrong_length_is_rejected() {
    let keys = jwks(&ALL);
    for (token, keys) in [
        (token("rsa-2048"), &keys),
        (token("rsa-2050"), &keys),
        (token("p-256"), &keys),
        (signed(r#"{"alg":"HS256"}"#, r#"{"exp":4102444800}"#, SECRET.as_bytes()), &secret()),
    ] {
        let signature = signature_of(&token);
        assert!(verify_fixture(&with_signature(&token, &signature), keys).is_ok());
        for changed in [
            vec![],
            signature[1..].to_vec(),
            signature[..signature.len() - 1].to_vec(),
            [&[0], signature.as_slice()].concat(),
            [signature.as_slice(), &[0]].concat(),
            vec![0; signature.len()],
            vec![0xff; signature.len()],
        ] {
            let changed = verify_fixture(&with_signature(&token, &changed), keys).map(drop);
            assert_eq!(changed, Err(Rejection::Signature));
        }
    }
}

/// `s + n` is the same number modulo `n` and has the same number of bytes here.
#[test]
fn rsa_signature_above_modulus_is_rejected() {
    let token = token("rsa-2050");
    let modulus = decode_base64url(super::jwk("rsa-2050")["n"].as_str().unwrap()).unwrap();
    let mut sum = signature_of(&token);
    let mut carry = 0;
    for (digit, other) in sum.iter_mut().zip(&modulus).rev() {
        carry += u16::from(*digit) + u16::from(*other);
        *digit = (carry & 0xff) as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    let verdict = verify_fixture(&with_signature(&token, &sum), &jwks(&ALL)).map(drop);
    assert_eq!(verdict, Err(Rejection::Signature));
}

/// Order of P-256 (FIPS 186).
const ORDER: U256 =
    U256::from_be_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

#[test]
fn es256_number_outside_order_is_rejected() {
    let token = token("p-256");
    let signature = signature_of(&token);
    let (r, s) = (U256::from_be_slice(&signature[..32]), U256::from_be_slice(&signature[32..]));
    let joined = |r: U256, s: U256| [r.to_be_bytes(), s.to_be_bytes()].concat();
    let assert_es256 = |r, s, expected| {
        let verdict = verify_fixture(&with_signature(&token, &joined(r, s)), &jwks(&ALL)).map(drop);
        assert_eq!(verdict, expected);
    };
    assert_es256(r, s, Ok(()));
    // RFC 7518 does not require the lower half: both are signatures of the same text.
    assert_es256(r, ORDER.wrapping_sub(&s), Ok(()));
    assert_es256(s, r, Err(Rejection::Signature));
    for out in [U256::ZERO, ORDER, ORDER.wrapping_add(&U256::ONE), U256::MAX] {
        assert_es256(out, s, Err(Rejection::Signature));
        assert_es256(r, out, Err(Rejection::Signature));
        assert_es256(out, out, Err(Rejection::Signature));
    }
}

/// A cube root needs no private key. So with exponent 3 anybody can make a number that begins with
/// padding and hash and ends in garbage (Bleichenbacher, 2006).
#[test]
fn rsa_garbage_after_hash_is_rejected() {
    assert_fixture("rsa-3072-e3 with a cube root", &ALL, Err(Rejection::Signature));
}

#[test]
fn token_with_flipped_bit_is_rejected() {
    let keys = jwks(&ALL);
    let shared = signed(r#"{"alg":"HS256"}"#, r#"{"exp":4102444800}"#, SECRET.as_bytes());
    let tokens = [
        (token("rsa-2048"), &keys),
        (token("rsa-2050"), &keys),
        (token("p-256"), &keys),
        (shared, &secret()),
    ];
    for (token, keys) in &tokens {
        assert!(verify_fixture(token, keys).is_ok());
    }
    // Not the eighth bit, which would make the text invalid UTF-8.
    proptest!(|(place in any::<Index>(), bit in 0..7u32)| {
        for (token, keys) in &tokens {
            let mut changed = token.clone().into_bytes();
            changed[place.index(token.len())] ^= 1 << bit;
            let changed = String::from_utf8(changed).unwrap();
            assert!(verify_fixture(&changed, keys).is_err(), "{changed}");
        }
    });
}

#[test]
fn signature_with_changed_byte_is_rejected() {
    let keys = jwks(&ALL);
    let tokens = ["rsa-2048", "p-256"].map(token);
    proptest!(|(place in any::<Index>(), by in 1..=255u8)| {
        for token in &tokens {
            let mut signature = signature_of(token);
            let place = place.index(signature.len());
            signature[place] ^= by;
            let verdict = verify_fixture(&with_signature(token, &signature), &keys).map(drop);
            assert_eq!(verdict, Err(Rejection::Signature));
        }
    });
}

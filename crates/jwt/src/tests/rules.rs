//! Rules for correctly signed tokens, and checks that precede the signature.

use std::time::Duration;

use civil_time::Timestamp;
use proptest::prelude::{any, proptest};

use crate::{Rejection, Rules, UnverifiedToken, looks_like_jwt, read_unverified, verify};

use super::{ANY, NOW, SECRET, encode, secret, signed, token};

const HS256: &str = r#"{"alg":"HS256"}"#;

#[track_caller]
fn assert_claims(payload: &str, rules: &Rules<'_>, now: u64, expected: Result<(), Rejection>) {
    let token = signed(HS256, payload, SECRET.as_bytes());
    let verdict = verify(&token, &secret(), rules, Timestamp::from_millis(now));
    assert_eq!(verdict.map(drop), expected, "{payload}");
}

#[test]
fn times_within_skew_are_accepted() {
    let skewed = Rules { skew: Duration::from_secs(60), ..ANY };
    let payload = r#"{"nbf":1000,"exp":2000}"#;
    assert_claims(payload, &ANY, 999_999, Err(Rejection::NotYetValid));
    assert_claims(payload, &ANY, 1_000_000, Ok(()));
    assert_claims(payload, &ANY, 1_999_999, Ok(()));
    assert_claims(payload, &ANY, 2_000_000, Err(Rejection::Expired));
    assert_claims(payload, &skewed, 939_999, Err(Rejection::NotYetValid));
    assert_claims(payload, &skewed, 940_000, Ok(()));
    assert_claims(payload, &skewed, 2_059_999, Ok(()));
    assert_claims(payload, &skewed, 2_060_000, Err(Rejection::Expired));
    assert_claims(payload, &Rules { skew: Duration::MAX, ..ANY }, u64::MAX, Ok(()));
}

#[test]
fn times_of_any_number_form_are_read() {
    assert_claims(r#"{"exp":1.5}"#, &ANY, 1499, Ok(()));
    assert_claims(r#"{"exp":1.5}"#, &ANY, 1500, Err(Rejection::Expired));
    assert_claims(r#"{"exp":2,"nbf":1.25}"#, &ANY, 1249, Err(Rejection::NotYetValid));
    assert_claims(r#"{"exp":2,"nbf":1.25}"#, &ANY, 1250, Ok(()));
    assert_claims(r#"{"exp":2e9}"#, &ANY, NOW.as_millis(), Ok(()));
    assert_claims(r#"{"exp":1e300}"#, &ANY, u64::MAX, Ok(()));
    assert_claims(r#"{"exp":-1}"#, &ANY, 0, Err(Rejection::Expired));
    assert_claims(r#"{"exp":0}"#, &ANY, 0, Err(Rejection::Expired));
    assert_claims(r#"{"exp":2,"nbf":1e300}"#, &ANY, 0, Err(Rejection::NotYetValid));
    assert_claims(r#"{"exp":1e999}"#, &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":"2000"}"#, &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":null}"#, &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":2,"nbf":null}"#, &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{}"#, &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"nbf":0}"#, &ANY, 0, Err(Rejection::Malformed));
}

#[test]
fn issuer_that_differs_in_a_byte_is_rejected() {
    let rules = Rules { issuer: Some("https://a.example"), ..ANY };
    assert_claims(r#"{"exp":9,"iss":"https://a.example"}"#, &rules, 0, Ok(()));
    assert_claims(r#"{"exp":9,"iss":"https://a.example/"}"#, &rules, 0, Err(Rejection::Issuer));
    assert_claims(r#"{"exp":9,"iss":"https://A.example"}"#, &rules, 0, Err(Rejection::Issuer));
    assert_claims(r#"{"exp":9,"iss":["https://a.example"]}"#, &rules, 0, Err(Rejection::Issuer));
    assert_claims(r#"{"exp":9}"#, &rules, 0, Err(Rejection::Issuer));
    assert_claims(r#"{"exp":9,"iss":"https://b.example"}"#, &ANY, 0, Ok(()));
}

#[test]
fn audience_as_text_or_array_is_matched() {
    let audiences = ["serin".to_owned(), "gateway".to_owned()];
    let rules = Rules { audiences: &audiences, ..ANY };
    assert_claims(r#"{"exp":9,"aud":"serin"}"#, &rules, 0, Ok(()));
    assert_claims(r#"{"exp":9,"aud":["x","gateway"]}"#, &rules, 0, Ok(()));
    assert_claims(r#"{"exp":9,"aud":"serin gateway"}"#, &rules, 0, Err(Rejection::Audience));
    assert_claims(r#"{"exp":9,"aud":["x"]}"#, &rules, 0, Err(Rejection::Audience));
    assert_claims(r#"{"exp":9,"aud":[]}"#, &rules, 0, Err(Rejection::Audience));
    assert_claims(r#"{"exp":9}"#, &rules, 0, Err(Rejection::Audience));
    assert_claims(r#"{"exp":9,"aud":["serin",7]}"#, &rules, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":9,"aud":null}"#, &rules, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":9,"aud":{"serin":1}}"#, &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":9,"aud":"anybody"}"#, &ANY, 0, Ok(()));
    assert_claims(r#"{"exp":9}"#, &ANY, 0, Ok(()));
}

#[test]
fn payload_that_is_not_an_object_is_rejected() {
    assert_claims("[]", &ANY, 0, Err(Rejection::Malformed));
    assert_claims("", &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":9}x"#, &ANY, 0, Err(Rejection::Malformed));
    assert_claims(r#"{"exp":9,"exp":1}"#, &ANY, 5000, Err(Rejection::Expired));
    assert_claims(
        &format!(r#"{{"exp":9,"a":{}}}"#, "[".repeat(2000)),
        &ANY,
        0,
        Err(Rejection::Malformed),
    );
}

#[track_caller]
fn assert_header(header: &str, expected: Result<(), Rejection>) {
    let token = signed(header, r#"{"exp":9}"#, SECRET.as_bytes());
    let verdict = verify(&token, &secret(), &ANY, Timestamp::default());
    assert_eq!(verdict.map(drop), expected, "{header}");
}

#[test]
fn header_without_algorithm_or_with_extension_is_rejected() {
    assert_header(r#"{"alg":"HS256","typ":"at+jwt","x":1}"#, Ok(()));
    assert_header(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Err(Rejection::Malformed));
    assert_header(r#"{"alg":"HS256","crit":[]}"#, Err(Rejection::Malformed));
    assert_header(r#"{"alg":"HS256","crit":null}"#, Err(Rejection::Malformed));
    assert_header(r#"{"alg":"none"}"#, Err(Rejection::Algorithm));
    assert_header(r#"{"alg":"hs256"}"#, Err(Rejection::Algorithm));
    assert_header(r#"{"alg":"HS512"}"#, Err(Rejection::Algorithm));
    assert_header(r#"{"alg":"RS256"}"#, Err(Rejection::Algorithm));
    assert_header(r#"{"alg":"ES256"}"#, Err(Rejection::Algorithm));
    assert_header(r#"{"alg":["HS256"]}"#, Err(Rejection::Malformed));
    assert_header(r#"{"typ":"JWT"}"#, Err(Rejection::Malformed));
    assert_header(r#"{"alg":"HS256","kid":7}"#, Err(Rejection::Malformed));
    assert_header(r#"["HS256"]"#, Err(Rejection::Malformed));
    assert_header("", Err(Rejection::Malformed));
}

#[test]
fn token_of_wrong_parts_or_length_is_rejected() {
    let token = signed(HS256, r#"{"exp":9}"#, SECRET.as_bytes());
    let long = |payload: usize| {
        let payload = format!(r#"{{"exp":9,"a":"{}"}}"#, "x".repeat(payload));
        signed(HS256, &payload, SECRET.as_bytes())
    };
    let verdict = |token: &str| verify(token, &secret(), &ANY, Timestamp::default()).map(drop);
    assert_eq!(verdict(&token), Ok(()));
    assert_eq!((long(6079).len(), verdict(&long(6079))), (8192, Ok(())));
    assert_eq!((long(6080).len(), verdict(&long(6080))), (8193, Err(Rejection::Malformed)));
    for broken in [
        String::new(),
        "..".to_owned(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}="),
        format!("{token} "),
        format!("Bearer {token}"),
        format!("{token}.{token}"),
        token.rsplit_once('.').unwrap().0.to_owned(),
    ] {
        assert_eq!(verdict(&broken), Err(Rejection::Malformed), "{broken}");
    }
    // Unsecured token (RFC 7519, 6.1).
    let unsecured = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(r#"{"exp":9}"#));
    assert_eq!(verdict(&unsecured), Err(Rejection::Algorithm));
    let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
    assert_eq!(verdict(&unsigned), Err(Rejection::Signature));
}

#[test]
fn rejection_displays_one_sentence() {
    for rejection in [
        Rejection::Malformed,
        Rejection::Algorithm,
        Rejection::UnknownKey,
        Rejection::Signature,
        Rejection::Expired,
        Rejection::NotYetValid,
        Rejection::Issuer,
        Rejection::Audience,
    ] {
        let text = rejection.to_string();
        assert!(text.starts_with("The token") && text.find('.') == Some(text.len() - 1), "{text}");
    }
}

#[track_caller]
fn assert_unverified(header: &str, payload: &str, expected: Option<Option<&str>>) {
    let token = format!("{}.{}.", encode(header), encode(payload));
    let expected = expected.map(|issuer| UnverifiedToken { issuer: issuer.map(str::to_owned) });
    assert_eq!(read_unverified(&token), expected);
}

#[test]
fn read_unverified_returns_issuer() {
    assert_unverified(r#"{"kid":"k"}"#, r#"{"iss":"i"}"#, Some(Some("i")));
    assert_unverified("{}", "{}", Some(None));
    assert_unverified(r#"{"kid":7}"#, r#"{"iss":"i"}"#, None);
    assert_unverified("{}", r#"{"iss":7}"#, None);
    assert_unverified("{}", "[]", None);
    assert_unverified("", "{}", None);
    assert_eq!(read_unverified("sk-proj-abc"), None);
    assert_eq!(read_unverified(&"x".repeat(100_000)), None);
}

#[test]
fn looks_like_jwt_distinguishes_token_from_key() {
    assert!(looks_like_jwt(&token("rsa-2048")));
    assert!(looks_like_jwt(&format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode("{}"))));
    assert!(!looks_like_jwt(&format!("{}.{}.", encode(r#"{"typ":"JWT"}"#), encode("{}"))));
    assert!(!looks_like_jwt(&format!("{}.{}=.", encode(HS256), encode("{}"))));
    assert!(!looks_like_jwt(&format!("{}.a.b.c", encode(HS256))));
    assert!(!looks_like_jwt(&format!("{}.a", encode(HS256))));
    assert!(!looks_like_jwt("sk-proj-0123456789"));
    assert!(!looks_like_jwt("sk.proj.0123456789"));
    assert!(!looks_like_jwt(""));
    assert!(!looks_like_jwt(".."));
}

proptest! {
    #[test]
    fn token_of_any_text_is_rejected(text in "[ -~é.]{0,80}") {
        assert!(verify(&text, &secret(), &ANY, NOW).is_err());
        looks_like_jwt(&text);
        read_unverified(&text);
    }

    /// Correctly signed, so that all code after the signature is reached.
    #[test]
    fn token_with_any_header_and_payload_does_not_panic(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        for payload in [payload, br#"{"exp":1}"#.to_vec()] {
            let header = String::from_utf8_lossy(&header);
            let payload = String::from_utf8_lossy(&payload);
            for header in [header.as_ref(), HS256] {
                let token = signed(header, &payload, SECRET.as_bytes());
                assert!(verify(&token, &secret(), &ANY, NOW).is_err());
                read_unverified(&token);
            }
        }
    }

    /// Signed claims are returned, whatever they contain.
    #[test]
    fn subject_of_verified_token_is_returned(subject in "\\PC{1,40}") {
        let payload = serde_json::json!({"exp": 2e9, "sub": subject}).to_string();
        let token = signed(HS256, &payload, SECRET.as_bytes());
        let claims = verify(&token, &secret(), &ANY, NOW).unwrap();
        assert_eq!(claims.get_text("sub"), Some(subject.as_str()));
        assert!(looks_like_jwt(&token));
    }
}

#[test]
fn type_and_lifetime_are_required_by_their_rules() {
    let typed = Rules { token_type: Some("at+jwt"), ..ANY };
    for (header, expected) in [
        (r#"{"alg":"HS256","typ":"at+jwt"}"#, Ok(())),
        (r#"{"alg":"HS256","typ":"application/AT+JWT"}"#, Ok(())),
        (r#"{"alg":"HS256","typ":"JWT"}"#, Err(Rejection::TokenType)),
        (r#"{"alg":"HS256","typ":7}"#, Err(Rejection::TokenType)),
        (r#"{"alg":"HS256"}"#, Err(Rejection::TokenType)),
    ] {
        let token = signed(header, r#"{"exp":9}"#, SECRET.as_bytes());
        let verify = |rules| verify(&token, &secret(), rules, Timestamp::default()).map(drop);
        assert_eq!((verify(&typed), verify(&ANY)), (expected, Ok(())), "{header}");
    }
    let short = Rules { max_lifetime: Some(Duration::from_secs(10)), ..ANY };
    assert_claims(r#"{"exp":20}"#, &short, 10_000, Ok(()));
    assert_claims(r#"{"exp":20.1}"#, &short, 10_000, Err(Rejection::Lifetime));
    assert_claims(r#"{"exp":1e300}"#, &short, 10_000, Err(Rejection::Lifetime));
    let skewed = Rules { skew: Duration::from_secs(1), ..short };
    assert_claims(r#"{"exp":20.9}"#, &skewed, 10_000, Ok(()));
}

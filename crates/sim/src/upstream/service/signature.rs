//! Verification of `ACS3-HMAC-SHA256` signatures, from the received request.
//!
//! Shares no code with the signer: it has its own decoding, encoding, and HMAC (RFC 2104).

use std::collections::BTreeMap;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::upstream::Call;

/// Refusal of a call: status, code, and message.
pub(super) type ServiceRefusal = (u16, &'static str, String);

/// Only known access key.
pub(super) struct AccountKey<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    pub(super) token: Option<&'a str>,
}

const SCHEME: &str = "ACS3-HMAC-SHA256";

/// Verifies that the key signed all parts of a call, and that its nonce is new.
pub(super) fn verify(
    call: &Call,
    key: &AccountKey<'_>,
    earlier: &[Call],
) -> Result<(), ServiceRefusal> {
    let header = |name: &str| text(&call.headers, name);
    let authorization = header("authorization").ok_or_else(|| missing("authorization"))?;
    let members = authorization
        .strip_prefix(SCHEME)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or_else(|| incomplete(format!("the scheme is not {SCHEME}")))?;
    let members: BTreeMap<&str, &str> =
        members.split(',').filter_map(|member| member.split_once('=')).collect();
    let member = |name: &str| members.get(name).copied().ok_or_else(|| missing(name));
    if member("Credential")? != key.id {
        let message = "Specified access key is not found.".to_owned();
        return Err((404, "InvalidAccessKeyId.NotFound", message));
    }
    match (key.token, header("x-acs-security-token")) {
        (None, None) => {}
        (Some(token), Some(sent)) if token == sent => {}
        (Some(_), None) => {
            return Err((400, "MissingSecurityToken", "The security token is missing.".to_owned()));
        }
        _ => {
            return Err((
                400,
                "InvalidSecurityToken.Malformed",
                "The security token is not valid for this access key.".to_owned(),
            ));
        }
    }
    let signed: Vec<&str> = member("SignedHeaders")?.split(';').collect();
    if !signed.is_sorted() {
        return Err(incomplete("signed headers are out of order".to_owned()));
    }
    let wants_signature =
        |name: &str| name == "host" || name == "content-type" || name.starts_with("x-acs-");
    for name in call.headers.keys().map(http::HeaderName::as_str).chain(["host"]) {
        if wants_signature(name) && !signed.contains(&name) {
            return Err(incomplete(format!("{name} is not signed")));
        }
    }
    check_date_and_nonce(call, earlier)?;
    let hash = hex(&Sha256::digest(&call.body));
    if header("x-acs-content-sha256") != Some(&hash) {
        return Err(mismatch("the body has another digest"));
    }
    let mut canonical = format!("{}\n{}\n", call.method, canonical_target(&call.path)?);
    for name in &signed {
        let value = header(name).ok_or_else(|| missing(name))?;
        canonical.push_str(&format!("{name}:{}\n", value.trim()));
    }
    canonical.push_str(&format!("\n{}\n{hash}", signed.join(";")));
    let to_sign = format!("{SCHEME}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    if member("Signature")? != hex(&hmac(key.secret.as_bytes(), to_sign.as_bytes())) {
        return Err(mismatch("the server's string to sign has another signature"));
    }
    Ok(())
}

/// Checks the format of the date, and that no earlier call used the nonce.
fn check_date_and_nonce(call: &Call, earlier: &[Call]) -> Result<(), ServiceRefusal> {
    let date = text(&call.headers, "x-acs-date").ok_or_else(|| missing("x-acs-date"))?;
    let format = "0000-00-00T00:00:00Z";
    let fits = |(letter, wanted): (u8, u8)| {
        if wanted == b'0' { letter.is_ascii_digit() } else { letter == wanted }
    };
    if date.len() != format.len() || !date.bytes().zip(format.bytes()).all(fits) {
        return Err((400, "InvalidTimeStamp.Format", format!("`{date}` is not a date")));
    }
    let name = "x-acs-signature-nonce";
    let nonce = text(&call.headers, name).ok_or_else(|| missing(name))?;
    if nonce.is_empty() || earlier.iter().any(|call| text(&call.headers, name) == Some(nonce)) {
        return Err((400, "SignatureNonceUsed", "Specified signature nonce was used.".to_owned()));
    }
    Ok(())
}

/// Decodes path and query and writes them in canonical form.
fn canonical_target(target: &str) -> Result<String, ServiceRefusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = parse_form(query).ok_or_else(|| incomplete("the query is broken".to_owned()))?;
    let mut pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
        .collect();
    pairs.sort();
    Ok(format!("{path}\n{}", pairs.join("&")))
}

/// Parses a form or a query. `None` if the percent coding is invalid.
pub(super) fn parse_form(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((percent_decode(name)?, percent_decode(value)?))
    };
    text.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

fn percent_encode(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| {
        if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

/// HMAC (RFC 2104) with SHA-256, whose blocks have 64 bytes.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn missing(name: &str) -> ServiceRefusal {
    (400, "MissingParameter", format!("{name} is missing"))
}

fn incomplete(message: String) -> ServiceRefusal {
    (400, "IncompleteSignature", message)
}

fn mismatch(cause: &str) -> ServiceRefusal {
    let message = format!("Specified signature does not match our calculation: {cause}.");
    (400, "SignatureDoesNotMatch", message)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::{AccountKey, hex, hmac, percent_decode, verify};
    use crate::upstream::{Call, Ended};

    const KEY: AccountKey<'static> =
        AccountKey { id: "YourAccessKeyId", secret: "YourAccessKeySecret", token: None };

    /// Example request of Alibaba's documentation, with its published signature.
    fn published() -> Call {
        let headers = [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            (
                "x-acs-content-sha256",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
            (
                "authorization",
                "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
            ),
        ];
        let headers: HeaderMap = headers
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        Call {
            method: "POST".to_owned(),
            path:
                "/?RegionId=cn-shanghai&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"
                    .to_owned(),
            headers,
            body: Bytes::new(),
            ended: Ended::Open,
        }
    }

    #[track_caller]
    fn assert_verified(change: impl Fn(&mut Call), key: &AccountKey<'_>, expected: Option<&str>) {
        let mut call = published();
        change(&mut call);
        let code = verify(&call, key, &[]).err().map(|(_, code, _)| code);
        assert_eq!(code, expected);
    }

    #[test]
    fn verify_accepts_the_published_request_and_no_altered_one() {
        assert_verified(|_| {}, &KEY, None);
        assert_verified(|call| call.path.push_str("&a"), &KEY, Some("SignatureDoesNotMatch"));
        assert_verified(|call| call.body = "a".into(), &KEY, Some("SignatureDoesNotMatch"));
        assert_verified(|call| call.method = "GET".to_owned(), &KEY, Some("SignatureDoesNotMatch"));
        let other = AccountKey { secret: "another", ..KEY };
        assert_verified(|_| {}, &other, Some("SignatureDoesNotMatch"));
        assert_verified(
            |_| {},
            &AccountKey { id: "another", ..KEY },
            Some("InvalidAccessKeyId.NotFound"),
        );
        assert_verified(
            |_| {},
            &AccountKey { token: Some("t"), ..KEY },
            Some("MissingSecurityToken"),
        );
        let set = |name: &'static str, value: &'static str| {
            move |call: &mut Call| {
                call.headers.insert(name, HeaderValue::from_static(value));
            }
        };
        assert_verified(
            set("host", "ecs.cn-beijing.aliyuncs.com"),
            &KEY,
            Some("SignatureDoesNotMatch"),
        );
        assert_verified(set("x-acs-version", "2014-05-27"), &KEY, Some("SignatureDoesNotMatch"));
        assert_verified(set("x-acs-other", "1"), &KEY, Some("IncompleteSignature"));
        assert_verified(set("content-type", "text/plain"), &KEY, Some("IncompleteSignature"));
        assert_verified(set("x-acs-date", "today"), &KEY, Some("InvalidTimeStamp.Format"));
        assert_verified(
            set("x-acs-security-token", "t"),
            &KEY,
            Some("InvalidSecurityToken.Malformed"),
        );
        assert_verified(set("authorization", "Bearer k"), &KEY, Some("IncompleteSignature"));
        let remove = |call: &mut Call| {
            call.headers.remove("authorization");
        };
        assert_verified(remove, &KEY, Some("MissingParameter"));
    }

    #[test]
    fn verify_of_a_used_nonce_fails() {
        let used = verify(&published(), &KEY, &[published()]);
        assert_eq!(used.map_err(|(_, code, _)| code), Err("SignatureNonceUsed"));
    }

    #[test]
    fn percent_decode_of_invalid_coding_is_none() {
        assert_eq!(percent_decode("a%2Bb+c%E4%BD%A0").as_deref(), Some("a+b c你"));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(percent_decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn hmac_matches_rfc_4231() {
        let short = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&short), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}

//! `ACS3-HMAC-SHA256`: headers that authenticate a call to Alibaba Cloud.

use civil_time::Timestamp;
use civil_time::rfc3339::Day;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::sha256::sha256_hex;

const SCHEME: &str = "ACS3-HMAC-SHA256";

/// Access key.
pub(super) struct Credentials<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    /// Token of a temporary key.
    pub(super) token: Option<&'a str>,
}

/// `POST` to sign.
pub(super) struct UnsignedRequest<'a> {
    /// `host` header as sent.
    pub(super) host: &'a str,
    /// Query as sent: sorted by name and percent-encoded except for unreserved characters, so that
    /// `+`, `*`, `~`, and spaces have one spelling.
    pub(super) query: &'a str,
    /// Type of the body, if it has one.
    pub(super) content_type: Option<&'a str>,
    /// `TextModerationPlus`
    pub(super) action: &'a str,
    /// `2022-03-02`
    pub(super) version: &'a str,
    /// Body as sent.
    pub(super) body: &'a [u8],
    /// Current time.
    pub(super) now: Timestamp,
    /// Unique value of the request.
    pub(super) nonce: &'a str,
}

impl UnsignedRequest<'_> {
    /// Returns the headers to send, with `authorization`. `host` is absent, since the host sets it
    /// from the URL.
    pub(super) fn sign(&self, who: &Credentials<'_>) -> Vec<(&'static str, String)> {
        let mut headers = self.headers(who.token);
        let (names, canonical) = self.canonical(&headers);
        let to_sign = format!("{SCHEME}\n{}", sha256_hex(canonical.as_bytes()));
        let mut hmac = Hmac::<Sha256>::new_from_slice(who.secret.as_bytes())
            .expect("HMAC takes a key of any length");
        hmac.update(to_sign.as_bytes());
        let signature = base16ct::lower::encode_string(&hmac.finalize().into_bytes());
        headers.retain(|(name, _)| *name != "host");
        headers.push((
            "authorization",
            format!("{SCHEME} Credential={},SignedHeaders={names},Signature={signature}", who.id),
        ));
        headers
    }

    /// Returns the headers to sign, sorted by name.
    fn headers(&self, token: Option<&str>) -> Vec<(&'static str, String)> {
        let all = [
            ("content-type", self.content_type.map(str::to_owned)),
            ("host", Some(self.host.to_owned())),
            ("x-acs-action", Some(self.action.to_owned())),
            ("x-acs-content-sha256", Some(sha256_hex(self.body))),
            ("x-acs-date", Some(format_date(self.now))),
            ("x-acs-security-token", token.map(str::to_owned)),
            ("x-acs-signature-nonce", Some(self.nonce.to_owned())),
            ("x-acs-version", Some(self.version.to_owned())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Returns the names of the signed headers, and the canonical request to hash. The path is
    /// always `/`, that of a call in RPC style, whatever a proxy puts before it.
    fn canonical(&self, headers: &[(&'static str, String)]) -> (String, String) {
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request =
            format!("POST\n/\n{}\n{lines}\n{names}\n{}", self.query, sha256_hex(self.body));
        (names, request)
    }
}

/// Formats a time as `2026-01-02T03:04:05Z`.
fn format_date(at: Timestamp) -> String {
    let day = Day::containing(at);
    let second = at.since(day.start()).as_secs();
    format!("{day}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use civil_time::rfc3339::parse_timestamp;

    use super::{Credentials, UnsignedRequest, sha256_hex};

    const BODY: &[u8] = b"ServiceParameters=%7B%22content%22%3A%22hello%20%E4%BD%A0%E5%A5%BD%20a%2Bb%2Ac~%22%2C%22sessionId%22%3A%220123456789abcdef0123%22%2C%22requestFrom%22%3A%22CIPFrom%2FAIGateway%22%7D";

    fn moderation() -> UnsignedRequest<'static> {
        UnsignedRequest {
            host: "green-cip.cn-shanghai.aliyuncs.com",
            query: "Service=llm_query_moderation",
            content_type: Some("application/x-www-form-urlencoded"),
            action: "TextModerationPlus",
            version: "2022-03-02",
            body: BODY,
            now: parse_timestamp("2026-01-02T03:04:05Z").unwrap(),
            nonce: "00000000-0000-4000-8000-000000000001",
        }
    }

    #[track_caller]
    fn assert_signed(
        request: &UnsignedRequest<'_>,
        who: &Credentials<'_>,
        hash: &str,
        authorization: &str,
    ) {
        let (_, canonical) = request.canonical(&request.headers(who.token));
        assert_eq!(sha256_hex(canonical.as_bytes()), hash);
        let signed = request.sign(who);
        assert_eq!(signed.last().unwrap(), &("authorization", authorization.to_owned()));
        assert!(signed.iter().all(|(name, _)| *name != "host"));
    }

    #[test]
    fn alibaba_vector_is_signed() {
        let request = UnsignedRequest {
            host: "ecs.cn-shanghai.aliyuncs.com",
            query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
            content_type: None,
            action: "RunInstances",
            version: "2014-05-26",
            body: b"",
            now: parse_timestamp("2023-10-26T10:22:32Z").unwrap(),
            nonce: "3156853299f313e23d1673dc12e1703d",
        };
        let who = Credentials { id: "YourAccessKeyId", secret: "YourAccessKeySecret", token: None };
        assert_signed(
            &request,
            &who,
            "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
        );
    }

    #[test]
    fn moderation_vector_is_signed() {
        assert_eq!(
            sha256_hex(BODY),
            "729514670ecaa28f56775131f84ffb7ee7123389c11e504d86fca0cec84ea9ff"
        );
        assert_signed(
            &moderation(),
            &Credentials { id: "testid", secret: "testsecret", token: None },
            "cbe7b4744f14539a4f559b5e13897db5088a731b6dc7929649cc393583185502",
            "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature=bed2e59291047e2369e04d04f9ea281af39d1539eaab3fcc98bfc307334cb9a2",
        );
    }

    #[test]
    fn token_of_temporary_key_is_sent_and_signed() {
        let who = Credentials { id: "testid", secret: "testsecret", token: Some("sts") };
        let signed = moderation().sign(&who);
        assert!(signed.contains(&("x-acs-security-token", "sts".to_owned())));
        let (_, authorization) = signed.last().unwrap();
        assert!(authorization.contains("x-acs-date;x-acs-security-token;x-acs-signature-nonce"));
        assert!(!authorization.ends_with("34cb9a2"));
    }
}

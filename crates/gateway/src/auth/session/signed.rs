//! The value of a session's cookie: a version, the session in hexadecimal, and its HMAC.

use civil_time::Timestamp;
use config::SessionTimes;
use secret::KeyDigest;
use serde::{Deserialize, Serialize};

use crate::auth::keys::{KeyHash, Pepper, random_chars};
use crate::host::Clock;

/// Version of the format. Another one is unknown, and its sessions end.
const VERSION: &str = "1";

/// Longest value: names of operators are short.
const MAX_VALUE_BYTES: usize = 2_048;

/// 22 letters and digits are more than 2¹²⁸.
const ID_CHARS: usize = 22;

/// Hexadecimal digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// A sign-in of an operator. The role is not in it: it is looked up for every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Name of the operator.
    pub(crate) operator: String,
    /// Time of the sign-in.
    pub(crate) issued: Timestamp,
    /// Time of the last call that was not a poll, at most a minute ago.
    pub(crate) renewed: Timestamp,
    /// Time at which the entry in the list of sessions was written.
    pub(crate) listed: Timestamp,
    /// Keyed hash of the operator's token: another token ends the session.
    fingerprint: String,
}

impl Session {
    /// Creates the session of a sign-in with this token.
    pub(crate) fn new(
        clock: &impl Clock,
        key: &SessionKey,
        operator: &str,
        token: &KeyDigest,
    ) -> Self {
        let now = clock.now();
        Self {
            id: format!("ses_{}", random_chars(clock, ID_CHARS)),
            operator: operator.to_owned(),
            issued: now,
            renewed: now,
            listed: now,
            fingerprint: key.fingerprint(token),
        }
    }

    /// Whether the operator's token is the one of the sign-in.
    pub(crate) fn has_token(&self, key: &SessionKey, token: &KeyDigest) -> bool {
        self.fingerprint == key.fingerprint(token)
    }

    /// The same session, used at `now`.
    pub(crate) fn renew(&self, now: Timestamp) -> Self {
        Self { renewed: now, ..self.clone() }
    }

    /// The end of the session if no further call renews it.
    pub(crate) fn end(&self, times: SessionTimes) -> Timestamp {
        (self.issued + times.total).min(self.renewed + times.idle)
    }
}

/// Signs sessions: a key that is derived from `KEY_PEPPER`.
#[derive(Clone, Debug)]
pub(crate) struct SessionKey(Pepper);

impl SessionKey {
    pub(crate) fn new(pepper: &Pepper) -> Self {
        // No issued or adopted key contains a space, so no key has this digest.
        Self(pepper.derive("serin console session 1"))
    }

    /// The cookie's value of a session.
    pub(crate) fn sign(&self, session: &Session) -> String {
        let json = serde_json::to_vec(session).expect("all members are plain");
        let signed = format!("{VERSION}.{}", base16ct::lower::encode_string(&json));
        let mac = self.0.digest(&signed).to_hex();
        format!("{signed}.{mac}")
    }

    /// The session of a cookie's value. `None` if it was not signed with this key.
    pub(crate) fn verify(&self, value: &str) -> Option<Session> {
        if value.len() > MAX_VALUE_BYTES {
            return None;
        }
        let (signed, mac) = value.rsplit_once('.')?;
        if !self.0.matches(signed, &KeyHash::from_hex(mac)?) {
            return None;
        }
        let (version, json) = signed.split_once('.')?;
        let json = base16ct::lower::decode_vec(json).ok().filter(|_| version == VERSION)?;
        json::from_bytes(&json).ok()
    }

    /// A keyed hash, since a copied cookie must not help to guess the token.
    fn fingerprint(&self, token: &KeyDigest) -> String {
        let hex = base16ct::lower::encode_string(token.as_bytes());
        let mut digits = self.0.digest(&format!("token {hex}")).to_hex();
        digits.truncate(FINGERPRINT_DIGITS);
        digits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::SessionTimes;
    use secret::{KeyDigest, Secret};

    use crate::auth::keys::Pepper;
    use crate::testing::fake_host::FakeHost;

    use super::{Session, SessionKey};

    fn key(pepper: &str) -> SessionKey {
        SessionKey::new(&Pepper::new(&Secret::new(pepper)).expect("it is not empty"))
    }

    #[test]
    fn signed_session_is_read_back_under_its_key_only() {
        let (host, token) = (FakeHost::new(), KeyDigest::new("a-token"));
        let session = Session::new(&host, &key("a"), "ada", &token);
        let value = key("a").sign(&session);
        assert_eq!(key("a").verify(&value), Some(session.clone()));
        assert_eq!(key("b").verify(&value), None);
        assert!(session.has_token(&key("a"), &token));
        assert!(!session.has_token(&key("a"), &KeyDigest::new("another")));
        assert!(!value.contains("a-token"));
        for at in 0..value.len() {
            let mut wrong = value.clone().into_bytes();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert_eq!(key("a").verify(&wrong), None, "{at}");
        }
        for wrong in ["", ".", "..", "1..", &value[1..], &"1.".repeat(2_000)] {
            assert_eq!(key("a").verify(wrong), None);
        }
    }

    #[test]
    fn session_ends_when_idle_and_in_any_case() {
        let host = FakeHost::new();
        let mut session = Session::new(&host, &key("a"), "ada", &KeyDigest::new("t"));
        let times = SessionTimes::default();
        assert_eq!(session.end(times), session.issued + times.idle);
        session.renewed = session.issued + (times.total - Duration::from_secs(1));
        assert_eq!(session.end(times), session.issued + times.total);
    }
}

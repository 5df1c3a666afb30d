//! Cache key: a digest of everything that an answer depends on, and its key in the store.

use config::CacheScope;
use json::percent::{self, UNRESERVED};
use openai::Endpoint;
use sha2::{Digest, Sha256};

use super::canonical::CanonicalRequest;

/// A change of this version invalidates all earlier entries.
const KEY_VERSION: &[u8] = b"serin cache 1";

/// Prefix of all cache keys in the store.
const CACHE_KEY_PREFIX: &str = "cache/";

/// Longer parts of a key are replaced by their digest: a store's keys hold 512 bytes.
const MAX_PART_BYTES: usize = 120;

/// Consumers who may be served an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKeyScope<'a> {
    /// One consumer.
    Consumer(&'a str),
    /// The members of a group.
    Group(&'a str),
    /// Every consumer.
    All,
}

impl<'a> CacheKeyScope<'a> {
    /// Scope of a consumer's requests.
    pub(crate) fn from_config(
        scope: CacheScope,
        consumer: &'a str,
        group: Option<&'a str>,
    ) -> Self {
        match (scope, group) {
            (CacheScope::Consumer, _) | (CacheScope::Group, None) => Self::Consumer(consumer),
            (CacheScope::Group, Some(group)) => Self::Group(group),
            (CacheScope::All, _) => Self::All,
        }
    }

    fn key_part(self) -> String {
        match self {
            Self::Consumer(id) => format!("c.{}", key_part(id)),
            Self::Group(id) => format!("g.{}", key_part(id)),
            Self::All => "all".to_owned(),
        }
    }
}

/// Properties of the request, apart from its body, that an answer depends on.
#[derive(Clone, Copy, Debug)]
pub struct CacheSubject<'a> {
    /// Consumers who may be served the entry.
    pub scope: CacheKeyScope<'a>,
    /// Id of the route.
    pub route: &'a str,
    /// Endpoint of the request.
    pub endpoint: Endpoint,
    /// The selected `provider/model`: a canary's answers are separate.
    pub target: &'a str,
    /// Fingerprint of the guards: an answer that other guards have checked is another entry.
    pub guards: &'a [u8],
    /// Protocol and body of a caller that does not speak Chat: its Chat form may lack a part.
    pub original: Option<(&'a str, &'a [u8])>,
}

/// Digest that equal requests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Key of a request. Every part is preceded by its length, so that no part can pass for the end
    /// of another.
    pub fn new(subject: &CacheSubject<'_>, request: &CanonicalRequest) -> Self {
        let scope = match subject.scope {
            CacheKeyScope::Consumer(id) => [b"c", id.as_bytes()],
            CacheKeyScope::Group(id) => [b"g", id.as_bytes()],
            CacheKeyScope::All => [b"a".as_slice(), b""],
        };
        let parts = [
            KEY_VERSION,
            scope[0],
            scope[1],
            subject.route.as_bytes(),
            subject.endpoint.path().as_bytes(),
            subject.target.as_bytes(),
            subject.guards,
            &request.text,
        ];
        let mut hash = Sha256::new();
        let original = subject.original.map(|(protocol, body)| [protocol.as_bytes(), body]);
        for part in parts.into_iter().chain(original.into_iter().flatten()) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Key in the store: by route, then by scope, so that entries of either can be listed.
    pub(crate) fn storage_key(&self, subject: &CacheSubject<'_>) -> String {
        let mut name = key_prefix(Some(subject.route), Some(subject.scope));
        name.push_str(&base16ct::lower::encode_string(&self.0));
        name
    }
}

/// Prefix of the keys of a route, or of a scope in a route.
pub(crate) fn key_prefix(route: Option<&str>, scope: Option<CacheKeyScope<'_>>) -> String {
    let mut names = CACHE_KEY_PREFIX.to_owned();
    if let Some(route) = route {
        names.push_str(&key_part(route));
        names.push('/');
        if let Some(scope) = scope {
            names.push_str(&scope.key_part());
            names.push('/');
        }
    }
    names
}

/// Encodes a text as a part of a key: ASCII without slashes, of bounded length.
pub(crate) fn key_part(text: &str) -> String {
    let mut part = String::new();
    percent::encode(text, &UNRESERVED, &mut part);
    if part.len() > MAX_PART_BYTES {
        part.clear();
        // No encoded text begins with `+`.
        part.push('+');
        part.push_str(&base16ct::lower::encode_string(&Sha256::digest(text.as_bytes())));
    }
    part
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use config::CacheScope;
    use openai::Endpoint;

    use super::{CacheKey, CacheKeyScope, CacheSubject, CanonicalRequest, key_prefix};

    const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;

    fn subject() -> CacheSubject<'static> {
        CacheSubject {
            scope: CacheKeyScope::Consumer("a"),
            route: "chat",
            endpoint: Endpoint::ChatCompletions,
            target: "openai/gpt-4o",
            guards: b"",
            original: None,
        }
    }

    #[test]
    fn every_part_changes_the_key() {
        let request = CanonicalRequest::parse(BODY).expect("an object");
        let all = [
            subject(),
            CacheSubject { scope: CacheKeyScope::Consumer("b"), ..subject() },
            CacheSubject { scope: CacheKeyScope::Group("a"), ..subject() },
            CacheSubject { scope: CacheKeyScope::All, ..subject() },
            CacheSubject { route: "other", ..subject() },
            CacheSubject { endpoint: Endpoint::Completions, ..subject() },
            CacheSubject { target: "deepseek/deepseek-chat", ..subject() },
            // The same letters, divided differently.
            CacheSubject { route: "chato", target: "penai/gpt-4o", ..subject() },
            CacheSubject { scope: CacheKeyScope::Consumer(""), route: "achat", ..subject() },
            // After a change of guards, earlier entries are not served.
            CacheSubject { guards: b"words", ..subject() },
            CacheSubject { original: Some(("messages", b"{}")), ..subject() },
            CacheSubject { original: Some(("responses", b"{}")), ..subject() },
            CacheSubject { guards: b"words, pii", ..subject() },
        ];
        let keys: BTreeSet<CacheKey> = all.iter().map(|one| CacheKey::new(one, &request)).collect();
        assert_eq!(keys.len(), all.len());
        assert!(keys.contains(&CacheKey::new(&subject(), &request)), "the same is the same");
        let other = CanonicalRequest::parse(br#"{"model":"m","messages":[]}"#).expect("an object");
        assert!(!keys.contains(&CacheKey::new(&subject(), &other)));
    }

    #[test]
    fn scope_depends_on_consumer_and_group() {
        let of = |scope, group| CacheKeyScope::from_config(scope, "a", group);
        assert_eq!(of(CacheScope::Consumer, Some("g")), CacheKeyScope::Consumer("a"));
        assert_eq!(of(CacheScope::Group, Some("g")), CacheKeyScope::Group("g"));
        assert_eq!(of(CacheScope::Group, None), CacheKeyScope::Consumer("a"));
        assert_eq!(of(CacheScope::All, Some("g")), CacheKeyScope::All);
    }

    #[test]
    fn storage_keys_can_be_listed_and_fit_a_store() {
        let request = CanonicalRequest::parse(BODY).expect("an object");
        let long = "ü/".repeat(300);
        let scopes = [
            CacheKeyScope::Consumer("a"),
            CacheKeyScope::Group("a"),
            CacheKeyScope::All,
            CacheKeyScope::Consumer(&long),
        ];
        for scope in scopes {
            for route in ["chat", &long] {
                let subject = CacheSubject { scope, route, ..subject() };
                let name = CacheKey::new(&subject, &request).storage_key(&subject);
                assert!(name.len() <= 512 && name.bytes().all(|byte| byte.is_ascii_graphic()));
                assert_eq!(name.split('/').count(), 4, "{name}");
                for prefix in [
                    key_prefix(None, None),
                    key_prefix(Some(route), None),
                    key_prefix(Some(route), Some(scope)),
                ] {
                    assert!(name.starts_with(&prefix), "{name} {prefix}");
                }
            }
        }
        // No consumer's prefix is a prefix of another's keys, and no route's.
        assert!(!key_prefix(Some("ab"), None).starts_with(&key_prefix(Some("a"), None)));
        let of = |scope| key_prefix(Some("chat"), Some(scope));
        assert!(!of(CacheKeyScope::Consumer("ab")).starts_with(&of(CacheKeyScope::Consumer("a"))));
        assert_ne!(
            of(CacheKeyScope::Consumer("a/b")),
            key_prefix(Some("chat/c.a"), Some(CacheKeyScope::Consumer("b")))
        );
    }
}

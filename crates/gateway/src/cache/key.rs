//! Under which name an answer is kept.

use openai::{Endpoint, percent_encode};
use sha2::{Digest, Sha256};

use crate::config::CacheScope;

use super::canonical::Canonical;

/// Another number makes all that was kept before unknown.
const VERSION: &[u8] = b"serin cache 1";

/// How the names of all answers begin.
const NAMES: &str = "cache/";

/// Parts of names that would be longer are told by their digest: a store takes names of 512 bytes.
const LONGEST_PART: usize = 120;

/// Who may be served an answer, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// One consumer.
    Consumer(&'a str),
    /// The members of a group.
    Group(&'a str),
    /// Everybody.
    All,
}

impl<'a> Scope<'a> {
    /// The scope of a consumer's requests.
    pub fn of(scope: CacheScope, consumer: &'a str, group: Option<&'a str>) -> Self {
        match (scope, group) {
            (CacheScope::Consumer, _) | (CacheScope::Group, None) => Self::Consumer(consumer),
            (CacheScope::Group, Some(group)) => Self::Group(group),
            (CacheScope::All, _) => Self::All,
        }
    }

    fn part(self) -> String {
        match self {
            Self::Consumer(id) => format!("c.{}", part(id)),
            Self::Group(id) => format!("g.{}", part(id)),
            Self::All => "all".to_owned(),
        }
    }
}

/// What an answer depends on beside the request's body.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who may be served it.
    pub scope: Scope<'a>,
    /// The route's id.
    pub route: &'a str,
    /// What was asked for.
    pub endpoint: Endpoint,
    /// The `provider/model` that was chosen: the sides of a canary do not mix.
    pub target: &'a str,
    /// What guards watch it: an answer that was checked otherwise is another one.
    pub guards: &'a [u8],
}

/// What makes requests the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a request. Every part is preceded by its length, so that none can pass for the end of
    /// another.
    pub fn of(subject: &Subject<'_>, request: &Canonical) -> Self {
        let scope = match subject.scope {
            Scope::Consumer(id) => [b"c", id.as_bytes()],
            Scope::Group(id) => [b"g", id.as_bytes()],
            Scope::All => [b"a".as_slice(), b""],
        };
        let parts = [
            VERSION,
            scope[0],
            scope[1],
            subject.route.as_bytes(),
            subject.endpoint.path().as_bytes(),
            subject.target.as_bytes(),
            subject.guards,
            &request.text,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Its name in the store: by route, then by scope, so that either can be found.
    pub fn name(&self, subject: &Subject<'_>) -> String {
        let mut name = names(Some(subject.route), Some(subject.scope));
        name.push_str(&base16ct::lower::encode_string(&self.0));
        name
    }
}

/// How the names of the answers of a route, or of a scope in a route, begin.
pub fn names(route: Option<&str>, scope: Option<Scope<'_>>) -> String {
    let mut names = NAMES.to_owned();
    if let Some(route) = route {
        names.push_str(&part(route));
        names.push('/');
        if let Some(scope) = scope {
            names.push_str(&scope.part());
            names.push('/');
        }
    }
    names
}

/// A text as a part of a name: ASCII without slashes, of bounded length.
pub fn part(text: &str) -> String {
    let mut part = String::new();
    percent_encode(text, &mut part);
    if part.len() > LONGEST_PART {
        part.clear();
        // No encoded text begins so.
        part.push('+');
        part.push_str(&base16ct::lower::encode_string(&Sha256::digest(text.as_bytes())));
    }
    part
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openai::Endpoint;

    use super::{Canonical, Key, Scope, Subject, names};
    use crate::config::CacheScope;

    const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;

    fn subject() -> Subject<'static> {
        Subject {
            scope: Scope::Consumer("a"),
            route: "chat",
            endpoint: Endpoint::ChatCompletions,
            target: "openai/gpt-4o",
            guards: b"",
        }
    }

    #[test]
    fn every_part_counts_and_none_can_pass_for_another() {
        let request = Canonical::of(BODY).expect("an object");
        let all = [
            subject(),
            Subject { scope: Scope::Consumer("b"), ..subject() },
            Subject { scope: Scope::Group("a"), ..subject() },
            Subject { scope: Scope::All, ..subject() },
            Subject { route: "other", ..subject() },
            Subject { endpoint: Endpoint::Completions, ..subject() },
            Subject { target: "deepseek/deepseek-chat", ..subject() },
            // The same letters, divided otherwise.
            Subject { route: "chato", target: "penai/gpt-4o", ..subject() },
            Subject { scope: Scope::Consumer(""), route: "achat", ..subject() },
            // Guards were changed: what was checked before is not served.
            Subject { guards: b"words", ..subject() },
            Subject { guards: b"words, pii", ..subject() },
        ];
        let keys: BTreeSet<Key> = all.iter().map(|one| Key::of(one, &request)).collect();
        assert_eq!(keys.len(), all.len());
        assert!(keys.contains(&Key::of(&subject(), &request)), "the same is the same");
        let other = Canonical::of(br#"{"model":"m","messages":[]}"#).expect("an object");
        assert!(!keys.contains(&Key::of(&subject(), &other)));
    }

    #[test]
    fn who_is_in_which_scope() {
        let of = |scope, group| Scope::of(scope, "a", group);
        assert_eq!(of(CacheScope::Consumer, Some("g")), Scope::Consumer("a"));
        assert_eq!(of(CacheScope::Group, Some("g")), Scope::Group("g"));
        assert_eq!(of(CacheScope::Group, None), Scope::Consumer("a"));
        assert_eq!(of(CacheScope::All, Some("g")), Scope::All);
    }

    #[test]
    fn names_can_be_listed_and_kept() {
        let request = Canonical::of(BODY).expect("an object");
        let long = "ü/".repeat(300);
        let scopes = [Scope::Consumer("a"), Scope::Group("a"), Scope::All, Scope::Consumer(&long)];
        for scope in scopes {
            for route in ["chat", &long] {
                let subject = Subject { scope, route, ..subject() };
                let name = Key::of(&subject, &request).name(&subject);
                assert!(name.len() <= 512 && name.bytes().all(|byte| byte.is_ascii_graphic()));
                assert_eq!(name.split('/').count(), 4, "{name}");
                for prefix in
                    [names(None, None), names(Some(route), None), names(Some(route), Some(scope))]
                {
                    assert!(name.starts_with(&prefix), "{name} {prefix}");
                }
            }
        }
        // One consumer's names never begin with another's, nor one route's.
        assert!(!names(Some("ab"), None).starts_with(&names(Some("a"), None)));
        let of = |scope| names(Some("chat"), Some(scope));
        assert!(!of(Scope::Consumer("ab")).starts_with(&of(Scope::Consumer("a"))));
        assert_ne!(of(Scope::Consumer("a/b")), names(Some("chat/c.a"), Some(Scope::Consumer("b"))));
    }
}

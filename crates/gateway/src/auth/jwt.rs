//! Authentication by JSON Web Tokens of configured issuers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::{Config, Consumer, Issuer, IssuerKeys, Permissions, TokenGroups, UnknownSubjects};
use http::Method;
use http::header::ACCEPT;
use jwt::{KeySet, Rejection, Rules};
use secret::KeyDigest;

use crate::auth::keys::{self, KeyCache, KeyStore};
use crate::error::{Error, Fault, Refusal};
use crate::fifo_cache::FifoCache;
use crate::host::Host;
use crate::host::error::HostError;
use crate::host::futures::until_timer;

use super::caller::ANONYMOUS;

/// Timeout for fetching an issuer's keys.
const JWKS_FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a key set, in bytes.
const MAX_JWKS_BYTES: usize = 256 << 10;
/// Minimum time between two fetches of a key set, whatever tokens name.
const MIN_JWKS_REFRESH_INTERVAL: Duration = Duration::from_secs(30);
/// Time for which fetched keys are used while their issuer is unavailable.
const MAX_JWKS_STALENESS: Duration = Duration::from_secs(24 * 60 * 60);
/// Time for which a verified token is not verified again, unless it expires earlier: a signature
/// costs 1 to 2 ms of the edge's time.
const VERIFIED_TOKEN_TTL: Duration = Duration::from_secs(60);
/// Interval at which a request looks for the keys that another one fetches.
const JWKS_POLL_INTERVAL: Duration = Duration::from_millis(25);
const MAX_VERIFIED_TOKENS: usize = 1_024;

/// Verified tokens and fetched key sets of a gateway.
#[derive(Debug)]
pub(crate) struct JwtAuthenticator {
    verified: RefCell<FifoCache<KeyDigest, VerifiedToken>>,
    /// One for each issuer, in the order of the configuration.
    jwks: RefCell<Vec<CachedJwks>>,
}

#[derive(Debug)]
struct VerifiedToken {
    consumer: Rc<Consumer>,
    until: Timestamp,
    /// Number of changes to consumers and keys here, when the token was verified.
    change_count: u64,
}

/// An issuer's keys as fetched.
#[derive(Clone, Debug, Default)]
struct CachedJwks {
    keys: Option<Rc<KeySet>>,
    fetched_at: Timestamp,
    attempted_at: Option<Timestamp>,
    /// Start of the first fetch, while it is under way. Later ones leave the old keys in use.
    fetching_since: Option<Timestamp>,
}

impl JwtAuthenticator {
    /// An authenticator with empty caches.
    pub(crate) fn new(config: &Config) -> Self {
        let keys = vec![CachedJwks::default(); config.auth.issuers.len()];
        Self {
            verified: RefCell::new(FifoCache::new(MAX_VERIFIED_TOKENS)),
            jwks: RefCell::new(keys),
        }
    }

    /// An authenticator for a new configuration, with the fetched keys of the issuers that are in
    /// both.
    pub(crate) fn carry_over(&self, old: &Config, new: &Config) -> Self {
        let url = |issuer: &Issuer| match &issuer.keys {
            IssuerKeys::Inline(_) | IssuerKeys::Missing => None,
            IssuerKeys::Url { url, .. } => Some(url.clone()),
        };
        let jwt = Self::new(new);
        for (at, issuer) in new.auth.issuers.iter().enumerate() {
            let same = |other: &Issuer| other.issuer == issuer.issuer && url(other) == url(issuer);
            if let Some(found) = old.auth.issuers.iter().position(same) {
                let cached = self.jwks.borrow()[found].clone();
                // A fetch that is under way ends in the old gateway.
                jwt.jwks.borrow_mut()[at] = CachedJwks { fetching_since: None, ..cached };
            }
        }
        jwt
    }

    /// Returns the consumer of a token.
    pub(crate) async fn authenticate<P: Host>(
        &self,
        (config, key_cache): (&Config, Option<&KeyCache>),
        host: &P,
        token: &str,
    ) -> Result<Rc<Consumer>, Error> {
        let name = KeyDigest::new(token);
        let now = host.now();
        let change_count = key_cache.map_or(0, KeyCache::change_count);
        // After a change of a consumer here, its settings are read again.
        let is_current =
            |it: &&mut VerifiedToken| now < it.until && it.change_count == change_count;
        if let Some(verified) = self.verified.borrow_mut().get_mut(&name).filter(is_current) {
            return Ok(Rc::clone(&verified.consumer));
        }
        let refused = || Error::from(Refusal::InvalidKey { presented: true });
        let issuer_name = jwt::read_unverified(token)
            .and_then(|unverified| unverified.issuer)
            .ok_or_else(refused)?;
        let issuers = config.auth.issuers.iter().enumerate();
        let (position, issuer) = issuers
            .into_iter()
            .find(|(_, issuer)| issuer.issuer == issuer_name)
            .ok_or_else(refused)?;
        let rules = Rules {
            issuer: Some(&issuer.issuer),
            audiences: &issuer.audiences,
            token_type: issuer.token_type.as_deref(),
            max_lifetime: issuer.max_lifetime,
            skew: issuer.skew,
        };
        let claims = match &issuer.keys {
            IssuerKeys::Missing => return Err(Fault::AuthenticationUnavailable.into()),
            IssuerKeys::Inline(keys) => jwt::verify(token, keys, &rules, now),
            IssuerKeys::Url { url, keep } => {
                let source = JwksSource { position, url, max_age: *keep };
                let keys = self.jwks(host, &source, false).await?;
                match jwt::verify(token, &keys, &rules, host.now()) {
                    // The issuer may have added a key.
                    Err(Rejection::UnknownKey) => {
                        let keys = self.jwks(host, &source, true).await?;
                        jwt::verify(token, &keys, &rules, host.now())
                    }
                    known => known,
                }
            }
        };
        let claims = claims.map_err(|_| refused())?;
        let subject = TokenSubject { config, issuer, claims: &claims };
        let consumer = subject.load_consumer(host, key_cache).await?.ok_or_else(refused)?;
        let consumer = Rc::new(consumer);
        let until = (claims.expires_at() + issuer.skew).min(now + VERIFIED_TOKEN_TTL);
        let verified = VerifiedToken { consumer: Rc::clone(&consumer), until, change_count };
        self.verified.borrow_mut().insert(name, verified);
        Ok(consumer)
    }

    /// The keys at a URL, from the cache while they are fresh.
    async fn jwks<P: Host>(
        &self,
        host: &P,
        source: &JwksSource<'_>,
        force_refresh: bool,
    ) -> Result<Rc<KeySet>, Error> {
        self.wait_for_first_fetch(host, source.position).await;
        let now = host.now();
        let cached = self.jwks.borrow()[source.position].clone();
        let age = now.since(cached.fetched_at);
        let fresh = age < source.max_age && !force_refresh;
        let recently_attempted =
            cached.attempted_at.is_some_and(|tried| now.since(tried) < MIN_JWKS_REFRESH_INTERVAL);
        // Keys that were removed since must not be valid for as long as their issuer is unavailable.
        let usable = fresh || (recently_attempted && age < MAX_JWKS_STALENESS);
        if let Some(keys) = cached.keys.as_ref().filter(|_| usable) {
            return Ok(Rc::clone(keys));
        }
        if recently_attempted {
            return Err(Fault::AuthenticationUnavailable.into());
        }
        let fetch = JwksFetch::start(&self.jwks, source.position, cached.keys.is_none(), now);
        let fetched = until_timer(fetch_jwks(host, source), host.sleep(JWKS_FETCH_TIMEOUT)).await;
        drop(fetch);
        let now = host.now();
        self.jwks.borrow_mut()[source.position].attempted_at = Some(now);
        match fetched.and_then(Result::ok) {
            Some(keys) => {
                let keys = Rc::new(keys);
                let cached = &mut self.jwks.borrow_mut()[source.position];
                (cached.keys, cached.fetched_at) = (Some(Rc::clone(&keys)), now);
                Ok(keys)
            }
            None => cached
                .keys
                .filter(|_| now.since(cached.fetched_at) < MAX_JWKS_STALENESS)
                .ok_or_else(|| Fault::AuthenticationUnavailable.into()),
        }
    }

    /// Waits while another request fetches the first keys. It polls by its own timer, because on Workers a
    /// request must not await another one's I/O; if that request ends early, the next one fetches.
    async fn wait_for_first_fetch<P: Host>(&self, host: &P, position: usize) {
        loop {
            let started = self.jwks.borrow()[position].fetching_since;
            let is_running =
                started.is_some_and(|started| host.now().since(started) < JWKS_FETCH_TIMEOUT);
            if !is_running {
                return;
            }
            host.sleep(JWKS_POLL_INTERVAL).await;
        }
    }
}

/// A fetch of a key set. Dropping it lets other requests fetch.
struct JwksFetch<'a> {
    jwks: &'a RefCell<Vec<CachedJwks>>,
    position: usize,
}

impl<'a> JwksFetch<'a> {
    fn start(
        jwks: &'a RefCell<Vec<CachedJwks>>,
        position: usize,
        is_first: bool,
        now: Timestamp,
    ) -> Self {
        let cached = &mut jwks.borrow_mut()[position];
        if is_first {
            cached.fetching_since = Some(now);
        } else {
            // Other requests use the old keys meanwhile.
            cached.attempted_at = Some(now);
        }
        Self { jwks, position }
    }
}

impl Drop for JwksFetch<'_> {
    fn drop(&mut self) {
        self.jwks.borrow_mut()[self.position].fetching_since = None;
    }
}

struct JwksSource<'a> {
    position: usize,
    url: &'a http::Uri,
    max_age: Duration,
}

async fn fetch_jwks<P: Host>(host: &P, source: &JwksSource<'_>) -> Result<KeySet, HostError> {
    let mut request = http::Request::new(Bytes::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = source.url.clone();
    request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("application/json"));
    let response = host.fetch(request).await?;
    if !response.status().is_success() {
        return Err(HostError::new(format!("status {}", response.status())));
    }
    let body = response.into_body().collect(MAX_JWKS_BYTES).await;
    let body = body.map_err(|_| HostError::new("reading the key set failed"))?;
    KeySet::from_jwks(&body).map_err(HostError::new)
}

/// The subject of a verified token.
struct TokenSubject<'a> {
    config: &'a Config,
    issuer: &'a Issuer,
    claims: &'a jwt::Claims,
}

impl TokenSubject<'_> {
    /// The consumer that the claims name: one of the configuration, one of the admin API, or one that only
    /// the issuer defines. `None` if the token is refused.
    async fn load_consumer<P: Host>(
        &self,
        host: &P,
        key_cache: Option<&KeyCache>,
    ) -> Result<Option<Consumer>, Error> {
        let Some(id) = self.consumer_id() else { return Ok(None) };
        if let Some(configured) = self.config.consumers.iter().find(|consumer| consumer.id == id) {
            return Ok(Some(configured.clone()));
        }
        // A token must not grant more than a key does.
        if let Some(key_cache) = key_cache.filter(|_| keys::is_storable_id(&id)) {
            let unavailable = |_| Fault::AuthenticationUnavailable;
            let stored = key_cache.load_consumer(host, self.config, &id).await;
            if let Some(stored) = stored.map_err(unavailable)? {
                return Ok(Some(stored));
            }
            if KeyStore::new(host, key_cache).is_deleted(&id).await.map_err(unavailable)? {
                return Ok(None);
            }
        }
        Ok(match self.issuer.unknown {
            UnknownSubjects::Refuse => None,
            UnknownSubjects::Admit => self.group().map(|group| Consumer {
                id,
                group,
                disabled: false,
                keys: Vec::new(),
                permissions: Permissions::default(),
            }),
        })
    }

    /// The consumer's name, within the issuer's namespace.
    fn consumer_id(&self) -> Option<String> {
        let claim = self.claims.get_text(&self.issuer.consumer_claim)?;
        let id = match &self.issuer.namespace {
            Some(namespace) => format!("{namespace}.{claim}"),
            None => claim.to_owned(),
        };
        // Subjects of one issuer must not name those of another one's namespace.
        let is_foreign = |other: &Issuer| {
            other.namespace.as_ref().is_some_and(|namespace| {
                other.issuer != self.issuer.issuer
                    && id.strip_prefix(namespace.as_str()).is_some_and(|it| it.starts_with('.'))
                    && self.issuer.namespace.as_ref().is_none_or(|own| own.len() < namespace.len())
            })
        };
        let is_valid = !claim.is_empty() && is_valid_name(&id) && id != ANONYMOUS;
        (is_valid && !self.config.auth.issuers.iter().any(is_foreign)).then_some(id)
    }

    /// The group that the claims name. `None` refuses the token: without a group, no rule of a group would
    /// apply to it.
    fn group(&self) -> Option<Option<String>> {
        let Some(path) = &self.issuer.group_claim else { return Some(None) };
        let is_usable = |group: &&str| match self.issuer.groups {
            TokenGroups::Any => true,
            TokenGroups::Listed => self.config.group(group).is_some(),
        };
        match self.claims.get_text(path) {
            Some(group) if !is_valid_name(group) => None,
            None if self.claims.has(path) => None,
            group => {
                let group = group.filter(is_usable).or(self.issuer.default_group.as_deref());
                group.map(|group| Some(group.to_owned()))
            }
        }
    }
}

/// Whether a claim may stand in logs, headers, and account names: e-mail addresses, URLs, and
/// numbers may.
fn is_valid_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::Config;

    use crate::testing::fake_host::{FakeHost, block_on, block_on_both, poll_times};

    use super::{JwksSource, JwtAuthenticator};

    const DOCUMENT: &str = r#"{
        "auth": { "jwt": [{ "issuer": "https://id.example.com/", "jwks_url": "https://id.example.com/jwks" }] }
    }"#;
    /// The key of RFC 7515, appendix A.3.
    const JWKS: &str = r#"{ "keys": [{ "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }] }"#;

    struct Fixture {
        host: FakeHost,
        authenticator: JwtAuthenticator,
        url: http::Uri,
    }

    impl Fixture {
        fn new() -> Self {
            let config = Config::from_json(DOCUMENT, &|_| None).expect("the document is right");
            let url = http::Uri::from_static("https://id.example.com/jwks");
            Self { host: FakeHost::new(), authenticator: JwtAuthenticator::new(&config), url }
        }

        async fn has_keys(&self) -> bool {
            let max_age = Duration::from_secs(600);
            let source = JwksSource { position: 0, url: &self.url, max_age };
            self.authenticator.jwks(&self.host, &source, false).await.is_ok()
        }
    }

    #[test]
    fn first_keys_are_fetched_once_for_concurrent_requests() {
        let fixture = Fixture::new();
        fixture.host.set_response(Some(JWKS));
        assert_eq!(block_on_both(fixture.has_keys(), fixture.has_keys()), (true, true));
        assert_eq!(fixture.host.take_fetches(), 1);
    }

    #[test]
    fn fetch_of_a_request_that_ends_early_is_taken_over() {
        let fixture = Fixture::new();
        fixture.host.set_response(Some(JWKS));
        assert_eq!(poll_times(1, fixture.has_keys()), None);
        assert!(block_on(fixture.has_keys()));
        assert_eq!(fixture.host.take_fetches(), 2);
    }

    #[test]
    fn keys_are_never_used_a_day_after_their_fetch() {
        let fixture = Fixture::new();
        fixture.host.set_response(Some(JWKS));
        assert!(block_on(fixture.has_keys()));
        fixture.host.set_response(None);
        for (hours, expected) in [(1, true), (22, true), (2, false)] {
            fixture.host.advance(Duration::from_secs(hours * 3_600));
            // The first request fetches, the second one finds that a fetch has failed.
            for _ in 0..2 {
                assert_eq!(block_on(fixture.has_keys()), expected, "{hours} hours later");
            }
        }
        fixture.host.set_response(Some(JWKS));
        fixture.host.advance(Duration::from_secs(31));
        assert!(block_on(fixture.has_keys()));
    }
}

//! Authentication by JSON Web Tokens of configured issuers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::{Config, Consumer, Issuer, IssuerKeys, Permissions};
use http::Method;
use http::header::ACCEPT;
use jwt::{KeySet, Rejection, Rules};
use secret::KeyDigest;

use crate::auth::keys::{self, KeyCache};
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
}

/// An issuer's keys as fetched.
#[derive(Clone, Debug, Default)]
struct CachedJwks {
    keys: Option<Rc<KeySet>>,
    fetched_at: Timestamp,
    attempted_at: Option<Timestamp>,
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
            IssuerKeys::Inline(_) => None,
            IssuerKeys::Url { url, .. } => Some(url.clone()),
        };
        let jwt = Self::new(new);
        for (at, issuer) in new.auth.issuers.iter().enumerate() {
            let same = |other: &Issuer| other.issuer == issuer.issuer && url(other) == url(issuer);
            if let Some(found) = old.auth.issuers.iter().position(same) {
                jwt.jwks.borrow_mut()[at] = self.jwks.borrow()[found].clone();
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
        if let Some(verified) =
            self.verified.borrow_mut().get_mut(&name).filter(|it| now < it.until)
        {
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
        let rules =
            Rules { issuer: Some(&issuer.issuer), audiences: &issuer.audiences, skew: issuer.skew };
        let claims = match &issuer.keys {
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
        let consumer = consumer_from_claims(config, issuer, &claims).ok_or_else(refused)?;
        let consumer = Rc::new(with_stored_settings((config, key_cache), host, consumer).await?);
        let until = (claims.expires_at() + issuer.skew).min(now + VERIFIED_TOKEN_TTL);
        let verified = VerifiedToken { consumer: Rc::clone(&consumer), until };
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
        let now = host.now();
        let cached = self.jwks.borrow()[source.position].clone();
        let fresh = now.since(cached.fetched_at) < source.max_age && !force_refresh;
        let recently_attempted =
            cached.attempted_at.is_some_and(|tried| now.since(tried) < MIN_JWKS_REFRESH_INTERVAL);
        if let Some(keys) = cached.keys.as_ref().filter(|_| fresh || recently_attempted) {
            return Ok(Rc::clone(keys));
        }
        if recently_attempted {
            return Err(Fault::AuthenticationUnavailable.into());
        }
        // Without any keys, concurrent requests fetch too: a caller who leaves must not keep all
        // others out.
        if cached.keys.is_some() {
            self.jwks.borrow_mut()[source.position].attempted_at = Some(now);
        }
        let fetched = until_timer(fetch_jwks(host, source), host.sleep(JWKS_FETCH_TIMEOUT)).await;
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

/// The same consumer with its settings from the admin API, if there are any: a token must not grant
/// more than a key does.
async fn with_stored_settings<P: Host>(
    (config, key_cache): (&Config, Option<&KeyCache>),
    host: &P,
    consumer: Consumer,
) -> Result<Consumer, Error> {
    let is_configured = config.consumers.iter().any(|it| it.id == consumer.id);
    let Some(key_cache) =
        key_cache.filter(|_| !is_configured && keys::is_storable_id(&consumer.id))
    else {
        return Ok(consumer);
    };
    let cached = key_cache.load_consumer(host, config, &consumer.id).await;
    Ok(cached.map_err(|_| Fault::AuthenticationUnavailable)?.unwrap_or(consumer))
}

/// The consumer that claims name: one of the configuration with its settings, or one that only the
/// issuer defines.
fn consumer_from_claims(
    config: &Config,
    issuer: &Issuer,
    claims: &jwt::Claims,
) -> Option<Consumer> {
    let id = claims
        .get_text(&issuer.consumer_claim)
        .filter(|id| is_valid_name(id) && *id != ANONYMOUS)?;
    if let Some(configured) = config.consumers.iter().find(|consumer| consumer.id == id) {
        return Some(configured.clone());
    }
    let path = issuer.group_claim.as_deref();
    let group = path.and_then(|path| claims.get_text(path));
    // An invalid group would count as none, and bypass its group's limits.
    if group.is_some_and(|group| !is_valid_name(group))
        || (group.is_none() && path.is_some_and(|path| claims.has(path)))
    {
        return None;
    }
    Some(Consumer {
        id: id.to_owned(),
        group: group.map(str::to_owned),
        keys: Vec::new(),
        permissions: Permissions::default(),
    })
}

/// Whether a claim may stand in logs, headers, and account names: e-mail addresses, URLs, and
/// numbers may.
fn is_valid_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

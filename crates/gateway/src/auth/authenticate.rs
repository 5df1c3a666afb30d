//! Authentication of callers.

use config::{Config, Consumer, ConsumerIndex, KeySource};
use http::{HeaderMap, HeaderName};
use protocol::model::Protocol;
use secret::KeyDigest;

use crate::auth::keys::{KeyCache, Pepper};
use crate::error::{Error, Fault, Refusal};
use crate::host::Host;
use crate::request::headers::bearer_token;

use super::caller::{Caller, ConsumerSource};
use super::jwt::JwtAuthenticator;

/// Sources of known callers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authenticator<'a> {
    /// The configuration and its keys.
    pub config: &'a Config,
    /// The secret that hashes issued keys; `None` if there are no issued keys.
    pub pepper: Option<&'a Pepper>,
    /// Issued keys.
    pub key_cache: &'a KeyCache,
    /// Issuers of tokens.
    pub jwt_authenticator: &'a JwtAuthenticator,
}

impl<'a> Authenticator<'a> {
    /// Authenticates the caller by the first configured place that holds a known key: a key of the
    /// configuration, an issued key, or a JSON Web Token. Client libraries always send some key, so a
    /// place with an unknown one does not hide a later one.
    pub(crate) async fn authenticate<P: Host>(
        &self,
        host: &P,
        headers: &HeaderMap,
        protocol: Protocol,
    ) -> Result<Caller<'a>, Error> {
        let config = self.config;
        let mut tried: Vec<&str> = Vec::new();
        let mut error = None;
        for source in config.auth.sources.iter().chain(own_sources(protocol)) {
            let Some(key) = presented_key(source, headers) else { continue };
            if tried.contains(&key) {
                continue;
            }
            tried.push(key);
            match self.authenticate_key(host, key).await {
                Ok(Some(known)) if known.consumer().disabled => {
                    return Err(Refusal::ConsumerDisabled.into());
                }
                Ok(Some(known)) => return Ok(Caller::from_consumer(config, known, source)),
                Ok(None) => {}
                // An unavailable store is reported only if no other place has a known key, and rather
                // than a refused token.
                Err(found) if !matches!(error, Some(Error::Fault(_))) => error = Some(found),
                Err(_) => {}
            }
        }
        match error {
            Some(error) => Err(error),
            None if config.auth.required => {
                Err(Refusal::InvalidKey { presented: !tried.is_empty() }.into())
            }
            None => Ok(Caller::ANONYMOUS),
        }
    }

    async fn authenticate_key<P: Host>(
        &self,
        host: &P,
        key: &str,
    ) -> Result<Option<ConsumerSource<'a>>, Error> {
        let config = self.config;
        if let Some(index) = find_owner(&config.consumers, &KeyDigest::new(key)) {
            return Ok(Some(ConsumerSource::Configured(config.consumer(index))));
        }
        if !config.auth.issuers.is_empty() && jwt::looks_like_jwt(key) {
            // Without a pepper the admin API has created no consumers, and the host may have no
            // store.
            let key_cache = self.pepper.map(|_| self.key_cache);
            let consumer =
                self.jwt_authenticator.authenticate((config, key_cache), host, key).await?;
            return Ok(Some(ConsumerSource::Dynamic(consumer)));
        }
        let Some(pepper) = self.pepper else { return Ok(None) };
        let found = self.key_cache.lookup(host, config, pepper, key).await;
        let found = found.map_err(|error| {
            host.warn(&format!("API key lookup failed: {error}"));
            Fault::AuthenticationUnavailable
        })?;
        Ok(found.map(ConsumerSource::Issued))
    }
}

/// Places of a key that clients of a protocol use by themselves, besides the configured ones.
fn own_sources(protocol: Protocol) -> &'static [KeySource] {
    static MESSAGES: [KeySource; 2] =
        [KeySource::Header(HeaderName::from_static("x-api-key")), KeySource::Bearer];
    match protocol {
        Protocol::Chat | Protocol::Responses => &[],
        Protocol::Messages => &MESSAGES,
    }
}

fn presented_key<'h>(source: &KeySource, headers: &'h HeaderMap) -> Option<&'h str> {
    match source {
        KeySource::Bearer => bearer_token(headers),
        KeySource::Header(name) => {
            let key = headers.get(name)?.to_str().ok()?.trim();
            (!key.is_empty()).then_some(key)
        }
    }
}

/// Compares with every key of every consumer, so that the time taken does not reveal a near miss.
fn find_owner(consumers: &[Consumer], presented: &KeyDigest) -> Option<ConsumerIndex> {
    let mut found = None;
    for (index, consumer) in consumers.iter().enumerate() {
        for key in &consumer.keys {
            if bool::from(key.matches(presented)) {
                found = Some(ConsumerIndex(index));
            }
        }
    }
    found
}

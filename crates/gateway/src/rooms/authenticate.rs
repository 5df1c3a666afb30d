//! Who calls.

use std::rc::Rc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::config::{Config, Consumer, ConsumerIndex, Group, KeySource, Permissions, RouteIndex};
use crate::error::{Error, Fault, Refusal};
use crate::jwt;
use crate::keys::{Directory, Pepper};
use crate::platform::Platform;
use crate::secret::KeyDigest;

use super::vouch::Vouchers;

/// Where callers are known from.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a> {
    /// The configuration and its keys.
    pub config: &'a Config,
    /// The secret under which issued keys are kept; without it there are none.
    pub pepper: Option<&'a Pepper>,
    /// Issued keys.
    pub directory: &'a Directory,
    /// Issuers of tokens.
    pub vouchers: &'a Vouchers,
}

/// Somebody who may call: a consumer whose key was presented, or anybody where none is required.
#[derive(Debug)]
pub struct Caller<'a> {
    consumer: Option<Known<'a>>,
    group: Option<&'a Group>,
}

/// A consumer, wherever it is known from.
#[derive(Debug)]
enum Known<'a> {
    /// The configuration.
    Configured(&'a Consumer),
    /// The store, or the word of an issuer.
    Remembered(Rc<Consumer>),
}

/// The name of a caller without a key.
pub const ANONYMOUS: &str = "anonymous";

impl<'a> Caller<'a> {
    /// Looks for a key in the configured places; the first place that holds one decides. It may be
    /// a key of the configuration, one that was issued, or a token that an issuer signed.
    pub async fn authenticate<P: Platform>(
        registry: &Registry<'a>,
        platform: &P,
        headers: &HeaderMap,
    ) -> Result<Self, Error> {
        let config = registry.config;
        let key = config.auth.sources.iter().find_map(|source| presented(source, headers));
        let known = match key {
            Some(key) => Self::find(registry, platform, key).await,
            None => Ok(None),
        };
        match known {
            Ok(Some(known)) => Ok(Self::known(config, known)),
            Ok(None) if config.auth.required => {
                Err(Refusal::InvalidKey { presented: key.is_some() }.into())
            }
            // Client libraries always send some key, so an unknown one means no more than none.
            Ok(None) => Ok(Self { consumer: None, group: None }),
            Err(error) => Err(error),
        }
    }

    async fn find<P: Platform>(
        registry: &Registry<'a>,
        platform: &P,
        key: &str,
    ) -> Result<Option<Known<'a>>, Error> {
        let config = registry.config;
        if let Some(index) = owner(&config.consumers, &KeyDigest::of(key)) {
            return Ok(Some(Known::Configured(config.consumer(index))));
        }
        if !config.auth.issuers.is_empty() && jwt::looks_like(key) {
            let consumer = registry.vouchers.vouch(registry, platform, key).await?;
            return Ok(Some(Known::Remembered(consumer)));
        }
        let Some(pepper) = registry.pepper else { return Ok(None) };
        let found = registry.directory.find(platform, config, pepper, key).await;
        let found = found.map_err(|outage| {
            platform.warn(&format!("nobody can say whose key it is: {outage}"));
            Fault::AuthenticationUnavailable
        })?;
        Ok(found.map(|found| Known::Remembered(Rc::clone(&found.consumer))))
    }

    fn known(config: &'a Config, consumer: Known<'a>) -> Self {
        let group = consumer.get().group.as_deref().and_then(|id| config.group(id));
        Self { consumer: Some(consumer), group }
    }

    /// The consumer's name, or `anonymous`.
    pub fn id(&self) -> &str {
        self.proven().unwrap_or(ANONYMOUS)
    }

    /// The consumer's name, where one was proven.
    pub fn proven(&self) -> Option<&str> {
        self.consumer.as_ref().map(|consumer| consumer.get().id.as_str())
    }

    /// The consumer's group.
    pub fn group(&self) -> Option<&str> {
        self.consumer.as_ref().and_then(|consumer| consumer.get().group.as_deref())
    }

    /// What it may do: by its own permissions and by its group's, of which each must hold.
    pub fn permissions(&self) -> impl Iterator<Item = &Permissions> {
        let own = self.consumer.as_ref().map(|consumer| &consumer.get().permissions);
        own.into_iter().chain(self.group.map(|group| &group.permissions))
    }

    /// Whether this caller may use a route.
    pub fn may_use(&self, route: RouteIndex) -> bool {
        self.permissions()
            .all(|may| may.routes.as_ref().is_none_or(|routes| routes.contains(&route)))
    }
}

impl Known<'_> {
    fn get(&self) -> &Consumer {
        match self {
            Self::Configured(consumer) => consumer,
            Self::Remembered(consumer) => consumer,
        }
    }
}

fn presented<'h>(source: &KeySource, headers: &'h HeaderMap) -> Option<&'h str> {
    let key = match source {
        KeySource::Bearer => {
            let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key)?
        }
        KeySource::Header(name) => headers.get(name)?.to_str().ok()?,
    };
    Some(key.trim()).filter(|key| !key.is_empty())
}

/// Compares with every key of every consumer, so that the time taken tells nothing of a near miss.
fn owner(consumers: &[Consumer], presented: &KeyDigest) -> Option<ConsumerIndex> {
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

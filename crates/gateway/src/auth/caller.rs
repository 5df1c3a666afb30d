//! The caller of a request, after authentication.

use std::rc::Rc;

use config::{Config, Consumer, Group, KeySource, Permissions, RouteIndex};

use super::keys::KeyOwner;

/// A caller: a consumer whose key was presented, or an anonymous client if no key is required.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    consumer: Option<ConsumerSource<'a>>,
    key_source: Option<&'a KeySource>,
    group: Option<&'a Group>,
}

/// A consumer and its source.
#[derive(Debug)]
pub(crate) enum ConsumerSource<'a> {
    /// From the configuration.
    Configured(&'a Consumer),
    /// The owner of an issued key.
    Issued(Rc<KeyOwner>),
    /// From the store, or from an issuer's token.
    Dynamic(Rc<Consumer>),
}

/// The consumer as which an operator makes a request, in the request's extensions. Nothing that a caller
/// sends becomes one.
#[derive(Clone, Debug)]
pub(crate) struct ActingConsumer(pub(crate) Option<Consumer>);

impl ActingConsumer {
    /// The caller of the request.
    pub(crate) fn caller<'a>(&self, config: &'a Config) -> Caller<'a> {
        let Some(consumer) = &self.0 else { return Caller::ANONYMOUS };
        let consumer = ConsumerSource::Dynamic(Rc::new(consumer.clone()));
        Caller { key_source: None, ..Caller::from_consumer(config, consumer, &KeySource::Bearer) }
    }
}

/// The name of a caller without a key.
pub(crate) const ANONYMOUS: &str = "anonymous";

impl<'a> Caller<'a> {
    /// A caller without a key.
    pub(crate) const ANONYMOUS: Self = Self { consumer: None, key_source: None, group: None };

    /// A consumer as a caller, with its group in this configuration.
    pub(crate) fn from_consumer(
        config: &'a Config,
        consumer: ConsumerSource<'a>,
        key_source: &'a KeySource,
    ) -> Self {
        let group = consumer.consumer().group.as_deref().and_then(|id| config.group(id));
        Self { consumer: Some(consumer), key_source: Some(key_source), group }
    }

    /// The place of the request that held the key, as `[auth] sources` names it.
    pub(crate) fn key_source(&self) -> Option<String> {
        self.key_source.map(|source| match source {
            KeySource::Bearer => "bearer".to_owned(),
            KeySource::Header(name) => format!("header:{name}"),
        })
    }

    /// The id of the issued key that was presented.
    pub(crate) fn key_id(&self) -> Option<&str> {
        match self.consumer.as_ref()? {
            ConsumerSource::Issued(owner) => Some(&owner.key_id),
            ConsumerSource::Configured(_) | ConsumerSource::Dynamic(_) => None,
        }
    }

    /// The consumer's name, or `anonymous`.
    pub(crate) fn id(&self) -> &str {
        self.authenticated_id().unwrap_or(ANONYMOUS)
    }

    /// The consumer's name; `None` if the caller is anonymous.
    pub(crate) fn authenticated_id(&self) -> Option<&str> {
        self.consumer.as_ref().map(|consumer| consumer.consumer().id.as_str())
    }

    /// The consumer's group.
    pub(crate) fn group(&self) -> Option<&str> {
        self.consumer.as_ref().and_then(|consumer| consumer.consumer().group.as_deref())
    }

    /// The consumer's own permissions and its group's; all of them apply.
    pub(crate) fn permissions(&self) -> impl Iterator<Item = &Permissions> {
        let own = self.consumer.as_ref().map(|consumer| &consumer.consumer().permissions);
        own.into_iter().chain(self.group.map(|group| &group.permissions))
    }

    /// Whether the caller may use a route.
    pub(crate) fn may_use(&self, route: RouteIndex) -> bool {
        self.permissions()
            .all(|may| may.routes.as_ref().is_none_or(|routes| routes.contains(&route)))
    }
}

impl ConsumerSource<'_> {
    /// Its settings.
    pub(super) fn consumer(&self) -> &Consumer {
        match self {
            Self::Configured(consumer) => consumer,
            Self::Issued(owner) => &owner.consumer,
            Self::Dynamic(consumer) => consumer,
        }
    }
}

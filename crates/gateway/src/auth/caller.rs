//! The caller of a request, once it is authenticated.

use std::rc::Rc;

use config::{Config, Consumer, Group, Permissions, RouteIndex};

/// Somebody who may call: a consumer whose key was presented, or anybody where none is required.
#[derive(Debug)]
pub struct Caller<'a> {
    consumer: Option<ConsumerSource<'a>>,
    group: Option<&'a Group>,
}

/// A consumer, wherever it is known from.
#[derive(Debug)]
pub(crate) enum ConsumerSource<'a> {
    /// The configuration.
    Configured(&'a Consumer),
    /// The store, or the word of an issuer.
    Dynamic(Rc<Consumer>),
}

/// The name of a caller without a key.
pub const ANONYMOUS: &str = "anonymous";

impl<'a> Caller<'a> {
    /// A caller without a key.
    pub(crate) const ANONYMOUS: Self = Self { consumer: None, group: None };

    /// A consumer as a caller, with its group in this configuration.
    pub(crate) fn from_consumer(config: &'a Config, consumer: ConsumerSource<'a>) -> Self {
        let group = consumer.consumer().group.as_deref().and_then(|id| config.group(id));
        Self { consumer: Some(consumer), group }
    }

    /// The consumer's name, or `anonymous`.
    pub fn id(&self) -> &str {
        self.authenticated_id().unwrap_or(ANONYMOUS)
    }

    /// The consumer's name, where one was proven.
    pub fn authenticated_id(&self) -> Option<&str> {
        self.consumer.as_ref().map(|consumer| consumer.consumer().id.as_str())
    }

    /// The consumer's group.
    pub fn group(&self) -> Option<&str> {
        self.consumer.as_ref().and_then(|consumer| consumer.consumer().group.as_deref())
    }

    /// What it may do: by its own permissions and by its group's, of which each must hold.
    pub fn permissions(&self) -> impl Iterator<Item = &Permissions> {
        let own = self.consumer.as_ref().map(|consumer| &consumer.consumer().permissions);
        own.into_iter().chain(self.group.map(|group| &group.permissions))
    }

    /// Whether this caller may use a route.
    pub fn may_use(&self, route: RouteIndex) -> bool {
        self.permissions()
            .all(|may| may.routes.as_ref().is_none_or(|routes| routes.contains(&route)))
    }
}

impl ConsumerSource<'_> {
    fn consumer(&self) -> &Consumer {
        match self {
            Self::Configured(consumer) => consumer,
            Self::Dynamic(consumer) => consumer,
        }
    }
}

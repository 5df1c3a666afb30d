//! Positions in the lists of a [`Config`](crate::Config). Parsing creates them, so that none dangles.

/// The position of a provider in [`Config::providers`](crate::Config::providers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderIndex(pub(super) usize);

/// The position of a route in [`Config::routes`](crate::Config::routes). State that outlives a
/// configuration is kept by the route's id: the position means another route in another document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub(super) usize);

/// The position of a consumer in [`Config::consumers`](crate::Config::consumers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerIndex(pub usize);

impl ProviderIndex {
    /// The position, for state that is indexed like the configuration.
    pub fn position(self) -> usize {
        self.0
    }
}

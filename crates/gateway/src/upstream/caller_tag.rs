//! Tags of callers in the state of upstreams: one caller alone must not close a target to others.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU64;

/// Distinguishes callers in the state of upstreams, without keeping their names. The default is for
/// failures without a known caller: anonymous requests, and failures that no request can cause.
///
/// Two callers with equal tags count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallerTag(Option<NonZeroU64>);

impl CallerTag {
    /// No known caller.
    pub(crate) const ANYONE: Self = Self(None);

    /// The tag of a consumer; the default without one.
    pub(crate) fn new(consumer: Option<&str>) -> Self {
        Self(consumer.map(|consumer| {
            let mut hasher = DefaultHasher::new();
            consumer.hash(&mut hasher);
            NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN)
        }))
    }

    /// Whether this is one certain caller.
    pub(crate) fn is_known(self) -> bool {
        self.0.is_some()
    }
}

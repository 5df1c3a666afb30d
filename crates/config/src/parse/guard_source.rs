//! Input that the parsers of every kind of guard share.

use guards::Level;

use super::super::raw;
use super::ids::IdIndex;

/// The levels of [`raw::LEVELS`].
pub(super) const LEVELS: [Level; 3] = [Level::Low, Level::Medium, Level::High];

/// Input to the parser of one guard.
pub(super) struct GuardSource<'a> {
    /// The whole document.
    pub(super) document: &'a raw::Document,
    /// The guard as written.
    pub(super) raw: &'a raw::Guard,
    /// The ids of the providers.
    pub(super) providers: &'a IdIndex<'a>,
}

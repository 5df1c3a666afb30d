//! Days and months of the calendar, in a time zone.

use crate::time::Timestamp;

/// A time zone by its IANA name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(());

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(());

    /// Finds a zone.
    pub fn find(name: &str) -> Option<Self> {
        (name == "UTC").then_some(Self::UTC)
    }

    /// The calendar day that `now` is in.
    pub fn day(self, now: Timestamp) -> Stretch {
        Stretch { start: now, end: now }
    }

    /// The calendar month that `now` is in.
    pub fn month(self, now: Timestamp) -> Stretch {
        Stretch { start: now, end: now }
    }
}

/// A stretch of time: from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

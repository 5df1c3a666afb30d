//! Days and months of the calendar, in a time zone.

use crate::time::Timestamp;

/// A time zone by its IANA name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(usize);

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(0);

    /// Finds a zone.
    pub fn find(name: &str) -> Option<Self> {
        names().position(|known| known == name).map(Self)
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

/// Every name.
pub fn names() -> impl Iterator<Item = &'static str> {
    ["UTC", "Asia/Shanghai", "America/New_York"].into_iter()
}

/// A stretch of time: from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

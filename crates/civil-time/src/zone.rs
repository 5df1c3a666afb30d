//! Calendar days and months in a time zone, for limits such as "20 requests a day, Asia/Shanghai".
//!
//! `zones.txt` has the rule that each zone of the time zone database keeps from the day it names
//! on, with today's aliases. It is written by `zones.py`, whose first lines say how; the tests
//! compare it with Python's reading of the same database (`days.py`).
//!
//! This module formats no dates, knows no abbreviations and no history: for a moment before the
//! table's day it applies today's rule. A rule repeats every year, and so cannot say everything:
//!
//! - America/Havana stays on summer time in the winter of 2026. Its row has one offset until a
//!   moment, and the rule from then on; the same serves where a rule is announced before it acts.
//! - Asia/Gaza and Asia/Hebron leave summer time during Ramadan, which the database foretells from
//!   October 2036 on. The table has their rule without it: for those weeks, days are an hour off.
//! - Africa/Casablanca and Africa/El_Aaiun did the same until September 2026 and are on UTC all
//!   year since. Should that come back, `zones.py` says so.

use crate::date::{CivilDate, SECONDS_PER_DAY};
use crate::timestamp::Timestamp;
use crate::tz_rule::TzRule;

/// Rows of one rule, each followed by the names of the zones that keep it, one a line. Names are
/// whole, since they are handed out as they are; the bundle's compression takes their likeness out.
const ZONE_TABLE: &str = include_str!("zone/zones.txt");

/// A time zone, of which only its clock is kept: names whose clocks agree from now on are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(TzRule);

/// A stretch of time: from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment within.
    pub start: Timestamp,
    /// The first moment behind.
    pub end: Timestamp,
}

impl TimeRange {
    /// From one second since the epoch to another. What is before the epoch is taken for the epoch.
    fn new(start: i64, end: i64) -> Self {
        let moment = |seconds: i64| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            Timestamp::from_millis(seconds.saturating_mul(1_000))
        };
        Self { start: moment(start), end: moment(end) }
    }
}

impl Zone {
    /// Coordinated Universal Time: every day has 24 hours.
    pub const UTC: Self = Self(TzRule::UTC);

    /// Finds a zone by its IANA name, aliases such as "Asia/Calcutta" included. Case counts.
    pub fn lookup(name: &str) -> Option<Self> {
        let mut rule = "";
        for line in ZONE_TABLE.lines() {
            if !is_zone_name(line) {
                rule = line;
            } else if line == name {
                return TzRule::parse(rule).map(Self);
            }
        }
        None
    }

    /// The calendar day that `now` is in: 24 hours, or fewer or more where the clock is changed.
    /// Where midnight is skipped, a day begins at the first moment of its date; where it is struck
    /// twice, at the first stroke, so that days never mix.
    pub fn day(self, now: Timestamp) -> TimeRange {
        let day = self.day_number(now);
        TimeRange::new(self.0.midnight(day), self.0.midnight(day + 1))
    }

    /// The calendar month that `now` is in: exactly its days.
    pub fn month(self, now: Timestamp) -> TimeRange {
        let CivilDate { year, month, .. } = CivilDate::from_day_number(self.day_number(now));
        let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = |year, month| self.0.midnight(CivilDate { year, month, day: 1 }.day_number());
        TimeRange::new(first(year, month), first(next_year, next))
    }

    /// The number of the day that `now` is in, counted from 1970-01-01.
    fn day_number(self, now: Timestamp) -> i64 {
        let at = (now.as_millis() / 1_000).cast_signed();
        let day = (at + self.0.offset_at(at)).div_euclid(SECONDS_PER_DAY);
        // The clock may show yesterday again when today has begun.
        if self.0.midnight(day + 1) <= at { day + 1 } else { day }
    }
}

/// Every name that [`Zone::lookup`] finds, aliases included.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    ZONE_TABLE.lines().filter(|line| is_zone_name(line))
}

/// Whether a line of the table is a name: rules begin with a sign, the heading with a hash.
fn is_zone_name(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;

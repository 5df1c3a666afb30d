//! Calendar days and months in a time zone, for limits such as "20 requests a day, Asia/Shanghai".
//!
//! `zones.txt` contains the rule of each zone in the IANA database, valid from the day in its first line,
//! with the current aliases. `zones.py` generates it; its first lines describe how. The tests compare it with
//! Python's reading of the same database (`days.py`).
//!
//! This module formats no dates and has no abbreviations and no history: before the table's day it applies
//! the current rule. A rule repeats every year, so there are exceptions:
//!
//! - America/Havana stays on daylight saving time in the winter of 2026. Its row has one offset until a given
//!   second, and the rule from then on. The same form fits a rule that is announced early.
//! - Asia/Gaza and Asia/Hebron leave daylight saving time during Ramadan, which the database predicts from
//!   October 2036 on. The table omits this: in those weeks, days are an hour off.
//! - Africa/Casablanca and Africa/El_Aaiun did the same until September 2026, and use UTC since. If that
//!   returns, `zones.py` reports it.

use crate::date::{CivilDate, SECONDS_PER_DAY};
use crate::timestamp::Timestamp;
use crate::tz_rule::TzRule;

/// Rules, each followed by the names of its zones, one a line. Names are complete, since callers receive them
/// unchanged; the bundle's compression removes their common parts.
const ZONE_TABLE: &str = include_str!("zone/zones.txt");

/// A time zone. Zones with the same rule are equal, whatever their names.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    rule: TzRule,
    name: &'static str,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule
    }
}

impl Eq for Zone {}

/// A half-open range of time: `start` is included, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first millisecond in the range.
    pub start: Timestamp,
    /// The first millisecond after the range.
    pub end: Timestamp,
}

impl TimeRange {
    /// Makes a range from seconds since the epoch. Clamps to the epoch.
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
    pub const UTC: Self = Self { rule: TzRule::UTC, name: "UTC" };

    /// Finds a zone by its IANA name, aliases such as "Asia/Calcutta" included. Case-sensitive.
    pub fn lookup(name: &str) -> Option<Self> {
        let mut rule = "";
        for line in ZONE_TABLE.lines() {
            if !is_zone_name(line) {
                rule = line;
            } else if line == name {
                return TzRule::parse(rule).map(|rule| Self { rule, name: line });
            }
        }
        None
    }

    /// The IANA name by which it was found.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The calendar day that contains `now`: 24 hours, or fewer or more with a transition. If midnight is
    /// skipped, a day begins at the first second of its date. If midnight occurs twice, the first one counts, so
    /// that days never overlap.
    pub fn day(self, now: Timestamp) -> TimeRange {
        self.date(self.day_number(now))
    }

    /// The calendar day of a number since 1970-01-01, as [`crate::rfc3339::parse_date`] returns it.
    pub fn date(self, day: i64) -> TimeRange {
        TimeRange::new(self.rule.midnight(day), self.rule.midnight(day + 1))
    }

    /// The calendar month that contains `now`: exactly its days.
    pub fn month(self, now: Timestamp) -> TimeRange {
        let CivilDate { year, month, .. } = CivilDate::from_day_number(self.day_number(now));
        let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first =
            |year, month| self.rule.midnight(CivilDate { year, month, day: 1 }.day_number());
        TimeRange::new(first(year, month), first(next_year, next))
    }

    /// The number of the local day that contains `now`, counted from 1970-01-01.
    fn day_number(self, now: Timestamp) -> i64 {
        let at = (now.as_millis() / 1_000).cast_signed();
        let day = (at + self.rule.offset_at(at)).div_euclid(SECONDS_PER_DAY);
        // Local time may return to the previous date after a day has begun.
        if self.rule.midnight(day + 1) <= at { day + 1 } else { day }
    }
}

/// Every name that [`Zone::lookup`] finds, aliases included.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    ZONE_TABLE.lines().filter(|line| is_zone_name(line))
}

/// Whether a line of the table is a name. Rules begin with a sign, the heading with a hash.
fn is_zone_name(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;

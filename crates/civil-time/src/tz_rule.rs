//! Rule of a time zone: its offsets from UTC and their transitions. Names of zones are in [`crate::zone`].

use super::date::{CivilDate, SECONDS_PER_DAY};

/// The offsets of a zone in seconds east of UTC, the same in every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TzRule {
    standard: i32,
    daylight_saving: Option<DaylightSaving>,
    earlier: Option<EarlierOffset>,
}

/// The part of the year with another offset. In Ireland it is the winter, by law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DaylightSaving {
    offset: i32,
    starts: Transition,
    ends: Transition,
}

/// A transition of every year in local time before it: on the `week`th of a weekday in a month (5: the last),
/// at `time` seconds from midnight, which may be negative or days ahead. Never in January or December
/// (`zones.py` ensures it), so that each transition stays within its year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transition {
    month: u8,
    week: u8,
    weekday: u8,
    time: i32,
}

/// The one offset before the rule begins; `moment` is in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EarlierOffset {
    moment: i64,
    offset: i32,
}

impl TzRule {
    /// Coordinated Universal Time, without transitions.
    pub(crate) const UTC: Self = Self { standard: 0, daylight_saving: None, earlier: None };

    /// Parses a row such as `-300 -240 3.2.0/0 11.1.0/60 until 1805000400 -240`: offsets and times in minutes,
    /// the moment in seconds. `None` if the row is malformed.
    pub(crate) fn parse(row: &str) -> Option<Self> {
        let mut words = row.split_ascii_whitespace();
        let mut rule = Self { standard: parse_minutes(words.next()?)?, ..Self::UTC };
        let mut word = words.next();
        if let Some(offset) = word.filter(|word| *word != "until") {
            rule.daylight_saving = Some(DaylightSaving {
                offset: parse_minutes(offset)?,
                starts: Transition::parse(words.next()?)?,
                ends: Transition::parse(words.next()?)?,
            });
            word = words.next();
        }
        if word.is_some() {
            rule.earlier = Some(EarlierOffset {
                moment: words.next()?.parse().ok()?,
                offset: parse_minutes(words.next()?)?,
            });
        }
        words.next().is_none().then_some(rule)
    }

    /// The offset from UTC at a second since the epoch, in seconds.
    pub(crate) fn offset_at(&self, at: i64) -> i64 {
        if let Some(until) = self.earlier
            && at < until.moment
        {
            return i64::from(until.offset);
        }
        let standard = i64::from(self.standard);
        let Some(summer) = self.daylight_saving else { return standard };
        let offset = i64::from(summer.offset);
        let year = CivilDate::from_day_number((at + standard).div_euclid(SECONDS_PER_DAY)).year;
        let starts = summer.starts.local_seconds(year) - standard;
        let ends = summer.ends.local_seconds(year) - offset;
        // South of the equator the year begins and ends in summer.
        let is_summer =
            if starts < ends { starts <= at && at < ends } else { at < ends || starts <= at };
        if is_summer { offset } else { standard }
    }

    /// The first second of a local day, which is numbered from 1970-01-01: its midnight, or the transition that
    /// skips it.
    pub(crate) fn midnight(&self, day: i64) -> i64 {
        let wanted = day * SECONDS_PER_DAY;
        let offsets = [
            self.standard,
            self.daylight_saving.map_or(self.standard, |summer| summer.offset),
            self.earlier.map_or(self.standard, |until| until.offset),
        ]
        .map(i64::from);
        let [min, max] = offsets
            .iter()
            .fold([offsets[0]; 2], |[min, max], offset| [min.min(*offset), max.max(*offset)]);
        let has_arrived = |at| at + self.offset_at(at) >= wanted;
        // Before `early` no offset of this zone reaches the day, and at `late` every one does. Between the two,
        // local time arrives at most once, unless it is there from the beginning.
        let (mut early, mut late) = (wanted - max, wanted - min);
        if has_arrived(early) {
            return early;
        }
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            if has_arrived(middle) { late = middle } else { early = middle }
        }
        late
    }
}

impl Transition {
    /// Parses "3.2.0/120" as in POSIX: month, week, and weekday (0: Sunday), then minutes.
    fn parse(word: &str) -> Option<Self> {
        let (date, time) = word.split_once('/')?;
        let mut parts = date.split('.').map(|part| part.parse().ok());
        let mut part = || parts.next().flatten();
        Some(Self { month: part()?, week: part()?, weekday: part()?, time: parse_minutes(time)? })
    }

    /// The local time of the transition in a year, in seconds since 1970-01-01 local time.
    fn local_seconds(self, year: i64) -> i64 {
        let first = CivilDate { year, month: i64::from(self.month), day: 1 }.day_number();
        // 1970-01-01 was a Thursday, the fourth day after a Sunday.
        let ahead = (i64::from(self.weekday) - first - 4).rem_euclid(7);
        let mut day = first + ahead + 7 * (i64::from(self.week) - 1);
        if CivilDate::from_day_number(day).month != i64::from(self.month) {
            // The month has no fifth of this weekday, so the fourth is the last.
            day -= 7;
        }
        day * SECONDS_PER_DAY + i64::from(self.time)
    }
}

/// Parses minutes into seconds.
fn parse_minutes(word: &str) -> Option<i32> {
    word.parse::<i32>().ok()?.checked_mul(60)
}

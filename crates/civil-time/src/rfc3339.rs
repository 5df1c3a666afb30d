//! Dates of universal time as text (RFC 3339), and moments that people write down.
//!
//! It knows no time zone but an offset that stands in the text; days of other zones are
//! [`crate::zone`]'s.

use std::time::Duration;

use crate::timestamp::Timestamp;

const MILLIS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;

/// A day of universal time, as its number since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u64);

impl Day {
    /// The day that a moment is in.
    pub const fn containing(at: Timestamp) -> Self {
        Self(at.as_millis() / MILLIS_PER_DAY)
    }

    /// Its first moment.
    pub const fn start(self) -> Timestamp {
        Timestamp::from_millis(self.0 * MILLIS_PER_DAY)
    }

    /// The day after it.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Day {
    /// `2026-01-31`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil_from_days(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// The last moment that four digits of a year can name; later ones are a mistake.
const MAX_EPOCH_SECOND: u64 = 253_402_300_799;

/// Reads a moment: whole seconds since the epoch, or a date and time after RFC 3339
/// (`2026-01-31T09:00:00Z`, `…T10:00:00.5+01:00`). From 1970 to the end of 9999.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return from_epoch_seconds(text.parse().ok()?);
    }
    let digits = |range: std::ops::Range<usize>| -> Option<u64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let stands = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let is_shaped = stands(4, b'-') && stands(7, b'-') && stands(13, b':') && stands(16, b':');
    if !is_shaped || !(stands(10, b'T') || stands(10, b't')) {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    // RFC 3339 lets a leap second be written; like a host's clock, we let the next one begin.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &text[19..];
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit())?;
        let padded: String = fraction[..end].chars().chain("000".chars()).take(3).collect();
        millis = padded.parse().ok().filter(|_| end > 0)?;
        rest = &fraction[end..];
    }
    let local = (days_from_civil(year, month, day)? * 24 + hour) * 60 + minute;
    let minutes = match rest.as_bytes() {
        [b'Z' | b'z'] => local,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - 5;
            let (hours, minutes) = (digits(at..at + 2)?, digits(at + 3..at + 5)?);
            let offset = hours * 60 + minutes;
            if hours > 23 || minutes > 59 {
                return None;
            }
            if *sign == b'+' { local.checked_sub(offset)? } else { local + offset }
        }
        _ => return None,
    };
    Some(from_epoch_seconds(minutes * 60 + second)? + Duration::from_millis(millis))
}

fn from_epoch_seconds(since_epoch: u64) -> Option<Timestamp> {
    (since_epoch <= MAX_EPOCH_SECOND).then(|| Timestamp::from_millis(since_epoch * 1_000))
}

/// The day of a date, from 1970 on: Howard Hinnant's `days_from_civil`, whose years begin in March.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + of_year - 719_468;
    // A day that its month does not have is another one's.
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// The date of a day: Howard Hinnant's `civil_from_days`.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::timestamp::Timestamp;

    use super::{Day, civil_from_days, days_from_civil, parse_timestamp};

    #[track_caller]
    fn assert_parsed(text: &str, millis: Option<u64>) {
        assert_eq!(parse_timestamp(text).map(Timestamp::as_millis), millis, "{text}");
    }

    #[test]
    fn moments() {
        assert_parsed("0", Some(0));
        assert_parsed("1767225600", Some(1_767_225_600_000));
        assert_parsed("2026-01-01T00:00:00Z", Some(1_767_225_600_000));
        assert_parsed("2026-01-01t01:30:00.25+01:30", Some(1_767_225_600_250));
        assert_parsed("2025-12-31T19:00:00-05:00", Some(1_767_225_600_000));
        assert_parsed("2026-01-01T00:00:00.123456789Z", Some(1_767_225_600_123));
        assert_parsed("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
        assert_parsed("2016-12-31T23:59:60Z", Some(1_483_228_800_000));
        assert_parsed("9999-12-31T23:59:59Z", Some(253_402_300_799_000));
        for wrong in [
            "",
            "-1",
            "1.5",
            "253402300800",
            "99999999999999999999",
            "2026-01-01",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.5",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+00:01",
            "1969-12-31T23:59:59Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0éZ",
        ] {
            assert_parsed(wrong, None);
        }
    }

    #[test]
    fn days_have_names() {
        let day = Day::containing(Timestamp::from_millis(1_709_251_199_999));
        assert_eq!(
            (day.to_string(), day.next().to_string()),
            ("2024-02-29".into(), "2024-03-01".into())
        );
        assert_eq!(Day::containing(day.next().start()), day.next());
    }

    proptest! {
        #[test]
        fn a_day_is_its_date(day in 0_u64..2_932_896) {
            let (year, month, of_month) = civil_from_days(day);
            prop_assert_eq!(days_from_civil(year, month, of_month), Some(day));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}|[0-9TZ:.+-]{18,27}") {
            let _ = parse_timestamp(&text);
        }
    }
}

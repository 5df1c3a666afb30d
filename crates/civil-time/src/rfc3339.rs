//! RFC 3339 timestamps and days in UTC.
//!
//! The only time zone is the offset in the text. [`crate::zone`] has days of named zones.

use std::time::Duration;

use crate::date::CivilDate;
use crate::timestamp::Timestamp;

const MILLIS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;

/// A day in UTC, as its number since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u64);

impl Day {
    /// The day that contains a point in time.
    pub const fn containing(at: Timestamp) -> Self {
        Self(at.as_millis() / MILLIS_PER_DAY)
    }

    /// The first millisecond of the day.
    pub const fn start(self) -> Timestamp {
        Timestamp::from_millis(self.0 * MILLIS_PER_DAY)
    }

    /// The following day.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Day {
    /// `2026-01-31`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CivilDate { year, month, day } = CivilDate::from_day_number(self.0.cast_signed());
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// The last second of the year 9999. A later one is a mistake.
const MAX_EPOCH_SECOND: u64 = 253_402_300_799;

/// Formats a time in UTC with milliseconds: `2026-01-31T09:00:00.000Z`. A time after 9999 becomes the last
/// millisecond of that year, which is the last one that RFC 3339 has.
pub fn format_timestamp(at: Timestamp) -> String {
    let at = at.as_millis().min(MAX_EPOCH_SECOND * 1_000 + 999);
    let day = Day::containing(Timestamp::from_millis(at));
    let (seconds, millis) = (at % MILLIS_PER_DAY / 1_000, at % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Parses a date (`2026-01-31`) as its day number since 1970-01-01. `None` if the text is malformed or out of
/// range.
pub fn parse_date(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<u64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is_at = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    if text.len() != 10 || !is_at(4, b'-') || !is_at(7, b'-') {
        return None;
    }
    day_number(digits(0..4)?, digits(5..7)?, digits(8..10)?).map(u64::cast_signed)
}

/// Parses a time as [`parse_timestamp`] does, or a date (`2026-01-31`) as its first millisecond in UTC.
pub fn parse_timestamp_or_date(text: &str) -> Option<Timestamp> {
    let midnight = |day: i64| from_epoch_seconds(day.cast_unsigned() * 24 * 60 * 60);
    parse_timestamp(text).or_else(|| parse_date(text).and_then(midnight))
}

/// Parses whole seconds since the epoch, or an RFC 3339 timestamp (`2026-01-31T09:00:00Z`,
/// `…T10:00:00.5+01:00`), from 1970 to the end of 9999. Digits after the milliseconds are dropped. `None` if the
/// text is malformed or out of range.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return from_epoch_seconds(text.parse().ok()?);
    }
    let digits = |range: std::ops::Range<usize>| -> Option<u64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is_at = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let is_shaped = is_at(4, b'-') && is_at(7, b'-') && is_at(13, b':') && is_at(16, b':');
    if !is_shaped || !(is_at(10, b'T') || is_at(10, b't')) {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    // RFC 3339 allows a leap second. Like a host's clock, it counts as the next second.
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
    let local = (day_number(year, month, day)? * 24 + hour) * 60 + minute;
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

/// The day number of a date from 1970 on. `None` if the month does not have the day.
fn day_number(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    let date =
        CivilDate { year: year.cast_signed(), month: month.cast_signed(), day: day.cast_signed() };
    let number = date.day_number();
    (CivilDate::from_day_number(number) == date).then_some(number.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::date::CivilDate;
    use crate::timestamp::Timestamp;

    use super::{
        Day, day_number, format_timestamp, parse_date, parse_timestamp, parse_timestamp_or_date,
    };

    #[track_caller]
    fn assert_parsed(text: &str, millis: Option<u64>) {
        assert_eq!(parse_timestamp(text).map(Timestamp::as_millis), millis, "{text}");
    }

    #[test]
    fn timestamp_malformed_or_out_of_range_is_none() {
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
    fn formatted_timestamp_is_parsed_as_itself() {
        let format = |millis| format_timestamp(Timestamp::from_millis(millis));
        assert_eq!(format(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(format(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(format(u64::MAX), "9999-12-31T23:59:59.999Z");
        assert_parsed(&format(1_767_225_600_250), Some(1_767_225_600_250));
    }

    #[test]
    fn date_is_its_first_millisecond_in_utc() {
        let parse = |text| parse_timestamp_or_date(text).map(Timestamp::as_millis);
        assert_eq!(parse("2026-01-01"), Some(1_767_225_600_000));
        assert_eq!(parse("2026-01-01T00:00:01Z"), Some(1_767_225_601_000));
        assert_eq!(parse_date("1970-01-02"), Some(1));
        for wrong in ["2026-02-29", "2026-1-01", "2026-01-01Z", "1969-12-31", "2026/01/01", ""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn day_is_formatted_as_date() {
        let day = Day::containing(Timestamp::from_millis(1_709_251_199_999));
        assert_eq!(
            (day.to_string(), day.next().to_string()),
            ("2024-02-29".into(), "2024-03-01".into())
        );
        assert_eq!(Day::containing(day.next().start()), day.next());
    }

    proptest! {
        #[test]
        fn day_number_of_formatted_day_is_the_day(number in 0_u64..2_932_896) {
            let CivilDate { year, month, day } = CivilDate::from_day_number(number.cast_signed());
            let [year, month, day] = [year, month, day].map(i64::cast_unsigned);
            prop_assert_eq!(day_number(year, month, day), Some(number));
        }

        #[test]
        fn parse_timestamp_never_panics(text in "\\PC{0,30}|[0-9TZ:.+-]{18,27}") {
            let _ = parse_timestamp(&text);
        }
    }
}

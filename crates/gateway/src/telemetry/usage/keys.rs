//! Keys of usage totals: ids of books and rows, shared by the writer and the reader.
//!
//! Totals by the hour are in the books of their day, totals by the minute in those of their hour:
//! there are many of the latter, and a query over a month should not read them. Each has [`SHARDS`]
//! books, so that no single one receives every request. [`ledger::UsageTotals`] holds the sums.

use std::borrow::Cow;
use std::time::Duration;

use civil_time::Timestamp;
use civil_time::rfc3339::Day;
use json::percent::{self, SafeSet};
use ledger::BookId;

use crate::record::{MODELS_OPERATION, Record};

/// Books per day, and per hour.
pub(crate) const SHARDS: u8 = 4;

/// Days for which totals by the hour are kept.
pub(crate) const RETENTION_DAYS: u64 = 92;

/// Hours for which totals by the minute are kept.
pub(crate) const RETENTION_HOURS: u64 = 25;

pub(super) const MINUTE: u64 = 60 * 1_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;

/// Bytes to which a part of a key is cut: callers may send any model name.
const MAX_KEY_PART_BYTES: usize = 128;

/// Characters of a part that a key keeps: all but the separator of parts and the sign of encoding.
const ALL_EXCEPT_SEPARATOR: SafeSet = SafeSet::all_except(b"|%");

/// Dimensions by which a request is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UsageDimensions {
    pub consumer: String,
    /// The consumer's group; empty without one.
    pub group: String,
    /// The model that answered or was requested; empty if no route is known to serve it.
    pub model: String,
    /// The provider that answered; empty if none did.
    pub provider: String,
    /// The route; empty if none matched.
    pub route: String,
}

impl UsageDimensions {
    /// Dimensions of a request; `None` if it is anonymous, or no call to a model.
    pub(crate) fn from_record(record: &Record) -> Option<Self> {
        let consumer =
            record.consumer.as_ref().filter(|_| record.operation != Some(MODELS_OPERATION))?;
        let requested = record.model.as_deref().unwrap_or_default();
        let answered = record.target.as_deref().and_then(|it| it.split_once('/'));
        let (provider, model) = answered.unwrap_or(("", requested));
        // An unknown model may be any text, and each would add a row.
        let model = if record.has_known_model() { model } else { "" };
        Some(Self {
            consumer: consumer.clone(),
            group: record.group.clone().unwrap_or_default(),
            model: model.to_owned(),
            provider: provider.to_owned(),
            route: record.route.clone().unwrap_or_default(),
        })
    }
}

/// Book of a day's shard.
pub(crate) fn day_book(day: Day, shard: u8) -> BookId {
    BookId::new(format!("usage/{day}/{}", shard % SHARDS))
}

/// Book of an hour's shard, for totals by the minute.
pub(crate) fn hour_book(at: Timestamp, shard: u8) -> BookId {
    let hour = at.as_millis() / HOUR % 24;
    BookId::new(format!("usage/minute/{}T{hour:02}/{}", Day::containing(at), shard % SHARDS))
}

/// Any shard, at random.
pub(crate) fn random_shard(entropy: u64) -> u8 {
    u8::try_from(entropy % u64::from(SHARDS)).expect("there are few shards")
}

/// Time until which totals by the hour of this time are kept: the end of a day.
pub(crate) fn hourly_retained_until(at: Timestamp) -> Timestamp {
    Day::containing(at).next().start() + Duration::from_secs(RETENTION_DAYS * 24 * 60 * 60)
}

/// Time until which totals by the minute of this time are kept: the end of an hour, for all of it
/// at once.
pub(crate) fn minutely_retained_until(at: Timestamp) -> Timestamp {
    start_of_hour(at) + Duration::from_millis((RETENTION_HOURS + 1) * HOUR)
}

/// Start of an hour in UTC.
pub(crate) fn start_of_hour(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() / HOUR * HOUR)
}

/// Key of a row: `hour|consumer|group|model|provider|route`, the UTC hour in two digits, `|` and
/// `%` in the parts percent-encoded.
pub(crate) fn hourly_key(at: Timestamp, dimensions: &UsageDimensions) -> String {
    row_key(hour_of_day(at), dimensions)
}

/// The UTC hour of the day.
pub(super) fn hour_of_day(at: Timestamp) -> u64 {
    at.as_millis() / HOUR % 24
}

/// The minute of the hour.
pub(super) fn minute_of_hour(at: Timestamp) -> u64 {
    at.as_millis() / MINUTE % 60
}

/// The same for a minute: `minute|consumer|…`.
pub(crate) fn minutely_key(at: Timestamp, dimensions: &UsageDimensions) -> String {
    row_key(minute_of_hour(at), dimensions)
}

fn row_key(number: u64, dimensions: &UsageDimensions) -> String {
    let mut key = format!("{number:02}");
    for part in [
        &dimensions.consumer,
        &dimensions.group,
        &dimensions.model,
        &dimensions.provider,
        &dimensions.route,
    ] {
        key.push('|');
        push_encoded(&mut key, part);
    }
    key
}

/// Appends a part to a key, cut and encoded.
pub(crate) fn push_encoded(key: &mut String, part: &str) {
    let cut = &part[..part.floor_char_boundary(MAX_KEY_PART_BYTES)];
    percent::encode(cut, &ALL_EXCEPT_SEPARATOR, key);
}

/// Decodes a part of a key.
pub(crate) fn decode_part(part: &str) -> Cow<'_, str> {
    percent::decode(part).unwrap_or(Cow::Borrowed(part))
}

/// Parses a key: the hour of the day or the minute of the hour, and the dimensions.
pub(crate) fn parse_key(key: &str) -> Option<(u8, UsageDimensions)> {
    let mut parts = key.split('|');
    let number = parts.next()?.parse().ok().filter(|number| *number < 60)?;
    let mut part = || Some(decode_part(parts.next()?).into_owned());
    let dimensions = UsageDimensions {
        consumer: part()?,
        group: part()?,
        model: part()?,
        provider: part()?,
        route: part()?,
    };
    parts.next().is_none().then_some((number, dimensions))
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use civil_time::rfc3339::Day;
    use proptest::prelude::*;

    use super::{
        UsageDimensions, day_book, hour_book, hourly_key, hourly_retained_until, minutely_key,
        minutely_retained_until, parse_key, random_shard,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000 + 13 * 3_600_000);

    #[test]
    fn row_and_book_keys_are_stable() {
        let dimensions = UsageDimensions {
            consumer: "acme".to_owned(),
            model: "a|b%7C".to_owned(),
            route: "chat".to_owned(),
            ..UsageDimensions::default()
        };
        assert_eq!(hourly_key(NOW, &dimensions), "13|acme||a%7Cb%257C||chat");
        assert_eq!(parse_key("13|acme||a%7Cb%257C||chat"), Some((13, dimensions)));
        for wrong in ["", "60|a|b|c|d|e", "13|a|b|c|d", "13|a|b|c|d|e|f", "x|a|b|c|d|e"] {
            assert_eq!(parse_key(wrong), None, "{wrong}");
        }
        assert_eq!(day_book(Day::containing(NOW), 3).as_str(), "usage/2026-01-01/3");
        let later = Timestamp::from_millis(NOW.as_millis() + 59 * 60_000 + 59_999);
        assert_eq!(minutely_key(later, &UsageDimensions::default()), "59|||||");
        assert_eq!(hour_book(later, 6).as_str(), "usage/minute/2026-01-01T13/2");
        assert_eq!(minutely_retained_until(later).as_millis(), NOW.as_millis() + 26 * 3_600_000);
        assert_eq!(random_shard(u64::MAX), 3);
        assert_eq!(hourly_retained_until(NOW).as_millis(), 1_767_225_600_000 + 93 * 86_400_000);
    }

    #[test]
    fn long_model_name_is_cut() {
        let dimensions = UsageDimensions { model: "é".repeat(200), ..UsageDimensions::default() };
        let (_, read) = parse_key(&hourly_key(NOW, &dimensions)).expect("a key");
        assert_eq!(read.model, "é".repeat(64));
    }

    proptest! {
        #[test]
        fn keys_parse_back(parts in prop::array::uniform5("[a-c|%27C5é]{0,12}")) {
            let [consumer, group, model, provider, route] = parts;
            let kind = UsageDimensions { consumer, group, model, provider, route };
            prop_assert_eq!(parse_key(&hourly_key(NOW, &kind)), Some((13, kind)));
        }
    }
}

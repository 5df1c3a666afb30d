//! Where past requests are added up: the names of places and rows, the same for those who record
//! and those who ask.
//!
//! A day of universal time has [`SHARDS`] places, so that no single one sees every request. It counts
//! nothing itself: the sums are [`crate::ledger::Tally`].

mod recorder;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use crate::date::Day;
use crate::ledger::Place;
use crate::time::Timestamp;

pub use recorder::Recorder;

/// How many places a day has.
pub const SHARDS: u8 = 4;

/// For how many days rows are kept.
pub const RETENTION_DAYS: u64 = 92;

/// A part of a key is cut to so many bytes: models are named by callers, who may say anything.
const LONGEST: usize = 128;

/// A request that was tallied belongs here.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Who asked.
    pub consumer: String,
    /// The consumer's group; empty without one.
    pub group: String,
    /// The model that answered, or that was asked for; empty where no route serves it.
    pub model: String,
    /// Who answered; empty where nobody did.
    pub provider: String,
    /// The route; empty where none was found.
    pub route: String,
}

/// The place of one of a day's shards.
pub fn place(day: Day, shard: u8) -> Place {
    Place::new(format!("usage/{day}/{}", shard % SHARDS))
}

/// Any shard, by chance.
pub fn shard(entropy: u64) -> u8 {
    u8::try_from(entropy % u64::from(SHARDS)).expect("there are few shards")
}

/// When what was recorded at a moment may be forgotten: at the end of a day.
pub fn until(at: Timestamp) -> Timestamp {
    Day::of(at).next().start() + Duration::from_secs(RETENTION_DAYS * 24 * 60 * 60)
}

/// The key of a row: `hour|consumer|group|model|provider|route`, the hour of universal time in two
/// digits, `|` and `%` in the parts percent-encoded.
pub fn key(at: Timestamp, kind: &Kind) -> String {
    let mut key = format!("{:02}", at.as_millis() / 3_600_000 % 24);
    for part in [&kind.consumer, &kind.group, &kind.model, &kind.provider, &kind.route] {
        key.push('|');
        for character in part[..part.floor_char_boundary(LONGEST)].chars() {
            match character {
                '|' | '%' => write!(key, "%{:02X}", u32::from(character)).expect("a string grows"),
                _ => key.push(character),
            }
        }
    }
    key
}

/// Reads a key: the hour of the day, and what it is a key of.
pub fn read(key: &str) -> Option<(u8, Kind)> {
    let mut parts = key.split('|');
    let hour = parts.next()?.parse().ok().filter(|hour| *hour < 24)?;
    let mut part = || {
        let part = parts.next()?;
        let plain = if part.contains('%') {
            // In this order, so that an encoded "%7C" stays one.
            Cow::Owned(part.replace("%7C", "|").replace("%25", "%"))
        } else {
            Cow::Borrowed(part)
        };
        Some(plain.into_owned())
    };
    let kind = Kind {
        consumer: part()?,
        group: part()?,
        model: part()?,
        provider: part()?,
        route: part()?,
    };
    parts.next().is_none().then_some((hour, kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Kind, key, place, read, shard, until};
    use crate::date::Day;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000 + 13 * 3_600_000);

    #[test]
    fn names() {
        let kind = Kind {
            consumer: "acme".to_owned(),
            model: "a|b%7C".to_owned(),
            route: "chat".to_owned(),
            ..Kind::default()
        };
        assert_eq!(key(NOW, &kind), "13|acme||a%7Cb%257C||chat");
        assert_eq!(read("13|acme||a%7Cb%257C||chat"), Some((13, kind)));
        for wrong in ["", "24|a|b|c|d|e", "13|a|b|c|d", "13|a|b|c|d|e|f", "x|a|b|c|d|e"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(place(Day::of(NOW), 3).as_str(), "usage/2026-01-01/3");
        assert_eq!(shard(u64::MAX), 3);
        assert_eq!(until(NOW).as_millis(), 1_767_225_600_000 + 93 * 86_400_000);
    }

    #[test]
    fn a_model_that_somebody_made_up_is_cut() {
        let kind = Kind { model: "é".repeat(200), ..Kind::default() };
        let (_, read) = read(&key(NOW, &kind)).expect("a key");
        assert_eq!(read.model, "é".repeat(64));
    }

    proptest! {
        #[test]
        fn a_key_says_what_it_is_of(parts in prop::array::uniform5("[a-c|%27C5é]{0,12}")) {
            let [consumer, group, model, provider, route] = parts;
            let kind = Kind { consumer, group, model, provider, route };
            prop_assert_eq!(read(&key(NOW, &kind)), Some((13, kind)));
        }
    }
}

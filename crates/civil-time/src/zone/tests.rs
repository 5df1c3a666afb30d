use proptest::prelude::{Just, Strategy, proptest};

use crate::date::{CivilDate, SECONDS_PER_DAY};
use crate::timestamp::Timestamp;
use crate::tz_rule::TzRule;

use super::{TimeRange, Zone, zone_names};

/// Starts of days by Python's reading of the database: a zone, a date, a second since the epoch.
const DAY_TABLE: &str = include_str!("days.txt");

/// Milliseconds from 2026-01-01 to 2041-01-01, both in UTC.
const YEARS: std::ops::Range<u64> = 1_767_225_600_000..2_240_611_200_000;

fn zone(name: &str) -> Zone {
    Zone::lookup(name).unwrap_or_else(|| panic!("{name} is in the table"))
}

/// Parses "2026-03-08 05:00" in UTC.
#[track_caller]
fn utc(text: &str) -> Timestamp {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let date = CivilDate { year: part(0..4), month: part(5..7), day: part(8..10) };
    let minutes = date.day_number() * 1_440 + part(11..13) * 60 + part(14..16);
    Timestamp::from_millis(u64::try_from(minutes).unwrap() * 60_000)
}

fn just_before(moment: Timestamp) -> Timestamp {
    Timestamp::from_millis(moment.as_millis() - 1)
}

#[track_caller]
fn assert_day(name: &str, start: &str, end: &str) {
    let day = TimeRange { start: utc(start), end: utc(end) };
    assert_eq!(zone(name).day(day.start), day, "{name}, its first moment");
    assert_eq!(zone(name).day(just_before(day.end)), day, "{name}, its last moment");
    assert_eq!(zone(name).day(day.end).start, day.end, "{name}, the day behind");
}

#[test]
fn day_in_zone_without_transition_has_24_hours() {
    assert_day("UTC", "2026-11-21 00:00", "2026-11-22 00:00");
    assert_day("Asia/Shanghai", "2026-11-20 16:00", "2026-11-21 16:00");
    assert_day("Asia/Kolkata", "2026-11-20 18:30", "2026-11-21 18:30");
    assert_day("Asia/Calcutta", "2026-11-20 18:30", "2026-11-21 18:30");
    assert_day("Asia/Kathmandu", "2026-11-20 18:15", "2026-11-21 18:15");
    assert_day("Pacific/Apia", "2026-11-20 11:00", "2026-11-21 11:00");
    // POSIX-like names count westward.
    assert_day("Etc/GMT+5", "2026-11-21 05:00", "2026-11-22 05:00");
}

#[test]
fn day_with_transition_is_shorter_or_longer() {
    assert_day("America/New_York", "2026-03-08 05:00", "2026-03-09 04:00");
    assert_day("America/New_York", "2026-11-01 04:00", "2026-11-02 05:00");
    assert_day("US/Eastern", "2026-11-01 04:00", "2026-11-02 05:00");
    assert_day("Europe/London", "2026-03-29 00:00", "2026-03-29 23:00");
    assert_day("Europe/London", "2026-10-24 23:00", "2026-10-26 00:00");
    // By Irish law, summer time is standard, and winter has the other offset.
    assert_day("Europe/Dublin", "2026-03-29 00:00", "2026-03-29 23:00");
    assert_day("Europe/Dublin", "2026-10-24 23:00", "2026-10-26 00:00");
    assert_day("Pacific/Chatham", "2026-09-26 11:15", "2026-09-27 10:15");
    // Transitions of half an hour, and of two hours.
    assert_day("Australia/Lord_Howe", "2026-10-03 13:30", "2026-10-04 13:00");
    assert_day("Australia/Lord_Howe", "2026-04-04 13:00", "2026-04-05 13:30");
    assert_day("Antarctica/Troll", "2026-03-29 00:00", "2026-03-29 22:00");
    assert_day("Antarctica/Troll", "2026-10-24 22:00", "2026-10-26 00:00");
}

#[test]
fn day_with_transition_at_midnight_begins_once() {
    // Midnight is skipped: the day begins at one o'clock.
    assert_day("America/Santiago", "2026-09-06 04:00", "2026-09-07 03:00");
    assert_day("Africa/Cairo", "2026-04-23 22:00", "2026-04-24 21:00");
    assert_day("Asia/Beirut", "2026-03-28 22:00", "2026-03-29 21:00");
    // The last hour of the day occurs twice.
    assert_day("America/Santiago", "2026-04-04 03:00", "2026-04-05 04:00");
    assert_day("America/Nuuk", "2026-10-24 01:00", "2026-10-25 02:00");
    // The last hour is skipped: the rule says "an hour before Sunday".
    assert_day("America/Nuuk", "2026-03-28 02:00", "2026-03-29 01:00");
    assert_day("America/Godthab", "2026-03-28 02:00", "2026-03-29 01:00");
    // The first hour occurs twice.
    assert_day("Atlantic/Azores", "2026-10-25 00:00", "2026-10-26 01:00");
}

#[test]
fn rule_with_earlier_offset_begins_later() {
    assert_day("America/Havana", "2027-01-15 04:00", "2027-01-16 04:00");
    assert_day("America/Havana", "2027-03-14 04:00", "2027-03-15 04:00");
    assert_day("America/Havana", "2028-01-15 05:00", "2028-01-16 05:00");
}

#[test]
fn days_agree_with_python() {
    let mut rows = 0;
    for line in DAY_TABLE.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let start = Timestamp::from_millis(words[2].parse::<u64>().unwrap() * 1_000);
        assert_eq!(zone(words[0]).day(start).start, start, "{line}");
        assert_eq!(zone(words[0]).day(just_before(start)).end, start, "{line}");
        rows += 1;
    }
    assert!(rows > 200, "{rows} rows");
}

#[track_caller]
fn assert_month(name: &str, start: &str, end: &str) {
    let month = TimeRange { start: utc(start), end: utc(end) };
    assert_eq!(zone(name).month(month.start), month, "{name}, its first moment");
    assert_eq!(zone(name).month(just_before(month.end)), month, "{name}, its last moment");
}

#[test]
fn month_begins_with_its_first_day() {
    assert_month("UTC", "2028-02-01 00:00", "2028-03-01 00:00");
    assert_month("Asia/Shanghai", "2026-11-30 16:00", "2026-12-31 16:00");
    assert_month("America/New_York", "2026-03-01 05:00", "2026-04-01 04:00");
    assert_month("Europe/London", "2026-09-30 23:00", "2026-11-01 00:00");
}

#[test]
fn repeated_evening_belongs_to_the_new_day() {
    // Newfoundland's rule until 2011: a minute after midnight, local time returns to the previous date.
    let zone = Zone { rule: TzRule::parse("-210 -150 3.2.0/1 11.1.0/1").unwrap(), name: "" };
    let day = TimeRange { start: utc("2026-11-01 02:30"), end: utc("2026-11-02 03:30") };
    for now in ["2026-11-01 02:30", "2026-11-01 02:31", "2026-11-01 03:29", "2026-11-01 03:30"] {
        assert_eq!(zone.day(utc(now)), day, "at {now}");
        assert_eq!(zone.month(utc(now)).start, day.start, "at {now}");
    }
    assert_eq!(zone.day(just_before(day.start)).end, day.start);
}

#[test]
fn extreme_timestamps_do_not_panic() {
    let first = zone("Asia/Shanghai").day(Timestamp::from_millis(0));
    assert_eq!(first, TimeRange { start: utc("1970-01-01 00:00"), end: utc("1970-01-01 16:00") });
    let last = zone("America/New_York").month(Timestamp::from_millis(u64::MAX));
    assert_eq!(last.end.as_millis(), u64::MAX);
}

#[test]
fn lookup_finds_only_names_of_the_table() {
    let all: Vec<&str> = zone_names().collect();
    assert!(all.len() > 590, "{} names", all.len());
    for name in &all {
        assert!(Zone::lookup(name).is_some(), "{name} has no rule");
        assert_eq!(all.iter().filter(|other| *other == name).count(), 1, "{name}");
    }
    for alias in ["Asia/Calcutta", "US/Eastern", "Europe/Kiev", "GB", "Etc/UTC"] {
        assert!(all.contains(&alias), "{alias}");
    }
    assert_eq!(Zone::lookup("Etc/UTC"), Some(Zone::UTC));
    assert_ne!(Zone::lookup("Europe/London"), Some(Zone::UTC));
    let heading = super::ZONE_TABLE.lines().next().unwrap();
    for wrong in ["", " ", "asia/shanghai", "Asia/Shanghai ", "Asia", "+480", "Factory", heading] {
        assert_eq!(Zone::lookup(wrong), None, "{wrong:?}");
    }
}

#[test]
fn fixture_and_table_have_the_same_version() {
    let version = |text: &'static str| text.split([',', ';']).next();
    assert_eq!(version(super::ZONE_TABLE), version(DAY_TABLE));
}

/// Asserts the laws of every zone at any time.
fn assert_properties(zone: Zone, now: Timestamp) {
    let day = zone.day(now);
    assert!(day.start <= now && now < day.end, "{day:?}");
    assert_eq!(zone.day(day.start), day);
    assert_eq!(zone.day(just_before(day.end)), day);
    assert_eq!(zone.day(day.end).start, day.end);
    let hours = day.end.since(day.start).as_secs_f64() / 3_600.0;
    assert!((20.0..=28.0).contains(&hours), "{hours} hours");

    let month = zone.month(now);
    assert!(month.start <= day.start && day.end <= month.end, "{month:?} {day:?}");
    assert_eq!(zone.month(just_before(month.end)), month);
    assert_eq!(zone.month(month.end).start, month.end);
    let (mut at, mut days) = (month.start, 0);
    while at < month.end {
        assert_eq!(zone.month(at), month);
        (at, days) = (zone.day(at).end, days + 1);
    }
    assert_eq!(at, month.end, "a month is its days");
    assert!((28..=31).contains(&days), "{days} days");
}

/// A row with any change of up to four hours, on any day and at hours outside of it; no two changes
/// are in neighboring months, and none is near New Year, as in the world.
fn rows() -> impl Strategy<Value = String> {
    let change = || (1..=5, 0..=6, -1_440..=4_320);
    let months = (2..=9).prop_flat_map(|first| (Just(first), first + 2..=11));
    (-720..=840, -240..=240, months, change(), change(), proptest::bool::ANY).prop_map(
        |(standard, ahead, (first, second), one, other, is_south)| {
            let (starts, ends) = if is_south { (second, first) } else { (first, second) };
            let change = |month, (week, weekday, time)| format!("{month}.{week}.{weekday}/{time}");
            let (one, other) = (change(starts, one), change(ends, other));
            format!("{standard} {} {one} {other}", standard + ahead)
        },
    )
}

proptest! {
    #[test]
    fn every_zone_satisfies_the_laws(at in 0..zone_names().count(), now in YEARS) {
        let name = zone_names().nth(at).unwrap();
        assert_properties(zone(name), Timestamp::from_millis(now));
    }

    #[test]
    fn every_rule_satisfies_the_laws(row in rows(), now in YEARS) {
        let rule = TzRule::parse(&row).unwrap();
        assert_properties(Zone { rule, name: "" }, Timestamp::from_millis(now));
    }

    #[test]
    fn day_begins_at_midnight_or_at_the_transition_that_skips_it(row in rows(), day in 20_454..25_900_i64) {
        let rule = TzRule::parse(&row).unwrap();
        let start = rule.midnight(day);
        let clock = start + rule.offset_at(start);
        let before = start - 1 + rule.offset_at(start - 1);
        assert!(clock >= day * SECONDS_PER_DAY && before < day * SECONDS_PER_DAY, "{clock} {before}");
        assert!(clock == day * SECONDS_PER_DAY || clock - before > 1, "behind midnight only after a leap");
    }
}

#[test]
fn malformed_row_is_not_a_rule() {
    for row in [
        "",
        "west",
        "+0 +60",
        "+0 +60 3.5.0/60",
        "+0 +60 3.5/60 10.5.0/60",
        "+0 +60 3.5.0 10.5.0",
        "+0 until",
        "+0 until 1805000400",
        "+0 +60 3.5.0/60 10.5.0/60 more",
        "+0 until 1805000400 +0 more",
    ] {
        assert_eq!(TzRule::parse(row), None, "{row:?}");
    }
    assert_eq!(TzRule::parse("+0"), Some(TzRule::UTC));
}

//! TO BE CONNECTED on merge: where a limit's balances are kept, and by which rule they are judged.
//! The real ones are `crate::policy::limits::{account, place, rule}`, with these signatures.

use crate::config::{Limit, Measure, Period, Quota};
use crate::ledger::{Place, Rule, Window};
use crate::time::Timestamp;

/// The account of one measure of a limit, for a value of what it is kept by.
pub(super) fn account(limit: &Limit, measure: Measure, value: &str) -> String {
    format!("{}/{}/{value}", limit.id, measure.name())
}

/// The place where the accounts of a limit are kept, for a value of what it is kept by.
pub(super) fn place(limit: &Limit, value: &str) -> Place {
    let mut name = String::from("limit/");
    match &limit.home {
        Some(home) => openai::percent_encode(home, &mut name),
        None => {
            openai::percent_encode(&limit.id, &mut name);
            name.push('/');
            openai::percent_encode(value, &mut name);
        }
    }
    Place::new(name)
}

/// The rule of a quota at a moment.
pub(super) fn rule(quota: &Quota, now: Timestamp) -> Rule {
    let window = match quota.per {
        Period::Second => Window::Sliding(1_000),
        Period::Minute => Window::Sliding(60_000),
        Period::Hour => Window::Sliding(3_600_000),
        Period::Day(zone) => Window::Stretch(zone.day(now).start, zone.day(now).end),
        Period::Month(zone) => Window::Stretch(zone.month(now).start, zone.month(now).end),
        Period::Total => Window::Total,
    };
    Rule { max: quota.max, window }
}

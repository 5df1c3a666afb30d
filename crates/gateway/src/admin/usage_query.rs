//! Time range, step, dimensions, and filters of a query for usage.

use std::time::Duration;

use civil_time::Timestamp;
use civil_time::rfc3339::{Day, parse_date};
use civil_time::zone::Zone;
use ledger::BookId;

use crate::telemetry::usage::details::DetailKind;
use crate::telemetry::usage::keys::{self, RETENTION_DAYS, SHARDS, UsageDimensions};

use super::query::Query;
use super::response::AdminError;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Parameters of the time range.
pub(super) const RANGE_PARAMETERS: [&str; 4] = ["from", "to", "step", "timezone"];

/// Filters, which may be repeated.
pub(super) const FILTERS: [&str; 5] = ["route", "consumer", "group", "model", "provider"];

/// A dimension to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UsageDimension {
    Consumer,
    Group,
    Model,
    Provider,
    Route,
}

impl UsageDimension {
    const ALL: [Self; 5] = [Self::Consumer, Self::Group, Self::Model, Self::Provider, Self::Route];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Group => "group",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
        }
    }

    pub(super) fn value_in(self, dimensions: &UsageDimensions) -> &str {
        match self {
            Self::Consumer => &dimensions.consumer,
            Self::Group => &dimensions.group,
            Self::Model => &dimensions.model,
            Self::Provider => &dimensions.provider,
            Self::Route => &dimensions.route,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeStep {
    Minute,
    Hour,
    Day,
    Total,
}

impl TimeStep {
    const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Total];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Total => "total",
        }
    }

    /// Resolution of the stored totals for this step: a minute or an hour.
    fn resolution(self) -> Duration {
        match self {
            Self::Minute => MINUTE,
            Self::Hour | Self::Day | Self::Total => HOUR,
        }
    }

    /// Longest time range of a request.
    fn max_range(self) -> Duration {
        match self {
            Self::Minute => DAY,
            Self::Hour | Self::Day | Self::Total => DAY * RETENTION_DAYS as u32,
        }
    }
}

/// The time range and the step of a query.
#[derive(Debug)]
pub(super) struct UsageRange {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) step: TimeStep,
    zone: Zone,
}

impl UsageRange {
    pub(super) fn parse(query: &Query, now: Timestamp) -> Result<Self, AdminError> {
        let zone = match query.get("timezone") {
            None => Zone::UTC,
            Some(name) => Zone::lookup(name).ok_or_else(|| {
                let expected = "an IANA time zone such as \"Asia/Shanghai\"";
                AdminError::invalid("timezone", format!("{name:?}"), expected)
            })?,
        };
        let time = |name: &str| match query.get(name).and_then(parse_date) {
            // A date is one of the zone.
            Some(day) => Ok(Some(zone.date(day).start)),
            None => query.time(name),
        };
        let to = time("to")?.unwrap_or(now);
        let day_before = to.as_millis().saturating_sub(DAY.as_millis() as u64);
        let from = time("from")?.unwrap_or(Timestamp::from_millis(day_before));
        if from >= to {
            return Err(AdminError::invalid(
                "from",
                "a time that is not before `to`",
                "a time before `to`",
            ));
        }
        let text = query.get("step").unwrap_or("total");
        let step = TimeStep::ALL.into_iter().find(|step| step.name() == text);
        let step = step.ok_or_else(|| {
            AdminError::invalid("step", format!("{text:?}"), "minute, hour, day, or total")
        })?;
        if to.since(from) > step.max_range() {
            let days = step.max_range().as_secs() / DAY.as_secs();
            let expected = match step {
                TimeStep::Minute => "at most 24 hours before `to` with step=minute".to_owned(),
                TimeStep::Hour | TimeStep::Day | TimeStep::Total => {
                    format!("at most {days} days before `to`")
                }
            };
            return Err(AdminError::invalid("from", "a longer time range", expected));
        }
        // A minute or hour that has begun counts whole.
        let grain = step.resolution().as_millis() as u64;
        let from = Timestamp::from_millis(from.as_millis() / grain * grain);
        Ok(Self { from, to, step, zone })
    }

    /// The last 24 hours, by the hour.
    pub(super) fn last_day(now: Timestamp) -> Self {
        let from = now.as_millis().saturating_sub(DAY.as_millis() as u64);
        let from = keys::start_of_hour(Timestamp::from_millis(from));
        Self { from, to: now, step: TimeStep::Total, zone: Zone::UTC }
    }

    /// Name of the time zone.
    pub(super) fn zone_name(&self) -> &'static str {
        self.zone.name()
    }

    /// The books to read, each with the time of its first row.
    pub(super) fn books(&self) -> Vec<(Timestamp, BookId)> {
        let mut books = Vec::new();
        let mut begin = match self.step {
            TimeStep::Minute => keys::start_of_hour(self.from),
            TimeStep::Hour | TimeStep::Day | TimeStep::Total => Day::containing(self.from).start(),
        };
        while begin < self.to {
            let shards = (0..SHARDS).map(|shard| match self.step {
                TimeStep::Minute => keys::hour_book(begin, shard),
                TimeStep::Hour | TimeStep::Day | TimeStep::Total => {
                    keys::day_book(Day::containing(begin), shard)
                }
            });
            books.extend(shards.map(|book| (begin, book)));
            begin = match self.step {
                TimeStep::Minute => begin + HOUR,
                TimeStep::Hour | TimeStep::Day | TimeStep::Total => {
                    Day::containing(begin).next().start()
                }
            };
        }
        books
    }

    /// Start of the step of a row, which is `number` in a book that starts at `begin`. `None` outside of the
    /// range.
    pub(super) fn start_of_row(&self, begin: Timestamp, number: u8) -> Option<Timestamp> {
        let at = begin + self.step.resolution() * u32::from(number);
        if at < self.from || at >= self.to {
            return None;
        }
        Some(match self.step {
            TimeStep::Minute | TimeStep::Hour => at,
            TimeStep::Day => self.zone.day(at).start,
            TimeStep::Total => self.from,
        })
    }
}

/// Dimensions of the rows of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    /// By dimensions of requests.
    Requests(Vec<UsageDimension>),
    /// By consumer, if wanted, and by a value that has rows of its own.
    Details { kind: DetailKind, by_consumer: bool },
}

impl Grouping {
    pub(super) fn parse(query: &Query, step: TimeStep) -> Result<Self, AdminError> {
        let mut by = Vec::new();
        let mut detail = None;
        for name in query.get("by").unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
            let dimension =
                UsageDimension::ALL.into_iter().find(|dimension| dimension.name() == name);
            let kind = DETAILS.into_iter().find(|kind| detail_name(*kind) == name);
            match (dimension, kind) {
                (Some(dimension), _) if !by.contains(&dimension) => by.push(dimension),
                (Some(_), _) => {}
                (None, Some(kind)) if detail.is_none_or(|other| other == kind) => {
                    detail = Some(kind);
                }
                _ => {
                    let expected = "consumer, group, model, provider, route, or one of key, limit, user, and \
                                    client, separated by commas";
                    return Err(AdminError::invalid("by", format!("{name:?}"), expected));
                }
            }
        }
        let Some(kind) = detail else { return Ok(Self::Requests(by)) };
        let name = detail_name(kind);
        if by.iter().any(|other| *other != UsageDimension::Consumer) {
            let expected = format!("{name:?} alone or with \"consumer\"");
            return Err(AdminError::invalid("by", "another dimension", expected));
        }
        if step == TimeStep::Minute {
            let expected = format!("hour, day, or total with by={name}");
            return Err(AdminError::invalid("step", "\"minute\"", expected));
        }
        let foreign = FILTERS.into_iter().find(|it| *it != "consumer" && query.get(it).is_some());
        if let Some(filter) = foreign {
            let expected = format!("only the filter `consumer` with by={name}");
            return Err(AdminError::invalid(filter, "a filter", expected));
        }
        Ok(Self::Details { kind, by_consumer: !by.is_empty() })
    }

    /// Names of the dimensions, in the order of a row's values.
    pub(super) fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Requests(by) => by.iter().map(|dimension| dimension.name()).collect(),
            Self::Details { kind, by_consumer: false } => vec![detail_name(*kind)],
            Self::Details { kind, by_consumer: true } => vec!["consumer", detail_name(*kind)],
        }
    }
}

/// Details that requests can be grouped by.
const DETAILS: [DetailKind; 4] =
    [DetailKind::Key, DetailKind::User, DetailKind::Client, DetailKind::Limit];

fn detail_name(kind: DetailKind) -> &'static str {
    match kind {
        DetailKind::Target => "target",
        DetailKind::Key => "key",
        DetailKind::User => "user",
        DetailKind::Client => "client",
        DetailKind::Limit => "limit",
        DetailKind::Health => "health",
    }
}

/// Whether a value is among the wanted ones; each of them if none is named.
pub(super) fn is_wanted(wanted: &[&str], value: &str) -> bool {
    wanted.is_empty() || wanted.contains(&value)
}

//! `/usage`: what past requests add up to, for the console and the bill.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::date::{self, Day};
use crate::ledger::{Operation, Place, Reply as Told, Tally, TallyRow};
use crate::platform::Platform;
use crate::rooms::futures;
use crate::time::Timestamp;
use crate::usage::{self, Kind, RETENTION_DAYS, SHARDS};

use super::Call;
use super::consumer::seconds;
use super::limit::usd;
use super::query::Query;
use super::reply::{Answer, Failure, Reply};

/// More rows than this are a mistake, and more than an isolate should hold.
const MOST_ROWS: usize = 10_000;

/// How many places are asked at a time: each may answer with a megabyte.
const AT_ONCE: usize = 8;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `GET /usage`
pub(super) async fn read<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["by", "from", "to", "step"])?;
    let now = call.platform.now();
    let wanted = Wanted::read(&query, now)?;
    let mut sums = Sums::new(&wanted);
    for some in wanted.places().chunks(AT_ONCE) {
        let ask = |(_, place): &(Timestamp, Place)| {
            let place = place.clone();
            async move { call.platform.apply(&place, &Operation::Tallies).await }
        };
        let told = futures::join(some.iter().map(ask).collect()).await;
        for ((begin, _), told) in some.iter().zip(told) {
            let Ok(Told::Tallies(rows)) = told else { return Err(Failure::ledger_unavailable()) };
            for row in rows.iter().filter(|row| row.until > now) {
                sums.add(*begin, row);
            }
            if sums.rows.len() > MOST_ROWS {
                let message = format!("More than {MOST_ROWS} rows: ask for less time, or by less.");
                return Err(Failure::new(StatusCode::BAD_REQUEST, "too_many_rows", message));
            }
        }
    }
    Ok(Reply::json(&sums.shown()))
}

/// What rows are kept apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Consumer,
    Group,
    Model,
    Provider,
    Route,
}

impl Dimension {
    const ALL: [Self; 5] = [Self::Consumer, Self::Group, Self::Model, Self::Provider, Self::Route];

    fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Group => "group",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
        }
    }

    fn of(self, kind: &Kind) -> &str {
        match self {
            Self::Consumer => &kind.consumer,
            Self::Group => &kind.group,
            Self::Model => &kind.model,
            Self::Provider => &kind.provider,
            Self::Route => &kind.route,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Minute,
    Hour,
    Day,
    Total,
}

impl Step {
    const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Total];

    fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Total => "total",
        }
    }

    /// What sums are kept by that it is made of: a minute or an hour.
    fn grain(self) -> Duration {
        match self {
            Self::Minute => MINUTE,
            Self::Hour | Self::Day | Self::Total => HOUR,
        }
    }

    /// The longest time that can be asked for.
    fn longest(self) -> Duration {
        match self {
            Self::Minute => DAY,
            Self::Hour | Self::Day | Self::Total => DAY * RETENTION_DAYS as u32,
        }
    }
}

/// A question that makes sense.
#[derive(Debug)]
struct Wanted {
    from: Timestamp,
    to: Timestamp,
    step: Step,
    by: Vec<Dimension>,
}

impl Wanted {
    fn read(query: &Query, now: Timestamp) -> Result<Self, Failure> {
        let moment = |name: &str| -> Result<Option<Timestamp>, Failure> {
            let Some(text) = query.text(name) else { return Ok(None) };
            let expected = "whole seconds since 1970 or a time such as \"2026-01-31T09:00:00Z\"";
            let moment = date::moment(text)
                .ok_or_else(|| Failure::invalid(name, format!("{text:?}"), expected))?;
            Ok(Some(moment))
        };
        let to = moment("to")?.unwrap_or(now);
        let day_before = to.as_millis().saturating_sub(DAY.as_millis() as u64);
        let from = moment("from")?.unwrap_or(Timestamp::from_millis(day_before));
        if from >= to {
            return Err(Failure::invalid(
                "from",
                "a moment that is not before `to`",
                "an earlier one",
            ));
        }
        let text = query.text("step").unwrap_or("total");
        let step = Step::ALL.into_iter().find(|step| step.name() == text);
        let step = step.ok_or_else(|| {
            Failure::invalid("step", format!("{text:?}"), "minute, hour, day or total")
        })?;
        if to.since(from) > step.longest() {
            let days = step.longest().as_secs() / DAY.as_secs();
            let expected = match step {
                Step::Minute => "24 hours at most, by the minute".to_owned(),
                Step::Hour | Step::Day | Step::Total => format!("{days} days at most"),
            };
            return Err(Failure::invalid("from", "a longer time", expected));
        }
        // A minute or an hour that is begun counts whole.
        let grain = step.grain().as_millis() as u64;
        let from = Timestamp::from_millis(from.as_millis() / grain * grain);
        let mut by = Vec::new();
        for name in query.text("by").unwrap_or_default().split(',').filter(|name| !name.is_empty())
        {
            let dimension = Dimension::ALL.into_iter().find(|dimension| dimension.name() == name);
            match dimension {
                Some(dimension) if !by.contains(&dimension) => by.push(dimension),
                Some(_) => {}
                None => {
                    let expected = "consumer, group, model, provider, route, with commas between";
                    return Err(Failure::invalid("by", format!("{name:?}"), expected));
                }
            }
        }
        Ok(Self { from, to, step, by })
    }

    /// The places to ask, and from when each one's rows count.
    fn places(&self) -> Vec<(Timestamp, Place)> {
        let mut places = Vec::new();
        let mut begin = match self.step {
            Step::Minute => usage::hour_of(self.from),
            Step::Hour | Step::Day | Step::Total => Day::of(self.from).start(),
        };
        while begin < self.to {
            let shards = (0..SHARDS).map(|shard| match self.step {
                Step::Minute => usage::minutes_place(begin, shard),
                Step::Hour | Step::Day | Step::Total => usage::place(Day::of(begin), shard),
            });
            places.extend(shards.map(|place| (begin, place)));
            begin = match self.step {
                Step::Minute => begin + HOUR,
                Step::Hour | Step::Day | Step::Total => Day::of(begin).next().start(),
            };
        }
        places
    }
}

/// Sums by the step that they began in, and by what they are kept apart by.
#[derive(Debug)]
struct Sums<'a> {
    wanted: &'a Wanted,
    rows: BTreeMap<(Timestamp, Vec<String>), Tally>,
}

impl<'a> Sums<'a> {
    fn new(wanted: &'a Wanted) -> Self {
        Self { wanted, rows: BTreeMap::new() }
    }

    /// Adds a row of a place whose first row would begin then.
    fn add(&mut self, begin: Timestamp, row: &TallyRow) {
        let Some((number, kind)) = usage::read(&row.key) else { return };
        let at = begin + self.wanted.step.grain() * u32::from(number);
        if at < self.wanted.from || at >= self.wanted.to {
            return;
        }
        let start = match self.wanted.step {
            Step::Minute | Step::Hour => at,
            Step::Day => Day::of(at).start(),
            Step::Total => self.wanted.from,
        };
        let by = self.wanted.by.iter().map(|dimension| dimension.of(&kind).to_owned()).collect();
        *self.rows.entry((start, by)).or_default() += &row.tally;
    }

    fn shown(&self) -> Value {
        let Wanted { from, to, step, by } = self.wanted;
        let names: Vec<&str> = by.iter().map(|dimension| dimension.name()).collect();
        let data = self.rows.iter().map(|((start, values), tally)| {
            let mut shown = numbers(tally);
            shown["start"] = seconds(*start);
            for (name, value) in names.iter().zip(values) {
                shown[*name] = json!(value);
            }
            shown
        });
        json!({
            "from": seconds(*from),
            "to": seconds(*to),
            "step": step.name(),
            "by": names,
            "data": data.collect::<Vec<Value>>(),
        })
    }
}

fn numbers(tally: &Tally) -> Value {
    json!({
        "requests": tally.requests,
        "failed": tally.failed,
        "limited": tally.limited,
        "cache_hits": tally.hits,
        "guard_blocks": tally.blocked,
        "estimated": tally.estimated,
        "input_tokens": tally.input,
        "cached_tokens": tally.cached,
        "output_tokens": tally.output,
        "reasoning_tokens": tally.reasoning,
        "cost_usd": usd(tally.cost),
        "mean_first_token_ms": tally.first_ms.checked_div(tally.first),
        "p50_first_token_ms": tally.firsts.quantile(500),
        "p95_first_token_ms": tally.firsts.quantile(950),
        "p99_first_token_ms": tally.firsts.quantile(990),
        "mean_total_ms": tally.total_ms.checked_div(tally.requests),
        "p50_total_ms": tally.totals.quantile(500),
        "p95_total_ms": tally.totals.quantile(950),
        "p99_total_ms": tally.totals.quantile(990),
    })
}

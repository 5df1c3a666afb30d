//! `/usage`: what past requests add up to, for the console and the bill.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::date::{self, Day};
use crate::ledger::{Operation, Reply as Told, Tally, TallyRow};
use crate::platform::Platform;
use crate::rooms::notary;
use crate::time::Timestamp;
use crate::usage::{self, Kind, RETENTION_DAYS, SHARDS};

use super::Call;
use super::consumer::seconds;
use super::limit::usd;
use super::query::Query;
use super::reply::{Answer, Failure, Reply};

/// More rows than this are a mistake, and more than an isolate should hold.
const MOST_ROWS: usize = 10_000;

const HOUR: u64 = 60 * 60 * 1_000;

/// `GET /usage`
pub(super) async fn read<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["by", "from", "to", "step"])?;
    let now = call.platform.now();
    let wanted = Wanted::read(&query, now)?;
    let mut sums = Sums::new(&wanted);
    let mut day = Day::of(wanted.from);
    while day.start() < wanted.to {
        let ask = |shard| async move {
            call.platform.apply(&usage::place(day, shard), &Operation::Tallies).await
        };
        for told in notary::join((0..SHARDS).map(ask).collect()).await {
            let Ok(Told::Tallies(rows)) = told else { return Err(Failure::ledger_unavailable()) };
            for row in rows.iter().filter(|row| row.until > now) {
                sums.add(day, row);
            }
            if sums.rows.len() > MOST_ROWS {
                let message = format!("More than {MOST_ROWS} rows: ask for less time, or by less.");
                return Err(Failure::new(StatusCode::BAD_REQUEST, "too_many_rows", message));
            }
        }
        day = day.next();
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
    Hour,
    Day,
    Total,
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
        let a_day_before = to.as_millis().saturating_sub(24 * HOUR);
        let from = moment("from")?.unwrap_or(Timestamp::from_millis(a_day_before));
        if from >= to {
            return Err(Failure::invalid(
                "from",
                "a moment that is not before `to`",
                "an earlier one",
            ));
        }
        if to.since(from) > Duration::from_secs(RETENTION_DAYS * 24 * 60 * 60) {
            let expected = format!("{RETENTION_DAYS} days at most");
            return Err(Failure::invalid("from", "a longer time", expected));
        }
        // Sums are kept by the hour: an hour that is begun counts whole.
        let from = Timestamp::from_millis(from.as_millis() / HOUR * HOUR);
        let step = match query.text("step") {
            None | Some("total") => Step::Total,
            Some("day") => Step::Day,
            Some("hour") => Step::Hour,
            Some(other) => {
                return Err(Failure::invalid("step", format!("{other:?}"), "hour, day or total"));
            }
        };
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

    fn add(&mut self, day: Day, row: &TallyRow) {
        let Some((hour, kind)) = usage::read(&row.key) else { return };
        let hour = day.start() + Duration::from_millis(u64::from(hour) * HOUR);
        if hour < self.wanted.from || hour >= self.wanted.to {
            return;
        }
        let start = match self.wanted.step {
            Step::Hour => hour,
            Step::Day => day.start(),
            Step::Total => self.wanted.from,
        };
        let by = self.wanted.by.iter().map(|dimension| dimension.of(&kind).to_owned()).collect();
        *self.rows.entry((start, by)).or_default() += row.tally;
    }

    fn shown(&self) -> Value {
        let Wanted { from, to, step, by } = self.wanted;
        let step = match step {
            Step::Hour => "hour",
            Step::Day => "day",
            Step::Total => "total",
        };
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
            "step": step,
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
        "estimated": tally.estimated,
        "input_tokens": tally.input,
        "cached_tokens": tally.cached,
        "output_tokens": tally.output,
        "reasoning_tokens": tally.reasoning,
        "cost_usd": usd(tally.cost),
        "mean_first_token_ms": tally.first_ms.checked_div(tally.first),
        "mean_total_ms": tally.total_ms.checked_div(tally.requests),
    })
}

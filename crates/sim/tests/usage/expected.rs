//! Usage that the admin API should report, computed from the requests of a simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use civil_time::rfc3339;
use serde_json::Value;
use sim::world::Received;

use super::{DAY, HOUR, MINUTE, Simulation};

/// Finished request, as its caller saw it.
pub(crate) struct Sent {
    /// Arrival, in milliseconds since 1970.
    at: u64,
    consumer: String,
    route: String,
    provider: String,
    model: String,
    failed: bool,
    pub(crate) limited: bool,
    input: u64,
    output: u64,
    first: Option<u64>,
    total: u64,
}

impl Sent {
    pub(crate) fn parse(at: u64, consumer: &str, requested: &str, received: &Received) -> Self {
        let (status, headers) = received.head.as_ref().expect("a head");
        let target = headers.get("x-serin-target").map(|it| it.to_str().expect("text"));
        let (provider, model) = target.and_then(|it| it.split_once('/')).unwrap_or(("", requested));
        let body = received.body();
        let text = std::str::from_utf8(&body).expect("text");
        let chunks = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        let usage = chunks.filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let usage = usage.map(|it| it["usage"].clone()).rfind(|usage| !usage.is_null());
        let tokens = |name: &str| usage.as_ref().and_then(|it| it[name].as_u64()).unwrap_or(0);
        let route = match requested {
            "claude" => "other",
            "none" => "down",
            _ => "chat",
        };
        let millis = |it: Duration| u64::try_from(it.as_millis()).expect("the duration fits");
        Self {
            at,
            consumer: consumer.to_owned(),
            route: route.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            failed: status.is_server_error(),
            limited: status.as_u16() == 429,
            input: tokens("prompt_tokens"),
            output: tokens("completion_tokens"),
            // A whole answer has no first token.
            first: (status.is_success() && text.starts_with("data: "))
                .then(|| millis(received.pieces[0].0)),
            total: millis(received.took),
        }
    }

    fn dimension(&self, dimension: &str) -> &str {
        match dimension {
            "consumer" => &self.consumer,
            "group" if self.consumer == "acme" => "gold",
            "group" => "",
            "model" => &self.model,
            "provider" => &self.provider,
            "route" => &self.route,
            other => panic!("{other}"),
        }
    }
}

impl Simulation {
    /// Asserts that the reported usage matches the requests. Returns the number of rows.
    #[track_caller]
    pub(crate) fn assert_matches(&self, step: &str, by: &str, from: u64, to: u64) -> usize {
        let (from, to) = (from / 1_000 * 1_000, to / 1_000 * 1_000);
        let grain = if step == "minute" { MINUTE } else { HOUR };
        let begin = from / grain * grain;
        let sent = self.sent.borrow();
        let mut expected: BTreeMap<(u64, Vec<&str>), Vec<&Sent>> = BTreeMap::new();
        // Both ends of the range are extended to whole periods.
        for one in
            sent.iter().filter(|it| it.at / grain * grain >= begin && it.at / grain * grain < to)
        {
            let start = match step {
                "minute" => one.at / MINUTE * MINUTE,
                "hour" => one.at / HOUR * HOUR,
                "day" => one.at / DAY * DAY,
                _ => begin,
            };
            let key =
                by.split(',').filter(|it| !it.is_empty()).map(|it| one.dimension(it)).collect();
            expected.entry((start / 1_000, key)).or_default().push(one);
        }
        let rows = self.usage(step, by, from, to);
        let mut keys = BTreeSet::new();
        for row in &rows {
            let text = |it: &str| row[it].as_str().expect("text").to_owned();
            let dimensions: Vec<String> =
                by.split(',').filter(|it| !it.is_empty()).map(text).collect();
            let start = row["start"].as_str().and_then(rfc3339::parse_timestamp);
            let key = (
                start.expect("a moment").as_millis() / 1_000,
                dimensions.iter().map(String::as_str).collect(),
            );
            let some = expected.get(&key).unwrap_or_else(|| panic!("{step} {by}: {row}"));
            let sum = |of: &dyn Fn(&Sent) -> u64| some.iter().map(|it| of(it)).sum::<u64>();
            for (name, number) in [
                ("requests", some.len() as u64),
                ("failed", sum(&|it| it.failed.into())),
                ("limited", sum(&|it| it.limited.into())),
                ("input_tokens", sum(&|it| it.input)),
                ("output_tokens", sum(&|it| it.output)),
            ] {
                assert_eq!(row[name].as_u64(), Some(number), "{step} {by}: {name} of {row}");
            }
            assert_percentiles(row, "total", some.iter().map(|it| it.total).collect());
            assert_percentiles(row, "first_token", some.iter().filter_map(|it| it.first).collect());
            assert!(keys.insert((key.0, dimensions.clone())), "{step} {by}: {row} appears twice");
        }
        assert_eq!(rows.len(), expected.len(), "{step} {by}: rows are missing");
        rows.len()
    }
}

/// Asserts percentiles by nearest rank, with the error that the manual allows.
#[track_caller]
fn assert_percentiles(row: &Value, of: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    for (name, share) in [("p50", 500), ("p95", 950), ("p99", 990)] {
        let reported = &row[format!("{name}_{of}_ms")];
        if times.is_empty() {
            assert!(reported.is_null(), "{row}");
            continue;
        }
        // The lowest bin begins at one millisecond.
        let exact = times[(times.len() * share).div_ceil(1_000).max(1) - 1].max(1) as f64;
        let error = (reported.as_f64().expect("a number") - exact).abs();
        assert!(error <= exact * 0.048 + 0.5, "{name} of {of} is {exact}: {row}");
    }
}

//! Prometheus text exposition format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use ledger::{QuantileSketch, UsageRow, UsageTotals, labels};
use rollout::{Phase, Rollout};

use crate::telemetry::usage::keys::decode_part;

use super::catalogue::{
    BUILD_INFO, CACHE, CALLS, CONFIG_VERSION, COST, DURATION, FALLBACK, FIRST_TOKEN, GUARD,
    LEDGER_UNAVAILABLE, LIMIT_NEAR, LIMITED, Metric, MetricKind, REQUESTS, ROLLOUT_EVIDENCE,
    ROLLOUT_PHASE, ROLLOUT_WEIGHT, TOKENS,
};
use super::from_record;

/// Sketch bins that end a bucket, four per decade, and their upper bounds in seconds.
const BUCKETS: [(u16, &str); 21] = [
    (24, "0.01"),
    (30, "0.0178"),
    (36, "0.0316"),
    (42, "0.0562"),
    (48, "0.1"),
    (54, "0.178"),
    (60, "0.316"),
    (66, "0.562"),
    (72, "1"),
    (78, "1.78"),
    (84, "3.16"),
    (90, "5.62"),
    (96, "10"),
    (102, "17.8"),
    (108, "31.6"),
    (114, "56.2"),
    (120, "100"),
    (126, "178"),
    (132, "316"),
    (138, "562"),
    (144, "1000"),
];

/// Family of a series and the values of its labels, in the catalogue's order.
type Series = (String, Vec<String>);

/// Versions of the configuration, for the page.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConfigVersions {
    pub in_force: Option<u64>,
    pub served: Option<u64>,
}

/// Renders the sum of the rows of all shards, and the state of the isolate.
pub(crate) fn render(
    rows: impl IntoIterator<Item = UsageRow>,
    versions: ConfigVersions,
    rollouts: Vec<(&str, Rollout)>,
) -> String {
    let mut sums: BTreeMap<Series, UsageTotals> = BTreeMap::new();
    for row in rows {
        let family = row.key.split('|').next().unwrap_or_default().to_owned();
        let values = labels(&row.key).map(|(_, value)| decode_part(value).into_owned()).collect();
        *sums.entry((family, values)).or_default() += &row.totals;
    }
    let of = |family: &'static str| {
        sums.iter().filter(move |((of, _), _)| of == family).map(|((_, values), sum)| (values, sum))
    };
    let mut page = Exposition::default();
    page.write_header(REQUESTS);
    for (values, sum) in of(from_record::REQUEST_ROWS) {
        for (status, count) in sum.statuses.iter() {
            let number = status.to_string();
            let status = match status {
                from_record::STATUS_HUNG_UP => "hung_up",
                from_record::STATUS_TRUNCATED => "truncated",
                _ => &number,
            };
            page.write_sample("", REQUESTS, values, &[status], count);
        }
    }
    // Not by consumer: each would add as many series as there are buckets.
    let mut times: BTreeMap<&[String], UsageTotals> = BTreeMap::new();
    for (values, sum) in of(from_record::REQUEST_ROWS) {
        *times.entry(&values[..values.len().min(DURATION.labels.len())]).or_default() += sum;
    }
    page.write_header(DURATION);
    for (values, sum) in &times {
        page.write_histogram(DURATION, values, &sum.totals, sum.total_ms);
    }
    page.write_header(FIRST_TOKEN);
    for (values, sum) in times.iter().filter(|(_, sum)| sum.first > 0) {
        page.write_histogram(FIRST_TOKEN, values, &sum.firsts, sum.first_ms);
    }
    page.write_header(TOKENS);
    for (values, sum) in of(from_record::REQUEST_ROWS) {
        let reported_input = sum.input.saturating_sub(sum.estimated_input);
        let reported_output = sum.output.saturating_sub(sum.estimated_output);
        for (kind, counted, tokens) in [
            ("input", "reported", reported_input),
            ("output", "reported", reported_output),
            ("cached", "reported", sum.cached),
            ("cache_write", "reported", sum.cache_write),
            ("reasoning", "reported", sum.reasoning),
            ("input", "estimated", sum.estimated_input),
            ("output", "estimated", sum.estimated_output),
        ] {
            if tokens > 0 {
                page.write_sample("", TOKENS, values, &[kind, counted], tokens);
            }
        }
    }
    page.write_header(COST);
    for (values, sum) in of(from_record::REQUEST_ROWS).filter(|(_, sum)| sum.cost > 0) {
        page.write_sample("", COST, values, &[], Decimal(sum.cost, 9));
    }
    for (metric, family) in [
        (LIMITED, from_record::LIMITED_ROWS),
        (LIMIT_NEAR, from_record::NEAR_ROWS),
        (CALLS, from_record::CALL_ROWS),
        (FALLBACK, from_record::FALLBACK_ROWS),
        (CACHE, from_record::CACHE_ROWS),
        (GUARD, from_record::GUARD_ROWS),
        (LEDGER_UNAVAILABLE, from_record::LEDGER_ROWS),
    ] {
        page.write_header(metric);
        of(family)
            .for_each(|(values, sum)| page.write_sample("", metric, values, &[], sum.requests));
    }
    page.write_header(BUILD_INFO);
    page.write_sample("", BUILD_INFO, &[], &[env!("CARGO_PKG_VERSION")], 1);
    page.write_header(CONFIG_VERSION);
    for (state, version) in [("in_force", versions.in_force), ("served", versions.served)] {
        if let Some(version) = version {
            page.write_sample("", CONFIG_VERSION, &[], &[state], version);
        }
    }
    page.write_rollouts(&rollouts);
    page.0
}

#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn write_header(&mut self, metric: Metric) {
        let Metric { name, help, kind: sort, labels: _ } = metric;
        let sort = match sort {
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
            MetricKind::Gauge => "gauge",
        };
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {sort}").expect("a string grows");
    }

    /// Writes one sample: `values` are those of the metric's first labels, `more` those of the
    /// labels after them.
    fn write_sample(
        &mut self,
        suffix: &str,
        metric: Metric,
        values: &[String],
        more: &[&str],
        number: impl Display,
    ) {
        self.0.extend([metric.name, suffix]);
        let values = values.iter().map(String::as_str).chain(more.iter().copied());
        // The buckets of a histogram have one more label.
        let names = metric.labels.iter().copied().chain(["le"]);
        let mut before = '{';
        for (name, value) in names.zip(values) {
            self.0.push(before);
            self.0.extend([name, "=\""]);
            escape(&mut self.0, value);
            self.0.push('"');
            before = ',';
        }
        writeln!(self.0, "}} {number}").expect("a string grows");
    }

    fn write_rollouts(&mut self, rollouts: &[(&str, Rollout)]) {
        self.write_header(ROLLOUT_WEIGHT);
        for (route, state) in rollouts {
            self.write_sample("", ROLLOUT_WEIGHT, &[], &[route], state.weight());
        }
        self.write_header(ROLLOUT_EVIDENCE);
        for (route, state) in rollouts {
            for check in state.checks() {
                let labels = [*route, &check.metric];
                self.write_sample("", ROLLOUT_EVIDENCE, &[], &labels, check.evidence);
            }
        }
        self.write_header(ROLLOUT_PHASE);
        for (route, state) in rollouts {
            for phase in Phase::ALL {
                let value = u8::from(state.phase() == phase);
                self.write_sample("", ROLLOUT_PHASE, &[], &[route, phase.name()], value);
            }
        }
    }

    fn write_histogram(
        &mut self,
        metric: Metric,
        values: &[String],
        sketch: &QuantileSketch,
        millis: u64,
    ) {
        for (last, end) in BUCKETS {
            self.write_sample("_bucket", metric, values, &[end], sketch.count_up_to(last));
        }
        self.write_sample("_bucket", metric, values, &["+Inf"], sketch.total());
        self.write_sample("_sum", metric, values, &[], Decimal(millis, 3));
        self.write_sample("_count", metric, values, &[], sketch.total());
    }
}

/// A decimal number with a fixed number of decimal places: exact, unlike a float.
struct Decimal(u64, u8);

impl Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = 10_u64.pow(u32::from(self.1));
        write!(f, "{}.{:0width$}", self.0 / one, self.0 % one, width = usize::from(self.1))
    }
}

/// Escapes a label's value: quotation marks, backslashes, and line feeds.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            // Prometheus rejects a whole page because of one control character.
            _ if character.is_control() => text.push(char::REPLACEMENT_CHARACTER),
            _ => text.push(character),
        }
    }
}

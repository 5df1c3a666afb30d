//! What has come since the last time, as metrics of delta temporality: totals of a process would say
//! nothing where there are many that live shortly.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::observe::{Counted, Record};
use crate::time::Timestamp;
use crate::usage::Kind;

use super::span::{billionths as seconds, error, operation};
use super::value::{
    Attribute, Attributes, Resource, SCOPE, Scope, billionths, decimal, nanoseconds,
};

/// So many series are told apart in one batch; others are one, marked as OpenTelemetry's SDKs do.
const MOST_SERIES: usize = 2_000;
const OVERFLOW: &str = "otel.metric.overflow";
const OTHER: &str = "other";
/// `AGGREGATION_TEMPORALITY_DELTA`
const DELTA: u8 = 1;
/// What a whole is, in billionths.
const WHOLE: u64 = 1_000_000_000;

/// The conventions' bounds for tokens.
pub(super) const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// The same for the duration of an operation, in seconds.
pub(super) const DURATIONS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// The same for the first token.
pub(super) const FIRSTS: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Tokens,
    Duration,
    FirstToken,
    Requests,
    Cost,
    Dropped,
}

/// Name, unit, and the bounds of a histogram.
struct About(&'static str, &'static str, &'static [f64]);

impl Name {
    fn about(self) -> About {
        match self {
            Self::Tokens => About("gen_ai.client.token.usage", "{token}", &TOKENS),
            Self::Duration => About("gen_ai.client.operation.duration", "s", &DURATIONS),
            Self::FirstToken => About("gen_ai.server.time_to_first_token", "s", &FIRSTS),
            Self::Requests => About("serin.requests", "{request}", &[]),
            Self::Cost => About("serin.cost", "USD", &[]),
            Self::Dropped => About("serin.otlp.dropped", "{request}", &[]),
        }
    }
}

/// All numbers are in billionths.
#[derive(Debug, Default)]
struct Point {
    count: u64,
    sum: u128,
    buckets: Vec<u64>,
}

/// Sums in the making, of requests that are over.
#[derive(Debug, Default)]
pub struct Sums {
    series: BTreeMap<Name, BTreeMap<Vec<Attribute>, Point>>,
    count: usize,
    /// Since when they are counted.
    since: Option<Timestamp>,
    /// Who is told apart.
    consumers: BTreeSet<String>,
}

impl Sums {
    /// Adds a request; `cost` is in billionths of a USD. Strangers' do not count, as in usage. Of
    /// consumers `most` are told apart.
    pub fn add(&mut self, record: &Record, cost: u64, most: usize) {
        let Some(kind) = Kind::of(record) else { return };
        self.since.get_or_insert(Timestamp::from_millis(record.at_ms));
        let model = record.model.as_deref().filter(|_| record.route.is_some());
        let general = |beside: Option<(&'static str, &str)>| {
            let mut labels = Attributes::default();
            labels.text("gen_ai.operation.name", operation(record));
            labels.text("gen_ai.provider.name", &*kind.provider);
            labels.text("gen_ai.request.model", model);
            labels.text("gen_ai.response.model", record.target.as_ref().map(|_| &*kind.model));
            if let Some((key, text)) = beside {
                labels.text(key, text);
            }
            labels
        };
        if record.tokens.counted != Counted::None {
            let tokens = [("input", record.tokens.input), ("output", record.tokens.output)];
            for (sort, tokens) in tokens {
                let labels = general(Some(("gen_ai.token.type", sort)));
                self.point(Name::Tokens, labels, tokens.saturating_mul(WHOLE));
            }
        }
        let labels = general(error(record).map(|error| ("error.type", error)));
        self.point(Name::Duration, labels, seconds(record.total_ms));
        if let Some(first) = record.first_token_ms {
            self.point(Name::FirstToken, general(None), seconds(first));
        }
        let consumer = self.consumer(&kind.consumer, most);
        let own = || {
            let mut labels = Attributes::default();
            labels.text("serin.route", &*kind.route);
            labels.text("gen_ai.provider.name", &*kind.provider);
            labels.text("gen_ai.response.model", record.target.as_ref().map(|_| &*kind.model));
            labels.text("serin.consumer", &*consumer);
            labels
        };
        let mut labels = own();
        labels.count("http.response.status_code", record.status.map(u64::from));
        labels.text("serin.outcome", record.outcome.name());
        self.point(Name::Requests, labels, WHOLE);
        if cost > 0 {
            self.point(Name::Cost, own(), cost);
        }
    }

    /// Adds requests whose spans nobody will see.
    pub fn dropped(&mut self, count: u64, now: Timestamp) {
        if count > 0 {
            self.since.get_or_insert(now);
            self.point(Name::Dropped, Attributes::default(), count.saturating_mul(WHOLE));
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn consumer(&mut self, consumer: &str, most: usize) -> String {
        if !self.consumers.contains(consumer) {
            if self.consumers.len() >= most {
                return OTHER.to_owned();
            }
            self.consumers.insert(consumer.to_owned());
        }
        consumer.to_owned()
    }

    fn point(&mut self, name: Name, labels: Attributes, value: u64) {
        let series = self.series.entry(name).or_default();
        let mut labels = labels.into_vec();
        if !series.contains_key(&labels) {
            if self.count >= MOST_SERIES {
                let mut overflow = Attributes::default();
                overflow.flag(OVERFLOW, true);
                labels = overflow.into_vec();
            } else {
                self.count += 1;
            }
        }
        let point = series.entry(labels).or_default();
        point.count += 1;
        point.sum += u128::from(value);
        let About(_, _, bounds) = name.about();
        if !bounds.is_empty() {
            point.buckets.resize(bounds.len() + 1, 0);
            // A bound belongs to the bucket that it ends.
            let value = value as f64 / 1e9;
            let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
            point.buckets[bucket] += 1;
        }
    }

    /// Takes everything: the body of a call to `/v1/metrics`, and begins anew.
    pub fn take(&mut self, service: &str, now: Timestamp) -> Vec<u8> {
        let since = self.since.replace(now).unwrap_or(now);
        self.count = 0;
        let series = std::mem::take(&mut self.series);
        let metrics = series.iter().map(|(name, series)| Metric::of(*name, series, since, now));
        let scope_metrics = [ScopeMetrics { scope: SCOPE, metrics: metrics.collect() }];
        let resource = Resource::of(service);
        let body = Body { resource_metrics: [ResourceMetrics { resource, scope_metrics }] };
        serde_json::to_vec(&body).expect("strings and numbers always serialise")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    resource_metrics: [ResourceMetrics<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    resource: Resource,
    scope_metrics: [ScopeMetrics<'a>; 1],
}

#[derive(Serialize)]
struct ScopeMetrics<'a> {
    scope: Scope,
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
struct Metric<'a> {
    name: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Data<'a> {
    #[serde(rename_all = "camelCase")]
    Sum { aggregation_temporality: u8, is_monotonic: bool, data_points: Vec<Number<'a>> },
    #[serde(rename_all = "camelCase")]
    Histogram { aggregation_temporality: u8, data_points: Vec<Distribution<'a>> },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Number<'a> {
    attributes: &'a [Attribute],
    #[serde(serialize_with = "nanoseconds")]
    start_time_unix_nano: Timestamp,
    #[serde(serialize_with = "nanoseconds")]
    time_unix_nano: Timestamp,
    #[serde(flatten)]
    value: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Value {
    AsInt(#[serde(serialize_with = "decimal")] u64),
    AsDouble(#[serde(serialize_with = "billionths")] u64),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Distribution<'a> {
    attributes: &'a [Attribute],
    #[serde(serialize_with = "nanoseconds")]
    start_time_unix_nano: Timestamp,
    #[serde(serialize_with = "nanoseconds")]
    time_unix_nano: Timestamp,
    #[serde(serialize_with = "decimal")]
    count: u64,
    sum: f64,
    #[serde(serialize_with = "decimals")]
    bucket_counts: &'a [u64],
    explicit_bounds: &'static [f64],
}

impl<'a> Metric<'a> {
    fn of(
        name: Name,
        series: &'a BTreeMap<Vec<Attribute>, Point>,
        since: Timestamp,
        now: Timestamp,
    ) -> Self {
        let About(called, unit, bounds) = name.about();
        let whole =
            |point: &Point| u64::try_from(point.sum / u128::from(WHOLE)).unwrap_or(u64::MAX);
        let fine = |point: &Point| u64::try_from(point.sum).unwrap_or(u64::MAX);
        let number = |(attributes, point): (&'a Vec<Attribute>, &Point)| Number {
            attributes,
            start_time_unix_nano: since,
            time_unix_nano: now,
            value: match name {
                Name::Cost => Value::AsDouble(fine(point)),
                Name::Tokens
                | Name::Duration
                | Name::FirstToken
                | Name::Requests
                | Name::Dropped => Value::AsInt(whole(point)),
            },
        };
        let distribution = |(attributes, point): (&'a Vec<Attribute>, &'a Point)| Distribution {
            attributes,
            start_time_unix_nano: since,
            time_unix_nano: now,
            count: point.count,
            sum: point.sum as f64 / 1e9,
            bucket_counts: &point.buckets,
            explicit_bounds: bounds,
        };
        let aggregation_temporality = DELTA;
        let data = if bounds.is_empty() {
            let data_points = series.iter().map(number).collect();
            Data::Sum { aggregation_temporality, is_monotonic: true, data_points }
        } else {
            let data_points = series.iter().map(distribution).collect();
            Data::Histogram { aggregation_temporality, data_points }
        };
        Self { name: called, unit, data }
    }
}

fn decimals<S: Serializer>(numbers: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().map(u64::to_string))
}

//! Metrics of delta temporality: cumulative totals of a process are useless with many short-lived
//! processes.

use std::collections::{BTreeMap, BTreeSet};

use civil_time::Timestamp;
use openai::TokenSource;
use serde::{Serialize, Serializer};

use crate::record::Record;
use crate::telemetry::usage::keys::UsageDimensions;

use super::attributes::{
    Attribute, Attributes, InstrumentationScope, Resource, SCOPE, billionths, decimal, nanoseconds,
};
use super::spans::{error_type, known_operation, seconds_in_billionths as seconds};

/// Distinct series of one batch. Others are merged into one, marked as OpenTelemetry's SDKs do.
const MAX_SERIES: usize = 2_000;
const OVERFLOW: &str = "otel.metric.overflow";
const OTHER: &str = "other";
/// `AGGREGATION_TEMPORALITY_DELTA`
const DELTA: u8 = 1;
/// One, in billionths.
const BILLION: u64 = 1_000_000_000;

/// Bounds of the semantic conventions for tokens.
pub(super) const TOKEN_BOUNDS: [f64; 14] = [
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
pub(super) const DURATION_BOUNDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// The same for the time to the first token.
pub(super) const FIRST_TOKEN_BOUNDS: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MetricName {
    Tokens,
    Duration,
    FirstToken,
    Requests,
    Cost,
    Dropped,
}

/// Name, unit, and the bounds of a histogram.
struct MetricSpec(&'static str, &'static str, &'static [f64]);

impl MetricName {
    fn spec(self) -> MetricSpec {
        match self {
            Self::Tokens => MetricSpec("gen_ai.client.token.usage", "{token}", &TOKEN_BOUNDS),
            Self::Duration => MetricSpec("gen_ai.client.operation.duration", "s", &DURATION_BOUNDS),
            Self::FirstToken => {
                MetricSpec("gen_ai.server.time_to_first_token", "s", &FIRST_TOKEN_BOUNDS)
            }
            Self::Requests => MetricSpec("serin.requests", "{request}", &[]),
            Self::Cost => MetricSpec("serin.cost", "USD", &[]),
            Self::Dropped => MetricSpec("serin.otlp.dropped", "{request}", &[]),
        }
    }
}

/// All numbers are in billionths.
#[derive(Debug, Default)]
struct DataPoint {
    count: u64,
    sum: u128,
    buckets: Vec<u64>,
}

/// Sums of finished requests since the last batch.
#[derive(Debug, Default)]
pub(crate) struct DeltaMetrics {
    series: BTreeMap<MetricName, BTreeMap<Vec<Attribute>, DataPoint>>,
    count: usize,
    /// Start of the interval.
    since: Option<Timestamp>,
    /// Consumers with series of their own.
    consumers: BTreeSet<String>,
}

impl DeltaMetrics {
    /// Adds a request; `cost` is in billionths of a USD. Anonymous requests are not counted, as in
    /// usage totals. At most `max` consumers have series of their own.
    pub(crate) fn add(&mut self, record: &Record, cost: u64, max: usize) {
        let Some(dimensions) = UsageDimensions::from_record(record) else { return };
        self.since.get_or_insert(Timestamp::from_millis(record.at_ms));
        let model = record.model.as_deref().filter(|_| record.route.is_some());
        let general = |extra: Option<(&'static str, &str)>| {
            let mut labels = Attributes::default();
            labels.push_text("gen_ai.operation.name", known_operation(record));
            labels.push_text("gen_ai.provider.name", &*dimensions.provider);
            labels.push_text("gen_ai.request.model", model);
            labels.push_text(
                "gen_ai.response.model",
                record.target.as_ref().map(|_| &*dimensions.model),
            );
            if let Some((key, text)) = extra {
                labels.push_text(key, text);
            }
            labels
        };
        if record.tokens.counted != TokenSource::None {
            let tokens = [("input", record.tokens.input), ("output", record.tokens.output)];
            for (sort, tokens) in tokens {
                let labels = general(Some(("gen_ai.token.type", sort)));
                self.point(MetricName::Tokens, labels, tokens.saturating_mul(BILLION));
            }
        }
        let labels = general(error_type(record).map(|error| ("error.type", error)));
        self.point(MetricName::Duration, labels, seconds(record.total_ms));
        if let Some(first) = record.first_token_ms {
            self.point(MetricName::FirstToken, general(None), seconds(first));
        }
        let consumer = self.consumer_label(&dimensions.consumer, max);
        let own = || {
            let mut labels = Attributes::default();
            labels.push_text("serin.route", &*dimensions.route);
            labels.push_text("gen_ai.provider.name", &*dimensions.provider);
            labels.push_text(
                "gen_ai.response.model",
                record.target.as_ref().map(|_| &*dimensions.model),
            );
            labels.push_text("serin.consumer", &*consumer);
            labels
        };
        let mut labels = own();
        labels.push_count("http.response.status_code", record.status.map(u64::from));
        labels.push_text("serin.outcome", record.outcome.name());
        self.point(MetricName::Requests, labels, BILLION);
        if cost > 0 {
            self.point(MetricName::Cost, own(), cost);
        }
    }

    /// Adds requests whose spans were dropped.
    pub(crate) fn add_dropped(&mut self, count: u64, now: Timestamp) {
        if count > 0 {
            self.since.get_or_insert(now);
            self.point(MetricName::Dropped, Attributes::default(), count.saturating_mul(BILLION));
        }
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn consumer_label(&mut self, consumer: &str, max: usize) -> String {
        if !self.consumers.contains(consumer) {
            if self.consumers.len() >= max {
                return OTHER.to_owned();
            }
            self.consumers.insert(consumer.to_owned());
        }
        consumer.to_owned()
    }

    fn point(&mut self, name: MetricName, labels: Attributes, value: u64) {
        let series = self.series.entry(name).or_default();
        let mut labels = labels.into_vec();
        if !series.contains_key(&labels) {
            if self.count >= MAX_SERIES {
                let mut overflow = Attributes::default();
                overflow.push_flag(OVERFLOW, true);
                labels = overflow.into_vec();
            } else {
                self.count += 1;
            }
        }
        let point = series.entry(labels).or_default();
        point.count += 1;
        point.sum += u128::from(value);
        let MetricSpec(_, _, bounds) = name.spec();
        if !bounds.is_empty() {
            point.buckets.resize(bounds.len() + 1, 0);
            // A bound belongs to the bucket that it ends.
            let value = value as f64 / 1e9;
            let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
            point.buckets[bucket] += 1;
        }
    }

    /// Returns the body of a call to `/v1/metrics` and starts a new interval.
    pub(crate) fn take_body(&mut self, service: &str, now: Timestamp) -> Vec<u8> {
        let since = self.since.replace(now).unwrap_or(now);
        self.count = 0;
        let series = std::mem::take(&mut self.series);
        let metrics =
            series.iter().map(|(name, series)| OtlpMetric::new(*name, series, since, now));
        let scope_metrics = [ScopeMetrics { scope: SCOPE, metrics: metrics.collect() }];
        let resource = Resource::new(service);
        let body = MetricsBody { resource_metrics: [ResourceMetrics { resource, scope_metrics }] };
        serde_json::to_vec(&body).expect("strings and numbers always serialize")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricsBody<'a> {
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
    scope: InstrumentationScope,
    metrics: Vec<OtlpMetric<'a>>,
}

#[derive(Serialize)]
struct OtlpMetric<'a> {
    name: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    data: MetricData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum MetricData<'a> {
    #[serde(rename_all = "camelCase")]
    Sum { aggregation_temporality: u8, is_monotonic: bool, data_points: Vec<NumberPoint<'a>> },
    #[serde(rename_all = "camelCase")]
    Histogram { aggregation_temporality: u8, data_points: Vec<HistogramPoint<'a>> },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NumberPoint<'a> {
    attributes: &'a [Attribute],
    #[serde(serialize_with = "nanoseconds")]
    start_time_unix_nano: Timestamp,
    #[serde(serialize_with = "nanoseconds")]
    time_unix_nano: Timestamp,
    #[serde(flatten)]
    value: PointValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum PointValue {
    AsInt(#[serde(serialize_with = "decimal")] u64),
    AsDouble(#[serde(serialize_with = "billionths")] u64),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistogramPoint<'a> {
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

impl<'a> OtlpMetric<'a> {
    fn new(
        name: MetricName,
        series: &'a BTreeMap<Vec<Attribute>, DataPoint>,
        since: Timestamp,
        now: Timestamp,
    ) -> Self {
        let MetricSpec(called, unit, bounds) = name.spec();
        let whole =
            |point: &DataPoint| u64::try_from(point.sum / u128::from(BILLION)).unwrap_or(u64::MAX);
        let fine = |point: &DataPoint| u64::try_from(point.sum).unwrap_or(u64::MAX);
        let number = |(attributes, point): (&'a Vec<Attribute>, &DataPoint)| NumberPoint {
            attributes,
            start_time_unix_nano: since,
            time_unix_nano: now,
            value: match name {
                MetricName::Cost => PointValue::AsDouble(fine(point)),
                MetricName::Tokens
                | MetricName::Duration
                | MetricName::FirstToken
                | MetricName::Requests
                | MetricName::Dropped => PointValue::AsInt(whole(point)),
            },
        };
        let distribution =
            |(attributes, point): (&'a Vec<Attribute>, &'a DataPoint)| HistogramPoint {
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
            MetricData::Sum { aggregation_temporality, is_monotonic: true, data_points }
        } else {
            let data_points = series.iter().map(distribution).collect();
            MetricData::Histogram { aggregation_temporality, data_points }
        };
        Self { name: called, unit, data }
    }
}

fn decimals<S: Serializer>(numbers: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().map(u64::to_string))
}

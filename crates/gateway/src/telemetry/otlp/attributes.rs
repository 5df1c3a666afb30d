//! Parts of spans and metrics: attributes, timestamps, resource, and scope.

use civil_time::Timestamp;
use serde::{Serialize, Serializer};

/// Bytes to which a text is cut: callers may send any model name.
const MAX_TEXT_BYTES: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Attribute {
    key: &'static str,
    value: AttributeValue,
}

/// The value; 64-bit integers are strings in proto3's JSON.
#[expect(clippy::enum_variant_names, reason = "the names that OTLP's JSON has")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum AttributeValue {
    StringValue(String),
    IntValue(#[serde(serialize_with = "decimal")] u64),
    BoolValue(bool),
    /// In billionths, so that attributes can be compared.
    DoubleValue(#[serde(serialize_with = "billionths")] u64),
}

/// List of attributes. Empty and unknown values are omitted.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Attributes(Vec<Attribute>);

impl Attributes {
    pub(super) fn push_text<'a>(&mut self, key: &'static str, text: impl Into<Option<&'a str>>) {
        if let Some(text) = text.into().filter(|text| !text.is_empty()) {
            self.push(key, AttributeValue::StringValue(truncate(text).to_owned()));
        }
    }

    pub(super) fn push_count(&mut self, key: &'static str, count: impl Into<Option<u64>>) {
        if let Some(count) = count.into() {
            self.push(key, AttributeValue::IntValue(count));
        }
    }

    pub(super) fn push_flag(&mut self, key: &'static str, is_so: bool) {
        if is_so {
            self.push(key, AttributeValue::BoolValue(true));
        }
    }

    /// Adds a number that is given in billionths.
    pub(super) fn push_number(&mut self, key: &'static str, billionths: Option<u64>) {
        if let Some(number) = billionths {
            self.push(key, AttributeValue::DoubleValue(number));
        }
    }

    pub(super) fn into_vec(self) -> Vec<Attribute> {
        self.0
    }

    fn push(&mut self, key: &'static str, value: AttributeValue) {
        self.0.push(Attribute { key, value });
    }
}

/// The service that sends the data.
#[derive(Debug, Serialize)]
pub(super) struct Resource {
    attributes: Attributes,
}

impl Resource {
    pub(super) fn new(service: &str) -> Self {
        let mut attributes = Attributes::default();
        attributes.push_text("service.name", service);
        attributes.push_text("service.version", VERSION);
        Self { attributes }
    }
}

/// The instrumentation scope.
#[derive(Debug, Serialize)]
pub(super) struct InstrumentationScope {
    name: &'static str,
    version: &'static str,
}

pub(super) const SCOPE: InstrumentationScope =
    InstrumentationScope { name: "serin", version: VERSION };
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The beginning of a text.
pub(super) fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// Serializes a 64-bit integer as a string.
pub(super) fn decimal<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// Serializes a timestamp in nanoseconds since the Unix epoch.
pub(super) fn nanoseconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.as_millis().saturating_mul(1_000_000))
}

/// Serializes a number that is given in billionths.
pub(super) fn billionths<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*number as f64 / 1e9)
}

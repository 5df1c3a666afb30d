//! Request bodies: JSON of bounded length, without unknown fields.

use std::fmt;

use bytes::Bytes;
use civil_time::{Timestamp, rfc3339};
use config::Problems;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, Unexpected, Visitor};

use crate::host::body::{Body, ReadError};
use crate::request::headers::has_media_type;

use super::response::AdminError;

/// Longest body of requests for consumers, keys, limits, and word lists.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// Longest configuration, bounded by the stores' value size.
pub(super) const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// Reads a whole body of at most `max` bytes. The content type is not checked if the body is empty.
pub(super) async fn read_body(
    headers: &HeaderMap,
    body: &mut Body,
    max: usize,
) -> Result<Bytes, AdminError> {
    let body = body.collect_from(max).await.map_err(|error| match error {
        ReadError::TooLarge => {
            let message = format!("The body exceeds the limit of {max} bytes.");
            AdminError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
        }
        ReadError::Broken => AdminError::invalid_json("The body ended early."),
    })?;
    if !body.is_empty() && !is_json(headers) {
        let message = "The content-type must be application/json.";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(AdminError::new(status, "unsupported_media_type", message));
    }
    Ok(body)
}

/// Parses a JSON object.
pub(super) fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, AdminError> {
    // serde would also accept an array, element by field.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(AdminError::invalid_json("The body must be a JSON object."));
    }
    let text =
        str::from_utf8(body).map_err(|_| AdminError::invalid_json("The body must be UTF-8."))?;
    json::from_text(text).map_err(|error| {
        let is_shape = error.is_data();
        let problems = Problems::from_json(error);
        if is_shape {
            AdminError::problems(&problems)
        } else {
            AdminError::invalid_json(&problems.to_string())
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    has_media_type(headers, &["application/json", "application/merge-patch+json"])
}

/// The forms of a time in a request, for errors.
pub(super) const EXPECTED_TIME: &str = "a time such as \"2026-01-31T09:00:00Z\", a date such as \"2026-01-31\" (in UTC), or whole seconds since 1970";

/// A timestamp in a request: RFC 3339, a date in UTC, or whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlexibleTimestamp(pub(super) Timestamp);

impl<'de> Deserialize<'de> for FlexibleTimestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = FlexibleTimestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED_TIME)
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<FlexibleTimestamp, E> {
                let moment = rfc3339::parse_timestamp(&seconds.to_string()).map(FlexibleTimestamp);
                moment.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(seconds), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<FlexibleTimestamp, E> {
                let moment = rfc3339::parse_timestamp_or_date(text).map(FlexibleTimestamp);
                moment.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// Distinguishes an absent field from `null`: a patch treats them differently.
pub(super) fn deserialize_nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

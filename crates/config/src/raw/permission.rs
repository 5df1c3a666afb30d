//! `params` and `addresses`: permissions of a consumer or a group.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::units::finite;

/// Bounds on a request's parameters by name; a dotted path selects a nested parameter
/// (`response_format.type`).
//
// Not derived: serde's `flatten` would ignore a misspelled bound, and lose its path.
#[derive(Debug, Default)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
pub(crate) struct Parameters {
    /// Parameters that requests must not have.
    #[cfg_attr(feature = "author", schemars(default))]
    pub(crate) forbid: Vec<String>,
    #[cfg_attr(feature = "author", schemars(flatten))]
    pub(crate) bounds: BTreeMap<String, Bounds>,
}

/// Allowed values of a parameter: numbers within bounds, or a list of values.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bounds {
    /// The least number.
    #[serde(deserialize_with = "finite")]
    pub(crate) min: Option<f64>,
    /// The greatest number.
    #[serde(deserialize_with = "finite")]
    pub(crate) max: Option<f64>,
    /// The allowed values. If a request sends a list, each of its items must be one of them.
    #[cfg_attr(
        feature = "author",
        schemars(extend("items" = { "type": ["string", "number", "boolean"] }))
    )]
    pub(crate) allow: Option<Vec<Value>>,
}

/// IP addresses and CIDR blocks: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Addresses {
    /// Addresses that may call. Default: all.
    pub(crate) allow: Option<Vec<String>>,
    /// Addresses that must not call; they override `allow`.
    pub(crate) deny: Vec<String>,
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Table)
    }
}

struct Table;

impl<'de> Visitor<'de> for Table {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut forbid = None;
        let mut bounds = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            // JSON may repeat a member.
            let is_new = if name == "forbid" {
                forbid.replace(map.next_value()?).is_none()
            } else {
                bounds.insert(name.clone(), map.next_value()?).is_none()
            };
            if !is_new {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
        }
        Ok(Parameters { forbid: forbid.unwrap_or_default(), bounds })
    }
}

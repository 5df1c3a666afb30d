//! `routes`, `params` and `addresses`: what a consumer or a group may do.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::units::finite;

/// Bounds on a request's parameters: each by its name, a nested one by its path with dots
/// (`response_format.type`).
//
// Not derived: serde's `flatten` would take a misspelt bound for nothing, and lose its path.
#[derive(Debug, Default)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
pub(crate) struct Parameters {
    /// Parameters that may not be sent at all.
    #[cfg_attr(feature = "author", schemars(default))]
    pub(crate) forbid: Vec<String>,
    #[cfg_attr(feature = "author", schemars(flatten))]
    pub(crate) bounds: BTreeMap<String, Bounds>,
}

/// What a parameter may be: a number within bounds, or one of a list.
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
    /// The values it may have; where a list is sent, the values that may be in it.
    #[cfg_attr(
        feature = "author",
        schemars(extend("items" = { "type": ["string", "number", "boolean"] }))
    )]
    pub(crate) allow: Option<Vec<Value>>,
}

/// Addresses and blocks of them: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Addresses {
    /// Those that may call; all unless said otherwise.
    pub(crate) allow: Option<Vec<String>>,
    /// Those that may not, whatever `allow` says.
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
            // JSON may say a thing twice.
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

//! Permissions of consumers and groups as parsed.

use serde_json::Value;

use super::index::RouteIndex;
use super::ip_access::IpAccessList;

/// Permissions of a consumer, or of every consumer of a group. The default allows everything.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    /// The routes that may be used. `None` for all.
    pub routes: Option<Vec<RouteIndex>>,
    /// Bounds on parameters, and forbidden parameters.
    pub parameters: Vec<Parameter>,
    /// Addresses that may call.
    pub ip_access: IpAccessList,
}

/// The rule for one field of a request.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The path to the field: `temperature`, `response_format.type`.
    pub path: String,
    /// The rule. A request without the field is always allowed.
    pub rule: ParameterRule,
}

/// The values that a field may have.
#[derive(Clone, Debug)]
pub enum ParameterRule {
    /// Numbers within these bounds, the bounds included.
    Range {
        /// The least number.
        min: Option<f64>,
        /// The greatest number.
        max: Option<f64>,
    },
    /// One of these values; of an array, only these.
    Allow(Vec<Value>),
    /// The field must be absent.
    Forbid,
}

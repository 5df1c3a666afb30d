//! What a caller may use and ask for, as parsed.

use serde_json::Value;

use super::ip_access::IpAccessList;
use super::model::RouteIndex;

/// What a consumer, or every consumer of a group, may do. The default is everything.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    /// The routes; `None` means all.
    pub routes: Option<Vec<RouteIndex>>,
    /// Bounds on parameters, and those that may not be sent.
    pub parameters: Vec<Parameter>,
    /// From where it may call.
    pub ip_access: IpAccessList,
}

/// What a request may say in one of its fields.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The path to the field: `temperature`, `response_format.type`.
    pub path: String,
    /// What is allowed there. A request without the field is always allowed.
    pub rule: ParameterRule,
}

/// What is allowed in a field.
#[derive(Clone, Debug)]
pub enum ParameterRule {
    /// Numbers within these bounds, the bounds included.
    Range {
        /// The least.
        min: Option<f64>,
        /// The most.
        max: Option<f64>,
    },
    /// One of these values; of an array, only these.
    Allow(Vec<Value>),
    /// Nothing: the field may not be there.
    Forbid,
}

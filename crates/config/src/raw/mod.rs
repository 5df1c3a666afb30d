//! The document as written, field by field, without decisions.
//!
//! Unknown fields are errors. Doc comments become the descriptions of the published schema.

mod admin;
mod cache;
mod consumer;
mod guard;
mod issuer;
mod limit;
mod observe;
mod permission;
mod price;
mod provider;
mod rollout;
mod route;
mod server;
mod storage;
mod units;

pub(super) use self::rollout::{ON_UNDECIDED, Rollout, RolloutCheck};
pub(super) use admin::{Admin, AdminSession, Operator, ROLES};
pub(super) use cache::{Cache, History, SCOPES};
pub(super) use consumer::{Consumer, Group};
pub(super) use guard::{
    ALIYUN_ACTIONS, BLOCK_FORMATS, Bars, CustomPii, GUARD_KINDS, Guard, JUDGE_FORMATS, LEVELS,
    LOOKS, ON_ERROR, OnBlock, Override, PHASES, PII_ACTIONS, PII_KINDS,
};
pub(super) use issuer::{Issuer, TOKEN_GROUPS, UNKNOWN_SUBJECTS};
pub(super) use limit::{Limit, PERIODS};
pub(super) use observe::{Content, Observe, Otlp, Requests};
pub(super) use permission::{Addresses, Bounds, Parameters};
pub(super) use price::{Price, PriceTier};
pub(super) use provider::Provider;
pub(super) use route::{
    BALANCES, CONDITIONS, Health, Hedge, LOSS_POLICIES, Retries, Route, Target, Timeouts,
    Translate, WeightedTarget,
};
pub(super) use server::{Auth, Server};
pub(super) use storage::{Ledger, StorageSections, Store};
pub use units::is_vault_name;
pub(super) use units::{NoName, SecretText, Size, Span};

use serde::Deserialize;

/// The gateway's whole configuration. It names secrets and never contains them.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "author", schemars(title = "serin's configuration"))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    /// Bounds on what a caller may send.
    pub(super) server: Server,
    /// Authentication of callers.
    pub(super) auth: Auth,
    /// Services that serve models.
    pub(super) providers: Vec<Provider>,
    /// Models, and the targets that serve each.
    pub(super) routes: Vec<Route>,
    /// Callers and their keys. They never see the providers' keys.
    pub(super) consumers: Vec<Consumer>,
    /// Permissions of groups of consumers.
    pub(super) groups: Vec<Group>,
    /// Limits, reserved before a call and settled after it.
    pub(super) limits: Vec<Limit>,
    /// Prices of models, for limits on cost and for records.
    pub(super) prices: Vec<Price>,
    /// Checks of requests and answers for unsafe content.
    pub(super) guards: Vec<Guard>,
    /// The response cache; off by default.
    pub(super) cache: Option<Cache>,
    /// Stored conversations; off by default.
    pub(super) history: Option<History>,
    /// Metrics, traces, and logged content.
    pub(super) observe: Observe,
    /// Access to the admin API.
    pub(super) admin: Admin,
    /// The place of balances, usage totals, and the number of the configuration in force.
    pub(super) ledger: Ledger,
    /// The place of consumers, keys, configuration versions, cached answers, and conversations.
    pub(super) store: Store,
}

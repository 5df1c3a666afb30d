//! The document as it is written, field by field. Nothing is decided here.
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
mod route;
mod server;
mod units;

pub(super) use admin::{Admin, Operator, ROLES};
pub(super) use cache::{Cache, History, SCOPES};
pub(super) use consumer::{Consumer, Group};
pub(super) use guard::{
    ALIYUN_ACTIONS, BLOCK_FORMATS, Bars, CustomPii, GUARD_KINDS, Guard, JUDGE_FORMATS, LEVELS,
    LOOKS, ON_ERROR, OnBlock, Override, PHASES, PII_ACTIONS, PII_KINDS,
};
pub(super) use issuer::Issuer;
pub(super) use limit::{Limit, PERIODS};
pub(super) use observe::{Content, Observe, Otlp};
pub(super) use permission::{Addresses, Bounds, Parameters};
pub(super) use price::Price;
pub(super) use provider::Provider;
pub(super) use route::{
    BALANCES, CONDITIONS, Health, Hedge, Retries, Route, Target, Timeouts, WeightedTarget,
};
pub(super) use server::{Auth, Server};
pub(super) use units::{NoName, SecretText, Size, Span};

use serde::Deserialize;

/// What the gateway does, in one document. Secrets are named in it and never written in it.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "author", schemars(title = "serin's configuration"))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    /// Bounds on what a caller may send.
    pub(super) server: Server,
    /// Who may call.
    pub(super) auth: Auth,
    /// Who answers.
    pub(super) providers: Vec<Provider>,
    /// Which models there are, and who answers for each.
    pub(super) routes: Vec<Route>,
    /// Callers and the keys that were issued to them; the providers' own stay hidden.
    pub(super) consumers: Vec<Consumer>,
    /// What the members of groups may do.
    pub(super) groups: Vec<Group>,
    /// Limits, reserved before a call and settled after it.
    pub(super) limits: Vec<Limit>,
    /// What models cost, for limits on cost and for records.
    pub(super) prices: Vec<Price>,
    /// Content safety.
    pub(super) guards: Vec<Guard>,
    /// Answers that are served again.
    pub(super) cache: Option<Cache>,
    /// Conversations that are remembered.
    pub(super) history: Option<History>,
    /// What observers are told.
    pub(super) observe: Observe,
    /// Who may use the admin API.
    pub(super) admin: Admin,
}

//! The core of serin: all decisions of the gateway, without a host, a clock, or a runtime.
//!
//! `pipeline` holds the order of a request's steps; [`host`] holds the traits that a host implements. A
//! shell runs [`service::Service`]. The modules stand in the order of a request, and each uses only
//! modules above it (see ARCHITECTURE.md). Public are those that hosts, the simulator, and tools use.

#![warn(missing_docs)]

mod fifo_cache;
pub mod record;

pub mod host;

pub(crate) mod error;
pub(crate) mod request;

pub(crate) mod audit_entry;
mod auth;
pub(crate) mod rollouts;
mod routing;

pub(crate) mod limits;
pub(crate) mod telemetry;

// The benchmarks and the fuzz targets use the stream reader of `upstream`, and the key of `cache`.
pub mod upstream;

pub mod cache;
pub(crate) mod history;

pub(crate) mod guards;
pub(crate) mod response;

pub(crate) mod vault;

pub mod config_loader;
pub mod gateway;

mod count_tokens;
mod feedback;
mod pipeline;
mod stored_response;

pub mod live_config;

pub(crate) mod admin;
pub mod service;

#[cfg(test)]
pub(crate) mod testing;

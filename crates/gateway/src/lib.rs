//! The core of serin: everything an AI gateway decides, with no host, no clock and no runtime.
//!
//! A request's story is in [`gateway`]; what it may ask of a host is in [`host`].

pub mod error;
pub mod host;
pub mod record;

pub mod auth;
pub mod cache;
pub mod guards;
pub mod history;
pub mod limits;
pub mod request;
pub mod response;
pub mod routing;
pub mod telemetry;
pub mod upstream;

pub mod gateway;
mod pipeline;

pub mod admin;
pub mod config_loader;
pub mod live_config;
pub mod service;

mod fifo_cache;

#[cfg(test)]
pub(crate) mod testing;

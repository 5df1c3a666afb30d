//! The core of serin: everything an AI gateway decides, with no host, no clock and no runtime.
//!
//! A request's story is in [`gateway`]; what it may ask of a host is in [`platform`].

pub mod admin;
pub mod body;
pub mod boot;
pub mod cache;
pub mod calendar;
pub mod config;
pub mod date;
pub mod draft;
pub mod error;
pub mod gateway;
pub mod guard;
pub mod history;
pub mod ids;
pub mod json;
pub mod jwt;
pub mod keys;
pub mod ledger;
mod memory;
pub mod meter;
pub mod metrics;
pub mod observe;
pub mod otlp;
pub mod outage;
mod pipeline;
pub mod platform;
pub mod policy;
pub mod reader;
pub mod rooms;
pub mod secret;
pub mod service;
mod tail;
pub mod time;
pub mod usage;
pub mod verdicts;
pub mod versions;

//! The benchmark of both edges: the gateway beside its baselines, in the same run and in turn.
//!
//! Every contestant is a process of its own on loopback, before the same upstream, and is asked the
//! same questions by the same load generator. It measures; it decides nothing. The core alone is
//! measured by `cargo bench -p gateway`.

mod cache;
mod candidate;
mod cold_start;
mod environment;
mod guards;
mod ledger;
mod limits;
mod load;
mod process;
mod reader;
mod recording;
mod report;
mod schedule;
mod statistics;
mod streams;
mod worker;
mod workload;

pub use candidate::{BenchEdge, serve_component};
pub use process::until_parent_exits;
pub use report::Report;
pub use schedule::{Options, Part, run};
pub use workload::{Prelude, Workload, serve_upstream};

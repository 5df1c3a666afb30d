//! Benchmark of both edges: the gateway and its baselines, in the same run and in turn.
//!
//! Every candidate is a process of its own on loopback, in front of the same upstream, and receives
//! the same requests from the same load generator. No result fails the run.
//! `cargo bench -p gateway` measures the core alone.

mod cache;
mod candidate;
mod cold_start;
mod comparison;
mod environment;
mod guards;
mod ledger;
mod limits;
mod load;
mod process;
mod reader;
mod recording;
mod report;
mod run;
mod schedule;
mod streams;
mod table;
mod worker;
mod workload;

pub use candidate::{BenchEdge, serve_component};
pub use process::until_parent_exits;
pub use report::Report;
pub use run::{Options, Part, run};
pub use workload::{Prelude, Workload, serve_upstream};

//! The benchmark of both edges: the gateway beside its baselines, in the same run and in turn.
//!
//! Every contestant is a process of its own on loopback, before the same upstream, and is asked the
//! same questions by the same load generator. It measures; it decides nothing. The core alone is
//! measured by `cargo bench -p gateway`.

mod cache;
mod contestant;
mod course;
mod guards;
mod ledger;
mod limits;
mod load;
mod machine;
mod process;
mod reader;
mod recording;
mod report;
mod starts;
mod statistics;
mod streams;
mod subject;
mod worker;

pub use contestant::{BenchEdge, serve_component};
pub use course::{Options, Part, run};
pub use process::until_parent_exits;
pub use report::Report;
pub use subject::{Prelude, Workload, serve_upstream};

//! Black-box suites against both built artifacts, and the wasmtime host that replaces Spin in them.

pub mod bench;
pub mod caller;
pub mod closed_port;
pub mod component;
pub mod edge;
pub mod edge_kind;
pub mod isolated_edge;
pub mod log;
pub mod memory;
pub mod metrics_page;
pub mod raw_peer;
pub mod redis_server;
pub mod scenario_runner;
pub mod scratch;
pub mod spin;
pub mod statistics;
pub mod stream;
pub mod wait;
pub mod workerd;

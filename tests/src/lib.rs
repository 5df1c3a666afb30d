//! Black-box suites against both built artifacts, and the host that stands in for Spin.

pub mod bench;
pub mod caller;
pub mod component;
pub mod edge;
pub mod edge_kind;
pub mod isolated_edge;
pub mod log;
pub mod memory;
pub mod metrics_page;
pub mod raw_peer;
pub mod scenario_runner;
pub mod spin;
pub mod stream;
pub mod workerd;

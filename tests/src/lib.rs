//! Black-box suites against both built artifacts, and the host that stands in for Spin.

pub mod bench;
pub mod caller;
pub mod component;
pub mod edge;
pub mod kind;
pub mod log;
pub mod memory;
pub mod peer;
pub mod player;
pub mod scrape;
pub mod solo;
pub mod spin;
pub mod stream;
pub mod workerd;

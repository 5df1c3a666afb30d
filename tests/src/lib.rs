//! Black-box suites against both built artifacts, and the host that stands in for Spin.

pub mod spin;

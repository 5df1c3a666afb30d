//! In-memory host with virtual time, scripted upstreams, and fault injection. Serves the same upstreams
//! over TCP for the suites and benchmarks of both edges and for the demo.
//!
//! Simulated model providers exist in this crate only. It contains no policy of the gateway.

pub mod executor;
pub mod scenario;
pub mod server;
pub mod testing;
pub mod upstream;
pub mod world;

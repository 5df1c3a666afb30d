//! A third platform, in memory: virtual time, scripted upstreams, fault injection. And the same
//! upstreams over real TCP, for the suites and benchmarks of both edges and for the demo.
//!
//! It is the only place where simulated model providers live. It has no policy of the gateway's.

pub mod executor;
pub mod scenario;
pub mod server;
pub mod upstream;
pub mod world;

//! Calls to providers: attempts, retries, fallbacks, hedges, timeouts and target health.

pub mod answer;
pub(crate) mod attempt;
pub mod backoff;
pub mod circuit_breaker;
pub mod classify;
pub mod commit;
pub mod continuation;
pub mod dispatch;
pub mod health;
pub(crate) mod hedge;
pub mod hedge_budget;
pub mod key_pool;
pub mod latency_histogram;
pub(crate) mod request;
pub mod retry_budget;
pub mod retry_policy;
pub mod sse_reader;
pub mod state;
pub(crate) mod timeouts;
pub(crate) mod token_bucket;
pub mod usage_meter;
pub(crate) mod usage_tail;

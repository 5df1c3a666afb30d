//! Calls to providers: attempts, retries, fallbacks, hedges, timeouts and target health.

pub(crate) mod answer;
pub(crate) mod attempt;
pub(crate) mod backoff;
pub(crate) mod circuit_breaker;
pub(crate) mod classify;
pub(crate) mod commit;
pub(crate) mod continuation;
pub(crate) mod dispatch;
pub(crate) mod health;
pub(crate) mod hedge;
pub(crate) mod hedge_budget;
pub(crate) mod key_pool;
pub(crate) mod latency_histogram;
pub(crate) mod request;
pub(crate) mod retry_budget;
pub(crate) mod retry_policy;
pub mod sse_reader;
pub(crate) mod state;
pub(crate) mod timeouts;
pub(crate) mod token_bucket;
pub(crate) mod usage_meter;
pub(crate) mod usage_tail;

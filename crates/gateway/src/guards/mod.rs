//! The guard pipeline: runs the guards of a route on requests, responses and streams.

mod answer;
pub(crate) mod block_response;
pub(crate) mod call_load;
pub(crate) mod findings;
pub(crate) mod invoke;
pub(crate) mod pipeline;
mod request;
pub(crate) mod verdict_log;
pub(crate) mod word_lists;

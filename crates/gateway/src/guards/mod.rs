//! The guard pipeline: runs the guards of a route on requests, responses and streams.

mod answer;
pub mod block_response;
pub(crate) mod findings;
pub(crate) mod invoke;
pub mod pipeline;
mod request;
pub mod verdict_log;
pub mod word_lists;

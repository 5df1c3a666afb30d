//! Request intake: endpoint, client address, CORS, body validation and request ids.

pub(crate) mod body_budget;
mod changed_texts;
pub(crate) mod client_ip;
pub(crate) mod cors;
pub(crate) mod endpoint;
pub(crate) mod headers;
pub(crate) mod original;
pub(crate) mod parse;
pub(crate) mod read_body;
pub(crate) mod request_id;
pub(crate) mod translation;

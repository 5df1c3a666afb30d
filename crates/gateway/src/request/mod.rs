//! Request intake: endpoint, client address, CORS, body validation and request ids.

pub mod client_ip;
pub mod cors;
pub mod endpoint;
pub mod headers;
pub mod parse;
pub mod request_id;

//! Request body: the fields that steer the gateway, and their ranges in the bytes.
//!
//! One pass validates that the body is JSON. It is never serialized again: changes are spliced into
//! the original bytes.

mod read;
mod rewrite;

pub use read::{Request, is_model_name};
pub use rewrite::{Changes, OutputField, with_model};

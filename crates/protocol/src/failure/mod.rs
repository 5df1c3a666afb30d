//! Failures in the words of each protocol.

mod class;
mod read;
mod write;

pub(crate) use read::from_object;
pub use read::{from_body, from_event};
pub(crate) use write::code;
pub use write::{body, event};

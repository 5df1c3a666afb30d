//! Whole answers of Responses (OpenAI API reference, "The Response object").

pub(crate) mod items;
pub(crate) mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::{Response, Status, write, write_response};

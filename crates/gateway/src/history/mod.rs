//! Stored conversations.

pub mod conversation;
pub mod load;

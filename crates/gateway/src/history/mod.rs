//! Stored conversations.

pub(crate) mod conversation;
pub(crate) mod load;

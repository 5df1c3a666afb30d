//! Authentication of callers and their access rules.

pub(crate) mod access;
pub(crate) mod authenticate;
pub(crate) mod caller;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod parameter_rules;
pub(crate) mod session;
pub(crate) mod wrong_tokens;

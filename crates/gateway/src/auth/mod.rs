//! Authentication of callers and their access rules.

pub mod access;
pub mod authenticate;
pub mod caller;
pub mod jwt;
pub mod keys;
pub mod parameter_rules;

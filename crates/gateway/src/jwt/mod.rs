//! JSON Web Tokens.

/// Keys that an issuer signs with.
#[derive(Debug)]
pub struct KeySet;

//! Consumers and groups as parsed.

use secret::KeyDigest;

use super::permission::Permissions;

/// `[[consumers]]`
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name in records and limits.
    pub id: String,
    /// The group it belongs to.
    pub group: Option<String>,
    /// Whether its keys and tokens are refused.
    pub disabled: bool,
    /// Digests of its keys.
    pub keys: Vec<KeyDigest>,
    /// Its own permissions. Those of its group must hold as well.
    pub permissions: Permissions,
}

/// `[[groups]]`
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub id: String,
    /// Permissions of every member.
    pub permissions: Permissions,
}

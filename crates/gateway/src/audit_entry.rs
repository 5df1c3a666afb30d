//! Entries of the audit log in the store. The admin API writes those of operators and reads them all;
//! the gateway itself writes those of its own decisions.

use std::time::Duration;

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::keys::random_chars;
use crate::host::error::HostError;
use crate::host::newest_first::newest_first_key;
use crate::host::{Clock, KvStore};

pub(crate) const AUDIT_KEY_PREFIX: &str = "audit/";

pub(crate) const AUDIT_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Role of the gateway in entries of its own decisions.
pub(crate) const GATEWAY_ROLE: &str = "gateway";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuditEntry {
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) role: String,
    pub(crate) action: String,
    pub(crate) target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    pub(crate) request_id: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) detail: Value,
    /// Error code of a change that failed after its first entry was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl AuditEntry {
    /// Stores the entry of an operator's change.
    pub(crate) async fn store(&self, host: &(impl Clock + KvStore)) -> Result<(), HostError> {
        self.store_as(host, &random_chars(host, 12)).await
    }

    /// Stores the entry under a name of its own, so that storing it twice gives one entry.
    pub(crate) async fn store_as(&self, host: &impl KvStore, name: &str) -> Result<(), HostError> {
        let name = format!("{AUDIT_KEY_PREFIX}{}-{name}", newest_first_key(self.at));
        let value = serde_json::to_vec(self).expect("entries have only plain members");
        host.put(&name, value, Some(AUDIT_RETENTION)).await
    }
}

//! The audit log: the operator, action, time, and client IP of every change.
//!
//! An entry is written before its change; if it cannot be written, the change is not made. So there is
//! no change without an entry. A change that fails afterwards gets a second entry with its error code
//! and the same request id, if the store accepts it. A request that is refused changes nothing and
//! leaves no entry. Entries are never overwritten.

use std::future::Future;

use civil_time::Timestamp;
use serde_json::{Value, json};

use crate::audit_entry::{AUDIT_KEY_PREFIX, AuditEntry};
use crate::host::{Clock, Host, KvStore};

use super::pagination::read_page;
use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};
use super::{AdminRequest, auth};

/// Entries read at most for one response.
const MAX_ENTRIES_READ: usize = 200;

impl<P: Host> AdminRequest<'_, P> {
    /// Writes the audit entry of a change and makes the change. `detail` must hold no secret.
    pub(super) async fn run_audited<T>(
        &self,
        action: &'static str,
        target: String,
        detail: Value,
        change: impl Future<Output = Result<T, AdminError>>,
    ) -> Result<T, AdminError> {
        let entry = self.write_audit_entry(action, target, detail).await?;
        let done = change.await;
        if let Err(failure) = &done {
            self.mark_audit_failed(entry, failure).await;
        }
        done
    }

    // Not generic over the change, so that the bundle holds this code once.

    async fn write_audit_entry(
        &self,
        action: &'static str,
        target: String,
        detail: Value,
    ) -> Result<AuditEntry, AdminError> {
        let entry = AuditEntry {
            at: self.host.now(),
            by: self.operator.name.clone(),
            role: auth::role_name(self.operator.role).to_owned(),
            action: action.to_owned(),
            target,
            from: self.context.client_ip.map(|address| address.to_string()),
            request_id: self.request_id.to_owned(),
            detail,
            failed: None,
        };
        entry.store(self.host).await?;
        Ok(entry)
    }

    async fn mark_audit_failed(&self, mut entry: AuditEntry, failure: &AdminError) {
        entry.at = self.host.now();
        entry.failed = Some(failure.code.to_owned());
        // The operator receives the error itself in any case.
        let _ = entry.store(self.host).await;
    }
}

/// Writes the entry of a sign-in with a wrong token.
pub(super) async fn log_refused_sign_in(
    host: &(impl Clock + KvStore),
    address: String,
    request_id: &str,
) -> Result<(), AdminError> {
    let entry = AuditEntry {
        at: host.now(),
        by: "unknown".to_owned(),
        role: "none".to_owned(),
        action: "session.refused".to_owned(),
        target: "session".to_owned(),
        from: Some(address),
        request_id: request_id.to_owned(),
        detail: Value::Null,
        failed: None,
    };
    Ok(entry.store(host).await?)
}

/// `GET /audit`: newest first.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query =
        request.parse_query(&["target", "action", "by", "from", "to", "limit", "cursor"])?;
    let (limit, filter) = (query.page_limit()?, AuditFilter::parse(&query)?);
    // With a filter, more entries must be read than are returned.
    let max = if filter == AuditFilter::default() { limit } else { MAX_ENTRIES_READ };
    let key_store = request.key_store();
    let found = read_page(&key_store, AUDIT_KEY_PREFIX, query.get("cursor"), max).await?;
    let mut entries = Vec::new();
    let (mut read, mut is_over) = (0, false);
    for name in &found.names {
        if entries.len() == limit {
            break;
        }
        read += 1;
        let Some(bytes) = request.host.get(&format!("{AUDIT_KEY_PREFIX}{name}")).await? else {
            continue;
        };
        let Ok(entry) = json::from_bytes::<AuditEntry>(&bytes) else { continue };
        // Newest first: no later entry is in the requested time range.
        is_over = filter.from.is_some_and(|from| entry.at < from);
        if is_over {
            break;
        }
        if filter.matches(&entry) {
            entries.push(entry_json(name, &entry));
        }
    }
    let cursor = if is_over { None } else { found.cursor_after(read) };
    Ok(AdminResponse::json(&json!({ "data": entries, "cursor": cursor })))
}

/// The entries that a query selects.
#[derive(Debug, Default, PartialEq)]
struct AuditFilter<'a> {
    target: Option<&'a str>,
    action: Option<&'a str>,
    by: Option<&'a str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl<'a> AuditFilter<'a> {
    fn parse(query: &'a Query) -> Result<Self, AdminError> {
        let [target, action, by] = ["target", "action", "by"].map(|name| query.get(name));
        Ok(Self { target, action, by, from: query.time("from")?, to: query.time("to")? })
    }

    fn matches(&self, entry: &AuditEntry) -> bool {
        self.target.is_none_or(|target| matches_target(&entry.target, target))
            && self.action.is_none_or(|action| entry.action == action)
            && self.by.is_none_or(|by| entry.by == by)
            && self.to.is_none_or(|to| entry.at < to)
    }
}

/// Whether a target equals the wanted one or is a part of it.
fn matches_target(target: &str, wanted: &str) -> bool {
    target.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn entry_json(id: &str, entry: &AuditEntry) -> Value {
    let mut shown = json!(entry);
    if let Some(members) = shown.as_object_mut()
        && let Some(address) = members.remove("from")
    {
        members.insert("address".to_owned(), address);
    }
    shown["id"] = json!(id);
    shown["at"] = rfc3339_json(entry.at);
    shown
}

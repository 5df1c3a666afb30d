//! Deletes many entries of the store, in steps that fit the host's limit of calls per request.

use crate::host::Host;

use super::AdminRequest;
use super::pagination::read_page;
use super::response::{AdminError, AdminResponse, AdminResult};

/// Deletes and listings at most for one request: Workers allow 50 calls on their free plan, and the
/// audit log takes one.
const MAX_DELETES_PER_REQUEST: usize = 32;
const MAX_LISTINGS_PER_REQUEST: usize = 12;

/// Deletes the entries under these prefixes and returns their number and the cursor of the next step. A
/// cursor is the index of a prefix and, after a `:`, the cursor of its page.
pub(super) async fn delete_prefixes<P: Host>(
    request: &AdminRequest<'_, P>,
    (action, target): (&'static str, String),
    prefixes: &[String],
    cursor: Option<&str>,
) -> AdminResult {
    let wrong = || {
        AdminError::invalid("cursor", format!("{cursor:?}"), "a cursor from a previous response")
    };
    let (mut at, mut inner) = match cursor {
        None => (0, None),
        Some(text) => {
            let (position, inner) = text.split_once(':').ok_or_else(wrong)?;
            let position = position.parse().ok().filter(|at| *at < prefixes.len());
            let inner = Some(inner.to_owned()).filter(|inner| !inner.is_empty());
            (position.ok_or_else(wrong)?, inner)
        }
    };
    let key_store = request.key_store();
    let change = async {
        let (mut deleted, mut listings) = (0, 0);
        while at < prefixes.len()
            && deleted < MAX_DELETES_PER_REQUEST
            && listings < MAX_LISTINGS_PER_REQUEST
        {
            let prefix = &prefixes[at];
            let found =
                read_page(&key_store, prefix, inner.as_deref(), MAX_DELETES_PER_REQUEST - deleted)
                    .await?;
            listings += 1;
            for name in &found.names {
                request.host.delete(&format!("{prefix}{name}")).await?;
                deleted += 1;
            }
            request.context.recent_writes.invalidate_prefix(prefix);
            inner = found.cursor;
            if inner.is_none() {
                at += 1;
            }
        }
        let more = at < prefixes.len();
        let cursor = more.then(|| format!("{at}:{}", inner.unwrap_or_default()));
        Ok((deleted, cursor))
    };
    let detail = serde_json::json!({ "cursor": cursor });
    let (deleted, cursor) = request.run_audited(action, target, detail, change).await?;
    let more = cursor.is_some();
    Ok(AdminResponse::json(
        &serde_json::json!({ "deleted": deleted, "more": more, "cursor": cursor }),
    ))
}

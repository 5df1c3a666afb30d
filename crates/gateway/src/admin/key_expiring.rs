//! `GET /keys/expiring`: issued keys that end soon, the next one first.

use std::time::Duration;

use serde_json::{Value, json};

use crate::auth::keys::KeyMetadata;
use crate::host::Host;

use super::AdminRequest;
use super::key::key_json;
use super::pagination::read_page;
use super::response::{AdminResponse, AdminResult};

/// Time ahead without `within`.
const DEFAULT_WITHIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Keys read at most for one response. The store knows no ends, so each key is read.
const MAX_KEYS_READ: usize = 200;

pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["within", "cursor"])?;
    let within = query.duration("within")?.unwrap_or(DEFAULT_WITHIN);
    let key_store = request.key_store();
    let prefix = KeyMetadata::STORAGE_KEY_PREFIX;
    let page = read_page(&key_store, prefix, query.get("cursor"), MAX_KEYS_READ).await?;
    let now = request.host.now();
    let mut found = Vec::new();
    for name in &page.names {
        let Some((consumer, id)) = name.split_once('/') else { continue };
        let Some(metadata) = key_store.get_metadata(consumer, id).await? else { continue };
        if let Some(expires) = metadata.expires.filter(|at| now < *at && *at <= now + within) {
            found.push((expires, key_json(consumer, id, &metadata, now)));
        }
    }
    sorting::sort_by_key(&mut found, |(expires, _)| *expires);
    let data: Vec<Value> = found.into_iter().map(|(_, key)| key).collect();
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": page.cursor })))
}

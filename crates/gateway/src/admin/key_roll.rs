//! `/consumers/{consumer}/keys/{key}/roll`: a new key, and an end of the old one.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::auth::keys::{KeyMetadata, StoredKey, generate, random_chars};
use crate::host::Host;

use super::consumer::check_exists;
use super::key::{audit_target, key_json, load_entry, load_metadata, parse_expiry, validate_note};
use super::lock::{self, LockSubject, locked_error};
use super::query::parse_duration;
use super::request_body::{FlexibleTimestamp, parse_object};
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};
use super::{AdminRequest, PREFIX};

/// Time for which the old key still works, unless the request says otherwise.
const DEFAULT_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_GRACE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollKey {
    /// Time for which the old key still works.
    grace: Option<String>,
    /// Expiry of the new key.
    expires_at: Option<FlexibleTimestamp>,
    /// Note of the new key; by default that of the old one.
    note: Option<String>,
}

/// `POST /consumers/{consumer}/keys/{key}/roll`
pub(super) async fn roll<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (consumer, id) = (request.path_argument(0), request.path_argument(1));
    let wanted: RollKey =
        if request.body.is_empty() { RollKey::default() } else { parse_object(&request.body)? };
    let grace = match wanted.grace.as_deref() {
        None => DEFAULT_GRACE,
        Some(text) => parse_duration("grace", text)?,
    };
    if grace > MAX_GRACE {
        return Err(AdminError::invalid("grace", "a longer time", "at most 2160h"));
    }
    let expires = parse_expiry(wanted.expires_at, request.host.now())?;
    let note = validate_note(wanted.note, None)?;
    let created = check_exists(request, consumer).await?;
    load_metadata(request, consumer, id).await?;
    let lock = lock::acquire(request.host, LockSubject::Key(id)).await?;
    let lock = lock.ok_or_else(|| locked_error("this key"))?;
    let new = NewKey { created: created.max(request.host.now()), expires, note, grace };
    let done = replace_key(request, consumer, id, new).await;
    lock::release(request.host, LockSubject::Key(id), lock).await;
    done
}

struct NewKey {
    created: civil_time::Timestamp,
    expires: Option<civil_time::Timestamp>,
    note: Option<String>,
    grace: Duration,
}

async fn replace_key<P: Host>(
    request: &AdminRequest<'_, P>,
    consumer: &str,
    id: &str,
    new: NewKey,
) -> AdminResult {
    let pepper = request.context.pepper.ok_or_else(AdminError::key_pepper_missing)?;
    // Read again under the lock.
    let mut old = load_metadata(request, consumer, id).await?;
    let (old_hash, mut old_entry) = load_entry(request, id, &old).await?;
    let now = request.host.now();
    if old_entry.expires.is_some_and(|expires| expires <= now) {
        let message = "This key has expired: issue a new one.";
        return Err(AdminError::conflict("conflict", message));
    }
    let key = generate(pepper, request.host);
    let hash = pepper.digest(&key);
    let new_id = format!("key_{}", random_chars(request.host, 16));
    let NewKey { created, expires, note, grace } = new;
    let entry = StoredKey { id: new_id, consumer: consumer.to_owned(), created, expires };
    let metadata = KeyMetadata {
        hash: hash.to_hex(),
        created,
        expires,
        hint: key[key.len() - 4..].to_owned(),
        note: note.or_else(|| old.note.clone()),
        by: request.operator.name.clone(),
        adopted: None,
    };
    let end = now + grace;
    let end = old_entry.expires.map_or(end, |expires| expires.min(end));
    old.expires = Some(end);
    old_entry.expires = Some(end);
    let key_store = request.key_store();
    let change = async {
        // The new key works before the old one gets an end.
        key_store.put_metadata(consumer, &entry.id, &metadata).await?;
        key_store.put_key(&hash, &entry).await?;
        key_store.put_key(&old_hash, &old_entry).await?;
        Ok(key_store.put_metadata(consumer, id, &old).await?)
    };
    let detail = json!({ "new": entry.id, "old_expires_at": rfc3339_json(end) });
    request.run_audited("key.roll", audit_target(consumer, id), detail, change).await?;
    let mut answer = key_json(consumer, &entry.id, &metadata, now);
    answer["key"] = json!(key);
    answer["replaces"] = json!({ "id": id, "expires_at": rfc3339_json(end) });
    Ok(AdminResponse::created(&answer, format!("{PREFIX}consumers/{consumer}/keys/{}", entry.id)))
}

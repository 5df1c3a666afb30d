//! `/consumers/{consumer}/keys`: keys are issued, taken over, changed and revoked.
//!
//! A key is two entries: the card that operators see, and the one that makes it work. The card is
//! written first and deleted last. So whatever comes in between, nothing works that cannot be seen and
//! revoked.

use civil_time::Timestamp;
use http::StatusCode;
use secret::KeyDigest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::keys::{
    KeyHash, KeyMetadata, MAX_ADOPTED_CHARS, MIN_ADOPTED_CHARS, Pepper, StoredKey, generate,
    is_adoptable, random_chars,
};
use crate::host::Host;

use super::consumer::{self, check_exists, epoch_seconds};
use super::lock::{self, LockSubject, locked_error};
use super::pagination::read_page;
use super::request_body::{FlexibleTimestamp, deserialize_nullable, parse_object};
use super::response::{AdminError, AdminResponse, AdminResult};
use super::{AdminRequest, PREFIX};

/// Characters of a note.
const MAX_NOTE_CHARS: usize = 256;

//
// No `Debug`: there is a key in it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    /// One that callers already have; absent: a new one.
    key: Option<String>,
    expires_at: Option<FlexibleTimestamp>,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchKey {
    #[serde(default, deserialize_with = "deserialize_nullable")]
    expires_at: Option<Option<FlexibleTimestamp>>,
    #[serde(default, deserialize_with = "deserialize_nullable")]
    note: Option<Option<String>>,
}

/// `GET /consumers/{consumer}/keys`
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let consumer = request.path_argument(0);
    check_exists(request, consumer).await?;
    let key_store = request.key_store();
    let names = KeyMetadata::storage_key_prefix(consumer);
    let found = read_page(&key_store, &names, query.get("cursor"), query.page_limit()?).await?;
    let mut data = Vec::new();
    for id in &found.names {
        if let Some(metadata) = key_store.get_metadata(consumer, id).await? {
            data.push(key_json(consumer, id, &metadata));
        }
    }
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": found.cursor })))
}

/// `POST /consumers/{consumer}/keys`
pub(super) async fn issue<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let consumer = request.path_argument(0);
    let wanted: CreateKey =
        if request.body.is_empty() { CreateKey::default() } else { parse_object(&request.body)? };
    let Some(pepper) = request.context.pepper else {
        let message = "Keys need the secret KEY_PEPPER, which is not set.";
        return Err(AdminError::new(StatusCode::NOT_IMPLEMENTED, "key_pepper_missing", message));
    };
    let now = request.host.now();
    let expires = parse_expiry(wanted.expires_at, now)?;
    let note = validate_note(wanted.note, wanted.key.as_deref())?;
    // Clocks differ: a key that was issued after its consumer must say so.
    let created = check_exists(request, consumer).await?.max(now);
    let (key, is_new) = match wanted.key {
        None => (generate(pepper, request.host), true),
        Some(key) => (key, false),
    };
    let hash = pepper.digest(&key);
    let adopted = if is_new {
        None
    } else {
        check_unused(request, pepper, &key, &hash).await?;
        let lock = lock::acquire(request.host, LockSubject::Import(&hash)).await?;
        Some(lock.ok_or_else(key_exists_error)?)
    };
    let id = format!("key_{}", random_chars(request.host, 16));
    let entry = StoredKey { id, consumer: consumer.to_owned(), created, expires };
    let metadata = KeyMetadata {
        hash: hash.to_hex(),
        created,
        expires,
        hint: key[key.len() - 4..].to_owned(),
        note,
        by: request.operator.name.to_owned(),
        adopted,
    };
    let key_store = request.key_store();
    let change = async {
        key_store.put_metadata(consumer, &entry.id, &metadata).await?;
        Ok(key_store.put_key(&hash, &entry).await?)
    };
    let action = if is_new { "key.issue" } else { "key.adopt" };
    let detail = json!({ "expires_at": expires.map(epoch_seconds) });
    let done = request.run_audited(action, audit_target(consumer, &entry.id), detail, change).await;
    if let (Err(_), Some(lock)) = (&done, adopted) {
        lock::release(request.host, LockSubject::Import(&hash), lock).await;
    }
    done?;
    let mut answer = key_json(consumer, &entry.id, &metadata);
    if is_new {
        answer["key"] = json!(key);
    }
    Ok(AdminResponse::created(&answer, format!("{PREFIX}consumers/{consumer}/keys/{}", entry.id)))
}

/// `PATCH /consumers/{consumer}/keys/{key}`
pub(super) async fn patch<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (consumer, id) = (request.path_argument(0), request.path_argument(1));
    let patch: PatchKey = parse_object(&request.body)?;
    let expires = match patch.expires_at {
        Some(Some(at)) => Some(parse_expiry(Some(at), request.host.now())?),
        Some(None) => Some(None),
        None => None,
    };
    let note = patch.note.map(|text| validate_note(text, None)).transpose()?;
    check_exists(request, consumer).await?;
    load_metadata(request, consumer, id).await?;
    let lock = lock::acquire(request.host, LockSubject::Key(id)).await?;
    let lock = lock.ok_or_else(|| locked_error("this key"))?;
    let done = apply_patch(request, consumer, id, expires, note).await;
    lock::release(request.host, LockSubject::Key(id), lock).await;
    done
}

async fn apply_patch<P: Host>(
    request: &AdminRequest<'_, P>,
    consumer: &str,
    id: &str,
    expires: Option<Option<Timestamp>>,
    note: Option<Option<String>>,
) -> AdminResult {
    // Again, now that nobody else changes it.
    let mut metadata = load_metadata(request, consumer, id).await?;
    let key_store = request.key_store();
    let hash = metadata.key_hash();
    let entry = match &hash {
        Some(hash) => key_store.get_key(hash).await?.filter(|entry| entry.id == id),
        None => None,
    };
    let (Some(hash), Some(mut entry)) = (hash, entry) else {
        let message = "This key does not work, or not everywhere yet. Revoke it, or wait a minute.";
        return Err(AdminError::conflict("conflict", message));
    };
    let before = entry.expires;
    metadata.expires = expires.unwrap_or(metadata.expires);
    metadata.note = note.unwrap_or(metadata.note);
    entry.expires = metadata.expires;
    let change = async {
        let never = Timestamp::from_millis(u64::MAX);
        // What works for longer is seen first; what works for less ends first.
        if entry.expires.unwrap_or(never) < before.unwrap_or(never) {
            key_store.put_key(&hash, &entry).await?;
            key_store.put_metadata(consumer, id, &metadata).await?;
        } else {
            key_store.put_metadata(consumer, id, &metadata).await?;
            key_store.put_key(&hash, &entry).await?;
        }
        Ok(())
    };
    let detail = json!({ "expires_at": metadata.expires.map(epoch_seconds) });
    request.run_audited("key.change", audit_target(consumer, id), detail, change).await?;
    Ok(AdminResponse::json(&key_json(consumer, id, &metadata)))
}

/// `DELETE /consumers/{consumer}/keys/{key}`
pub(super) async fn revoke<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (consumer, id) = (request.path_argument(0), request.path_argument(1));
    check_exists(request, consumer).await?;
    let metadata = load_metadata(request, consumer, id).await?;
    let change = delete_key(request, consumer, id, &metadata);
    request.run_audited("key.revoke", audit_target(consumer, id), Value::Null, change).await?;
    Ok(AdminResponse::no_content())
}

/// Revokes every key of a consumer.
pub(super) async fn revoke_all<P: Host>(
    request: &AdminRequest<'_, P>,
    consumer: &str,
) -> Result<(), AdminError> {
    const KEYS_PER_PAGE: usize = 200;
    let key_store = request.key_store();
    let names = KeyMetadata::storage_key_prefix(consumer);
    let mut cursor = None;
    loop {
        let found = read_page(&key_store, &names, cursor.as_deref(), KEYS_PER_PAGE).await?;
        for id in &found.names {
            if let Some(metadata) = key_store.get_metadata(consumer, id).await? {
                delete_key(request, consumer, id, &metadata).await?;
            }
        }
        match found.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

async fn delete_key<P: Host>(
    request: &AdminRequest<'_, P>,
    consumer: &str,
    id: &str,
    metadata: &KeyMetadata,
) -> Result<(), AdminError> {
    // Held until every store shows the end: a change elsewhere would write the key anew. Without the
    // ledger nobody can change a key, and one can still be revoked.
    if let Ok(None) = lock::acquire(request.host, LockSubject::Revocation(id)).await {
        return Err(locked_error("this key"));
    }
    let key_store = request.key_store();
    if let Some(hash) = metadata.key_hash() {
        // A card that was left behind must not end a key that is another one's by now. One that the
        // store does not show may have been issued a moment ago.
        if key_store.get_key(&hash).await?.is_none_or(|entry| entry.id == id) {
            key_store.delete_key(&hash).await?;
        }
        if let Some(lock) = metadata.adopted {
            lock::release(request.host, LockSubject::Import(&hash), lock).await;
        }
    }
    Ok(key_store.delete_metadata(consumer, id).await?)
}

async fn load_metadata<P: Host>(
    request: &AdminRequest<'_, P>,
    consumer: &str,
    id: &str,
) -> Result<KeyMetadata, AdminError> {
    let is_id = (1..=32).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let metadata = if is_id { request.key_store().get_metadata(consumer, id).await? } else { None };
    metadata.ok_or_else(|| AdminError::not_found("key_not_found", "This consumer has no such key."))
}

async fn check_unused<P: Host>(
    request: &AdminRequest<'_, P>,
    pepper: &Pepper,
    key: &str,
    hash: &KeyHash,
) -> Result<(), AdminError> {
    if !is_adoptable(pepper, key) {
        let expected = format!(
            "{MIN_ADOPTED_CHARS} to {MAX_ADOPTED_CHARS} visible ASCII characters, and not \"sk-serin-\" in front unless \
             the key was made here"
        );
        return Err(AdminError::invalid("key", "something else", expected));
    }
    let digest = KeyDigest::new(key);
    let config = request.context.config;
    let operators = config.operators.iter().map(|operator| &operator.token);
    let consumers = config.consumers.iter().flat_map(|consumer| &consumer.keys);
    let known = consumers.chain(operators).chain(request.context.token);
    let is_taken = known.fold(false, |taken, other| taken | bool::from(other.matches(&digest)));
    if is_taken || request.key_store().get_key(hash).await?.is_some() {
        return Err(key_exists_error());
    }
    Ok(())
}

fn key_exists_error() -> AdminError {
    AdminError::conflict("already_exists", "Somebody has this key already.")
}

fn parse_expiry(
    at: Option<FlexibleTimestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, AdminError> {
    match at {
        Some(FlexibleTimestamp(at)) if at <= now => {
            Err(AdminError::invalid("expires_at", "a moment that is over", "one to come"))
        }
        at => Ok(at.map(|FlexibleTimestamp(at)| at)),
    }
}

fn validate_note(text: Option<String>, key: Option<&str>) -> Result<Option<String>, AdminError> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > MAX_NOTE_CHARS {
        let found = format!("{} characters", text.chars().count());
        return Err(AdminError::invalid("note", found, format!("{MAX_NOTE_CHARS} at most")));
    }
    // Notes are kept as they are.
    if key.is_some_and(|key| !key.is_empty() && text.contains(key)) {
        return Err(AdminError::invalid("note", "the key itself", "a note without it"));
    }
    Ok(Some(text))
}

fn audit_target(consumer: &str, id: &str) -> String {
    format!("{}/key/{id}", consumer::audit_target(consumer))
}

fn key_json(consumer: &str, id: &str, metadata: &KeyMetadata) -> Value {
    json!({
        "id": id,
        "consumer": consumer,
        "hint": metadata.hint,
        "adopted": metadata.adopted.is_some(),
        "created_at": epoch_seconds(metadata.created),
        "created_by": metadata.by,
        "expires_at": metadata.expires.map(epoch_seconds),
        "note": metadata.note,
    })
}

//! `/consumers/{consumer}/keys`: issues, adopts, changes, and revokes keys.
//!
//! A key is two entries: the metadata that operators see, and the lookup entry that authenticates
//! requests. The metadata is written first and deleted last. So a crash in between never leaves a
//! working key that cannot be seen and revoked.

use civil_time::Timestamp;
use secret::KeyDigest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::keys::{
    KeyHash, KeyMetadata, MAX_ADOPTED_CHARS, MIN_ADOPTED_CHARS, Pepper, StoredKey, generate,
    is_adoptable, random_chars,
};
use crate::host::Host;

use super::consumer::{self, check_exists};
use super::key_use::KeyUses;
use super::lock::{self, LockSubject, locked_error};
use super::pagination::read_page;
use super::request_body::{FlexibleTimestamp, deserialize_nullable, parse_object};
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};
use super::{AdminRequest, PREFIX};

const MAX_NOTE_CHARS: usize = 256;

// No `Debug`: it holds a key.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    /// An existing key to adopt; `None` to generate one.
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
    let uses = KeyUses::read(request.host, consumer).await;
    let mut data = Vec::new();
    for id in &found.names {
        if let Some(metadata) = key_store.get_metadata(consumer, id).await? {
            let mut shown = key_json(consumer, id, &metadata, request.host.now());
            uses.add_to(&mut shown, id);
            data.push(shown);
        }
    }
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": found.cursor })))
}

/// `GET /consumers/{consumer}/keys/{key}`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (consumer, id) = (request.path_argument(0), request.path_argument(1));
    check_exists(request, consumer).await?;
    let metadata = load_metadata(request, consumer, id).await?;
    let mut shown = key_json(consumer, id, &metadata, request.host.now());
    KeyUses::read(request.host, consumer).await.add_to(&mut shown, id);
    Ok(AdminResponse::json(&shown))
}

/// `POST /consumers/{consumer}/keys`
pub(super) async fn issue<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let consumer = request.path_argument(0);
    let wanted: CreateKey =
        if request.body.is_empty() { CreateKey::default() } else { parse_object(&request.body)? };
    let pepper = request.context.pepper.ok_or_else(AdminError::key_pepper_missing)?;
    let now = request.host.now();
    let expires = parse_expiry(wanted.expires_at, now)?;
    let note = validate_note(wanted.note, wanted.key.as_deref())?;
    // Clocks differ: the key's creation must not be before its consumer's.
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
        by: request.operator.name.clone(),
        adopted,
    };
    let key_store = request.key_store();
    let change = async {
        key_store.put_metadata(consumer, &entry.id, &metadata).await?;
        Ok(key_store.put_key(&hash, &entry).await?)
    };
    let action = if is_new { "key.issue" } else { "key.adopt" };
    let detail = json!({ "expires_at": expires.map(rfc3339_json) });
    let done = request.run_audited(action, audit_target(consumer, &entry.id), detail, change).await;
    if let (Err(_), Some(lock)) = (&done, adopted) {
        lock::release(request.host, LockSubject::Import(&hash), lock).await;
    }
    done?;
    let mut answer = key_json(consumer, &entry.id, &metadata, now);
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
    // Read again under the lock.
    let mut metadata = load_metadata(request, consumer, id).await?;
    let key_store = request.key_store();
    let (hash, mut entry) = load_entry(request, id, &metadata).await?;
    let before = entry.expires;
    metadata.expires = expires.unwrap_or(metadata.expires);
    metadata.note = note.unwrap_or(metadata.note);
    entry.expires = metadata.expires;
    let change = async {
        let never = Timestamp::from_millis(u64::MAX);
        // An extension is shown before it takes effect; a shortening takes effect before it is shown.
        if entry.expires.unwrap_or(never) < before.unwrap_or(never) {
            key_store.put_key(&hash, &entry).await?;
            key_store.put_metadata(consumer, id, &metadata).await?;
        } else {
            key_store.put_metadata(consumer, id, &metadata).await?;
            key_store.put_key(&hash, &entry).await?;
        }
        Ok(())
    };
    let detail = json!({ "expires_at": metadata.expires.map(rfc3339_json) });
    request.run_audited("key.change", audit_target(consumer, id), detail, change).await?;
    Ok(AdminResponse::json(&key_json(consumer, id, &metadata, request.host.now())))
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
    // Held until every store shows the deletion: a concurrent change would write the key again. Without
    // the ledger no key can be changed, and a key can still be revoked.
    if let Ok(None) = lock::acquire(request.host, LockSubject::Revocation(id)).await {
        return Err(locked_error("this key"));
    }
    let key_store = request.key_store();
    if let Some(hash) = metadata.key_hash() {
        // Metadata that was left behind must not delete a key that belongs to another entry by now. A
        // key that the store does not show may have been issued a moment ago.
        if key_store.get_key(&hash).await?.is_none_or(|entry| entry.id == id) {
            key_store.delete_key(&hash).await?;
        }
        if let Some(lock) = metadata.adopted {
            lock::release(request.host, LockSubject::Import(&hash), lock).await;
        }
    }
    Ok(key_store.delete_metadata(consumer, id).await?)
}

/// The lookup entry of a key that works.
pub(super) async fn load_entry<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
    metadata: &KeyMetadata,
) -> Result<(KeyHash, StoredKey), AdminError> {
    let hash = metadata.key_hash();
    let entry = match &hash {
        Some(hash) => request.key_store().get_key(hash).await?.filter(|entry| entry.id == id),
        None => None,
    };
    hash.zip(entry).ok_or_else(|| {
        let message = "This key is not active, or its lookup entry is not visible yet. Retry in a minute, or revoke it.";
        AdminError::conflict("conflict", message)
    })
}

pub(super) async fn load_metadata<P: Host>(
    request: &AdminRequest<'_, P>,
    consumer: &str,
    id: &str,
) -> Result<KeyMetadata, AdminError> {
    let is_id = (1..=32).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let metadata = if is_id { request.key_store().get_metadata(consumer, id).await? } else { None };
    metadata.ok_or_else(|| {
        AdminError::not_found("key_not_found", "This key of the consumer does not exist.")
    })
}

async fn check_unused<P: Host>(
    request: &AdminRequest<'_, P>,
    pepper: &Pepper,
    key: &str,
    hash: &KeyHash,
) -> Result<(), AdminError> {
    if !is_adoptable(pepper, key) {
        let expected = format!(
            "{MIN_ADOPTED_CHARS} to {MAX_ADOPTED_CHARS} visible ASCII characters, with the prefix \"sk-serin-\" \
             only for keys that this gateway issued"
        );
        let found = match key.chars().count() {
            MIN_ADOPTED_CHARS..=MAX_ADOPTED_CHARS => "an unsuitable key".to_owned(),
            1 => "a key of 1 character".to_owned(),
            chars => format!("a key of {chars} characters"),
        };
        return Err(AdminError::invalid("key", found, expected));
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
    AdminError::conflict("already_exists", "This key is already in use.")
}

pub(super) fn parse_expiry(
    at: Option<FlexibleTimestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, AdminError> {
    match at {
        Some(FlexibleTimestamp(at)) if at <= now => Err(AdminError::invalid(
            "expires_at",
            "a time in the past",
            "a time in the future; delete the key to end it now",
        )),
        at => Ok(at.map(|FlexibleTimestamp(at)| at)),
    }
}

pub(super) fn validate_note(
    text: Option<String>,
    key: Option<&str>,
) -> Result<Option<String>, AdminError> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > MAX_NOTE_CHARS {
        let found = format!("{} characters", text.chars().count());
        return Err(AdminError::invalid("note", found, format!("at most {MAX_NOTE_CHARS}")));
    }
    // Notes are stored in plain text.
    if key.is_some_and(|key| !key.is_empty() && text.contains(key)) {
        return Err(AdminError::invalid("note", "the key itself", "a note without it"));
    }
    Ok(Some(text))
}

pub(super) fn audit_target(consumer: &str, id: &str) -> String {
    format!("{}/key/{id}", consumer::audit_target(consumer))
}

pub(super) fn key_json(consumer: &str, id: &str, metadata: &KeyMetadata, now: Timestamp) -> Value {
    let is_expired = metadata.expires.is_some_and(|expires| expires <= now);
    json!({
        "id": id,
        "consumer": consumer,
        "status": if is_expired { "expired" } else { "active" },
        "hint": metadata.hint,
        "adopted": metadata.adopted.is_some(),
        "created_at": rfc3339_json(metadata.created),
        "created_by": metadata.by,
        "expires_at": metadata.expires.map(rfc3339_json),
        "note": metadata.note,
    })
}

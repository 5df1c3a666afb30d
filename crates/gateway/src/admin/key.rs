//! `/consumers/{consumer}/keys`: keys are issued, taken over, changed and revoked.
//!
//! A key is two entries: the card that operators see, and the one that makes it work. The card is
//! written first and deleted last. So whatever comes in between, nothing works that cannot be seen and
//! revoked.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::keys::{
    KeyCard, KeyEntry, KeyHash, LONGEST, Pepper, SHORTEST, is_adoptable, make, random,
};
use crate::platform::Platform;
use crate::secret::KeyDigest;
use crate::time::Timestamp;

use super::body::{Moment, object, present};
use super::claim::{self, Subject, under_way};
use super::consumer::{self, must_exist, seconds};
use super::page::page;
use super::reply::{Answer, Failure, Reply};
use super::{Call, PREFIX};

/// Characters of a note.
const LONGEST_NOTE: usize = 256;

//
// No `Debug`: there is a key in it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// One that callers already have; absent: a new one.
    key: Option<String>,
    expires_at: Option<Moment>,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    #[serde(default, deserialize_with = "present")]
    expires_at: Option<Option<Moment>>,
    #[serde(default, deserialize_with = "present")]
    note: Option<Option<String>>,
}

/// `GET /consumers/{consumer}/keys`
pub(super) async fn list<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["limit", "cursor"])?;
    let consumer = call.argument(0);
    must_exist(call, consumer).await?;
    let shelf = call.shelf();
    let names = KeyCard::names(consumer);
    let found = page(&shelf, &names, query.text("cursor"), query.limit()?).await?;
    let mut data = Vec::new();
    for id in &found.names {
        if let Some(card) = shelf.card(consumer, id).await? {
            data.push(shown(consumer, id, &card));
        }
    }
    Ok(Reply::json(&json!({ "data": data, "cursor": found.cursor })))
}

/// `POST /consumers/{consumer}/keys`
pub(super) async fn issue<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let consumer = call.argument(0);
    let wanted: Wanted = if call.body.is_empty() { Wanted::default() } else { object(&call.body)? };
    let Some(pepper) = call.desk.pepper else {
        let message = "Keys need the secret KEY_PEPPER, which is not set.";
        return Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "key_pepper_missing", message));
    };
    let now = call.platform.now();
    let expires = expiry(wanted.expires_at, now)?;
    let note = note(wanted.note, wanted.key.as_deref())?;
    // Clocks differ: a key that was issued after its consumer must say so.
    let created = must_exist(call, consumer).await?.max(now);
    let (key, is_new) = match wanted.key {
        None => (make(pepper, call.platform), true),
        Some(key) => (key, false),
    };
    let hash = pepper.digest(&key);
    let adopted = if is_new {
        None
    } else {
        must_be_free(call, pepper, &key, &hash).await?;
        let claimed = claim::take(call.platform, Subject::Adoption(&hash)).await?;
        Some(claimed.ok_or_else(taken)?)
    };
    let id = format!("key_{}", random(call.platform, 16));
    let entry = KeyEntry { id, consumer: consumer.to_owned(), created, expires };
    let card = KeyCard {
        hash: hash.to_hex(),
        created,
        expires,
        hint: key[key.len() - 4..].to_owned(),
        note,
        by: call.operator.name.to_owned(),
        adopted,
    };
    let shelf = call.shelf();
    let change = async {
        shelf.put_card(consumer, &entry.id, &card).await?;
        Ok(shelf.put_key(&hash, &entry).await?)
    };
    let action = if is_new { "key.issue" } else { "key.adopt" };
    let detail = json!({ "expires_at": expires.map(seconds) });
    let done = call.log(action, target(consumer, &entry.id), detail, change).await;
    if let (Err(_), Some(claimed)) = (&done, adopted) {
        claim::release(call.platform, Subject::Adoption(&hash), claimed).await;
    }
    done?;
    let mut answer = shown(consumer, &entry.id, &card);
    if is_new {
        answer["key"] = json!(key);
    }
    Ok(Reply::created(&answer, format!("{PREFIX}consumers/{consumer}/keys/{}", entry.id)))
}

/// `PATCH /consumers/{consumer}/keys/{key}`
pub(super) async fn change<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (consumer, id) = (call.argument(0), call.argument(1));
    let patch: Patch = object(&call.body)?;
    let expires = match patch.expires_at {
        Some(Some(at)) => Some(expiry(Some(at), call.platform.now())?),
        Some(None) => Some(None),
        None => None,
    };
    let note = patch.note.map(|text| note(text, None)).transpose()?;
    must_exist(call, consumer).await?;
    card(call, consumer, id).await?;
    let claimed = claim::take(call.platform, Subject::Key(id)).await?;
    let claimed = claimed.ok_or_else(|| under_way("this key"))?;
    let done = changed(call, consumer, id, expires, note).await;
    claim::release(call.platform, Subject::Key(id), claimed).await;
    done
}

async fn changed<P: Platform>(
    call: &Call<'_, P>,
    consumer: &str,
    id: &str,
    expires: Option<Option<Timestamp>>,
    note: Option<Option<String>>,
) -> Answer {
    // Again, now that nobody else changes it.
    let mut card = card(call, consumer, id).await?;
    let shelf = call.shelf();
    let hash = card.hash();
    let entry = match &hash {
        Some(hash) => shelf.key(hash).await?.filter(|entry| entry.id == id),
        None => None,
    };
    let (Some(hash), Some(mut entry)) = (hash, entry) else {
        let message = "This key does not work, or not everywhere yet. Revoke it, or wait a minute.";
        return Err(Failure::conflict("conflict", message));
    };
    let before = entry.expires;
    card.expires = expires.unwrap_or(card.expires);
    card.note = note.unwrap_or(card.note);
    entry.expires = card.expires;
    let change = async {
        let never = Timestamp::from_millis(u64::MAX);
        // What works for longer is seen first; what works for less ends first.
        if entry.expires.unwrap_or(never) < before.unwrap_or(never) {
            shelf.put_key(&hash, &entry).await?;
            shelf.put_card(consumer, id, &card).await?;
        } else {
            shelf.put_card(consumer, id, &card).await?;
            shelf.put_key(&hash, &entry).await?;
        }
        Ok(())
    };
    let detail = json!({ "expires_at": card.expires.map(seconds) });
    call.log("key.change", target(consumer, id), detail, change).await?;
    Ok(Reply::json(&shown(consumer, id, &card)))
}

/// `DELETE /consumers/{consumer}/keys/{key}`
pub(super) async fn revoke<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (consumer, id) = (call.argument(0), call.argument(1));
    must_exist(call, consumer).await?;
    let card = card(call, consumer, id).await?;
    let change = end(call, consumer, id, &card);
    call.log("key.revoke", target(consumer, id), Value::Null, change).await?;
    Ok(Reply::gone())
}

/// Revokes every key of a consumer.
pub(super) async fn revoke_all<P: Platform>(
    call: &Call<'_, P>,
    consumer: &str,
) -> Result<(), Failure> {
    const AT_ONCE: usize = 200;
    let shelf = call.shelf();
    let names = KeyCard::names(consumer);
    let mut cursor = None;
    loop {
        let found = page(&shelf, &names, cursor.as_deref(), AT_ONCE).await?;
        for id in &found.names {
            if let Some(card) = shelf.card(consumer, id).await? {
                end(call, consumer, id, &card).await?;
            }
        }
        match found.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

async fn end<P: Platform>(
    call: &Call<'_, P>,
    consumer: &str,
    id: &str,
    card: &KeyCard,
) -> Result<(), Failure> {
    // Held until every store shows the end: a change elsewhere would write the key anew. Without the
    // ledger nobody can change a key, and one can still be revoked.
    if let Ok(None) = claim::take(call.platform, Subject::Revocation(id)).await {
        return Err(under_way("this key"));
    }
    let shelf = call.shelf();
    if let Some(hash) = card.hash() {
        // A card that was left behind must not end a key that is another one's by now. One that the
        // store does not show may have been issued a moment ago.
        if shelf.key(&hash).await?.is_none_or(|entry| entry.id == id) {
            shelf.delete_key(&hash).await?;
        }
        if let Some(claimed) = card.adopted {
            claim::release(call.platform, Subject::Adoption(&hash), claimed).await;
        }
    }
    Ok(shelf.delete_card(consumer, id).await?)
}

async fn card<P: Platform>(
    call: &Call<'_, P>,
    consumer: &str,
    id: &str,
) -> Result<KeyCard, Failure> {
    let is_id = (1..=32).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let card = if is_id { call.shelf().card(consumer, id).await? } else { None };
    card.ok_or_else(|| Failure::not_found("key_not_found", "This consumer has no such key."))
}

async fn must_be_free<P: Platform>(
    call: &Call<'_, P>,
    pepper: &Pepper,
    key: &str,
    hash: &KeyHash,
) -> Result<(), Failure> {
    if !is_adoptable(pepper, key) {
        let expected = format!(
            "{SHORTEST} to {LONGEST} visible ASCII characters, and not \"sk-serin-\" in front unless \
             the key was made here"
        );
        return Err(Failure::invalid("key", "something else", expected));
    }
    let digest = KeyDigest::of(key);
    let config = call.desk.config;
    let operators = config.operators.iter().map(|operator| &operator.token);
    let consumers = config.consumers.iter().flat_map(|consumer| &consumer.keys);
    let known = consumers.chain(operators).chain(call.desk.token);
    let is_taken = known.fold(false, |taken, other| taken | bool::from(other.matches(&digest)));
    if is_taken || call.shelf().key(hash).await?.is_some() {
        return Err(taken());
    }
    Ok(())
}

fn taken() -> Failure {
    Failure::conflict("already_exists", "Somebody has this key already.")
}

fn expiry(at: Option<Moment>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    match at {
        Some(Moment(at)) if at <= now => {
            Err(Failure::invalid("expires_at", "a moment that is over", "one to come"))
        }
        at => Ok(at.map(|Moment(at)| at)),
    }
}

fn note(text: Option<String>, key: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > LONGEST_NOTE {
        let found = format!("{} characters", text.chars().count());
        return Err(Failure::invalid("note", found, format!("{LONGEST_NOTE} at most")));
    }
    // Notes are kept as they are.
    if key.is_some_and(|key| !key.is_empty() && text.contains(key)) {
        return Err(Failure::invalid("note", "the key itself", "a note without it"));
    }
    Ok(Some(text))
}

fn target(consumer: &str, id: &str) -> String {
    format!("{}/key/{id}", consumer::target(consumer))
}

fn shown(consumer: &str, id: &str, card: &KeyCard) -> Value {
    json!({
        "id": id,
        "consumer": consumer,
        "hint": card.hint,
        "adopted": card.adopted.is_some(),
        "created_at": seconds(card.created),
        "created_by": card.by,
        "expires_at": card.expires.map(seconds),
        "note": card.note,
    })
}

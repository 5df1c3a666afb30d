//! `/consumers`: consumers of the configuration (read-only), and consumers that operators create.

use civil_time::Timestamp;
use config::{Config, Consumer};
use serde_json::{Map, Value, json};

use crate::auth::keys::{StoredConsumer, is_storable_id};
use crate::host::Host;

use super::lock::{self, LockSubject, locked_error};
use super::pagination::{Page, read_page};
use super::request_body::parse_object;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};
use super::{AdminRequest, PREFIX, key};

/// `GET /consumers`
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["prefix", "group", "limit", "cursor"])?;
    let prefix = query.get("prefix").unwrap_or_default();
    let page = read_consumers(request, prefix, query.get("cursor"), query.page_limit()?).await?;
    let config = request.context.config;
    let mut data: Vec<Value> =
        page.configured.iter().map(|consumer| configured_json(config, consumer)).collect();
    for id in &page.stored {
        if let Some(stored) = request.key_store().get_consumer(id).await? {
            data.push(stored_json(&stored));
        }
    }
    // The store knows no groups, so a page may have fewer rows, and the cursor says whether more follow.
    if let Some(group) = query.get("group") {
        data.retain(|consumer| consumer["group"] == group);
    }
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": page.cursor })))
}

/// Some consumers: those of the configuration by id, then those that operators created.
#[derive(Debug)]
pub(super) struct ConsumerPage<'a> {
    pub(super) configured: Vec<&'a Consumer>,
    /// Ids of created consumers.
    pub(super) stored: Vec<String>,
    pub(super) cursor: Option<String>,
}

/// Begins a cursor whose page ended among the configured consumers. No stored id begins so.
const CONFIGURED_CURSOR: char = '=';

/// Reads at most `limit` consumers after a cursor whose ids begin with `prefix`.
pub(super) async fn read_consumers<'a, P: Host>(
    request: &AdminRequest<'a, P>,
    prefix: &str,
    cursor: Option<&str>,
    limit: usize,
) -> Result<ConsumerPage<'a>, AdminError> {
    let config = request.context.config;
    let after = cursor.map(|cursor| cursor.strip_prefix(CONFIGURED_CURSOR));
    let mut configured: Vec<&Consumer> = match after {
        None => config.consumers.iter().collect(),
        Some(Some(last)) => {
            config.consumers.iter().filter(|consumer| consumer.id.as_str() > last).collect()
        }
        Some(None) => Vec::new(),
    };
    configured.retain(|consumer| consumer.id.starts_with(prefix));
    sorting::sort_by(&mut configured, |one, other| one.id.cmp(&other.id));
    let is_cut = configured.len() > limit;
    configured.truncate(limit);
    let rest = limit - configured.len();
    let stored_cursor = cursor.filter(|_| after == Some(None));
    let key_store = request.key_store();
    let mut found = Page::default();
    // Else the text is longer than any id, or has other characters.
    let begins_id = is_storable_id(prefix) || is_storable_id(&format!("{prefix}a"));
    if !is_cut && begins_id {
        // At least one, to know whether there are more.
        let names = StoredConsumer::storage_key(prefix);
        found = read_page(&key_store, &names, stored_cursor, rest.max(1)).await?;
        found.names.iter_mut().for_each(|name| name.insert_str(0, prefix));
    }
    let last = configured.last().map(|last| format!("{CONFIGURED_CURSOR}{}", last.id));
    let cursor = if is_cut || (rest == 0 && !found.names.is_empty()) { last } else { found.cursor };
    found.names.truncate(rest);
    found.names.retain(|id| find_configured(config, id).is_none());
    Ok(ConsumerPage { configured, stored: found.names, cursor })
}

/// `GET /consumers/{consumer}`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let id = request.path_argument(0);
    request.parse_query(&[])?;
    if let Some(consumer) = find_configured(request.context.config, id) {
        return Ok(AdminResponse::json(&configured_json(request.context.config, consumer)));
    }
    Ok(AdminResponse::json(&stored_json(&load_stored(request, id).await?)))
}

/// `POST /consumers`
pub(super) async fn create<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let document: Map<String, Value> = parse_object(&request.body)?;
    let consumer = validate(request.context.config, &request.body)?;
    let id = consumer.id.as_str();
    let taken =
        || AdminError::conflict("already_exists", format!("The consumer {id} already exists."));
    let key_store = request.key_store();
    if find_configured(request.context.config, id).is_some()
        || key_store.get_consumer(id).await?.is_some()
    {
        return Err(taken());
    }
    let subject = LockSubject::NewConsumer(id);
    let lock = lock::acquire(request.host, subject).await?.ok_or_else(taken)?;
    let stored = StoredConsumer {
        document: document.into(),
        created: request.host.now(),
        by: request.operator.name.clone(),
        changed: None,
        claim: lock,
    };
    let change = async { Ok(key_store.put_consumer(id, &stored).await?) };
    let done = request.run_audited("consumer.create", audit_target(id), Value::Null, change).await;
    if done.is_err() {
        lock::release(request.host, subject, lock).await;
    }
    done?;
    Ok(AdminResponse::created(&stored_json(&stored), format!("{PREFIX}consumers/{id}")))
}

/// `PATCH /consumers/{consumer}`: a merge patch (RFC 7396).
pub(super) async fn patch<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let id = request.path_argument(0);
    let patch: Map<String, Value> = parse_object(&request.body)?;
    check_not_configured(request.context.config, id)?;
    load_stored(request, id).await?;
    let subject = LockSubject::Consumer(id);
    let lock = lock::acquire(request.host, subject).await?;
    let lock = lock.ok_or_else(|| locked_error("this consumer"))?;
    let done = apply_patch(request, id, patch).await;
    lock::release(request.host, subject, lock).await;
    done
}

async fn apply_patch<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
    patch: Map<String, Value>,
) -> AdminResult {
    // Read again under the lock.
    let mut stored = load_stored(request, id).await?;
    let fields: Vec<String> = patch.keys().cloned().collect();
    merge_patch(&mut stored.document, patch.into());
    let consumer = validate(request.context.config, stored.document.to_string().as_bytes())?;
    if consumer.id != id {
        let found = format!("{:?}", consumer.id);
        return Err(AdminError::invalid("id", found, format!("{id:?}: an id cannot be changed")));
    }
    stored.changed = Some((request.host.now(), request.operator.name.clone()));
    let change = async { Ok(request.key_store().put_consumer(id, &stored).await?) };
    request
        .run_audited("consumer.change", audit_target(id), json!({ "fields": fields }), change)
        .await?;
    Ok(AdminResponse::json(&stored_json(&stored)))
}

/// `DELETE /consumers/{consumer}`: deletes its keys first, so that no working key is left.
pub(super) async fn delete<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let id = request.path_argument(0);
    check_not_configured(request.context.config, id)?;
    let stored = load_stored(request, id).await?;
    let subject = LockSubject::Consumer(id);
    let lock = lock::acquire(request.host, subject).await?;
    let lock = lock.ok_or_else(|| locked_error("this consumer"))?;
    let change = async {
        // Before the consumer's settings are gone: a token without them would be admitted to more.
        if !request.context.config.auth.issuers.is_empty() {
            request.key_store().put_deleted(id).await?;
        }
        key::revoke_all(request, id).await?;
        Ok(request.key_store().delete_consumer(id).await?)
    };
    let done = request.run_audited("consumer.delete", audit_target(id), Value::Null, change).await;
    lock::release(request.host, subject, lock).await;
    done?;
    // The id can be used again at once.
    lock::release(request.host, LockSubject::NewConsumer(id), stored.claim).await;
    Ok(AdminResponse::no_content())
}

/// Name of a consumer in the audit log.
pub(super) fn audit_target(id: &str) -> String {
    format!("consumer/{id}")
}

/// Refuses an unknown consumer. Returns the time of its creation: an older key belongs to an earlier
/// consumer with the same id.
pub(super) async fn check_exists<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
) -> Result<Timestamp, AdminError> {
    if find_configured(request.context.config, id).is_some() && is_storable_id(id) {
        return Ok(Timestamp::default());
    }
    Ok(load_stored(request, id).await?.created)
}

async fn load_stored<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
) -> Result<StoredConsumer, AdminError> {
    // An id that cannot be stored is in no entry.
    let stored =
        if is_storable_id(id) { request.key_store().get_consumer(id).await? } else { None };
    stored
        .ok_or_else(|| AdminError::not_found("consumer_not_found", "This consumer does not exist."))
}

fn find_configured<'a>(config: &'a Config, id: &str) -> Option<&'a Consumer> {
    config.consumers.iter().find(|consumer| consumer.id == id)
}

fn check_not_configured(config: &Config, id: &str) -> Result<(), AdminError> {
    match find_configured(config, id) {
        None => Ok(()),
        Some(_) => {
            let message =
                format!("The consumer {id} is defined in the configuration: change it there.");
            Err(AdminError::conflict("defined_in_configuration", message))
        }
    }
}

fn validate(config: &Config, document: &[u8]) -> Result<Consumer, AdminError> {
    let problems = |problems| AdminError::problems(&problems);
    let consumer = config.parse_consumer(document).map_err(problems)?;
    if is_storable_id(&consumer.id) {
        return Ok(consumer);
    }
    let expected = "1 to 100 letters, digits, \".\", \"_\", or \"-\"";
    Err(AdminError::invalid("id", "other characters or length", expected))
}

fn stored_json(stored: &StoredConsumer) -> Value {
    let mut shown = stored.document.clone();
    shown["source"] = json!("admin");
    shown["created_at"] = rfc3339_json(stored.created);
    shown["created_by"] = json!(stored.by);
    if let Some((at, by)) = &stored.changed {
        shown["changed_at"] = rfc3339_json(*at);
        shown["changed_by"] = json!(by);
    }
    shown
}

/// A configured consumer in a response: only its id, group, and routes.
fn configured_json(config: &Config, consumer: &Consumer) -> Value {
    let mut shown = json!({ "id": consumer.id, "source": "configuration" });
    if let Some(group) = &consumer.group {
        shown["group"] = json!(group);
    }
    if consumer.disabled {
        shown["disabled"] = json!(true);
    }
    if let Some(routes) = &consumer.permissions.routes {
        let ids: Vec<&str> = routes.iter().map(|index| config.route(*index).id.as_str()).collect();
        shown["routes"] = json!(ids);
    }
    shown
}

/// Applies a merge patch (RFC 7396, section 2).
fn merge_patch(document: &mut Value, patch: Value) {
    match patch {
        Value::Object(patch) => {
            if !document.is_object() {
                *document = json!({});
            }
            let members = document.as_object_mut().expect("it was made one");
            for (name, value) in patch {
                if value.is_null() {
                    members.remove(&name);
                } else {
                    merge_patch(members.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            *document = patch;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::merge_patch;

    #[track_caller]
    fn assert_merged(mut document: Value, patch: Value, expected: Value) {
        merge_patch(&mut document, patch);
        assert_eq!(document, expected);
    }

    #[test]
    fn merge_patch_follows_rfc_7396() {
        assert_merged(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        assert_merged(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
        assert_merged(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
        assert_merged(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}));
        assert_merged(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}));
        assert_merged(
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        );
        assert_merged(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}));
        assert_merged(json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"}));
        assert_merged(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}));
    }
}

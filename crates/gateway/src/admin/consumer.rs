//! `/consumers`: those of the configuration, to be looked at, and those that operators create.

use serde_json::{Map, Value, json};

use crate::config::{Config, Consumer};
use crate::keys::{KeptConsumer, is_name};
use crate::platform::Platform;
use crate::time::Timestamp;

use super::body::object;
use super::claim::{self, Subject, under_way};
use super::page::page;
use super::reply::{Answer, Failure, Reply};
use super::{Call, PREFIX, key};

/// `GET /consumers`
pub(super) async fn list<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["limit", "cursor"])?;
    let (limit, cursor) = (query.limit()?, query.text("cursor"));
    let shelf = call.shelf();
    let found = page(&shelf, KeptConsumer::NAMES, cursor, limit).await?;
    let config = call.desk.config;
    let mut data = Vec::new();
    // The configuration's are few, and all on the first page.
    if cursor.is_none() {
        data.extend(config.consumers.iter().map(|consumer| of_configuration(config, consumer)));
    }
    for id in found.names.iter().filter(|id| configured(config, id).is_none()) {
        if let Some(kept) = shelf.consumer(id).await? {
            data.push(shown(&kept));
        }
    }
    Ok(Reply::json(&json!({ "data": data, "cursor": found.cursor })))
}

/// `GET /consumers/{consumer}`
pub(super) async fn read<P: Platform>(call: &Call<'_, P>) -> Answer {
    let id = call.argument(0);
    call.query(&[])?;
    if let Some(consumer) = configured(call.desk.config, id) {
        return Ok(Reply::json(&of_configuration(call.desk.config, consumer)));
    }
    Ok(Reply::json(&shown(&kept(call, id).await?)))
}

/// `POST /consumers`
pub(super) async fn create<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let document: Map<String, Value> = object(&call.body)?;
    let consumer = check(call.desk.config, &call.body)?;
    let id = consumer.id.as_str();
    let taken =
        || Failure::conflict("already_exists", format!("There is a consumer {id} already."));
    let shelf = call.shelf();
    if configured(call.desk.config, id).is_some() || shelf.consumer(id).await?.is_some() {
        return Err(taken());
    }
    let subject = Subject::NewConsumer(id);
    let claimed = claim::take(call.platform, subject).await?.ok_or_else(taken)?;
    let kept = KeptConsumer {
        document: document.into(),
        created: call.platform.now(),
        by: call.operator.name.to_owned(),
        changed: None,
        claim: claimed,
    };
    let change = async { Ok(shelf.put_consumer(id, &kept).await?) };
    let done = call.log("consumer.create", target(id), Value::Null, change).await;
    if done.is_err() {
        claim::release(call.platform, subject, claimed).await;
    }
    done?;
    Ok(Reply::created(&shown(&kept), format!("{PREFIX}consumers/{id}")))
}

/// `PATCH /consumers/{consumer}`: a merge patch (RFC 7396).
pub(super) async fn change<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let id = call.argument(0);
    let patch: Map<String, Value> = object(&call.body)?;
    must_not_be_configured(call.desk.config, id)?;
    kept(call, id).await?;
    let subject = Subject::Consumer(id);
    let claimed = claim::take(call.platform, subject).await?;
    let claimed = claimed.ok_or_else(|| under_way("this consumer"))?;
    let done = patched(call, id, patch).await;
    claim::release(call.platform, subject, claimed).await;
    done
}

async fn patched<P: Platform>(call: &Call<'_, P>, id: &str, patch: Map<String, Value>) -> Answer {
    // Again, now that nobody else changes it.
    let mut kept = kept(call, id).await?;
    let fields: Vec<String> = patch.keys().cloned().collect();
    merge(&mut kept.document, patch.into());
    let consumer = check(call.desk.config, kept.document.to_string().as_bytes())?;
    if consumer.id != id {
        let found = format!("{:?}", consumer.id);
        return Err(Failure::invalid("id", found, format!("{id:?}, since an id never changes")));
    }
    kept.changed = Some((call.platform.now(), call.operator.name.to_owned()));
    let change = async { Ok(call.shelf().put_consumer(id, &kept).await?) };
    call.log("consumer.change", target(id), json!({ "fields": fields }), change).await?;
    Ok(Reply::json(&shown(&kept)))
}

/// `DELETE /consumers/{consumer}`: its keys first, so that none is left that works.
pub(super) async fn delete<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let id = call.argument(0);
    must_not_be_configured(call.desk.config, id)?;
    let kept = kept(call, id).await?;
    let subject = Subject::Consumer(id);
    let claimed = claim::take(call.platform, subject).await?;
    let claimed = claimed.ok_or_else(|| under_way("this consumer"))?;
    let change = async {
        key::revoke_all(call, id).await?;
        Ok(call.shelf().delete_consumer(id).await?)
    };
    let done = call.log("consumer.delete", target(id), Value::Null, change).await;
    claim::release(call.platform, subject, claimed).await;
    done?;
    // The name is free at once.
    claim::release(call.platform, Subject::NewConsumer(id), kept.claim).await;
    Ok(Reply::gone())
}

/// The audit log's name of a consumer.
pub(super) fn target(id: &str) -> String {
    format!("consumer/{id}")
}

/// Refuses a name that nobody has. Says since when the consumer is there, as far as that matters: a
/// key from before is another one's.
pub(super) async fn must_exist<P: Platform>(
    call: &Call<'_, P>,
    id: &str,
) -> Result<Timestamp, Failure> {
    if configured(call.desk.config, id).is_some() && is_name(id) {
        return Ok(Timestamp::default());
    }
    Ok(kept(call, id).await?.created)
}

async fn kept<P: Platform>(call: &Call<'_, P>, id: &str) -> Result<KeptConsumer, Failure> {
    // What is no name is in no entry's either.
    let kept = if is_name(id) { call.shelf().consumer(id).await? } else { None };
    kept.ok_or_else(|| Failure::not_found("consumer_not_found", "There is no such consumer."))
}

fn configured<'a>(config: &'a Config, id: &str) -> Option<&'a Consumer> {
    config.consumers.iter().find(|consumer| consumer.id == id)
}

fn must_not_be_configured(config: &Config, id: &str) -> Result<(), Failure> {
    match configured(config, id) {
        None => Ok(()),
        Some(_) => {
            let message = format!("The configuration defines {id}: change it there.");
            Err(Failure::conflict("defined_in_configuration", message))
        }
    }
}

fn check(config: &Config, document: &[u8]) -> Result<Consumer, Failure> {
    let problems = |problems| Failure::problems(&problems);
    let consumer = config.read_consumer(document).map_err(problems)?;
    if is_name(&consumer.id) {
        return Ok(consumer);
    }
    let expected = "1 to 100 letters, digits, \".\", \"_\" and \"-\"";
    Err(Failure::invalid("id", "something else", expected))
}

fn shown(kept: &KeptConsumer) -> Value {
    let mut shown = kept.document.clone();
    shown["source"] = json!("admin");
    shown["created_at"] = seconds(kept.created);
    shown["created_by"] = json!(kept.by);
    if let Some((at, by)) = &kept.changed {
        shown["changed_at"] = seconds(*at);
        shown["changed_by"] = json!(by);
    }
    shown
}

/// Who it is and where it may go; the rest stands in the configuration, as it was written there.
fn of_configuration(config: &Config, consumer: &Consumer) -> Value {
    let mut shown = json!({ "id": consumer.id, "source": "configuration" });
    if let Some(group) = &consumer.group {
        shown["group"] = json!(group);
    }
    if let Some(routes) = &consumer.permissions.routes {
        let ids: Vec<&str> = routes.iter().map(|index| config.route(*index).id.as_str()).collect();
        shown["routes"] = json!(ids);
    }
    shown
}

/// A moment as answers have it: whole seconds since the epoch.
pub(super) fn seconds(at: Timestamp) -> Value {
    json!(at.as_millis() / 1_000)
}

/// RFC 7396, 2.
fn merge(document: &mut Value, patch: Value) {
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
                    merge(members.entry(name).or_insert(Value::Null), value);
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

    use super::merge;

    #[track_caller]
    fn check(mut document: Value, patch: Value, expected: Value) {
        merge(&mut document, patch);
        assert_eq!(document, expected);
    }

    #[test]
    fn the_cases_of_rfc_7396() {
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
        check(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
        check(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}));
        check(
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        );
        check(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}));
        check(json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"}));
        check(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}));
    }
}

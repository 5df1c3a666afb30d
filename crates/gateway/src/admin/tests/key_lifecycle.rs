//! The whole life of a consumer and its keys, and what is left of it in the store.

use std::time::Duration;

use serde_json::json;

use crate::host::Clock;

use super::Fixture;

const ADOPTED: &str = "sk-proj-0123456789";

#[test]
fn from_the_first_key_to_the_last() {
    let fixture = Fixture::new();
    let made = fixture.request_as_admin(
        "POST consumers",
        r#"{"id":"umbrella","group":"gold","routes":["chat"]}"#,
    );
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["location"], "/admin/v1/consumers/umbrella");
    assert_eq!(made.headers["x-request-id"], "req_1");
    let at = fixture.fake.now().as_millis() / 1_000;
    let umbrella = json!({
        "id": "umbrella", "group": "gold", "routes": ["chat"],
        "source": "admin", "created_at": at, "created_by": "admin",
    });
    assert_eq!(made.body, umbrella);
    assert_eq!(fixture.assert_status("GET consumers/umbrella", "", 200), umbrella);
    let list = fixture.assert_status("GET consumers", "", 200);
    let acme = json!({
        "id": "acme", "group": "gold", "routes": ["chat"], "source": "configuration",
    });
    assert_eq!(list, json!({ "data": [acme, umbrella], "cursor": null }));

    let key = fixture.assert_status("POST consumers/umbrella/keys", r#"{"note":"laptop"}"#, 201);
    let secret = key["key"].as_str().expect("it is shown once").to_owned();
    assert_eq!(fixture.owner_of(&secret).as_deref(), Some("umbrella"));
    let body = format!(r#"{{"key":"{ADOPTED}","expires_at":"2026-01-01T01:00:00Z"}}"#);
    let adopted = fixture.assert_status("POST consumers/umbrella/keys", &body, 201);
    assert_eq!((&adopted["key"], &adopted["adopted"]), (&json!(null), &json!(true)));
    assert_eq!(adopted["expires_at"], at + 3_600);
    assert_eq!(fixture.owner_of(ADOPTED).as_deref(), Some("umbrella"));

    let keys = fixture.assert_status("GET consumers/umbrella/keys", "", 200);
    assert_eq!(keys["data"].as_array().map(Vec::len), Some(2));
    let shown = keys.to_string();
    assert!(!shown.contains(&secret) && !shown.contains(ADOPTED), "{shown}");
    assert!(shown.contains(r#""hint":"6789""#) && shown.contains(r#""note":"laptop""#), "{shown}");

    let path = format!("consumers/umbrella/keys/{}", adopted["id"].as_str().expect("an id"));
    let soon = format!(r#"{{"expires_at":{},"note":"soon over"}}"#, at + 60);
    assert_eq!(fixture.assert_status(&format!("PATCH {path}"), &soon, 200)["expires_at"], at + 60);
    fixture.fake.advance(Duration::from_secs(60));
    assert_eq!(fixture.owner_of(ADOPTED), None);
    let never = fixture.assert_status(&format!("PATCH {path}"), r#"{"expires_at":null}"#, 200);
    assert_eq!((&never["expires_at"], &never["note"]), (&json!(null), &json!("soon over")));
    assert_eq!(fixture.owner_of(ADOPTED).as_deref(), Some("umbrella"));

    fixture.assert_status(&format!("DELETE {path}"), "", 204);
    assert_eq!(fixture.owner_of(ADOPTED), None);
    fixture.assert_refused(&format!("DELETE {path}"), "", 404, "key_not_found");
    // It is free again, for somebody else too.
    let body = format!(r#"{{"key":"{ADOPTED}"}}"#);
    fixture.assert_status("POST consumers/acme/keys", &body, 201);
    assert_eq!(fixture.owner_of(ADOPTED).as_deref(), Some("acme"));

    let patch = r#"{"group":null,"routes":null}"#;
    let changed = fixture.assert_status("PATCH consumers/umbrella", patch, 200);
    assert_eq!((&changed["group"], &changed["changed_by"]), (&json!(null), &json!("admin")));
    fixture.assert_status("DELETE consumers/umbrella", "", 204);
    assert_eq!(fixture.owner_of(&secret), None);
    fixture.assert_refused("GET consumers/umbrella", "", 404, "consumer_not_found");
    assert_eq!(
        (
            fixture.count_entries("key/"),
            fixture.count_entries("keys/"),
            fixture.count_entries("consumer/")
        ),
        (1, 1, 0)
    );
    // The name is free at once, and brings no key back.
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    assert_eq!(fixture.owner_of(&secret), None);

    let audit = fixture.assert_status("GET audit", "", 200);
    let actions: Vec<&str> = audit["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    let mut expected = [
        "consumer.create",
        "key.issue",
        "key.adopt",
        "key.change",
        "key.change",
        "key.revoke",
        "key.adopt",
        "consumer.change",
        "consumer.delete",
        "consumer.create",
    ];
    // Entries of one millisecond stand in any order.
    let mut sorted = actions.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);

    // Nothing that is kept holds a secret in clear, or so much of it that the rest could be tried.
    let secrets = [secret.as_str(), ADOPTED, "sk-acme-0123456789", super::ADMIN];
    for (name, text) in fixture.fake.entries().into_iter().chain(fixture.fake.books()) {
        for piece in secrets.iter().flat_map(|secret| secret.as_bytes().windows(8)) {
            let piece = std::str::from_utf8(piece).expect("ASCII");
            assert!(!name.contains(piece) && !text.contains(piece), "{name}: {text}");
        }
    }
}

#[test]
fn an_entry_says_who_did_what_when_and_from_where() {
    let fixture = Fixture::new();
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    fixture.fake.advance(Duration::from_secs(1));
    fixture.assert_status("PATCH consumers/umbrella", r#"{"group":"gold"}"#, 200);
    fixture.fake.advance(Duration::from_secs(1));
    fixture.assert_status("POST limits/all/_/adjust", r#"{"by":5}"#, 200);
    let audit = fixture.assert_status("GET audit?limit=2", "", 200);
    assert_eq!(audit["data"][0]["action"], "limit.adjust");
    let mut entry = audit["data"][1].clone();
    entry["id"] = json!(null);
    let expected = json!({
        "id": null, "at": fixture.fake.now().as_millis() / 1_000 - 1, "by": "admin", "role": "owner",
        "action": "consumer.change", "target": "consumer/umbrella", "from": "203.0.113.7",
        "request_id": "req_1", "detail": { "fields": ["group"] },
    });
    assert_eq!(entry, expected);
    let cursor = audit["cursor"].as_str().expect("there is more");
    let rest = fixture.assert_status(&format!("GET audit?limit=2&cursor={cursor}"), "", 200);
    assert_eq!(
        (&rest["data"][0]["action"], &rest["cursor"]),
        (&json!("consumer.create"), &json!(null))
    );
    let targeted = fixture.assert_status("GET audit?target=consumer/umbrella&limit=1", "", 200);
    assert_eq!(targeted["data"][0]["action"], "consumer.change");
    let cursor = targeted["cursor"].as_str().expect("there is more");
    let path = format!("GET audit?target=consumer/umbrella&limit=5&cursor={cursor}");
    assert_eq!(fixture.assert_status(&path, "", 200)["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(fixture.assert_status("GET audit?target=consumer/umb", "", 200)["data"], json!([]));
}

#[test]
fn without_a_log_nothing_is_changed_and_what_failed_is_logged() {
    let fixture = Fixture::new();
    fixture.fake.set_ledger_unavailable(true);
    fixture.assert_refused("POST limits/all/_/adjust", r#"{"by":1}"#, 503, "ledger_unavailable");
    let audit = fixture.assert_status("GET audit", "", 200);
    let mut failed: Vec<_> = audit["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["failed"].clone())
        .collect();
    failed.sort_by_key(ToString::to_string);
    assert_eq!(failed, [json!("ledger_unavailable"), json!(null)]);
    fixture.fake.set_ledger_unavailable(false);
    fixture.fake.set_store_unavailable(true);
    let away = fixture.request_as_admin("POST limits/all/_/adjust", r#"{"by":1}"#);
    assert_eq!((away.status.as_u16(), &away.headers["retry-after"]), (503, &"1".parse().unwrap()));
    fixture.fake.set_store_unavailable(false);
    assert_eq!(fixture.assert_status("GET limits/all/_", "", 200)["quotas"][0]["max"], 10);
}

#[test]
fn lists_come_in_pages() {
    let fixture = Fixture::new();
    for number in 0..8 {
        fixture.assert_status("POST consumers", &format!(r#"{{"id":"c{number}"}}"#), 201);
        fixture.assert_status("POST consumers/c3/keys", "", if number < 3 { 404 } else { 201 });
    }
    for (path, total) in [("consumers", 9), ("consumers/c3/keys", 5), ("audit", 13)] {
        for limit in [1, 2, 3, 4, 5, 13, 200] {
            let (mut ids, mut cursor) = (Vec::new(), String::new());
            loop {
                let page =
                    fixture.assert_status(&format!("GET {path}?limit={limit}{cursor}"), "", 200);
                let data = page["data"].as_array().expect("a list");
                ids.extend(data.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
                let Some(next) = page["cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!((ids.len(), all), (total, total), "{path} by {limit}");
        }
    }
    fixture.assert_refused("GET consumers?cursor=x", "", 400, "invalid_request");
}

//! Life cycle of a consumer and its keys, their audit entries, and lists.

use std::time::Duration;

use ::config::Config;
use secret::Secret;
use serde_json::json;

use crate::auth::jwt::JwtAuthenticator;
use crate::host::Clock;
use crate::testing::fake_host::block_on;

use super::Fixture;

const ADOPTED: &str = "sk-proj-0123456789";

/// A fixture with the consumer `umbrella`, which the admin API created.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.assert_status(
        "POST consumers",
        r#"{"id":"umbrella","group":"gold","routes":["chat"]}"#,
        201,
    );
    fixture
}

/// Issues a key for `umbrella`.
#[track_caller]
fn issue(fixture: &Fixture) -> String {
    let key = fixture.assert_status("POST consumers/umbrella/keys", r#"{"note":"laptop"}"#, 201);
    key["key"].as_str().expect("it is shown once").to_owned()
}

/// Adopts [`ADOPTED`] for a consumer; returns the path of the key.
#[track_caller]
fn adopt(fixture: &Fixture, consumer: &str) -> String {
    let body = format!(r#"{{"key":"{ADOPTED}"}}"#);
    let line = format!("POST consumers/{consumer}/keys");
    let adopted = fixture.assert_status(&line, &body, 201);
    format!("consumers/{consumer}/keys/{}", adopted["id"].as_str().expect("an id"))
}

fn epoch_seconds(fixture: &Fixture) -> u64 {
    fixture.fake.now().as_millis() / 1_000
}

/// The form in answers of a time some seconds from now, at the beginning of its second.
fn seconds_later(fixture: &Fixture, seconds: u64) -> String {
    let millis = (epoch_seconds(fixture) + seconds) * 1_000;
    civil_time::rfc3339::format_timestamp(civil_time::Timestamp::from_millis(millis))
}

#[test]
fn created_consumer_is_shown_and_listed() {
    let fixture = Fixture::new();
    let made = fixture.request_as_admin(
        "POST consumers",
        r#"{"id":"umbrella","group":"gold","routes":["chat"]}"#,
    );
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["location"], "/admin/v1/consumers/umbrella");
    assert_eq!(made.headers["x-request-id"], "req_1");
    let umbrella = json!({
        "id": "umbrella", "group": "gold", "routes": ["chat"],
        "source": "admin", "created_at": seconds_later(&fixture, 0), "created_by": "admin",
    });
    assert_eq!(made.body, umbrella);
    assert_eq!(fixture.assert_status("GET consumers/umbrella", "", 200), umbrella);
    let list = fixture.assert_status("GET consumers", "", 200);
    let acme = json!({
        "id": "acme", "group": "gold", "routes": ["chat"], "source": "configuration",
    });
    assert_eq!(list, json!({ "data": [acme, umbrella], "cursor": null }));
}

#[test]
fn issued_and_adopted_keys_work() {
    let fixture = fixture();
    let secret = issue(&fixture);
    assert_eq!(fixture.owner_of(&secret).as_deref(), Some("umbrella"));
    let body = format!(r#"{{"key":"{ADOPTED}","expires_at":"2026-01-01T01:00:00Z"}}"#);
    let adopted = fixture.assert_status("POST consumers/umbrella/keys", &body, 201);
    assert_eq!(adopted["key"], json!(null));
    assert_eq!(adopted["adopted"], true);
    assert_eq!(adopted["expires_at"], seconds_later(&fixture, 3_600));
    assert_eq!(fixture.owner_of(ADOPTED).as_deref(), Some("umbrella"));
}

#[test]
fn key_list_holds_hints_and_no_keys() {
    let fixture = fixture();
    let secret = issue(&fixture);
    adopt(&fixture, "umbrella");
    let keys = fixture.assert_status("GET consumers/umbrella/keys", "", 200);
    assert_eq!(keys["data"].as_array().map(Vec::len), Some(2));
    let shown = keys.to_string();
    assert!(!shown.contains(&secret) && !shown.contains(ADOPTED), "{shown}");
    assert!(shown.contains(r#""hint":"6789""#) && shown.contains(r#""note":"laptop""#), "{shown}");
}

#[test]
fn key_works_until_its_expiry_is_changed() {
    let fixture = fixture();
    let path = adopt(&fixture, "umbrella");
    let at = epoch_seconds(&fixture);
    let soon = format!(r#"{{"expires_at":{},"note":"soon over"}}"#, at + 60);
    assert_eq!(
        fixture.assert_status(&format!("PATCH {path}"), &soon, 200)["expires_at"],
        seconds_later(&fixture, 60)
    );
    fixture.fake.advance(Duration::from_secs(60));
    assert_eq!(fixture.owner_of(ADOPTED), None);
    let never = fixture.assert_status(&format!("PATCH {path}"), r#"{"expires_at":null}"#, 200);
    assert_eq!(never["expires_at"], json!(null));
    assert_eq!(never["note"], "soon over");
    assert_eq!(fixture.owner_of(ADOPTED).as_deref(), Some("umbrella"));
}

#[test]
fn revoked_key_fails_and_can_be_adopted_again() {
    let fixture = fixture();
    let path = adopt(&fixture, "umbrella");
    fixture.assert_status(&format!("DELETE {path}"), "", 204);
    assert_eq!(fixture.owner_of(ADOPTED), None);
    fixture.assert_refused(&format!("DELETE {path}"), "", 404, "key_not_found");
    adopt(&fixture, "acme");
    assert_eq!(fixture.owner_of(ADOPTED).as_deref(), Some("acme"));
}

#[test]
fn null_in_patch_removes_members_of_consumer() {
    let fixture = fixture();
    let patch = r#"{"group":null,"routes":null}"#;
    let changed = fixture.assert_status("PATCH consumers/umbrella", patch, 200);
    assert_eq!(changed["group"], json!(null));
    assert_eq!(changed["routes"], json!(null));
    assert_eq!(changed["changed_by"], "admin");
}

#[test]
fn deleted_consumer_leaves_no_keys_and_frees_its_id() {
    let fixture = fixture();
    let secret = issue(&fixture);
    adopt(&fixture, "acme");
    fixture.assert_status("DELETE consumers/umbrella", "", 204);
    assert_eq!(fixture.owner_of(&secret), None);
    fixture.assert_refused("GET consumers/umbrella", "", 404, "consumer_not_found");
    assert_eq!(fixture.count_entries("key/"), 1, "of the other consumer");
    assert_eq!(fixture.count_entries("keys/"), 1, "of the other consumer");
    assert_eq!(fixture.count_entries("consumer/"), 0);
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    assert_eq!(fixture.owner_of(&secret), None);
}

/// Changes everything once and more; returns the keys that were in use.
fn change_everything(fixture: &Fixture) -> [String; 2] {
    let secret = issue(fixture);
    let path = adopt(fixture, "umbrella");
    fixture.assert_status(&format!("PATCH {path}"), r#"{"note":"a"}"#, 200);
    fixture.assert_status(&format!("PATCH {path}"), r#"{"note":"b"}"#, 200);
    fixture.assert_status(&format!("DELETE {path}"), "", 204);
    adopt(fixture, "acme");
    fixture.assert_status("PATCH consumers/umbrella", r#"{"group":null}"#, 200);
    fixture.assert_status("DELETE consumers/umbrella", "", 204);
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    [secret, ADOPTED.to_owned()]
}

#[test]
fn every_change_has_an_audit_entry() {
    let fixture = fixture();
    change_everything(&fixture);
    let audit = fixture.assert_status("GET audit", "", 200);
    // Entries of one millisecond have no order.
    let mut actions: Vec<&str> = audit["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    actions.sort_unstable();
    let expected = [
        "consumer.change",
        "consumer.create",
        "consumer.create",
        "consumer.delete",
        "key.adopt",
        "key.adopt",
        "key.change",
        "key.change",
        "key.issue",
        "key.revoke",
    ];
    assert_eq!(actions, expected);
}

#[test]
fn stored_data_holds_no_part_of_a_secret() {
    let fixture = fixture();
    let [issued, adopted] = change_everything(&fixture);
    issue(&fixture);
    // Eight characters would leave few enough to guess.
    let secrets = [issued.as_str(), &adopted, "sk-acme-0123456789", super::ADMIN];
    for (name, text) in fixture.fake.entries().into_iter().chain(fixture.fake.books()) {
        for piece in secrets.iter().flat_map(|secret| secret.as_bytes().windows(8)) {
            let piece = std::str::from_utf8(piece).expect("ASCII");
            assert!(!name.contains(piece) && !text.contains(piece), "{name}: {text}");
        }
    }
}

#[test]
fn audit_entry_names_operator_action_time_and_address() {
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
    let before = civil_time::Timestamp::from_millis(fixture.fake.now().as_millis() - 1_000);
    let expected = json!({
        "id": null, "at": civil_time::rfc3339::format_timestamp(before), "by": "admin", "role": "owner",
        "action": "consumer.change", "target": "consumer/umbrella", "address": "203.0.113.7",
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
fn finding_42_audit_is_filtered_by_action_operator_and_time() {
    let fixture = Fixture::new();
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    let first = fixture.fake.now();
    fixture.fake.advance(Duration::from_secs(60));
    fixture.assert_status("PATCH consumers/umbrella", r#"{"group":"gold"}"#, 200);
    let between = civil_time::rfc3339::format_timestamp(first + Duration::from_secs(30));
    for (query, expected) in [
        ("action=consumer.create".to_owned(), &["consumer.create"][..]),
        ("by=admin".to_owned(), &["consumer.change", "consumer.create"]),
        ("by=eve".to_owned(), &[]),
        (format!("from={between}"), &["consumer.change"]),
        (format!("to={between}"), &["consumer.create"]),
        ("from=2001-01-01&to=2002-01-01".to_owned(), &[]),
    ] {
        let audit = fixture.assert_status(&format!("GET audit?{query}"), "", 200);
        let entries = audit["data"].as_array().expect("a list").iter();
        let actions: Vec<&str> = entries.filter_map(|entry| entry["action"].as_str()).collect();
        assert_eq!(actions, expected, "{query}");
    }
    fixture.assert_refused("GET audit?from=yesterday", "", 400, "invalid_request");
}

#[test]
fn finding_9_page_size_counts_configured_consumers() {
    let fixture = Fixture::new();
    let one = fixture.assert_status("GET consumers?limit=1", "", 200);
    assert_eq!((&one["data"][0]["id"], &one["cursor"]), (&json!("acme"), &json!(null)));
    fixture.assert_status("POST consumers", r#"{"id":"aaa"}"#, 201);
    let one = fixture.assert_status("GET consumers?limit=1", "", 200);
    assert_eq!(one["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["cursor"], "=acme");
    let rest = fixture.assert_status("GET consumers?limit=1&cursor==acme", "", 200);
    assert_eq!((&rest["data"][0]["id"], &rest["cursor"]), (&json!("aaa"), &json!(null)));
}

#[test]
fn consumers_are_found_by_prefix_and_group() {
    let fixture = Fixture::new();
    for (id, group) in [("acme-2", "gold"), ("acme-1", "trial"), ("beta", "gold"), (".x", "gold")] {
        let body = json!({ "id": id, "group": group }).to_string();
        fixture.assert_status("POST consumers", &body, 201);
    }
    for (query, expected, cursor) in [
        ("prefix=acme", "acme acme-1 acme-2", None),
        ("prefix=acme-", "acme-1 acme-2", None),
        ("prefix=.", ".x", None),
        ("prefix=acme%2F", "", None),
        ("prefix=b&group=gold", "beta", None),
        ("group=trial", "acme-1", None),
        ("prefix=acme&limit=2", "acme acme-1", Some("-1~")),
        ("prefix=acme&limit=2&cursor=-1~", "acme-2", None),
        // A page may have no row before the last one.
        ("prefix=acme&group=trial&limit=1", "", Some("=acme")),
        ("prefix=acme&group=trial&limit=1&cursor==acme", "acme-1", Some("-1~")),
    ] {
        let page = fixture.assert_status(&format!("GET consumers?{query}"), "", 200);
        let rows = page["data"].as_array().expect("a list").iter();
        let ids: Vec<&str> = rows.filter_map(|row| row["id"].as_str()).collect();
        assert_eq!(
            (ids.join(" ").as_str(), page["cursor"].as_str()),
            (expected, cursor),
            "{query}"
        );
    }
    let long = format!("GET consumers?prefix={}", "a".repeat(5_000));
    assert_eq!(fixture.assert_status(&long, "", 200)["data"], json!([]));
}

#[test]
fn finding_40_key_can_be_read_by_itself() {
    let fixture = fixture();
    let body = r#"{"expires_at":"2101-01-01","note":"laptop"}"#;
    let issued = fixture.assert_status("POST consumers/acme/keys", body, 201);
    let path = format!("consumers/acme/keys/{}", issued["id"].as_str().expect("an id"));
    let read = fixture.assert_status(&format!("GET {path}"), "", 200);
    let mut expected = issued;
    expected.as_object_mut().expect("an object").remove("key");
    expected["last_used_at"] = serde_json::Value::Null;
    assert_eq!(read, expected);
    assert_eq!((&read["status"], &read["note"]), (&json!("active"), &json!("laptop")));
    // Finding 38: a date is accepted, and times have milliseconds.
    assert_eq!(read["expires_at"], "2101-01-01T00:00:00.000Z");
    fixture.assert_refused("GET consumers/acme/keys/key_x", "", 404, "key_not_found");
    let soon = fixture.fake.now() + Duration::from_secs(5);
    let body = format!(r#"{{"expires_at":"{}"}}"#, civil_time::rfc3339::format_timestamp(soon));
    fixture.assert_status(&format!("PATCH {path}"), &body, 200);
    fixture.fake.advance(Duration::from_secs(5));
    assert_eq!(fixture.assert_status(&format!("GET {path}"), "", 200)["status"], "expired");
}

#[test]
fn finding_43_refused_key_names_its_length() {
    let error = fixture().assert_refused(
        "POST consumers/acme/keys",
        r#"{"key":"web-key"}"#,
        400,
        "invalid_request",
    );
    let message = error["message"].as_str().expect("a sentence");
    assert!(message.contains("a key of 7 characters"), "{message}");
}

#[test]
fn change_needs_an_audit_entry_and_its_failure_is_logged() {
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
    let unavailable = fixture.request_as_admin("POST limits/all/_/adjust", r#"{"by":1}"#);
    assert_eq!(
        (unavailable.status.as_u16(), &unavailable.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    fixture.fake.set_store_unavailable(false);
    assert_eq!(fixture.assert_status("GET limits/all/_", "", 200)["quotas"][0]["max"], 10);
}

#[test]
fn lists_are_complete_at_any_page_size() {
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

/// A token of `https://id.example.com/` for the subject `eve`, valid until 2100.
const TOKEN_OF_EVE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tLyIsInN1YiI6ImV2ZSIsImV4cCI6NDEwMjQ0NDgwMH0.10GHiEEQsaMHRE0LsLMuf0z3b-1JIuBkqMiPelMYfG4";

#[test]
fn token_of_a_deleted_or_changed_consumer_loses_its_rights_at_once() {
    let mut fixture = Fixture::new();
    let issuer = r#"{ "auth": { "jwt": [{ "issuer": "https://id.example.com/", "secret": "secret:JWT" }] } }"#;
    let secret = |_: &str| Some(Secret::new("a-secret-of-the-issuer-with-48-characters-in-it."));
    fixture.config.auth = Config::from_json(issuer, &secret).expect("the document is right").auth;
    let authenticator = JwtAuthenticator::new(&fixture.config);
    let consumer = || {
        let sources = (&fixture.config, Some(&fixture.key_cache));
        let found = authenticator.authenticate(sources, &fixture.fake, TOKEN_OF_EVE);
        block_on(found).ok()
    };
    // A subject that nobody configured is a consumer without settings.
    assert!(consumer().is_some_and(|eve| eve.permissions.routes.is_none()));
    fixture.assert_status("POST consumers", r#"{"id":"eve","routes":["chat"]}"#, 201);
    assert!(consumer().is_some_and(|eve| eve.permissions.routes.is_some()));
    fixture.assert_status("PATCH consumers/eve", r#"{"disabled":true}"#, 200);
    assert!(consumer().is_some_and(|eve| eve.disabled));
    fixture.assert_status("DELETE consumers/eve", "", 204);
    assert!(consumer().is_none(), "a deleted consumer is not a subject without settings");
    fixture.assert_status("POST consumers", r#"{"id":"eve"}"#, 201);
    assert!(consumer().is_some_and(|eve| !eve.disabled));
}

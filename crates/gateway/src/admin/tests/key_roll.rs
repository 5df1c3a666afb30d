//! Rolled keys.

use std::time::Duration;

use serde_json::{Value, json};

use super::Fixture;

/// Issues a key; returns its id and text.
fn issue(fixture: &Fixture, body: &str) -> (String, String) {
    let issued = fixture.assert_status("POST consumers/acme/keys", body, 201);
    let text = |name: &str| issued[name].as_str().expect("text").to_owned();
    (text("id"), text("key"))
}

#[test]
fn rolled_key_works_until_the_grace_is_over() {
    let fixture = Fixture::new();
    let (id, old) = issue(&fixture, r#"{"note":"laptop"}"#);
    let line = format!("POST consumers/acme/keys/{id}/roll");
    let rolled = fixture.assert_status(&line, r#"{"grace":"1h"}"#, 201);
    let new = rolled["key"].as_str().expect("the new key");
    assert_eq!((&rolled["note"], &rolled["expires_at"]), (&json!("laptop"), &Value::Null));
    assert_eq!(rolled["replaces"], json!({ "id": id, "expires_at": "2026-01-01T01:00:00.000Z" }));
    assert_eq!(fixture.owner_of(&old).as_deref(), Some("acme"));
    assert_eq!(fixture.owner_of(new).as_deref(), Some("acme"));
    let shown = fixture.assert_status(&format!("GET consumers/acme/keys/{id}"), "", 200);
    assert_eq!(shown["expires_at"], "2026-01-01T01:00:00.000Z");
    fixture.fake.advance(Duration::from_secs(60 * 60));
    assert_eq!(fixture.owner_of(&old), None);
    assert_eq!(fixture.owner_of(new).as_deref(), Some("acme"));
    let log = fixture.assert_status("GET audit?action=key.roll", "", 200);
    let entry = &log["data"][0];
    assert_eq!(entry["target"], format!("consumer/acme/key/{id}"));
    assert_eq!(entry["detail"]["new"], rolled["id"]);
    assert!(!format!("{:?}", fixture.fake.entries()).contains(new));
    // An expired key is issued anew.
    fixture.assert_refused(&line, "", 409, "conflict");
}

#[test]
fn roll_without_grace_ends_the_old_key_and_extends_none() {
    let fixture = Fixture::new();
    let (id, old) = issue(&fixture, "");
    let line = |id: &str| format!("POST consumers/acme/keys/{id}/roll");
    fixture.assert_status(&line(&id), r#"{"grace":"0s","note":"new"}"#, 201);
    assert_eq!(fixture.owner_of(&old), None);
    // A key that ends earlier ends as before.
    let (id, _) = issue(&fixture, r#"{"expires_at":"2026-01-01T00:10:00Z"}"#);
    let rolled = fixture.assert_status(&line(&id), "", 201);
    assert_eq!(rolled["replaces"]["expires_at"], "2026-01-01T00:10:00.000Z");
    for (body, param) in [
        (r#"{"grace":"1 day"}"#, "grace"),
        (r#"{"grace":"9999h"}"#, "grace"),
        (r#"{"expires_at":"2020-01-01"}"#, "expires_at"),
    ] {
        let error = fixture.assert_refused(&line(&id), body, 400, "invalid_request");
        assert_eq!(error["param"], param);
    }
    fixture.assert_refused(&line("key_none"), "", 404, "key_not_found");
}

//! Refused requests and their errors.

use http::Request;
use serde_json::json;

use crate::host::body::Body;
use crate::testing::fake_host::block_on;

use super::{ADMIN, Fixture};

#[test]
fn unknown_paths_and_methods_are_refused() {
    let fixture = Fixture::new();
    for line in [
        "GET nothing",
        "GET consumers/",
        "GET consumers/acme/keys/key_1/more",
        "GET config/",
        "PUT config/versions/1/restore/x",
        "GET ",
        "GET limits/",
        "GET consumers/%zz",
    ] {
        fixture.assert_refused(line, "", 404, "unknown_url");
    }
    for (line, allow) in [
        ("PUT consumers", "GET, POST"),
        ("PATCH config", "GET, PUT"),
        ("POST consumers/acme", "GET, PATCH, DELETE"),
        ("POST consumers/acme/keys/key_1", "GET, PATCH, DELETE"),
        ("GET limits/all/_/adjust", "POST"),
        ("HEAD usage", "GET"),
    ] {
        let answer = fixture.request_as_admin(line, "");
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["allow"]),
            (405, &allow.parse().unwrap())
        );
    }
    let request =
        Request::get("/team/admin/v1/consumers").header("authorization", format!("Bearer {ADMIN}"));
    let prefixed = block_on(fixture.send(request.body(Body::Empty).expect("a request")));
    assert_eq!(prefixed.status, 404, "no prefix is accepted");
}

#[test]
fn invalid_bodies_are_refused() {
    let fixture = Fixture::new();
    for body in ["", "[]", "{", "null", r#"["umbrella"]"#] {
        fixture.assert_refused("POST consumers", body, 400, "invalid_json");
    }
    let unknown = fixture.assert_refused(
        "POST consumers/acme/keys",
        r#"{"notes":"x"}"#,
        400,
        "invalid_request",
    );
    let message = unknown["message"].as_str().expect("a sentence");
    assert!(
        message.contains("the unknown field `notes`") && message.contains("did you mean note?"),
        "{message}"
    );
    let twice = fixture.assert_refused(
        "POST consumers/acme/keys",
        r#"{"note":"a","note":"b"}"#,
        400,
        "invalid_request",
    );
    assert!(twice["message"].as_str().is_some_and(|message| message.contains("twice")), "{twice}");
    let keys = r#"{"id":"u","keys":["secret:KEY"]}"#;
    fixture.assert_refused("POST consumers", keys, 400, "invalid_request");
    let route = fixture.assert_refused(
        "POST consumers",
        r#"{"id":"u","routes":["nothing"]}"#,
        400,
        "invalid_request",
    );
    assert_eq!(route["param"], "routes[0]");
    let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(70_000));
    fixture.assert_refused("POST consumers/acme/keys", &long, 413, "request_too_large");
    let request = Request::post("/admin/v1/consumers")
        .header("authorization", format!("bearer  {ADMIN}"))
        .header("content-type", "text/plain")
        .body(Body::from(bytes::Bytes::from_static(b"{}")));
    assert_eq!(block_on(fixture.send(request.expect("a request"))).status, 415);
    assert_eq!(fixture.count_entries(""), 0, "nothing was changed");
}

#[test]
fn invalid_changes_of_consumers_are_refused() {
    let fixture = Fixture::new();
    fixture.assert_refused("POST consumers", r#"{"id":"acme"}"#, 409, "already_exists");
    fixture.assert_refused(
        "PATCH consumers/acme",
        r#"{"group":"x"}"#,
        409,
        "defined_in_configuration",
    );
    fixture.assert_refused("DELETE consumers/acme", "", 409, "defined_in_configuration");
    for line in [
        "GET consumers/x",
        "PATCH consumers/x",
        "DELETE consumers/x",
        "POST consumers/x/keys",
        "GET consumers/..%2Fx",
    ] {
        fixture.assert_refused(line, "{}", 404, "consumer_not_found");
    }
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(101));
    assert_eq!(
        fixture.assert_refused("POST consumers", &long, 400, "invalid_request")["param"],
        "id"
    );
    fixture.assert_refused("POST consumers", r#"{"id":"a/b"}"#, 400, "invalid_request");
    fixture.assert_status("POST consumers", r#"{"id":"u"}"#, 201);
    fixture.assert_refused("POST consumers", r#"{"id":"u"}"#, 409, "already_exists");
    assert_eq!(
        fixture.assert_refused("PATCH consumers/u", r#"{"id":"v"}"#, 400, "invalid_request")["param"],
        "id"
    );
    fixture.assert_refused("PATCH consumers/u", r#"{"routes":["x"]}"#, 400, "invalid_request");
    let same = fixture.assert_status("PATCH consumers/u", r#"{"id":"u"}"#, 200);
    assert_eq!(same["id"], "u");
    fixture.assert_refused("GET consumers?x=1", "", 400, "invalid_request");
}

#[test]
fn invalid_changes_of_keys_are_refused() {
    let mut fixture = Fixture::new();
    let assert_issue_refused = |fixture: &Fixture, body: serde_json::Value, status, code: &str| {
        fixture.assert_refused("POST consumers/acme/keys", &body.to_string(), status, code)
    };
    for (field, body) in [
        ("key", json!({ "key": "short" })),
        ("key", json!({ "key": "with a space in it" })),
        ("key", json!({ "key": "sk-serin-made-up-by-somebody" })),
        ("expires_at", json!({ "expires_at": 1 })),
        ("note", json!({ "note": "x".repeat(257) })),
        ("note", json!({ "key": "sk-proj-0123456789", "note": "it is sk-proj-0123456789" })),
    ] {
        assert_eq!(assert_issue_refused(&fixture, body, 400, "invalid_request")["param"], field);
    }
    assert_issue_refused(&fixture, json!({ "expires_at": "tomorrow" }), 400, "invalid_request");
    assert_issue_refused(&fixture, json!({ "expires_at": -1 }), 400, "invalid_request");
    // Keys and tokens of the configuration are in use, too.
    assert_issue_refused(&fixture, json!({ "key": "sk-acme-0123456789" }), 409, "already_exists");
    fixture.token = Some(secret::KeyDigest::new("sk-proj-0123456789"));
    let answer = block_on(fixture.request(
        "owner",
        http::Method::POST,
        "consumers/acme/keys",
        r#"{"key":"sk-proj-0123456789"}"#,
    ));
    assert_eq!(answer.status, 409);
    fixture.token = Fixture::new().token;
    fixture.assert_refused("DELETE consumers/acme/keys/key_x", "", 404, "key_not_found");
    fixture.assert_refused("DELETE consumers/acme/keys/a%2Fb", "", 404, "key_not_found");
    fixture.fake.set_ledger_unavailable(true);
    assert_issue_refused(
        &fixture,
        json!({ "key": "sk-proj-0123456789" }),
        503,
        "ledger_unavailable",
    );
    let key = fixture.assert_status("POST consumers/acme/keys", "", 201);
    let path = format!("consumers/acme/keys/{}", key["id"].as_str().expect("an id"));
    fixture.assert_refused(&format!("PATCH {path}"), "{}", 503, "ledger_unavailable");
    // A key can be revoked without the ledger.
    fixture.assert_status(&format!("DELETE {path}"), "", 204);
    fixture.pepper = None;
    assert_issue_refused(&fixture, json!({}), 501, "key_pepper_missing");
}

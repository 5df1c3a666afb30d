//! Refused changes, which leave everything as it was.

use serde_json::{Value, json};

use crate::testing::fake_host::block_on;

use super::{Isolate, document};

/// Puts a document that must be refused; returns the error.
#[track_caller]
fn assert_refused(one: &Isolate, tag: Option<&str>, body: &str, status: u16, code: &str) -> Value {
    let answer = one.assert_status("PUT config", tag, body, status);
    assert_eq!(answer["error"]["code"], code, "{answer}");
    assert_unchanged(one);
    answer["error"].clone()
}

#[track_caller]
fn assert_unchanged(one: &Isolate) {
    assert_eq!(one.model(), "deployed");
    assert_eq!(one.fake.entries().len(), 0);
}

#[test]
fn put_without_routes_is_refused() {
    let one = Isolate::first();
    let tag = one.etag();
    for document in ["{}", r#"{"routes":[]}"#] {
        for line in ["PUT config", "PUT config?dry_run=true"] {
            let answer = one.assert_status(line, Some(&tag), document, 422);
            assert_eq!(answer["error"]["code"], "invalid_configuration");
            assert_eq!(answer["error"]["problems"][0]["path"], "routes");
        }
    }
    assert_unchanged(&one);
}

#[test]
fn finding_30_the_misspelt_section_and_toml_are_named() {
    let one = Isolate::first();
    let tag = one.etag();
    let answer = one.assert_status("PUT config", Some(&tag), r#"{"route":[]}"#, 422);
    let message = answer["error"]["message"].as_str().expect("text");
    assert!(message.contains("`route`") && message.contains("routes"), "{message}");
    for toml in ["[[routes]]\nid = \"chat\"", "# a comment\n[server]", "[]"] {
        let answer = one.assert_status("PUT config", Some(&tag), toml, 400);
        let message = answer["error"]["message"].as_str().expect("text");
        assert!(message.contains("cargo xtask config put FILE"), "{message}");
    }
    assert_unchanged(&one);
}

#[test]
fn put_without_matching_if_match_is_refused() {
    let one = Isolate::first();
    let new = document("new");
    assert_refused(&one, None, &new, 428, "precondition_required");
    let stale = assert_refused(&one, Some("\"7-abc\""), &new, 412, "precondition_failed");
    assert_eq!(stale["current"]["version"], 0);
    let dry_run = one.assert_status("PUT config?dry_run=true", Some("\"x\""), &new, 412);
    assert_eq!(dry_run["error"]["type"], "invalid_request_error");
    one.assert_status("POST config/versions/0/restore", None, "", 428);
    assert_unchanged(&one);
}

#[test]
fn put_of_invalid_json_is_refused() {
    let one = Isolate::first();
    let tag = one.etag();
    for body in ["", "{", "[]", "null"] {
        assert_refused(&one, Some(&tag), body, 400, "invalid_json");
    }
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20));
    assert_refused(&one, Some(&tag), &long, 413, "request_too_large");
}

#[test]
fn put_of_invalid_document_lists_all_problems() {
    let one = Isolate::first();
    let tag = one.etag();
    let wrong = document("new")
        .replace("secret:KEY", "secret:MISSING")
        .replace("\"openai\",\"w", "\"opnai\",\"w");
    let wrong = assert_refused(&one, Some(&tag), &wrong, 422, "invalid_configuration");
    let paths: Vec<&str> = wrong["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|problem| problem["path"].as_str())
        .collect();
    assert_eq!(paths, ["providers[0].keys[0]", "routes[0].targets[0].provider"], "{wrong}");
    assert!(wrong["problems"][1]["expected"].as_str().is_some_and(|it| it.contains("openai")));
    let unknown = document("new").replacen('{', r#"{"rutes":[],"#, 1);
    let unknown = assert_refused(&one, Some(&tag), &unknown, 422, "invalid_configuration");
    assert!(unknown["problems"][0]["found"].as_str().is_some_and(|it| it.contains("rutes")));
    let cache = document("new").replacen('{', r#"{"cache":{"routes":["nobody"],"ttl":"1h"},"#, 1);
    assert_refused(&one, Some(&tag), &cache, 422, "invalid_configuration");
}

#[test]
fn put_with_plain_key_is_refused_without_repeating_it() {
    let one = Isolate::first();
    let clear = document("new").replace("secret:KEY", "sk-very-secret");
    let clear = assert_refused(&one, Some(&one.etag()), &clear, 422, "invalid_configuration");
    assert!(!clear.to_string().contains("sk-very"), "{clear}");
}

#[test]
fn put_with_unknown_dry_run_value_is_refused() {
    let one = Isolate::first();
    let answer =
        one.assert_status("PUT config?dry_run=maybe", Some(&one.etag()), &document("new"), 400);
    assert_eq!(answer["error"]["param"], "dry_run");
    assert_unchanged(&one);
}

#[test]
fn unknown_version_is_not_found() {
    let one = Isolate::first();
    one.assert_status("GET config/versions/1", None, "", 404);
    one.assert_status("POST config/versions/x/restore", Some(&one.etag()), "", 404);
    assert_unchanged(&one);
}

#[test]
fn put_by_editor_is_refused() {
    let one = Isolate::first();
    let tag = one.etag();
    let new = document("new");
    let put = one.send_as("EVE", "PUT /admin/v1/config", Some(&tag), &new);
    let editor = block_on(put);
    assert_eq!(editor.status, 403);
    assert_eq!(editor.body["error"]["code"], "role_not_allowed");
    assert_unchanged(&one);
}

#[test]
fn put_without_ledger_is_refused_and_get_works() {
    let one = Isolate::first();
    let tag = one.etag();
    one.fake.set_ledger_unavailable(true);
    assert_refused(&one, Some(&tag), &document("new"), 503, "ledger_unavailable");
    let shown = one.assert_status("GET config?status=true", None, "", 200);
    assert_eq!(shown["document"]["routes"][0]["models"], json!(["deployed"]));
}

#[test]
fn put_without_audit_entry_is_not_made() {
    let one = Isolate::first();
    let tag = one.etag();
    one.fake.set_store_unavailable(true);
    one.assert_status("PUT config", Some(&tag), &document("new"), 503);
    one.fake.set_store_unavailable(false);
    assert_eq!(one.etag(), tag);
    assert_unchanged(&one);
}

#[test]
fn weak_and_any_if_match_are_accepted() {
    let one = Isolate::first();
    // A proxy that compresses responses makes the tag weak; the document is the same.
    let weak = format!("W/{}", one.etag());
    one.assert_status("PUT config", Some(&weak), &document("new"), 200);
    let other = document("x");
    let put = one.send_as("ANN", "PUT /admin/v1/config", Some("*"), &other);
    assert_eq!(block_on(put).status, 200);
    assert_eq!(one.versions()[0]["created_by"], "ann");
}

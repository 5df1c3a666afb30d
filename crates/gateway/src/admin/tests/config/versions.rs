//! Applying documents, and the history of versions.

use serde_json::{Value, json};

use super::{Isolate, document};

/// Changes from the deployed document to [`second`].
fn expected_changes() -> Value {
    json!([
        { "path": "routes.chat.models", "before": ["deployed"], "after": ["second"] },
        { "path": "routes.chat.targets[0].weight", "before": 90, "after": 80 },
    ])
}

fn second() -> String {
    document("second").replace("90", "80")
}

/// An isolate with four versions: the second and a third document, the second and the deployed one
/// restored.
fn four_versions() -> Isolate {
    let one = Isolate::first();
    one.put(&second());
    one.put(&document("third"));
    for version in [1, 0] {
        let line = format!("POST config/versions/{version}/restore");
        one.assert_status(&line, Some(&one.etag()), "", 200);
    }
    one
}

#[test]
fn deployed_document_is_version_zero() {
    let one = Isolate::first();
    let answer = one.request("GET config?status=true", None, "");
    let deployed: Value = serde_json::from_str(&document("deployed")).expect("JSON");
    assert_eq!(answer.body["document"], deployed);
    assert_eq!(one.assert_status("GET config", None, "", 200), deployed);
    assert_eq!(answer.headers["x-serin-config-version"], "0");
    let tag = answer.headers["etag"].to_str().expect("text");
    assert!(tag.starts_with("\"0-"), "{tag}");
}

#[test]
fn dry_run_lists_changes_and_writes_nothing() {
    let one = Isolate::first();
    let tried = one.assert_status("PUT config?dry_run=true", None, &second(), 200);
    assert_eq!(tried["changes"], expected_changes());
    assert_eq!(tried["dry_run"], true);
    assert_eq!(tried["version"], 0);
    assert_eq!(one.model(), "deployed");
    assert_eq!(one.fake.entries().len(), 0);
}

#[test]
fn put_is_served_at_once() {
    let one = Isolate::first();
    let put = one.request("PUT config", Some(&one.etag()), &second());
    assert_eq!(put.status, 200);
    assert_eq!(put.body["changes"], expected_changes());
    assert_eq!(put.body["version"], 1);
    assert_eq!(put.body["created_by"], "admin");
    assert_eq!(put.headers["etag"].to_str().expect("text"), one.etag());
    assert_eq!(one.model(), "second");
}

#[test]
fn put_of_the_same_document_creates_no_version() {
    let one = Isolate::first();
    assert_eq!(one.put(&second())["version"], 1);
    assert_eq!(one.put(&second())["version"], 1);
    assert_eq!(one.put(&document("third"))["version"], 2);
}

#[test]
fn restore_creates_a_new_version() {
    let one = Isolate::first();
    one.put(&second());
    one.put(&document("third"));
    let restored = one.assert_status("POST config/versions/1/restore", Some(&one.etag()), "", 200);
    assert_eq!(restored["version"], 3);
    assert_eq!(restored["note"], "restored from 1");
    assert_eq!(one.model(), "second");
    let deployed = one.assert_status("POST config/versions/0/restore", Some(&one.etag()), "", 200);
    assert_eq!(deployed["version"], 4);
    assert_eq!(one.model(), "deployed");
}

#[test]
fn versions_are_listed_newest_first() {
    let versions = four_versions().versions();
    let numbers: Vec<u64> = versions.iter().filter_map(|it| it["version"].as_u64()).collect();
    assert_eq!(numbers, [4, 3, 2, 1, 0]);
    assert_eq!(versions[4]["created_by"], Value::Null);
    assert_eq!(versions[4]["created_at"], Value::Null);
}

#[test]
fn version_list_continues_at_its_cursor() {
    let one = four_versions();
    let page = one.assert_status("GET config/versions?limit=2", None, "", 200);
    let cursor = page["cursor"].as_str().expect("there is more");
    let line = format!("GET config/versions?limit=3&cursor={cursor}");
    let rest = one.assert_status(&line, None, "", 200);
    assert_eq!(rest["data"][0]["version"], 2);
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(3));
    assert_eq!(rest["cursor"], Value::Null);
}

#[test]
fn version_is_shown_with_its_document() {
    let shown = four_versions().assert_status("GET config/versions/2", None, "", 200);
    assert_eq!(shown["document"]["routes"][0]["models"], json!(["third"]));
}

#[test]
fn audit_log_names_every_change_of_the_configuration() {
    let one = four_versions();
    let audit = one.assert_status("GET audit?target=config", None, "", 200).to_string();
    assert_eq!(audit.matches("config.put").count(), 2, "{audit}");
    assert_eq!(audit.matches("config.restore").count(), 2, "{audit}");
    assert!(audit.contains("routes.chat.targets[0].weight"), "{audit}");
}

#[test]
fn finding_42_versions_have_the_operators_note() {
    let one = Isolate::first();
    let tag = one.etag();
    let put = one.assert_status("PUT config?note=commit%201a2b3c", Some(&tag), &second(), 200);
    assert_eq!(put["note"], "commit 1a2b3c");
    let line = "POST config/versions/0/restore?note=undo";
    let restored = one.assert_status(line, Some(&one.etag()), "", 200);
    assert_eq!(restored["note"], "restored from 0: undo");
    let long = format!("PUT config?note={}", "x".repeat(257));
    let error = one.assert_status(&long, Some(&one.etag()), &second(), 400);
    assert_eq!(error["error"]["param"], "note");
    one.assert_status("PUT config?note=a%0Ab", Some(&one.etag()), &second(), 400);
    let notes: Vec<Value> = one.versions().into_iter().map(|it| it["note"].clone()).collect();
    assert_eq!(notes, ["restored from 0: undo", "commit 1a2b3c", "deployed with the gateway"]);
}

#[test]
fn two_versions_are_compared_in_both_directions() {
    let isolate = Isolate::first();
    isolate.put(&document("second"));
    isolate.put(&document("third"));
    let diff = |line: &str| isolate.assert_status(line, None, "", 200);
    let shown = diff("GET config/versions/0/diff/2");
    assert_eq!((&shown["from"]["version"], &shown["to"]["version"]), (&json!(0), &json!(2)));
    let change =
        json!({ "path": "routes.chat.models", "before": ["deployed"], "after": ["third"] });
    assert_eq!(shown["changes"], json!([change]));
    let back = diff("GET config/versions/2/diff/1");
    assert_eq!(back["changes"][0]["after"], json!(["second"]));
    assert_eq!(diff("GET config/versions/1/diff/1")["changes"], json!([]));
    for wrong in ["3/diff/0", "0/diff/3", "x/diff/0"] {
        let line = format!("GET config/versions/{wrong}");
        let refused = isolate.assert_status(&line, None, "", 404);
        assert_eq!(refused["error"]["code"], "version_not_found", "{wrong}");
    }
}

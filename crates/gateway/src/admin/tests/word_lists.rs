//! Word lists over the admin API.

use std::time::Duration;

use serde_json::json;

use super::Fixture;

#[test]
fn word_list_is_put_read_and_deleted() {
    let fixture = Fixture::new();
    fixture.assert_refused("GET words/terms", "", 404, "list_not_found");
    fixture.assert_refused("DELETE words/terms", "", 404, "list_not_found");
    let put =
        fixture.assert_status("PUT words/terms", r#"{"words":["bad phrase","!违禁词"]}"#, 200);
    assert_eq!(put, json!({ "list": "terms", "count": 2 }));
    let read = fixture.assert_status("GET words/terms", "", 200);
    assert_eq!(read, json!({ "list": "terms", "count": 2, "words": ["bad phrase", "!违禁词"] }));
    // The log is ordered by milliseconds.
    fixture.fake.advance(Duration::from_secs(1));
    fixture.assert_status("PUT words/terms", r#"{"words":[]}"#, 200);
    assert_eq!(fixture.assert_status("GET words/terms", "", 200)["count"], 0);
    fixture.fake.advance(Duration::from_secs(1));
    fixture.assert_status("DELETE words/terms", "", 204);
    fixture.assert_refused("GET words/terms", "", 404, "list_not_found");
    let log = fixture.assert_status("GET audit?target=words/terms", "", 200);
    let actions: Vec<&str> = log["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["action"].as_str())
        .collect();
    assert_eq!(actions, ["words.delete", "words.put", "words.put"]);
    assert_eq!(log["data"][2]["detail"], json!({ "count": 2 }), "never the words");
}

#[test]
fn invalid_word_list_is_refused_and_changes_nothing() {
    let fixture = Fixture::new();
    for body in [r#"{"words":["a\nb"]}"#, r#"{"words":[" "]}"#, r#"{"words":"a"}"#, "{}", "[]"] {
        let body = fixture.assert_status("PUT words/terms", body, 400);
        assert!(body["error"]["code"].as_str().is_some_and(|code| code.starts_with("invalid_")));
    }
    fixture.assert_refused("PUT words/a%2Fb", r#"{"words":["a"]}"#, 400, "invalid_request");
    fixture.assert_refused("PUT words/Terms", r#"{"words":["a"]}"#, 400, "invalid_request");
    let long = format!(r#"{{"words":["{}"]}}"#, "a".repeat(1 << 20));
    fixture.assert_refused("PUT words/terms", &long, 413, "request_too_large");
    fixture.fake.set_store_unavailable(true);
    fixture.assert_refused("PUT words/terms", r#"{"words":["a"]}"#, 503, "store_unavailable");
    fixture.fake.set_store_unavailable(false);
    assert!(fixture.fake.entries().is_empty());
}

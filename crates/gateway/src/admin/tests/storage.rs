//! Deletion of cached responses and of conversations.

use std::time::Duration;

use serde_json::json;

use crate::cache::{CacheKeyScope, key_prefix};
use crate::history::conversation;
use crate::host::KvStore;
use crate::testing::fake_host::block_on;

use super::Fixture;

fn put(fixture: &Fixture, name: &str, value: &str) {
    let keep = Some(Duration::from_secs(60));
    block_on(fixture.fake.put(name, value.as_bytes().to_vec(), keep)).expect("the store is there");
}

/// Repeats a purge until its end; returns the number of deleted entries and of steps.
#[track_caller]
fn purge_all(fixture: &Fixture, line: &str) -> (u64, usize) {
    let (mut deleted, mut steps, mut cursor) = (0, 0, String::new());
    loop {
        let answer = fixture.assert_status(&format!("{line}{cursor}"), "", 200);
        deleted += answer["deleted"].as_u64().expect("a number");
        steps += 1;
        match answer["cursor"].as_str() {
            None => return (deleted, steps),
            Some(next) => {
                assert_eq!(answer["more"], json!(true));
                let mark = if line.contains('?') { '&' } else { '?' };
                cursor = format!("{mark}cursor={}", next.replace('%', "%25"));
            }
        }
    }
}

#[test]
fn cache_is_purged_by_route_by_scope_and_entirely() {
    let fixture = Fixture::new();
    let fill = || {
        for route in ["chat", "chat2"] {
            for scope in [
                CacheKeyScope::Consumer("acme"),
                CacheKeyScope::Consumer("acme2"),
                CacheKeyScope::Group("gold"),
            ] {
                (0..40).for_each(|number| {
                    put(
                        &fixture,
                        &format!("{}{number}", key_prefix(Some(route), Some(scope))),
                        "x",
                    );
                });
            }
        }
        put(&fixture, "history/acme/x", "x");
    };
    fill();
    // The configuration has only the route `chat`.
    assert_eq!(purge_all(&fixture, "DELETE cache?consumer=acme"), (40, 2));
    assert_eq!(fixture.count_entries("cache/"), 200);
    assert_eq!(
        fixture.count_entries(&key_prefix(Some("chat"), Some(CacheKeyScope::Consumer("acme")))),
        0
    );
    assert_eq!(purge_all(&fixture, "DELETE cache?route=chat&group=gold"), (40, 2));
    assert_eq!(purge_all(&fixture, "DELETE cache?route=chat").0, 40);
    assert_eq!(fixture.count_entries("cache/chat2/"), 120);
    fill();
    assert_eq!(purge_all(&fixture, "DELETE cache?all=true"), (240, 8));
    assert_eq!((fixture.count_entries("cache/"), fixture.count_entries("history/")), (0, 1));
    let log = fixture.assert_status("GET audit?limit=1", "", 200);
    assert_eq!(log["data"][0]["action"], "cache.purge");
    for wrong in [
        "",
        "?all=false",
        "?all=1",
        "?all=true&route=chat",
        "?consumer=a&group=b",
        "?all=true&cursor=x",
        "?all=true&cursor=7:",
    ] {
        fixture.assert_refused(&format!("DELETE cache{wrong}"), "", 400, "invalid_request");
    }
    fixture.fake.set_store_unavailable(true);
    fixture.assert_refused("DELETE cache?all=true", "", 503, "store_unavailable");
}

#[test]
fn conversations_are_listed_shown_and_deleted() {
    let fixture = Fixture::new();
    let stored = r#"{"v":1,"turns":[{"at":1767225600000,"question":{"role":"user","content":"Hi"},"answer":"Hello"}]}"#;
    let digest = conversation::session_digest("a/b");
    put(&fixture, &(conversation::key_prefix("acme") + &digest), stored);
    put(&fixture, &(conversation::key_prefix("acme2") + &digest), stored);
    let list = fixture.assert_status("GET history/acme", "", 200);
    assert_eq!(list, json!({ "data": [{ "session": digest }], "cursor": null }));
    let expected = json!({
        "consumer": "acme", "session": digest,
        "turns": [{ "at": "2026-01-01T00:00:00.000Z", "question": { "role": "user", "content": "Hi" }, "answer": "Hello" }],
    });
    assert_eq!(fixture.assert_status("GET history/acme/a%2Fb", "", 200), expected);
    assert_eq!(fixture.assert_status(&format!("GET history/acme/{digest}"), "", 200), expected);
    fixture.assert_status("DELETE history/acme/a%2Fb", "", 204);
    fixture.assert_refused("GET history/acme/a%2Fb", "", 404, "conversation_not_found");
    assert_eq!(fixture.count_entries("history/"), 1, "another consumer's stays");
    let log = fixture.assert_status("GET audit", "", 200);
    assert_eq!(log["data"][0]["target"], format!("history/acme/{digest}"));
    (0..40).for_each(|number| {
        put(&fixture, &format!("{}{number}", conversation::key_prefix("acme")), stored);
    });
    assert_eq!(purge_all(&fixture, "DELETE history/acme"), (40, 2));
    assert_eq!(fixture.count_entries("history/"), 1);
}

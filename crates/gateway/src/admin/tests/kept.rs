//! Forgetting answers and conversations.

use std::time::Duration;

use serde_json::json;

use super::Bench;
use crate::cache::{Scope, names};
use crate::history;
use crate::keys::fake::run;
use crate::platform::Store;

fn put(bench: &Bench, name: &str, value: &str) {
    let keep = Some(Duration::from_secs(60));
    run(bench.fake.put(name, value.as_bytes().to_vec(), keep)).expect("the store is there");
}

/// Asks until there is no more, and says how much went, in how many steps.
#[track_caller]
fn purge(bench: &Bench, line: &str) -> (u64, usize) {
    let (mut deleted, mut steps, mut cursor) = (0, 0, String::new());
    loop {
        let answer = bench.check(&format!("{line}{cursor}"), "", 200);
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
fn answers_are_forgotten_by_route_by_consumer_and_all() {
    let bench = Bench::new();
    let fill = || {
        for route in ["chat", "chat2"] {
            for scope in [Scope::Consumer("acme"), Scope::Consumer("acme2"), Scope::Group("gold")] {
                (0..40).for_each(|number| {
                    put(&bench, &format!("{}{number}", names(Some(route), Some(scope))), "x");
                });
            }
        }
        put(&bench, "history/acme/x", "x");
    };
    fill();
    // The configuration has the route `chat` alone.
    assert_eq!(purge(&bench, "DELETE cache?consumer=acme"), (40, 2));
    assert_eq!(bench.count("cache/"), 200);
    assert_eq!(bench.count(&names(Some("chat"), Some(Scope::Consumer("acme")))), 0);
    assert_eq!(purge(&bench, "DELETE cache?route=chat&group=gold"), (40, 2));
    assert_eq!(purge(&bench, "DELETE cache?route=chat").0, 40);
    assert_eq!(bench.count("cache/chat2/"), 120);
    fill();
    assert_eq!(purge(&bench, "DELETE cache?all=true"), (240, 8));
    assert_eq!((bench.count("cache/"), bench.count("history/")), (0, 1));
    let log = bench.check("GET audit?limit=1", "", 200);
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
        bench.refused(&format!("DELETE cache{wrong}"), "", 400, "invalid_request");
    }
    bench.fake.store_away(true);
    bench.refused("DELETE cache?all=true", "", 503, "store_unavailable");
}

#[test]
fn conversations_are_listed_shown_and_forgotten() {
    let bench = Bench::new();
    let kept = r#"{"v":1,"turns":[{"at":1767225600000,"question":{"role":"user","content":"Hi"},"answer":"Hello"}]}"#;
    let digest = history::digest("a/b");
    put(&bench, &(history::names("acme") + &digest), kept);
    put(&bench, &(history::names("acme2") + &digest), kept);
    let list = bench.check("GET history/acme", "", 200);
    assert_eq!(list, json!({ "data": [{ "session": digest }], "cursor": null }));
    let expected = json!({
        "consumer": "acme", "session": digest,
        "turns": [{ "at": 1_767_225_600, "question": { "role": "user", "content": "Hi" }, "answer": "Hello" }],
    });
    assert_eq!(bench.check("GET history/acme/a%2Fb", "", 200), expected);
    assert_eq!(bench.check(&format!("GET history/acme/{digest}"), "", 200), expected);
    bench.check("DELETE history/acme/a%2Fb", "", 204);
    bench.refused("GET history/acme/a%2Fb", "", 404, "conversation_not_found");
    assert_eq!(bench.count("history/"), 1, "another consumer's stays");
    let log = bench.check("GET audit", "", 200);
    assert_eq!(log["data"][0]["target"], format!("history/acme/{digest}"));
    (0..40).for_each(|number| put(&bench, &format!("{}{number}", history::names("acme")), kept));
    assert_eq!(purge(&bench, "DELETE history/acme"), (40, 2));
    assert_eq!(bench.count("history/"), 1);
}

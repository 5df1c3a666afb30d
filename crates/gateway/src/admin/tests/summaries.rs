//! `GET /verdicts/summary` and `GET /keys/expiring`.

use std::time::Duration;

use civil_time::{Timestamp, rfc3339};
use serde_json::json;

use crate::guards::verdict_log::VERDICT_PREFIX;
use crate::host::newest_first::newest_first_key;
use crate::host::{Clock, KvStore};
use crate::testing::fake_host::block_on;

use super::Fixture;

fn put_verdict(fixture: &Fixture, at: Timestamp, nonce: usize, parts: &str) {
    let name = format!("{VERDICT_PREFIX}{}-{nonce}/{parts}", newest_first_key(at));
    block_on(fixture.fake.put(&name, b"{}".to_vec(), None)).expect("the store is there");
}

#[test]
fn verdicts_are_counted_by_their_names() {
    let fixture = Fixture::new();
    let now = fixture.fake.now();
    let old = Timestamp::from_millis(now.as_millis() - 3_600_000);
    put_verdict(&fixture, old, 0, "acme/pii/email/mask");
    for nonce in 1..4 {
        put_verdict(&fixture, now, nonce, "acme/pii/email/mask");
    }
    put_verdict(&fixture, now, 4, "beta/words/a%20b/block");
    let row = |consumer, guard, label, result, count: u32| {
        json!({
            "consumer": consumer, "guard": guard, "label": label, "result": result, "count": count,
        })
    };
    let since = format!("from={}", rfc3339::format_timestamp(now));
    for (query, expected) in [
        (
            "",
            json!([
                row("acme", "pii", "email", "mask", 4),
                row("beta", "words", "a b", "block", 1)
            ]),
        ),
        ("label=a%20b", json!([row("beta", "words", "a b", "block", 1)])),
        ("result=error", json!([])),
        (
            &since,
            json!([
                row("acme", "pii", "email", "mask", 3),
                row("beta", "words", "a b", "block", 1)
            ]),
        ),
    ] {
        let found = fixture.assert_status(&format!("GET verdicts/summary?{query}"), "", 200);
        assert_eq!(found["data"], expected, "{query}");
        assert_eq!(found["cursor"], json!(null));
    }
    fixture.assert_refused("GET verdicts/summary?limit=1", "", 400, "invalid_request");
}

#[test]
fn summary_of_many_verdicts_is_read_in_parts() {
    let fixture = Fixture::new();
    let now = fixture.fake.now();
    for nonce in 0..10_050 {
        put_verdict(&fixture, now, 100_000 + nonce, "acme/pii/email/mask");
    }
    let first = fixture.assert_status("GET verdicts/summary", "", 200);
    assert_eq!(first["data"][0]["count"], 10_000);
    let cursor = first["cursor"].as_str().expect("there are more");
    let rest = fixture.assert_status(&format!("GET verdicts/summary?cursor={cursor}"), "", 200);
    assert_eq!((&rest["data"][0]["count"], &rest["cursor"]), (&json!(50), &json!(null)));
}

#[test]
fn keys_that_end_soon_are_listed_in_their_order() {
    let fixture = Fixture::new();
    let now = fixture.fake.now();
    fixture.assert_status("POST consumers", r#"{"id":"beta"}"#, 201);
    for (consumer, days) in [("acme", 20), ("acme", 3), ("beta", 1), ("beta", 13)] {
        let end = rfc3339::format_timestamp(now + Duration::from_secs(days * 86_400));
        let body = json!({ "expires_at": end, "note": days.to_string() }).to_string();
        fixture.assert_status(&format!("POST consumers/{consumer}/keys"), &body, 201);
    }
    fixture.assert_status("POST consumers/acme/keys", "", 201);
    for (query, expected) in [("", "1 3 13"), ("?within=48h", "1"), ("?within=1000h", "1 3 13 20")]
    {
        let found = fixture.assert_status(&format!("GET keys/expiring{query}"), "", 200);
        let rows = found["data"].as_array().expect("a list").iter();
        let notes: Vec<&str> = rows.filter_map(|key| key["note"].as_str()).collect();
        assert_eq!(
            (notes.join(" ").as_str(), &found["cursor"]),
            (expected, &json!(null)),
            "{query}"
        );
    }
    fixture.assert_refused("GET keys/expiring?within=soon", "", 400, "invalid_request");
}

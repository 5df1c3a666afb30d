//! Concurrent changes of keys and consumers, and crashes in the middle of one.

use std::time::Duration;

use http::Method;

use crate::host::Clock;
use crate::testing::fake_host::{block_on_both, poll_times};

use super::{ADMIN, Fixture};

const ADOPTED: &str = "sk-proj-0123456789";

#[test]
fn concurrent_adoptions_of_one_key_have_one_winner() {
    let fixture = Fixture::new();
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    let body = format!(r#"{{"key":"{ADOPTED}"}}"#);
    let adopt = |path| fixture.request(ADMIN, Method::POST, path, &body);
    let (one, other) =
        block_on_both(adopt("consumers/acme/keys"), adopt("consumers/umbrella/keys"));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!((fixture.count_entries("key/"), fixture.count_entries("keys/")), (1, 1));
    let winner = if one.status == 201 { "acme" } else { "umbrella" };
    assert_eq!(fixture.owner_of(ADOPTED).as_deref(), Some(winner));
    // Also later, while the store still shows the older state.
    fixture.assert_refused("POST consumers/acme/keys", &body, 409, "already_exists");
}

#[test]
fn stale_store_does_not_allow_second_adoption() {
    let fixture = Fixture::new();
    fixture.fake.freeze_reads(true);
    let body = format!(r#"{{"key":"{ADOPTED}"}}"#);
    fixture.assert_status("POST consumers/acme/keys", &body, 201);
    // Another isolate, without recent writes.
    let other = Fixture { fake: fixture.fake, ..Fixture::new() };
    other.assert_refused("POST consumers/acme/keys", &body, 409, "already_exists");
}

#[test]
fn concurrent_creations_of_one_consumer_have_one_winner() {
    let fixture = Fixture::new();
    let create = || fixture.request(ADMIN, Method::POST, "consumers", r#"{"id":"umbrella"}"#);
    let (one, other) = block_on_both(create(), create());
    assert_eq!(one.status.as_u16() + other.status.as_u16(), 201 + 409);
}

#[test]
fn concurrent_changes_of_one_consumer_conflict() {
    let fixture = Fixture::new();
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    let change = |body| fixture.request(ADMIN, Method::PATCH, "consumers/umbrella", body);
    let (one, other) = block_on_both(change(r#"{"group":"a"}"#), change(r#"{"routes":["chat"]}"#));
    assert_eq!(one.status.as_u16() + other.status.as_u16(), 200 + 409);
    assert_eq!(
        [one, other].iter().filter(|answer| answer.body["error"]["code"] == "conflict").count(),
        1
    );
    fixture.assert_status("PATCH consumers/umbrella", r#"{"group":"b"}"#, 200);
}

#[test]
fn change_in_another_isolate_does_not_restore_revoked_key() {
    let fixture = Fixture::new();
    let key = fixture.assert_status("POST consumers/acme/keys", "", 201);
    let path = format!("consumers/acme/keys/{}", key["id"].as_str().expect("an id"));
    let secret = key["key"].as_str().expect("a key").to_owned();
    fixture.fake.freeze_reads(true);
    fixture.assert_status(&format!("DELETE {path}"), "", 204);
    let other = Fixture { fake: fixture.fake.clone(), ..Fixture::new() };
    other.assert_refused(&format!("PATCH {path}"), r#"{"note":"x"}"#, 409, "conflict");
    fixture.fake.freeze_reads(false);
    assert_eq!((fixture.count_entries("key/"), fixture.count_entries("keys/")), (0, 0));
    assert_eq!(other.owner_of(&secret), None);
}

#[test]
fn key_issued_by_a_slow_clock_works() {
    let fixture = Fixture::new();
    let began = fixture.fake.now();
    fixture.fake.advance(Duration::from_secs(2));
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    fixture.fake.set_now(began);
    let key = fixture.assert_status("POST consumers/umbrella/keys", "", 201);
    assert_eq!(fixture.owner_of(key["key"].as_str().expect("a key")).as_deref(), Some("umbrella"));
}

#[test]
fn crash_leaves_no_working_key_without_metadata() {
    let requests = [
        ("POST consumers/umbrella/keys", format!(r#"{{"key":"{ADOPTED}"}}"#)),
        ("DELETE consumers/umbrella", String::new()),
    ];
    for polls in 1..60 {
        for (line, body) in &requests {
            let fixture = Fixture::new();
            fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
            fixture.assert_status("POST consumers/umbrella/keys", "", 201);
            let (method, path) = line.split_once(' ').expect("a method and a path");
            let method = method.parse().expect("a method");
            poll_times(polls, fixture.request(ADMIN, method, path, body));
            // Every working key has metadata at its consumer.
            let entries = fixture.fake.entries();
            for hash in entries.keys().filter_map(|name| name.strip_prefix("key/")) {
                let is_seen = |(name, metadata): (&String, &String)| {
                    name.starts_with("keys/umbrella/") && metadata.contains(hash)
                };
                assert!(entries.iter().any(is_seen), "{line} after {polls}: {hash}");
                assert!(entries.contains_key("consumer/umbrella"), "{line} after {polls}");
            }
            // The change can be repeated once the locks have expired.
            fixture.fake.advance(Duration::from_secs(121));
            if fixture.request_as_admin("GET consumers/umbrella", "").status == 200 {
                fixture.assert_status("DELETE consumers/umbrella", "", 204);
            }
            assert_eq!(
                (fixture.count_entries("key/"), fixture.count_entries("keys/")),
                (0, 0),
                "{line} after {polls}"
            );
        }
    }
}

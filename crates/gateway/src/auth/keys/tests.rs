//! Tests of the key cache: results and their ages.

use std::time::Duration;

use civil_time::Timestamp;
use config::Config;
use secret::Secret;
use serde_json::json;

use crate::host::Clock;
use crate::host::error::HostError;
use crate::testing::fake_host::{FakeHost, block_on, block_on_both};

use super::format::generate;
use super::records::{LockReservation, StoredConsumer, StoredKey};
use super::{KeyCache, KeyStore, Pepper};

const ADOPTED: &str = "sk-proj-0123456789";

struct Fixture {
    fake: FakeHost,
    config: Config,
    pepper: Pepper,
    key_cache: KeyCache,
}

impl Fixture {
    /// A gateway with the consumer `acme` in its configuration.
    fn new() -> Self {
        let document = r#"{
            "providers": [{ "id": "openai", "keys": ["secret:KEY"] }],
            "routes": [{ "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }] }],
            "consumers": [{ "id": "acme", "group": "gold", "keys": ["secret:ACME"] }]
        }"#;
        Self {
            fake: FakeHost::new(),
            config: Config::from_json(document, &|name| Some(Secret::new(name)))
                .expect("the document is right"),
            pepper: Pepper::new(&Secret::new("pepper")).expect("it is not empty"),
            key_cache: KeyCache::default(),
        }
    }

    fn key_store(&self) -> KeyStore<'_, FakeHost> {
        KeyStore::new(&self.fake, &self.key_cache)
    }

    /// Issues a key as another isolate does, unknown to this one's cache.
    fn issue(&self, key: &str, consumer: &str, expires: Option<Timestamp>) {
        let entry = StoredKey {
            id: format!("key_{}", &key[key.len() - 4..]),
            consumer: consumer.to_owned(),
            created: self.fake.now(),
            expires,
        };
        let elsewhere = KeyCache::default();
        let key_store = KeyStore::new(&self.fake, &elsewhere);
        block_on(key_store.put_key(&self.pepper.digest(key), &entry))
            .expect("the store is available");
    }

    fn revoke_elsewhere(&self, key: &str) {
        let elsewhere = KeyCache::default();
        let key_store = KeyStore::new(&self.fake, &elsewhere);
        block_on(key_store.delete_key(&self.pepper.digest(key))).expect("the store is available");
    }

    fn create(&self, id: &str, routes: &[&str]) {
        let stored = StoredConsumer {
            document: json!({ "id": id, "routes": routes }),
            created: self.fake.now(),
            by: "admin".to_owned(),
            changed: None,
            claim: LockReservation { id: 1, until: self.fake.now() },
        };
        block_on(self.key_store().put_consumer(id, &stored)).expect("the store is available");
    }

    /// The owner of a key, and the number of values that were read.
    fn find(&self, key: &str) -> (Result<Option<String>, HostError>, usize) {
        self.fake.take_reads();
        let found = block_on(self.key_cache.lookup(&self.fake, &self.config, &self.pepper, key));
        let owner = found.map(|found| found.map(|found| found.consumer.id.clone()));
        (owner, self.fake.take_reads())
    }

    #[track_caller]
    fn assert_owner(&self, key: &str, owner: Option<&str>, reads: usize) {
        assert_eq!(self.find(key), (Ok(owner.map(str::to_owned)), reads));
    }

    fn advance(&self, seconds: u64) {
        self.fake.advance(Duration::from_secs(seconds));
    }
}

#[test]
fn known_key_is_cached_for_ten_seconds() {
    let fixture = Fixture::new();
    fixture.issue(ADOPTED, "acme", None);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
    fixture.advance(9);
    fixture.assert_owner(ADOPTED, Some("acme"), 0);
    fixture.revoke_elsewhere(ADOPTED);
    fixture.assert_owner(ADOPTED, Some("acme"), 0);
    fixture.advance(1);
    fixture.assert_owner(ADOPTED, None, 1);
    fixture.assert_owner(ADOPTED, None, 0);
    fixture.issue(ADOPTED, "acme", None);
    fixture.advance(9);
    fixture.assert_owner(ADOPTED, None, 0);
    fixture.advance(1);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
}

#[test]
fn key_with_a_wrong_checksum_costs_no_read() {
    let fixture = Fixture::new();
    let key = generate(&fixture.pepper, &fixture.fake);
    fixture.assert_owner(&key, None, 1);
    for at in 9..key.len() {
        let other = if key.as_bytes()[at] == b'x' { "y" } else { "x" };
        fixture.assert_owner(&format!("{}{other}{}", &key[..at], &key[at + 1..]), None, 0);
    }
    for wrong in ["", "short", "sk-serin-", "with a space in it", &"k".repeat(513)] {
        fixture.assert_owner(wrong, None, 0);
    }
}

#[test]
fn stored_consumer_owns_keys_issued_after_its_creation() {
    let fixture = Fixture::new();
    fixture.issue(ADOPTED, "umbrella", None);
    fixture.assert_owner(ADOPTED, None, 2);
    fixture.advance(1);
    fixture.create("umbrella", &["chat"]);
    // The key is older than the consumer: it belonged to an earlier one of this name.
    fixture.assert_owner(ADOPTED, None, 1);
    fixture.issue(ADOPTED, "umbrella", None);
    fixture.advance(10);
    fixture.assert_owner(ADOPTED, Some("umbrella"), 1);
    fixture.advance(30);
    fixture.assert_owner(ADOPTED, Some("umbrella"), 2);
    let found = block_on(fixture.key_cache.lookup(
        &fixture.fake,
        &fixture.config,
        &fixture.pepper,
        ADOPTED,
    ));
    let found = found.expect("the store is available").expect("the key is known");
    let routes = found.consumer.permissions.routes.as_deref().expect("routes are named");
    assert_eq!(fixture.config.route(routes[0]).id, "chat");
    // A deletion here counts at once, whatever the store returns.
    fixture.fake.freeze_reads(true);
    block_on(fixture.key_store().delete_consumer("umbrella")).expect("the store is available");
    fixture.assert_owner(ADOPTED, None, 1);
    fixture.advance(59);
    fixture.assert_owner(ADOPTED, None, 1);
}

#[test]
fn invalid_stored_consumer_is_an_error() {
    let fixture = Fixture::new();
    fixture.create("anonymous", &["chat"]);
    fixture.issue(ADOPTED, "anonymous", None);
    let (found, _) = fixture.find(ADOPTED);
    let reason = found.expect_err("nobody may have this name").reason().to_owned();
    assert!(reason.contains("stored consumer anonymous is invalid: id"), "{reason}");
}

#[test]
fn removed_route_leaves_the_others_usable() {
    let fixture = Fixture::new();
    let route = fixture.config.routes_with_index().next().expect("one route is configured").0;
    for (id, named, left) in
        [("some", &["gone", "chat"][..], vec![route]), ("none", &["gone"][..], Vec::new())]
    {
        let key = format!("sk-proj-of-{id}-0123456789");
        fixture.create(id, named);
        fixture.issue(&key, id, None);
        let found = block_on(fixture.key_cache.lookup(
            &fixture.fake,
            &fixture.config,
            &fixture.pepper,
            &key,
        ));
        let consumer = &found.expect("the store is available").expect("it is issued").consumer;
        assert_eq!(consumer.permissions.routes, Some(left), "{id}");
    }
}

#[test]
fn key_works_until_it_expires() {
    let fixture = Fixture::new();
    let expires = fixture.fake.now() + Duration::from_secs(5);
    fixture.issue(ADOPTED, "acme", Some(expires));
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
    fixture.fake.advance(Duration::from_millis(4_999));
    fixture.assert_owner(ADOPTED, Some("acme"), 0);
    fixture.fake.advance(Duration::from_millis(1));
    fixture.assert_owner(ADOPTED, None, 0);
    fixture.advance(20);
    fixture.assert_owner(ADOPTED, None, 1);
}

#[test]
fn key_revoked_here_stops_at_once() {
    let fixture = Fixture::new();
    fixture.issue(ADOPTED, "acme", None);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
    fixture.fake.freeze_reads(true);
    block_on(fixture.key_store().delete_key(&fixture.pepper.digest(ADOPTED)))
        .expect("the store is available");
    fixture.assert_owner(ADOPTED, None, 0);
    fixture.fake.set_store_unavailable(true);
    fixture.advance(15);
    fixture.assert_owner(ADOPTED, None, 0);
}

#[test]
fn concurrent_lookup_does_not_restore_a_revoked_key() {
    let fixture = Fixture::new();
    fixture.issue(ADOPTED, "acme", None);
    let find = async {
        let found =
            fixture.key_cache.lookup(&fixture.fake, &fixture.config, &fixture.pepper, ADOPTED);
        found.await.map(drop)
    };
    let hash = fixture.pepper.digest(ADOPTED);
    let key_store = fixture.key_store();
    let (found, revoked) = block_on_both(find, key_store.delete_key(&hash));
    found.and(revoked).expect("the store is available");
    fixture.assert_owner(ADOPTED, None, 0);
}

#[test]
fn one_request_refreshes_while_others_use_the_cache() {
    let fixture = Fixture::new();
    fixture.issue(ADOPTED, "acme", None);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
    fixture.advance(10);
    let find =
        || fixture.key_cache.lookup(&fixture.fake, &fixture.config, &fixture.pepper, ADOPTED);
    let (one, other) = block_on_both(find(), find());
    assert!(one.is_ok_and(|found| found.is_some()) && other.is_ok_and(|found| found.is_some()));
    assert_eq!(fixture.fake.take_reads(), 1);
}

#[test]
fn known_key_works_for_five_minutes_without_the_store() {
    let fixture = Fixture::new();
    fixture.issue(ADOPTED, "acme", None);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
    fixture.assert_owner("sk-proj-unknown-key", None, 1);
    fixture.fake.set_store_unavailable(true);
    fixture.advance(299);
    fixture.assert_owner(ADOPTED, Some("acme"), 0);
    assert!(fixture.find("sk-proj-unknown-key").0.is_err(), "it may have been issued since");
    assert!(fixture.find("sk-proj-another-key").0.is_err());
    fixture.advance(1);
    assert!(fixture.find(ADOPTED).0.is_err());
    fixture.fake.set_store_unavailable(false);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
}

#[test]
fn result_does_not_last_longer_when_the_clock_goes_back() {
    let fixture = Fixture::new();
    let began = fixture.fake.now();
    fixture.advance(3_600);
    fixture.issue(ADOPTED, "acme", None);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
    fixture.assert_owner("sk-proj-unknown-key", None, 1);
    fixture.fake.set_now(began);
    fixture.assert_owner("sk-proj-unknown-key", None, 1);
    fixture.revoke_elsewhere(ADOPTED);
    fixture.assert_owner(ADOPTED, None, 1);
}

#[test]
fn flood_of_unknown_keys_evicts_no_known_one() {
    let fixture = Fixture::new();
    fixture.issue(ADOPTED, "acme", None);
    fixture.assert_owner(ADOPTED, Some("acme"), 1);
    for number in 0..super::lookup::MAX_CACHED_KEYS + 10 {
        fixture.assert_owner(&format!("sk-unknown-{number:08}"), None, 1);
    }
    assert_eq!(fixture.key_cache.cached_counts(), (1, super::lookup::MAX_CACHED_KEYS));
    fixture.assert_owner(ADOPTED, Some("acme"), 0);
}

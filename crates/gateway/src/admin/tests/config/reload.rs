//! How isolates come to serve the newest version.

use std::time::Duration;

use serde_json::Value;

use crate::testing::fake_host::{FakeHost, block_on};

use super::{Isolate, document};

#[test]
fn other_isolates_serve_a_change_within_a_minute() {
    let one = Isolate::first();
    let other = Isolate::sharing(&one.fake);
    assert_eq!(other.model(), "deployed");
    one.put(&document("new"));
    // Within 15 seconds the store is not polled.
    one.fake.take_reads();
    one.fake.advance(Duration::from_secs(14));
    assert_eq!((other.model().as_str(), one.fake.take_reads()), ("deployed", 0));
    // Then it is polled in the background.
    one.fake.advance(Duration::from_secs(1));
    assert_eq!((other.model().as_str(), one.fake.take_reads()), ("deployed", 0));
    one.fake.run_deferred();
    assert_eq!((other.model().as_str(), one.fake.take_reads()), ("new", 1));
    // After a long pause the first request waits for the poll.
    one.put(&document("newer"));
    one.fake.advance(Duration::from_secs(3_600));
    assert_eq!(other.model(), "newer");
}

#[test]
fn new_isolate_serves_the_newest_version() {
    let one = Isolate::first();
    one.put(&document("new"));
    assert_eq!(Isolate::sharing(&one.fake).model(), "new");
    // Also if the deployed document is invalid.
    one.fake.deploy(r#"{"routes":1}"#);
    assert_eq!(Isolate::sharing(&one.fake).model(), "new");
    assert!(one.fake.take_warnings().is_empty());
}

#[test]
fn unavailable_store_keeps_the_last_version() {
    let one = Isolate::first();
    one.put(&document("new"));
    let other = Isolate::sharing(&one.fake);
    assert_eq!(other.model(), "new");
    one.fake.set_store_unavailable(true);
    for _ in 0..10 {
        one.fake.advance(Duration::from_secs(60));
        assert_eq!(other.model(), "new");
        one.fake.run_deferred();
    }
    let warnings = one.fake.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    // A new isolate serves the deployed document, warns, and catches up.
    let late = Isolate::sharing(&one.fake);
    assert_eq!((late.model().as_str(), one.fake.take_warnings().len()), ("deployed", 1));
    one.fake.set_store_unavailable(false);
    one.fake.advance(Duration::from_secs(5));
    late.model();
    one.fake.run_deferred();
    assert_eq!(late.model(), "new");
}

#[test]
fn new_isolate_without_store_refuses_if_the_document_says_so() {
    let host = FakeHost::new();
    let closed = document("deployed").replacen('{', r#"{"server":{"on_store_error":"closed"},"#, 1);
    host.deploy(&closed);
    host.set_store_unavailable(true);
    let one = Isolate::sharing(&host);
    for path in ["GET /v1/models", "GET /admin/v1/config"] {
        let refused = block_on(one.send(path, None, ""));
        assert_eq!(refused.status, 503);
        assert_eq!(refused.body["error"]["code"], "store_unavailable", "{path}");
    }
    assert_eq!(block_on(one.send("GET /healthz", None, "")).status, 200);
    host.set_store_unavailable(false);
    host.advance(Duration::from_secs(5));
    let _ = block_on(one.send("GET /v1/models", None, ""));
    host.run_deferred();
    assert_eq!(one.model(), "deployed");
    // A store that fails later changes nothing: the version is known.
    host.set_store_unavailable(true);
    host.advance(Duration::from_secs(600));
    assert_eq!(one.model(), "deployed");
}

#[test]
fn invalid_version_keeps_the_last_one() {
    let one = Isolate::first();
    let other = Isolate::sharing(&one.fake);
    assert_eq!(other.model(), "deployed");
    one.put(&document("new"));
    // The document has a field that this build does not support.
    let current = one.fake.entries()["config/current"].clone();
    let (info, text) = current.split_once('\n').expect("two parts");
    let strange = text.replacen('{', r#"{"tomorrow":1,"#, 1);
    let info: Value = serde_json::from_str(info).expect("JSON");
    let info = info.to_string().replace(
        info["hash"].as_str().expect("text"),
        &crate::live_config::VersionInfo::deployed(&strange).hash,
    );
    one.fake.write("config/current", &format!("{info}\n{strange}"));
    for _ in 0..3 {
        one.fake.advance(Duration::from_secs(60));
        assert_eq!(other.model(), "deployed");
    }
    let warnings = one.fake.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("Version 1") && warnings[0].contains("tomorrow"), "{warnings:?}");
    assert_eq!(
        Isolate::sharing(&one.fake).model(),
        "deployed",
        "a new isolate serves the deployed document"
    );
}

#[test]
fn invalid_deployed_document_serves_nothing_and_warns_once() {
    let host = FakeHost::new();
    host.deploy(r#"{"routes":1}"#);
    let one = Isolate::sharing(&host);
    for _ in 0..3 {
        assert_eq!(block_on(one.send("GET /v1/models", None, "")).status, 500);
    }
    let warnings = host.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    // A corrected document is loaded without a restart.
    host.deploy(&document("deployed"));
    host.advance(Duration::from_secs(5));
    assert_eq!(one.model(), "deployed");
}

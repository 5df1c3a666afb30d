//! The configuration that counts is in view, and the deployed document can be followed again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::fake_host::{FakeHost, block_on};

use super::{Isolate, document};

/// Members of `GET /config` without the document.
fn shown(isolate: &Isolate) -> [Value; 5] {
    let answer = isolate.assert_status("GET config?status=true", None, "", 200);
    ["version", "source", "served", "served_version", "problems"].map(|name| answer[name].clone())
}

#[test]
fn finding_1_source_of_the_configuration_is_shown() {
    let one = Isolate::first();
    one.model();
    assert_eq!(shown(&one), [json!(0), json!("deployed"), json!(true), json!(0), json!([])]);
    one.put(&document("new"));
    assert_eq!(shown(&one), [json!(1), json!("version"), json!(true), json!(1), json!([])]);
}

#[test]
fn finding_1_follow_returns_to_the_deployed_document_of_every_build() {
    let one = Isolate::first();
    one.put(&document("new"));
    let refused = one.request("POST config/follow", None, "");
    assert_eq!(refused.status, 428);
    let followed = one.assert_status("POST config/follow", Some(&one.etag()), "", 200);
    assert_eq!((&followed["version"], &followed["source"]), (&json!(2), &json!("deployed")));
    assert_eq!(followed["note"], "follows the deployed document");
    assert_eq!(followed["changes"][0]["after"], json!(["deployed"]));
    assert_eq!(one.model(), "deployed");
    let again = one.assert_status("POST config/follow", Some(&one.etag()), "", 200);
    assert_eq!(again["version"], 2, "it is followed already");
    // A later deployment counts at once, with another ETag.
    let tag = one.etag();
    one.fake.deploy(&document("next"));
    let next = Isolate::sharing(&one.fake);
    assert_eq!(next.model(), "next");
    assert_ne!(next.etag(), tag);
    assert_eq!(shown(&next), [json!(2), json!("deployed"), json!(true), json!(2), json!([])]);
    assert_eq!(next.request("PUT config", Some(&tag), &document("x")).status, 412);
    // The history keeps the document of the time, and can be continued.
    next.put(&document("newer"));
    assert_eq!(next.model(), "newer");
    let old = next.assert_status("GET config/versions/2", None, "", 200);
    assert_eq!(old["document"]["routes"][0]["models"], json!(["deployed"]));
    let versions = next.versions();
    let sources: Vec<&Value> = versions.iter().map(|it| &it["source"]).collect();
    assert_eq!(sources, ["version", "deployed", "version", "deployed"]);
    let in_force: Vec<&Value> = versions.iter().map(|it| &it["in_force"]).collect();
    assert_eq!(in_force, [true, false, false, false]);
    let audit = next.assert_status("GET audit?action=config.follow", None, "", 200);
    assert_eq!(audit["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn followed_document_reaches_other_isolates() {
    let one = Isolate::first();
    let other = Isolate::sharing(&one.fake);
    one.put(&document("new"));
    one.fake.advance(Duration::from_secs(60));
    assert_eq!(other.model(), "new");
    one.assert_status("POST config/follow", Some(&one.etag()), "", 200);
    one.fake.advance(Duration::from_secs(60));
    assert_eq!(other.model(), "deployed");
    // While the store is unavailable, a new isolate serves the same.
    one.fake.set_store_unavailable(true);
    assert_eq!(Isolate::sharing(&one.fake).model(), "deployed");
}

#[test]
fn finding_5_version_that_cannot_be_served_is_shown_with_its_problems() {
    let one = Isolate::first();
    one.put(&document("new"));
    // This build does not know a field of the document in force.
    let strange = document("strange").replacen('{', r#"{"tomorrow":1,"#, 1);
    let other = Isolate::sharing(&one.fake);
    other.model();
    let versions = crate::live_config::VersionStore(&one.fake);
    let previous = block_on(versions.head()).expect("the ledger is there").nonce;
    let entry = crate::live_config::VersionInfo {
        version: 2,
        nonce: "a".to_owned(),
        previous,
        ..crate::live_config::VersionInfo::deployed(&strange)
    };
    block_on(versions.prepare(&entry, &strange)).expect("the store is there");
    block_on(versions.commit(&entry));
    let [version, source, served, served_version, problems] = shown(&other);
    assert_eq!((version, source), (json!(2), json!("version")));
    assert_eq!((served, served_version), (json!(false), json!(1)));
    assert!(problems.to_string().contains("tomorrow"), "{problems}");
    let list = other.assert_status("GET config/versions?limit=1", None, "", 200);
    assert_eq!(list["data"][0]["served"], false);
    assert!(list["data"][0]["problems"].to_string().contains("tomorrow"), "{list}");
}

#[test]
fn finding_5_metrics_have_both_versions_and_the_build() {
    let one = Isolate::first();
    one.put(&document("new"));
    let request = http::Request::get("/metrics").header("authorization", "Bearer ADMIN_TOKEN");
    let request = request.body(crate::host::body::Body::Empty).expect("a request");
    let response = block_on(one.service.handle(one.fake.clone(), request));
    let body = block_on(response.into_body().collect(usize::MAX)).expect("the body is whole");
    let page = String::from_utf8(body.to_vec()).expect("text");
    for line in [
        "# TYPE serin_config_version gauge",
        "serin_config_version{state=\"in_force\"} 1",
        "serin_config_version{state=\"served\"} 1",
        concat!("serin_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in {page}");
    }
}

#[test]
fn finding_1_start_of_an_instance_says_which_configuration_counts() {
    let one = Isolate::first();
    one.model();
    let started = |fake: &FakeHost| {
        let events = fake.take_events();
        let [event] = &events[..] else { panic!("one event: {events:?}") };
        serde_json::from_str::<Value>(event).expect("JSON")
    };
    let event = started(&one.fake);
    assert_eq!(
        (&event["event"], &event["source"], &event["version"], &event["created_by"]),
        (&json!("configuration"), &json!("deployed"), &json!(0), &Value::Null)
    );
    one.put(&document("new"));
    assert!(one.fake.take_events().is_empty(), "only at the start");
    let other = Isolate::sharing(&one.fake);
    other.model();
    other.model();
    let event = started(&one.fake);
    assert_eq!(
        (&event["source"], &event["version"], &event["created_by"]),
        (&json!("version"), &json!(1), &json!("admin"))
    );
    assert!(event["created_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{event}");
}

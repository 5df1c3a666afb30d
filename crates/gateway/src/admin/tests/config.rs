//! The configuration and its versions, over a host that two isolates share.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::host::body::Body;
use crate::service::Service;
use crate::testing::fake_host::{FakeHost, block_on, block_on_both, poll_times};

use super::Response;

/// A document whose one model has this name.
fn document(model: &str) -> String {
    json!({
        "auth": { "required": false },
        "providers": [{ "id": "openai", "keys": ["secret:KEY"] }],
        "routes": [{ "id": "chat", "models": [model], "targets": [{ "provider": "openai", "weight": 90 }] }],
        "admin": { "operators": [
            { "name": "ann", "token": "secret:ANN", "role": "owner" },
            { "name": "eve", "token": "secret:EVE", "role": "editor" },
        ] },
    })
    .to_string()
}

/// One isolate.
struct Isolate {
    fake: FakeHost,
    reloading_gateway: Service,
}

impl Isolate {
    fn first() -> Self {
        let fake_host = FakeHost::new();
        fake_host.deploy(&document("deployed"));
        Self::sharing(&fake_host)
    }

    fn sharing(fake_host: &FakeHost) -> Self {
        Self { fake: fake_host.clone(), reloading_gateway: Service::default() }
    }

    async fn send(&self, line: &str, if_match: Option<&str>, body: &str) -> Response {
        self.send_as("ADMIN_TOKEN", line, if_match, body).await
    }

    async fn send_as(
        &self,
        token: &str,
        line: &str,
        if_match: Option<&str>,
        body: &str,
    ) -> Response {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(if_match) = if_match {
            request = request.header("if-match", if_match);
        }
        let request = request.body(Body::from(Bytes::from(body.to_owned()))).expect("a request");
        let response = self.reloading_gateway.handle(self.fake.clone(), request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect(usize::MAX).await.expect("the body is whole");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Response { status: parts.status, headers: parts.headers, body }
    }

    fn request(&self, line: &str, if_match: Option<&str>, body: &str) -> Response {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        block_on(self.send(&format!("{method} /admin/v1/{path}"), if_match, body))
    }

    #[track_caller]
    fn assert_status(&self, line: &str, if_match: Option<&str>, body: &str, status: u16) -> Value {
        let response = self.request(line, if_match, body);
        assert_eq!(response.status, status, "{line}: {}", response.body);
        response.body
    }

    /// Puts a document after whatever is in force.
    #[track_caller]
    fn put(&self, document: &str) -> Value {
        let tag = self.etag();
        self.assert_status("PUT config", Some(&tag), document, 200)
    }

    /// The ETag of what is in force.
    fn etag(&self) -> String {
        let answer = self.request("GET config", None, "");
        answer.headers["etag"].to_str().expect("text").to_owned()
    }

    /// The model that callers see.
    #[track_caller]
    fn model(&self) -> String {
        let answer = block_on(self.send("GET /v1/models", None, ""));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"][0]["id"].as_str().expect("a model").to_owned()
    }

    fn versions(&self) -> Vec<Value> {
        let list = self.assert_status("GET config/versions?limit=200", None, "", 200);
        list["data"].as_array().expect("a list").clone()
    }
}

#[test]
fn a_document_without_routes_is_not_put_by_mistake() {
    let one = Isolate::first();
    let tag = one.etag();
    for document in ["{}", r#"{"routes":[]}"#] {
        for line in ["PUT config", "PUT config?dry_run=true"] {
            let answer = one.assert_status(line, Some(&tag), document, 422);
            assert_eq!(answer["error"]["code"], "invalid_configuration");
            assert_eq!(answer["error"]["problems"][0]["path"], "routes");
        }
    }
    assert_eq!(one.model(), "deployed");
}

#[test]
fn from_what_was_deployed_to_the_third_version_and_back() {
    let one = Isolate::first();
    let answer = one.request("GET config", None, "");
    assert_eq!(answer.body.to_string().len(), document("deployed").len());
    assert_eq!(answer.headers["x-serin-config-version"], "0");
    let tag = answer.headers["etag"].to_str().expect("text").to_owned();
    assert!(tag.starts_with("\"0-"), "{tag}");

    let second = document("second").replace("90", "80");
    let tried = one.assert_status("PUT config?dry_run=true", None, &second, 200);
    let changes = json!([
        { "path": "routes.chat.models", "before": ["deployed"], "after": ["second"] },
        { "path": "routes.chat.targets[0].weight", "before": 90, "after": 80 },
    ]);
    assert_eq!(
        (&tried["changes"], &tried["dry_run"], &tried["version"]),
        (&changes, &json!(true), &json!(0))
    );
    assert_eq!((one.model().as_str(), one.fake.entries().len()), ("deployed", 0));

    let put = one.request("PUT config", Some(&tag), &second);
    assert_eq!((put.status.as_u16(), &put.body["changes"]), (200, &changes));
    assert_eq!((&put.body["version"], &put.body["by"]), (&json!(1), &json!("admin")));
    assert_eq!(put.headers["etag"].to_str().expect("text"), one.etag());
    assert_eq!(one.model(), "second", "at once");
    // The same again is no new version.
    assert_eq!(one.put(&second)["version"], 1);
    assert_eq!(one.put(&document("third"))["version"], 2);
    let restored = one.assert_status("POST config/versions/1/restore", Some(&one.etag()), "", 200);
    assert_eq!((&restored["version"], &restored["note"]), (&json!(3), &json!("restored from 1")));
    assert_eq!(one.model(), "second");
    let zero = one.assert_status("POST config/versions/0/restore", Some(&one.etag()), "", 200);
    assert_eq!((&zero["version"], one.model().as_str()), (&json!(4), "deployed"));

    let versions = one.versions();
    let numbers: Vec<u64> = versions.iter().filter_map(|it| it["version"].as_u64()).collect();
    assert_eq!(numbers, [4, 3, 2, 1, 0]);
    assert_eq!((&versions[4]["by"], &versions[4]["at"]), (&Value::Null, &Value::Null));
    let page = one.assert_status("GET config/versions?limit=2", None, "", 200);
    let cursor = page["cursor"].as_str().expect("there is more").to_owned();
    let rest =
        one.assert_status(&format!("GET config/versions?limit=3&cursor={cursor}"), None, "", 200);
    assert_eq!((&rest["data"][0]["version"], &rest["cursor"]), (&json!(2), &Value::Null));
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(3));
    let looked = one.assert_status("GET config/versions/2", None, "", 200);
    assert_eq!(looked["document"]["routes"][0]["models"], json!(["third"]));
    let audit = one.assert_status("GET audit?target=config", None, "", 200).to_string();
    assert_eq!(audit.matches("config.put").count(), 2, "{audit}");
    assert_eq!(audit.matches("config.restore").count(), 2, "{audit}");
    assert!(audit.contains("routes.chat.targets[0].weight"), "{audit}");
}

#[test]
fn what_is_refused_changes_nothing() {
    let one = Isolate::first();
    let tag = one.etag();
    let tag = Some(tag.as_str());
    let good = document("new");
    #[track_caller]
    fn assert_refused(
        one: &Isolate,
        tag: Option<&str>,
        body: &str,
        status: u16,
        code: &str,
    ) -> Value {
        let answer = one.assert_status("PUT config", tag, body, status);
        assert_eq!(answer["error"]["code"], code, "{answer}");
        answer["error"].clone()
    }
    assert_refused(&one, None, &good, 428, "precondition_required");
    let stale = assert_refused(&one, Some("\"7-abc\""), &good, 412, "precondition_failed");
    assert_eq!(stale["current"]["version"], 0);
    for body in ["", "{", "[]", "null"] {
        assert_refused(&one, tag, body, 400, "invalid_json");
    }
    let wrong =
        good.replace("secret:KEY", "secret:MISSING").replace("\"openai\",\"w", "\"opnai\",\"w");
    let wrong = assert_refused(&one, tag, &wrong, 422, "invalid_configuration");
    let paths: Vec<&str> = wrong["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|problem| problem["path"].as_str())
        .collect();
    assert_eq!(paths, ["providers[0].keys[0]", "routes[0].targets[0].provider"], "{wrong}");
    assert!(wrong["problems"][1]["expected"].as_str().is_some_and(|it| it.contains("openai")));
    // A key in clear is refused, and not said again.
    let clear = good.replace("secret:KEY", "sk-very-secret");
    let clear = assert_refused(&one, tag, &clear, 422, "invalid_configuration");
    assert!(!clear.to_string().contains("sk-very"), "{clear}");
    let unknown = good.replacen('{', r#"{"rutes":[],"#, 1);
    let unknown = assert_refused(&one, tag, &unknown, 422, "invalid_configuration");
    assert!(unknown["problems"][0]["found"].as_str().is_some_and(|it| it.contains("rutes")));
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20));
    assert_refused(&one, tag, &long, 413, "request_too_large");
    assert_refused(
        &one,
        tag,
        &good.replacen('{', r#"{"cache":{"routes":["nobody"],"ttl":"1h"},"#, 1),
        422,
        "invalid_configuration",
    );
    assert_eq!(
        one.assert_status("PUT config?dry_run=maybe", tag, &good, 400)["error"]["param"],
        "dry_run"
    );
    assert_eq!(
        one.assert_status("PUT config?dry_run=true", Some("\"x\""), &good, 412)["error"]["type"],
        "invalid_request_error"
    );
    one.assert_status("GET config/versions/1", None, "", 404);
    one.assert_status("POST config/versions/x/restore", tag, "", 404);
    one.assert_status("POST config/versions/0/restore", None, "", 428);
    let editor = block_on(one.send_as("EVE", "PUT /admin/v1/config", tag, &good));
    assert_eq!(
        (editor.status.as_u16(), &editor.body["error"]["code"]),
        (403, &json!("role_not_allowed"))
    );
    one.fake.set_ledger_unavailable(true);
    assert_refused(&one, tag, &good, 503, "ledger_unavailable");
    assert_eq!(
        one.assert_status("GET config", None, "", 200)["routes"][0]["models"],
        json!(["deployed"])
    );
    one.fake.set_ledger_unavailable(false);
    assert_eq!((one.model().as_str(), one.fake.entries().len()), ("deployed", 0));
    // A proxy that compresses makes the tag weak; the document is the same.
    let weak = format!("W/{}", one.etag());
    one.assert_status("PUT config", Some(&weak), &good, 200);
    assert_eq!(
        block_on(one.send_as("ANN", "PUT /admin/v1/config", Some("*"), &document("x"))).status,
        200
    );
    assert_eq!(one.versions()[0]["by"], "ann");
}

#[test]
fn a_change_that_cannot_be_logged_is_not_made() {
    let one = Isolate::first();
    let tag = one.etag();
    one.fake.set_store_unavailable(true);
    one.assert_status("PUT config", Some(&tag), &document("new"), 503);
    one.fake.set_store_unavailable(false);
    assert_eq!((one.etag(), one.model().as_str(), one.fake.entries().len()), (tag, "deployed", 0));
}

/// Waits for so many polls, then does it.
async fn after<T>(mut polls: usize, work: impl Future<Output = T>) -> T {
    poll_fn(|_| {
        let wait = polls > 0;
        polls = polls.saturating_sub(1);
        if wait { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    work.await
}

#[test]
fn of_two_who_put_at_once_one_wins() {
    for delay in 0..60 {
        let one = Isolate::first();
        let other = Isolate::sharing(&one.fake);
        let tag = one.etag();
        let (first, second) = (document("first"), document("second"));
        let (left, right) = block_on_both(
            one.send("PUT /admin/v1/config", Some(&tag), &first),
            after(delay, other.send("PUT /admin/v1/config", Some(&tag), &second)),
        );
        let statuses = BTreeSet::from([left.status.as_u16(), right.status.as_u16()]);
        assert_eq!(statuses, BTreeSet::from([200, 412]), "{delay}");
        let (winner, loser) = if left.status == 200 { ("first", right) } else { ("second", left) };
        assert_eq!(loser.body["error"]["current"]["version"], 1, "{delay}");
        one.fake.advance(Duration::from_secs(60));
        assert_eq!((one.model().as_str(), other.model().as_str()), (winner, winner), "{delay}");
        assert_eq!(one.versions().len(), 2, "{delay}");
        let entries = one.fake.entries();
        let attempts = entries.keys().filter(|name| name.starts_with("config/version/")).count();
        assert_eq!(attempts, 1, "{delay}: who lost has cleared up");
    }
}

#[test]
fn whenever_an_isolate_dies_there_is_one_version_and_everybody_serves_it() {
    let mut committed = 0;
    for polls in 1..60 {
        let one = Isolate::first();
        let tag = one.etag();
        let new = document("new");
        poll_times(polls, one.send("PUT /admin/v1/config", Some(&tag), &new));
        // What was deferred dies with it.
        let other = Isolate::sharing(&one.fake);
        one.fake.advance(Duration::from_secs(60));
        let answer = other.request("GET config", None, "");
        let version = answer.headers["x-serin-config-version"].to_str().expect("text").to_owned();
        let expected = if version == "1" { "new" } else { "deployed" };
        committed += usize::from(version == "1");
        assert_eq!(answer.body["routes"][0]["models"], json!([expected]), "after {polls}");
        assert_eq!(other.model(), expected, "after {polls}");
        // Whoever comes later sees the same, and so does whoever was there.
        let late = Isolate::sharing(&one.fake);
        assert_eq!(late.model(), expected, "after {polls}");
        one.fake.advance(Duration::from_secs(60));
        assert_eq!(one.model(), expected, "after {polls}");
        // Nothing happens without an entry in the log.
        let logged = one.fake.entries().keys().any(|name| name.starts_with("audit/"));
        assert!(logged || version == "0", "after {polls}");
        // And what was begun can be done again.
        let put = late.put(&document("next"));
        assert_eq!(put["version"].as_u64(), version.parse::<u64>().ok().map(|it| it + 1));
        let numbers: Vec<u64> =
            late.versions().iter().filter_map(|it| it["version"].as_u64()).collect();
        let all: Vec<u64> = (0..numbers.len() as u64).rev().collect();
        assert_eq!(numbers, all, "after {polls}");
        for number in numbers {
            late.assert_status(&format!("GET config/versions/{number}"), None, "", 200);
        }
    }
    assert!((2..58).contains(&committed), "it died before and after the change: {committed}");
}

#[test]
fn the_others_follow_in_less_than_a_minute() {
    let one = Isolate::first();
    let other = Isolate::sharing(&one.fake);
    assert_eq!(other.model(), "deployed");
    one.put(&document("new"));
    // As long as what it knows is young, nobody asks.
    one.fake.take_reads();
    one.fake.advance(Duration::from_secs(14));
    assert_eq!((other.model().as_str(), one.fake.take_reads()), ("deployed", 0));
    // Then somebody does, beside the request.
    one.fake.advance(Duration::from_secs(1));
    assert_eq!((other.model().as_str(), one.fake.take_reads()), ("deployed", 0));
    one.fake.run_deferred();
    assert_eq!((other.model().as_str(), one.fake.take_reads()), ("new", 1));
    // After a long pause the first request waits for it.
    one.put(&document("newer"));
    one.fake.advance(Duration::from_secs(3_600));
    assert_eq!(other.model(), "newer");
}

#[test]
fn an_isolate_begins_with_the_newest_version() {
    let one = Isolate::first();
    one.put(&document("new"));
    assert_eq!(Isolate::sharing(&one.fake).model(), "new");
    // Also where the deployed document is of no use.
    one.fake.deploy(r#"{"routes":1}"#);
    assert_eq!(Isolate::sharing(&one.fake).model(), "new");
    assert!(one.fake.take_warnings().is_empty());
}

#[test]
fn without_a_store_the_last_good_version_is_served() {
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
    // Whoever begins now has the deployed one, says so, and catches up.
    let late = Isolate::sharing(&one.fake);
    assert_eq!((late.model().as_str(), one.fake.take_warnings().len()), ("deployed", 1));
    one.fake.set_store_unavailable(false);
    one.fake.advance(Duration::from_secs(5));
    late.model();
    one.fake.run_deferred();
    assert_eq!(late.model(), "new");
}

#[test]
fn a_version_that_cannot_be_served_here_leaves_the_last_one() {
    let one = Isolate::first();
    let other = Isolate::sharing(&one.fake);
    assert_eq!(other.model(), "deployed");
    one.put(&document("new"));
    // As a build would see it that does not know a field.
    let current = one.fake.entries()["config/current"].clone();
    let (stamp, text) = current.split_once('\n').expect("two parts");
    let strange = text.replacen('{', r#"{"tomorrow":1,"#, 1);
    let stamp: Value = serde_json::from_str(stamp).expect("JSON");
    let stamp = stamp.to_string().replace(
        stamp["hash"].as_str().expect("text"),
        &crate::live_config::VersionInfo::deployed(&strange).hash,
    );
    one.fake.write("config/current", &format!("{stamp}\n{strange}"));
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
        "one that begins has what was deployed"
    );
}

#[test]
fn without_any_right_document_nothing_is_served_and_the_reasons_are_logged_once() {
    let fake_host = FakeHost::new();
    fake_host.deploy(r#"{"routes":1}"#);
    let one = Isolate::sharing(&fake_host);
    for _ in 0..3 {
        assert_eq!(block_on(one.send("GET /v1/models", None, "")).status, 500);
    }
    let warnings = fake_host.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    // A document that is put right is found without a restart.
    fake_host.deploy(&document("deployed"));
    fake_host.advance(Duration::from_secs(5));
    assert_eq!(one.model(), "deployed");
}

//! Rollouts over the admin API.

use config::Config;
use http::Request;
use rollout::{CheckCounts, Report, RolloutOperation, Sides};
use secret::Secret;
use serde_json::{Value, json};

use crate::host::body::Body;
use crate::rollouts;
use crate::testing::fake_host::block_on;

use super::{ADMIN, Fixture, Response};

const DOCUMENT: &str = r#"{
    "providers": [{ "id": "openai", "keys": ["secret:KEY"] }, { "id": "deepseek", "keys": ["secret:KEY"] }],
    "routes": [
        { "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }, { "provider": "deepseek", "model": "v3" }],
          "rollout": { "target": "deepseek/v3", "checks": [{ "metric": "errors" }] } },
        { "id": "plain", "models": ["plain"], "targets": [{ "provider": "openai" }] }
    ]
}"#;

fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    let secrets = |_: &str| Some(Secret::new("key"));
    let operators = std::mem::take(&mut fixture.config.operators);
    fixture.config = Config::from_json(DOCUMENT, &secrets).expect("the document is right");
    fixture.config.operators = operators;
    fixture
}

fn post(fixture: &Fixture, command: &str, version: &str, body: &Value) -> Response {
    let request = Request::post(format!("/admin/v1/rollouts/chat/{command}"))
        .header("authorization", format!("Bearer {ADMIN}"))
        .header("if-match", version)
        .header("content-type", "application/json")
        .body(Body::from(bytes::Bytes::from(body.to_string())))
        .expect("a request");
    block_on(fixture.send(request))
}

fn audit(fixture: &Fixture) -> Vec<Value> {
    let body = fixture.assert_status("GET audit", "", 200);
    body["data"].as_array().expect("a list").clone()
}

/// Reports units and failures as control, canary.
fn report(fixture: &Fixture, version: u64, units: (u64, u64), events: (u64, u64)) {
    let plan = fixture.config.routes[0].rollout.as_ref().expect("it has a rollout").plan.clone();
    let counts = CheckCounts { units: units.into(), events: events.into() };
    let requests = Sides::from(units);
    let report = Report { id: 7, version, requests, checks: vec![counts], ..Report::default() };
    let operation = RolloutOperation::Report { plan, report };
    block_on(rollouts::call(&fixture.fake, "chat", operation)).expect("the ledger is there");
}

#[test]
fn rollout_shows_its_numbers_and_needs() {
    let fixture = fixture();
    let response = fixture.request_as_admin("GET rollouts/chat", "");
    assert_eq!(response.headers["etag"], "\"1\"");
    assert_eq!(response.body["next"]["requests"], 200);
    report(&fixture, 1, (990, 10), (10, 0));
    let body = fixture.assert_status("GET rollouts/chat", "", 200);
    for (pointer, expected) in [
        ("/phase", json!("step")),
        ("/weight", json!(1)),
        ("/step", json!(1)),
        ("/steps", json!([1, 5, 20, 50, 100])),
        ("/requests", json!({ "control": 990, "canary": 10 })),
        ("/next/requests", json!(190)),
        ("/next/seconds", json!(600)),
        ("/checks/0/metric", json!("errors")),
        ("/checks/0/control", json!({ "units": 990, "events": 10 })),
        ("/checks/0/share_expected", json!(0.01)),
        ("/checks/0/share_seen", json!(0.0)),
        ("/checks/0/rolls_back_at", json!(20.0)),
        ("/checks/0/silent", json!(false)),
        ("/transitions/0/action", json!("start")),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer}: {body}");
    }
    assert!(body["checks"][0]["needs"]["units"].as_u64() > Some(10_000), "{body}");
    for path in ["plain", "nothing"] {
        fixture.assert_refused(&format!("GET rollouts/{path}"), "", 404, "rollout_not_found");
    }
    fixture.fake.set_ledger_unavailable(true);
    fixture.assert_refused("GET rollouts/chat", "", 503, "ledger_unavailable");
}

#[test]
fn command_changes_the_share_and_is_audited() {
    let fixture = fixture();
    let pinned = post(&fixture, "pin", "\"1\"", &json!({ "reason": "a demo", "weight": 25 }));
    assert_eq!((pinned.status.as_u16(), &pinned.body["weight"]), (200, &json!(25)));
    assert_eq!(
        (&pinned.body["pinned"], &pinned.headers["etag"]),
        (&json!(25), &"\"2\"".parse().unwrap())
    );
    let route = &fixture.config.routes[0];
    let rollouts = std::rc::Rc::new(crate::rollouts::Rollouts::default());
    let share = block_on(rollouts.share(&fixture.fake, route)).expect("it is known");
    assert_eq!((share.version, share.percent), (2, 25));
    for (command, weight, phase) in [
        ("resume", 1, "step"),
        ("pause", 1, "step"),
        ("promote", 100, "promoted"),
        ("rollback", 0, "rolled_back"),
        ("restart", 1, "step"),
    ] {
        let before = fixture.assert_status("GET rollouts/chat", "", 200)["version"].to_string();
        let after = post(&fixture, command, &before, &json!({ "reason": "why" }));
        assert_eq!(after.status, 200, "{command}: {}", after.body);
        assert_eq!((&after.body["weight"], &after.body["phase"]), (&json!(weight), &json!(phase)));
    }
    fixture.fake.run_deferred();
    let entries = audit(&fixture);
    let actions: Vec<&str> = entries.iter().filter_map(|one| one["action"].as_str()).collect();
    // The start is the gateway's own: the rollout began with the first command.
    let expected = ["restart", "rollback", "promote", "pause", "resume", "pin", "start"];
    assert_eq!(actions.len(), expected.len());
    for name in expected {
        assert!(actions.contains(&format!("rollout.{name}").as_str()), "{actions:?}");
    }
    let pin = entries.iter().find(|one| one["action"] == "rollout.pin").expect("it is audited");
    assert_eq!(pin["target"], "rollout/chat");
    assert_eq!(
        pin["detail"],
        json!({ "version": 1, "reason": "a demo", "weight_before": 1, "weight": 25 })
    );
}

#[test]
fn command_that_is_refused_leaves_no_entry() {
    let fixture = fixture();
    let reason = json!({ "reason": "why" });
    let none = fixture.request_as_admin("POST rollouts/chat/pause", &reason.to_string());
    assert_eq!(
        (none.status.as_u16(), &none.body["error"]["code"]),
        (428, &json!("precondition_required"))
    );
    let stale = post(&fixture, "pause", "\"9\"", &reason);
    assert_eq!((stale.status.as_u16(), &stale.body["error"]["version"]), (412, &json!(1)));
    for (command, body, status, code) in [
        ("pause", json!({}), 400, "invalid_request"),
        ("pause", json!({ "reason": " " }), 400, "invalid_request"),
        ("pause", json!({ "reason": "x".repeat(501) }), 400, "invalid_request"),
        ("pause", json!({ "reason": "why", "weight": 5 }), 400, "invalid_request"),
        ("pin", json!({ "reason": "why" }), 400, "invalid_request"),
        ("pin", json!({ "reason": "why", "weight": 101 }), 400, "invalid_request"),
        ("resume", json!({ "reason": "why" }), 409, "conflict"),
        ("stop", json!({ "reason": "why" }), 404, "unknown_url"),
    ] {
        let response = post(&fixture, command, "\"1\"", &body);
        assert_eq!(response.status, status, "{command} {body}: {}", response.body);
        assert_eq!(response.body["error"]["code"], code, "{command} {body}");
    }
    assert_eq!(fixture.count_entries(""), 0);
}

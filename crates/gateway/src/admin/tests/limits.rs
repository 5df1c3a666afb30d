//! Balances of limits, and their adjustment.

use ledger::{Hold, Operation};
use serde_json::json;

use crate::host::{Clock, LedgerHost};
use crate::limits::matching::{account_name, book_id, ledger_rule};
use crate::testing::fake_host::block_on;

use super::Fixture;

#[test]
fn balance_shows_used_held_and_left_amounts() {
    let fixture = Fixture::new();
    let limit = &fixture.config.limits[0];
    let now = fixture.fake.now();
    let hold = |position: usize, amount| {
        let quota = &limit.quotas[position];
        let account = account_name(limit, quota.measure, "acme");
        Hold { account, rule: ledger_rule(quota, now), min: amount, want: amount, slice: None }
    };
    let until = now + std::time::Duration::from_secs(60);
    let holds = vec![hold(0, 500), hold(1, 2_500_000_000)];
    let operation = Operation::Reserve { id: 1, until, holds };
    block_on(fixture.fake.apply(&book_id(limit, "acme"), &operation)).expect("the ledger is there");
    let answer = fixture.assert_status("GET limits/team/acme", "", 200);
    let resets = answer["quotas"][0]["resets_in"].clone();
    assert!((60..=62).contains(&resets.as_u64().expect("a number")), "{resets}");
    let expected = json!({
        "limit": "team", "key": "acme",
        "quotas": [
            { "measure": "tokens", "per": "minute", "max": 2000, "used": 500, "held": 500,
              "left": 1500, "resets_in": resets },
            { "measure": "cost", "per": "total", "max": 12.5, "used": 2.5, "held": 2.5,
              "left": 10.0, "resets_in": null },
        ],
    });
    assert_eq!(answer, expected);
    let other = fixture.assert_status("GET limits/team/somebody%2Felse", "", 200);
    assert_eq!((&other["key"], &other["quotas"][0]["used"]), (&json!("somebody/else"), &json!(0)));

    let left = fixture.assert_status(
        "POST limits/team/acme/adjust",
        r#"{"measure":"cost","left":100}"#,
        200,
    );
    let quota = json!({
        "measure": "cost", "per": "total", "max": 102.5, "used": 2.5, "held": 2.5, "left": 100.0,
        "resets_in": null,
    });
    assert_eq!(left["quotas"], json!([quota]));
    let by = fixture.assert_status(
        "POST limits/team/acme/adjust",
        r#"{"measure":"cost","by":-0.000000001}"#,
        200,
    );
    assert_eq!(by["quotas"][0]["left"], 99.999_999_999);
    let all = fixture.assert_status("POST limits/all/_/adjust", r#"{"left":0}"#, 200);
    assert_eq!(all["quotas"][0]["left"], 0);
}

#[test]
fn invalid_adjustment_is_refused() {
    let fixture = Fixture::new();
    fixture.assert_refused("GET limits/none/_", "", 404, "limit_not_found");
    assert_eq!(
        fixture.assert_refused("GET limits/all/acme", "", 400, "invalid_request")["param"],
        "value"
    );
    for (param, path, body) in [
        ("measure", "team/acme", r#"{"left":1}"#),
        ("measure", "team/acme", r#"{"measure":"requests","left":1}"#),
        ("left", "all/_", r#"{}"#),
        ("by", "all/_", r#"{"left":1,"by":1}"#),
        ("left", "all/_", r#"{"left":-1}"#),
        ("left", "all/_", r#"{"left":1.5}"#),
        ("by", "all/_", r#"{"by":9007199254740993}"#),
        ("left", "team/acme", r#"{"measure":"cost","left":1e300}"#),
    ] {
        let error = fixture.assert_refused(
            &format!("POST limits/{path}/adjust"),
            body,
            400,
            "invalid_request",
        );
        assert_eq!(error["param"], param, "{body}: {error}");
    }
    assert_eq!(fixture.count_entries("audit/"), 0);
}

#[test]
fn audit_target_of_header_value_is_a_digest() {
    let fixture = Fixture::new();
    fixture.assert_status("POST limits/header/sk-somebodys-key/adjust", r#"{"by":1}"#, 200);
    let audit = fixture.assert_status("GET audit", "", 200);
    let target = audit["data"][0]["target"].as_str().expect("a target");
    assert!(target.starts_with("limit/header/sha256:") && target.len() == 32, "{target}");
}

//! Balances: how they stand, and how they are adjusted.

use serde_json::json;

use super::Bench;
use crate::keys::fake::run;
use crate::ledger::{Hold, Operation};
use crate::platform::{Clock, Ledger};
use crate::policy::limits::{account, place, rule};

#[test]
fn what_is_spent_reserved_and_left() {
    let bench = Bench::new();
    let limit = &bench.config.limits[0];
    let now = bench.fake.now();
    let hold = |position: usize, amount| {
        let quota = &limit.quotas[position];
        let account = account(limit, quota.measure, "acme");
        Hold { account, rule: rule(quota, now), least: amount, want: amount, slice: None }
    };
    let until = now + std::time::Duration::from_secs(60);
    let holds = vec![hold(0, 500), hold(1, 2_500_000_000)];
    let operation = Operation::Reserve { id: 1, until, holds };
    run(bench.fake.apply(&place(limit, "acme"), &operation)).expect("the ledger is there");
    let answer = bench.check("GET limits/team/acme", "", 200);
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
    let other = bench.check("GET limits/team/somebody%2Felse", "", 200);
    assert_eq!((&other["key"], &other["quotas"][0]["used"]), (&json!("somebody/else"), &json!(0)));

    let left = bench.check("POST limits/team/acme/adjust", r#"{"measure":"cost","left":100}"#, 200);
    let quota = json!({
        "measure": "cost", "per": "total", "max": 102.5, "used": 2.5, "held": 2.5, "left": 100.0,
        "resets_in": null,
    });
    assert_eq!(left["quotas"], json!([quota]));
    let by =
        bench.check("POST limits/team/acme/adjust", r#"{"measure":"cost","by":-0.000000001}"#, 200);
    assert_eq!(by["quotas"][0]["left"], 99.999_999_999);
    let all = bench.check("POST limits/all/_/adjust", r#"{"left":0}"#, 200);
    assert_eq!(all["quotas"][0]["left"], 0);
}

#[test]
fn what_makes_no_sense() {
    let bench = Bench::new();
    bench.refused("GET limits/none/_", "", 404, "limit_not_found");
    assert_eq!(bench.refused("GET limits/all/acme", "", 400, "invalid_request")["param"], "value");
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
        let error =
            bench.refused(&format!("POST limits/{path}/adjust"), body, 400, "invalid_request");
        assert_eq!(error["param"], param, "{body}: {error}");
    }
    assert_eq!(bench.count("audit/"), 0);
}

#[test]
fn a_value_that_may_be_secret_is_not_logged() {
    let bench = Bench::new();
    bench.check("POST limits/header/sk-somebodys-key/adjust", r#"{"by":1}"#, 200);
    let audit = bench.check("GET audit", "", 200);
    let target = audit["data"][0]["target"].as_str().expect("a target");
    assert!(target.starts_with("limit/header/sha256:") && target.len() == 32, "{target}");
}

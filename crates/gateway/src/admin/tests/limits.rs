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
    let resets_at = answer["quotas"][0]["resets_at"].clone();
    assert!((60..=62).contains(&resets.as_u64().expect("a number")), "{resets}");
    assert!(resets_at.as_str().is_some_and(|time| time.ends_with(".000Z")), "{resets_at}");
    let expected = json!({
        "limit": "team", "key": "acme",
        "quotas": [
            { "measure": "tokens", "per": "minute", "max": 2000, "max_configured": 2000,
              "used": 500, "held": 500, "left": 1500, "resets_in": resets, "resets_at": resets_at },
            { "measure": "cost", "per": "total", "max": 12.5, "max_configured": 12.5,
              "used": 2.5, "held": 2.5, "left": 10.0, "resets_in": null, "resets_at": null },
        ],
    });
    assert_eq!(answer, expected);
    let other = fixture.assert_status("GET limits/header/some%2Fbody", "", 200);
    assert_eq!((&other["key"], &other["quotas"][0]["used"]), (&json!("some/body"), &json!(0)));

    let left = fixture.assert_status(
        "POST limits/team/acme/adjust",
        r#"{"measure":"cost","left":100}"#,
        200,
    );
    let quota = json!({
        "measure": "cost", "per": "total", "max": 102.5, "max_configured": 12.5, "used": 2.5, "held": 2.5, "left": 100.0,
        "resets_in": null, "resets_at": null,
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

#[test]
fn finding_7_unknown_consumers_and_impossible_values_are_refused() {
    let mut fixture = Fixture::new();
    for (line, body) in [
        ("GET limits/team/acmee", ""),
        ("POST limits/team/acmee/adjust", r#"{"measure":"tokens","by":5}"#),
        ("GET limits/team/_", ""),
        ("GET limits/team/anonymous", ""),
    ] {
        fixture.assert_refused(line, body, 404, "consumer_not_found");
    }
    for line in [
        "GET limits/team/acme%20x",
        "GET limits/team/acme%20x?create=true",
        "GET limits/team/..",
        "GET limits/header/%C3%BC",
        "GET limits/header/%20x",
        "GET limits/team/acme?create=maybe",
    ] {
        fixture.assert_refused(line, "", 400, "invalid_request");
    }
    let by = r#"{"measure":"tokens","by":5}"#;
    fixture.assert_refused("POST limits/team/acme%20x/adjust", by, 400, "invalid_request");
    assert_eq!(fixture.count_entries("audit/"), 0);
    // A created consumer, one that is not created yet, and callers without a key.
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    fixture.assert_status("GET limits/team/umbrella", "", 200);
    fixture.assert_status("POST limits/team/later/adjust?create=true", by, 200);
    fixture.config.auth.required = false;
    fixture.assert_status("GET limits/team/anonymous", "", 200);
}

/// A fixture whose limit `daily` is per day in Shanghai, with 20 requests.
fn daily() -> Fixture {
    let mut fixture = Fixture::new();
    let zone = civil_time::zone::Zone::lookup("Asia/Shanghai").expect("the zone is in the table");
    let quota = config::Quota {
        measure: config::Measure::Requests,
        max: 20,
        per: config::Period::Day(zone),
    };
    fixture.config.limits.push(super::limit("daily", config::By::Consumer, vec![quota]));
    fixture
}

#[test]
fn finding_8_adjustment_of_a_day_ends_with_the_day_by_default() {
    let fixture = daily();
    let done = fixture.assert_status("POST limits/daily/acme/adjust", r#"{"by":5}"#, 200);
    let until = done["adjustment"]["until"].clone();
    assert!(until.as_str().is_some_and(|until| until.ends_with("T16:00:00.000Z")), "{until}");
    let expected = json!({
        "measure": "requests", "change": 5, "max_before": 20, "max_after": 25,
        "for": "this_period", "until": until,
    });
    assert_eq!(done["adjustment"], expected);
    assert_eq!(done["quotas"][0]["max"], 25);
    let audit = fixture.assert_status("GET audit", "", 200);
    assert_eq!(audit["data"][0]["detail"]["for"], "this_period");
    fixture.fake.advance(std::time::Duration::from_secs(24 * 3_600));
    let next = fixture.assert_status("GET limits/daily/acme", "", 200);
    assert_eq!((&next["quotas"][0]["max"], &next["quotas"][0]["left"]), (&json!(20), &json!(20)));
}

#[test]
fn finding_8_adjustment_lasts_as_long_as_it_says() {
    let fixture = daily();
    let line = "POST limits/daily/acme/adjust";
    let good = fixture.assert_status(line, r#"{"by":2,"for":"permanent"}"#, 200);
    assert_eq!(good["adjustment"]["for"], "permanent");
    assert_eq!(good["adjustment"]["until"], json!(null));
    let until = fixture.fake.now() + std::time::Duration::from_secs(3_600);
    let until = civil_time::rfc3339::format_timestamp(until);
    for more in ["", r#","for":"until""#] {
        let body = format!(r#"{{"left":0,"until":"{until}"{more}}}"#);
        let done = fixture.assert_status(line, &body, 200);
        assert_eq!(done["adjustment"]["until"], until.as_str());
        assert_eq!(
            (&done["adjustment"]["for"], &done["quotas"][0]["left"]),
            (&json!("until"), &json!(0))
        );
    }
    fixture.fake.advance(std::time::Duration::from_secs(3_601));
    let later = fixture.assert_status("GET limits/daily/acme", "", 200);
    assert_eq!(later["quotas"][0]["max"], 22);
    assert_eq!(later["quotas"][0]["max_configured"], 20);
    // A balance that never resets keeps its adjustments, as before.
    let total = fixture.assert_status("POST limits/all/_/adjust", r#"{"by":1}"#, 200);
    assert_eq!(total["adjustment"]["for"], "permanent");
    for (param, path, body) in [
        ("until", "daily/acme", r#"{"by":1,"for":"until"}"#),
        ("until", "daily/acme", r#"{"by":1,"until":"2001-01-01"}"#),
        ("until", "daily/acme", r#"{"by":1,"for":"permanent","until":"2101-01-01"}"#),
        ("for", "all/_", r#"{"by":1,"for":"this_period"}"#),
        ("for", "daily/acme", r#"{"by":1,"for":"ever"}"#),
    ] {
        let line = format!("POST limits/{path}/adjust");
        let error = fixture.assert_refused(&line, body, 400, "invalid_request");
        assert_eq!(error["param"], param, "{body}: {error}");
    }
}

#[test]
fn finding_40_limits_are_listed_with_the_nearest_value() {
    let fixture = daily();
    fixture.assert_status("POST consumers", r#"{"id":"umbrella"}"#, 201);
    for (consumer, left) in [("acme", 15), ("umbrella", 2)] {
        let now = fixture.fake.now();
        let limit = fixture.config.limits.last().expect("the daily one");
        let quota = &limit.quotas[0];
        let account = account_name(limit, quota.measure, consumer);
        let amount = 20 - left;
        let hold =
            Hold { account, rule: ledger_rule(quota, now), min: amount, want: amount, slice: None };
        let until = now + std::time::Duration::from_secs(60);
        let operation = Operation::Reserve { id: 1, until, holds: vec![hold] };
        block_on(fixture.fake.apply(&book_id(limit, consumer), &operation)).expect("the ledger");
    }
    let list = fixture.assert_status("GET limits", "", 200);
    let ids: Vec<&str> = list["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|limit| limit["id"].as_str())
        .collect();
    assert_eq!(ids, ["team", "all", "header", "daily"]);
    let daily = &list["data"][3];
    assert_eq!(daily["nearest"]["key"], "umbrella");
    assert_eq!(daily["nearest"]["used_share"], 0.9);
    assert_eq!(daily["quotas"][0], json!({ "measure": "requests", "per": "day", "max": 20 }));
    assert_eq!(list["data"][2]["nearest"], json!(null), "values of headers are not known");
    assert_eq!(list["data"][1]["nearest"]["key"], "_");
    let page = fixture.assert_status("GET limits?limit=3", "", 200);
    assert_eq!(page["cursor"], "header");
    let rest = fixture.assert_status("GET limits?limit=3&cursor=header", "", 200);
    assert_eq!((&rest["data"][0]["id"], &rest["cursor"]), (&json!("daily"), &json!(null)));

    let one = fixture.assert_status("GET limits/daily", "", 200);
    assert_eq!((&one["id"], &one["by"]), (&json!("daily"), &json!("consumer")));
    let keys: Vec<&serde_json::Value> =
        one["data"].as_array().into_iter().flatten().map(|row| &row["key"]).collect();
    assert_eq!(keys, ["umbrella", "acme"]);
    let page = fixture.assert_status("GET limits/daily?limit=1", "", 200);
    assert_eq!(page["data"][0]["key"], "acme");
    let cursor = page["cursor"].as_str().expect("there is more");
    let rest = fixture.assert_status(&format!("GET limits/daily?limit=1&cursor={cursor}"), "", 200);
    assert_eq!(rest["data"][0]["key"], "umbrella");
    fixture.assert_refused("GET limits/none", "", 404, "limit_not_found");
    fixture.assert_refused("GET limits?cursor=none", "", 400, "invalid_request");
    fixture.assert_refused("GET limits/daily?limit=33", "", 400, "invalid_request");
}

use serde_json::{Value, json};

use crate::{Dimension, Edit, Finding, Level, Verdict};

use super::{parse_guard_verdict, parse_text_verdict};

fn found(dimension: Dimension, level: Level, label: &str) -> Finding {
    Finding { dimension, level, label: label.to_owned() }
}

fn ok_body(data: &Value) -> Vec<u8> {
    json!({ "RequestId": "r", "Code": 200, "Message": "OK", "Data": data }).to_string().into()
}

#[track_caller]
fn assert_blocks(data: &Value, block_at: Level, expected: &[Finding]) {
    let verdict = parse_text_verdict(&ok_body(data), Some(block_at)).unwrap();
    let expected =
        if expected.is_empty() { Verdict::Pass } else { Verdict::Block(expected.to_vec()) };
    assert_eq!(verdict, expected, "{data}");
}

#[test]
fn text_at_blocking_level_is_blocked() {
    let data = |level: &str| json!({ "RiskLevel": level, "Result": [{ "Label": "political_x", "Confidence": 81.2 }] });
    let found = |level| [found(Dimension::Content, level, "political_x")];
    assert_blocks(&data("high"), Level::High, &found(Level::High));
    assert_blocks(&data("medium"), Level::High, &[]);
    assert_blocks(&data("medium"), Level::Low, &found(Level::Medium));
    assert_blocks(&data("none"), Level::Low, &[]);
    // `none` as the blocking level would block every checked text.
    assert_blocks(&data("none"), Level::None, &[]);
    assert_eq!(parse_text_verdict(&ok_body(&data("high")), None), Ok(Verdict::Pass));
}

#[test]
fn response_without_level_is_judged_by_labels() {
    let label = |label: &str| json!({ "Result": [{ "Label": label }] });
    assert_blocks(&label("nonLabel"), Level::Low, &[]);
    assert_blocks(&json!({ "Result": [] }), Level::Low, &[]);
    let high = [found(Dimension::Content, Level::High, "ad")];
    assert_blocks(&label("ad"), Level::High, &high);
    let unknown =
        json!({ "RiskLevel": "extreme", "Result": [{ "Label": "ad" }, { "Label": "ad" }] });
    assert_blocks(&unknown, Level::High, &high);
    let bare = json!({ "RiskLevel": "high", "Result": [{ "Label": "nonLabel" }] });
    assert_blocks(
        &bare,
        Level::High,
        &[found(Dimension::Content, Level::High, "contentModeration")],
    );
}

#[test]
fn attack_level_blocks_and_sensitive_level_does_not() {
    let attack = json!({ "RiskLevel": "none", "AttackLevel": "high", "SensitiveLevel": "S3",
        "AttackResult": [{ "Label": "Indirect Prompt Injection" }], "Result": [] });
    let finding = found(Dimension::PromptAttack, Level::High, "Indirect Prompt Injection");
    assert_blocks(&attack, Level::Medium, &[finding]);
}

#[test]
fn long_label_is_truncated() {
    let long = "标".repeat(40);
    let data = json!({ "RiskLevel": "high", "Result": [{ "Label": long }] });
    assert_blocks(&data, Level::Low, &[found(Dimension::Content, Level::High, &"标".repeat(21))]);
}

#[test]
fn numbers_as_text_are_read() {
    let body = br#"{"Code":"200","Data":{"RiskLevel":"none"}}"#;
    assert_eq!(parse_text_verdict(body, Some(Level::Low)), Ok(Verdict::Pass));
}

#[track_caller]
fn assert_no_verdict(body: &str, why: &str) {
    let error = parse_text_verdict(body.as_bytes(), Some(Level::High)).expect_err(body);
    assert_eq!(error.reason, why);
    let block_levels = [(Dimension::Content, Level::High)];
    assert!(parse_guard_verdict(body.as_bytes(), "a", &block_levels, true).is_err(), "{body}");
}

#[test]
fn malformed_response_never_passes() {
    assert_no_verdict(r#"{"Code":588,"Message":"QPS exceeded"}"#, "code 588: QPS exceeded");
    assert_no_verdict(
        r#"{"Code":588,"Message":"m","Data":{"RiskLevel":"none","Suggestion":"pass"}}"#,
        "code 588: m",
    );
    assert_no_verdict(
        r#"{"Code":"SignatureDoesNotMatch","Message":"m"}"#,
        "code SignatureDoesNotMatch: m",
    );
    assert_no_verdict(r#"{"Data":{"RiskLevel":"none","Suggestion":"pass"}}"#, "code null: ");
    assert_no_verdict(r#"{"Code":200}"#, "the response has no Data");
    assert_no_verdict(r#"{"Code":200,"Data":{}}"#, "the response has neither RiskLevel nor Result");
    assert_no_verdict(
        r#"{"Code":200,"Data":{"Suggestion":"block"}}"#,
        "the response has neither RiskLevel nor Result",
    );
    assert_no_verdict(r#"{"Code":200,"Data":[]}"#, "the response has no Data");
    assert_no_verdict("[]", "code null: ");
    assert_no_verdict(r#"{"Code":200,"Data":{"Risk"#, "the response of 25 bytes is not JSON");
    assert_no_verdict("", "the response of 0 bytes is not JSON");
}

const BARS: [(Dimension, Level); 3] = [
    (Dimension::Content, Level::High),
    (Dimension::PromptAttack, Level::Medium),
    (Dimension::SensitiveData, Level::High),
];
const TEXT: &str = "my number is 13912345678";

fn detail(kind: &str, suggestion: &str, level: &str) -> Value {
    json!({ "Type": kind, "Suggestion": suggestion, "Level": level, "Result": [{ "Label": "l" }] })
}

fn phone(desensitization: &Value) -> Value {
    json!({ "Type": "sensitiveData", "Suggestion": "mask", "Level": "S3", "Result": [
        { "Label": "phone", "Level": "S3", "Ext": { "Desensitization": desensitization } }] })
}

#[track_caller]
fn assert_verdict(details: &[Value], mask: bool, expected: &Verdict) {
    let body = ok_body(&json!({ "Suggestion": "watch", "Detail": details }));
    assert_eq!(parse_guard_verdict(&body, TEXT, &BARS, mask).as_ref(), Ok(expected));
}

#[test]
fn dimension_blocks_at_its_own_level() {
    let block = |dimension, level| Verdict::Block(vec![found(dimension, level, "l")]);
    let content = block(Dimension::Content, Level::High);
    assert_verdict(&[detail("contentModeration", "block", "high")], false, &content);
    assert_verdict(&[detail("contentModeration", "block", "medium")], false, &Verdict::Pass);
    let attack = block(Dimension::PromptAttack, Level::Medium);
    assert_verdict(&[detail("promptAttack", "watch", "medium")], false, &attack);
    assert_verdict(&[detail("maliciousUrl", "block", "high")], false, &Verdict::Pass);
    assert_verdict(&[detail("waterMark", "block", "high")], false, &Verdict::Pass);
    // An unknown level counts as the service's suggestion.
    assert_verdict(&[detail("contentModeration", "block", "S9")], false, &content);
    assert_verdict(&[detail("contentModeration", "watch", "S9")], false, &Verdict::Pass);
    let inner = json!({ "Type": "promptAttack", "Result": [{ "Label": "l", "Level": "medium" }] });
    assert_verdict(&[inner], false, &attack);
}

fn masked(at: std::ops::Range<usize>, text: &str) -> Verdict {
    Verdict::Mask(
        vec![Edit { at, text: text.to_owned() }],
        vec![found(Dimension::SensitiveData, Level::High, "phone")],
    )
}

#[test]
fn sensitive_data_with_mask_is_masked() {
    let phone_found = found(Dimension::SensitiveData, Level::High, "phone");
    let blocked = Verdict::Block(vec![phone_found]);
    assert_verdict(&[phone(&"my number is 139****5678".into())], true, &masked(16..20, "****"));
    assert_verdict(&[phone(&"my number is ***".into())], true, &masked(13..24, "***"));
    assert_verdict(&[phone(&"my number is 139****5678".into())], false, &blocked);
    assert_verdict(&[phone(&"".into())], true, &blocked);
    assert_verdict(&[phone(&Value::Null)], true, &blocked);
    assert_verdict(&[phone(&TEXT.into())], true, &blocked);
}

#[test]
fn masks_of_several_results_are_joined() {
    let result =
        |label: &str, text: &str| json!({ "Label": label, "Ext": { "Desensitization": text } });
    let mut several = phone(&Value::Null);
    several["Result"] = json!([
        result("phone", "my number is 139****5678"),
        result("phone", "** number is 13912345678"),
        result("phone", ""),
    ]);
    let edit = |at, text: &str| Edit { at, text: text.to_owned() };
    let findings = vec![found(Dimension::SensitiveData, Level::High, "phone")];
    let expected = Verdict::Mask(vec![edit(0..2, "**"), edit(16..20, "****")], findings);
    assert_verdict(&[several], true, &expected);
}

#[test]
fn blocking_goes_before_masking() {
    let mask = phone(&"my number is ***".into());
    let expected = Verdict::Block(vec![found(Dimension::Content, Level::High, "l")]);
    assert_verdict(&[mask, detail("contentModeration", "block", "high")], true, &expected);
}

#[test]
fn response_without_details_is_judged_by_summary() {
    let judge = |data: &Value| parse_guard_verdict(&ok_body(data), TEXT, &BARS, true);
    let attack = found(Dimension::PromptAttack, Level::High, "promptAttack");
    assert_eq!(
        judge(&json!({ "Detail": [], "RiskLevel": "low", "AttackLevel": "high" })),
        Ok(Verdict::Block(vec![attack]))
    );
    assert_eq!(judge(&json!({ "RiskLevel": "none" })), Ok(Verdict::Pass));
    assert_eq!(judge(&json!({ "Suggestion": "pass" })), Ok(Verdict::Pass));
}

#[test]
fn refusal_of_too_many_calls_is_recognized() {
    for (code, expected) in [
        (json!(588), true),
        (json!("Throttling.User"), true),
        (json!("Throttling"), true),
        (json!(500), false),
        (json!("SignatureDoesNotMatch"), false),
    ] {
        let body = json!({ "Code": code, "Message": "m" }).to_string();
        let error = parse_text_verdict(body.as_bytes(), None).expect_err("no verdict");
        assert_eq!(error.is_rate_limited, expected, "{code}");
    }
}

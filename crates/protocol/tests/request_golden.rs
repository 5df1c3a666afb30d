//! Golden requests: each case of `golden/requests.json` is a caller's body and the provider's.
//!
//! `case` is the number in the protocol reference, or empty. Texts `REPEAT(x,86)` stand for long texts.

use protocol::model::Protocol;
use protocol::request::{
    EndUserField, MaxTokensField, Options, ReasoningField, SamplingPolicy, Target, ThinkingForm,
    UnknownPolicy, read_request, write_request,
};
use serde_json::{Value, json};

const CASES: &str = include_str!("golden/requests.json");

#[test]
fn bodies_of_providers_are_golden() {
    let cases: Vec<Value> = serde_json::from_str(&expand(CASES)).expect("the cases are JSON");
    let mut failures = Vec::new();
    for case in &cases {
        let name = format!("{} {}", case["case"], case["name"]);
        let found = translate(case);
        for (member, found) in &found {
            let expected = case.get(*member).cloned().unwrap_or_default();
            if *found != expected {
                failures
                    .push(format!("{name}: {member}\n  found    {found}\n  expected {expected}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Returns the members of the case that the translation produces.
fn translate(case: &Value) -> Vec<(&'static str, Value)> {
    let body = case["body"].to_string();
    let request = match read_request(protocol(&case["from"]), body.as_bytes()) {
        Ok(request) => request,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return vec![("invalid", json!(error.path)), ("expected", Value::Null)];
        }
    };
    let lossy: Vec<String> =
        serde_json::from_value(case["options"].get("lossy").cloned().unwrap_or_else(|| json!([])))
            .expect("a list of paths");
    let options = Options {
        lossy: &lossy,
        unknown: match case["options"]["unknown"].as_str() {
            Some("shed") => UnknownPolicy::Shed,
            _ => UnknownPolicy::Refuse,
        },
        sampling: match case["options"]["sampling"].as_str() {
            Some("refuse") => SamplingPolicy::Refuse,
            _ => SamplingPolicy::Shed,
        },
        ..Options::default()
    };
    match write_request(&request, &target(case), &options) {
        Ok(written) => {
            let names: Vec<Value> = written
                .tool_names
                .iter()
                .map(|tool| json!([tool.written, tool.namespace, tool.name, tool.is_custom]))
                .collect();
            let body: Value = serde_json::from_slice(&written.body).unwrap_or_else(|error| {
                panic!("{case}: {error}\n{}", String::from_utf8_lossy(&written.body))
            });
            let shed = if written.shed.is_empty() { Value::Null } else { json!(written.shed) };
            let names = if names.is_empty() { Value::Null } else { json!(names) };
            vec![("expected", body), ("shed", shed), ("tool_names", names), ("error", Value::Null)]
        }
        Err(error) => {
            assert!(error.to_string().contains(&error.path));
            vec![("error", json!([error.path, error.lossy_path])), ("expected", Value::Null)]
        }
    }
}

fn target(case: &Value) -> Target<'_> {
    let settings = &case["target"];
    let mut target = Target::new(protocol(&case["to"]));
    target.model = settings["model"].as_str();
    target.seal_maker = settings["seal_maker"].as_str();
    target.is_count = settings["is_count"] == true;
    target.default_max_tokens = settings["default_max_tokens"].as_u64().unwrap_or(4096);
    let set = |field: &mut bool, name: &str| {
        if let Some(value) = settings[name].as_bool() {
            *field = value;
        }
    };
    set(&mut target.accepts_sampling, "accepts_sampling");
    set(&mut target.accepts_prefill, "accepts_prefill");
    set(&mut target.accepts_system_turns, "accepts_system_turns");
    set(&mut target.accepts_cache_breakpoints, "accepts_cache_breakpoints");
    set(&mut target.accepts_custom_tools, "accepts_custom_tools");
    if settings["max_tokens_field"] == "max_tokens" {
        target.max_tokens_field = MaxTokensField::MaxTokens;
    }
    target.reasoning_field = match settings["reasoning_field"].as_str() {
        Some("reasoning_content") => ReasoningField::ReasoningContent,
        Some("reasoning_details") => ReasoningField::ReasoningDetails,
        _ => ReasoningField::None,
    };
    target.end_user_field = match settings["end_user_field"].as_str() {
        Some("user") => EndUserField::User,
        Some("none") => EndUserField::None,
        _ => EndUserField::SafetyIdentifier,
    };
    if settings["thinking_form"] == "budget" {
        target.thinking_form = ThinkingForm::Budget;
    }
    target
}

fn protocol(name: &Value) -> Protocol {
    match name.as_str() {
        Some("chat") => Protocol::Chat,
        Some("responses") => Protocol::Responses,
        Some("messages") => Protocol::Messages,
        _ => panic!("{name} is no protocol"),
    }
}

/// Replaces `REPEAT(TEXT,COUNT)`.
fn expand(text: &str) -> String {
    let mut pieces = text.split("REPEAT(");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (inside, rest) = piece.split_once(')').expect("REPEAT( has an end");
        let (unit, count) = inside.split_once(',').expect("REPEAT has two arguments");
        out.push_str(&unit.repeat(count.parse().expect("a number")));
        out.push_str(rest);
    }
    out
}

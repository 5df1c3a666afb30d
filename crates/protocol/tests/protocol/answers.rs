//! Golden cases of whole answers.

use protocol::answer;
use serde_json::Value;

use crate::support::{context, protocol};

#[test]
fn golden_answers_are_translated() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("data/answers.json")).expect("the cases are JSON");
    for case in &cases {
        let title = format!("case {} ({})", case["case"], case["name"]);
        let body = match case["raw"].as_str() {
            Some(raw) => raw.to_owned(),
            None => case["answer"].to_string(),
        };
        let read = answer::read(protocol(&case["from"]), body.as_bytes())
            .unwrap_or_else(|failure| panic!("{title}: {failure:?}"));
        let written = answer::write(protocol(&case["to"]), &read, &context())
            .unwrap_or_else(|failure| panic!("{title}: {failure:?}"));
        let value: Value = serde_json::from_slice(&written.body).expect("JSON");
        for (pointer, expected) in case["expect"].as_object().expect("expectations") {
            assert_eq!(value.pointer(pointer), Some(expected), "{title} {pointer}: {value}");
        }
        let shed = case["shed"].as_array().cloned().unwrap_or_default();
        assert_eq!(written.shed.names(), shed.as_slice(), "{title}");
    }
}

#[test]
fn bodies_that_are_no_answers_are_failures() {
    let bodies = [
        "",
        "null",
        "[]",
        "{}",
        "{\"choices\":[]}",
        "{\"choices\":[{}],\"error\":{\"message\":\"m\"}}",
        "{\"choices\":[{\"finish_reason\":\"error\"}]}",
        "{\"status\":\"failed\",\"output\":[]}",
        "{\"status\":\"in_progress\",\"output\":[]}",
        "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}",
        "\u{ff}",
    ];
    for body in bodies {
        for from in crate::support::PROTOCOLS {
            assert!(answer::read(from, body.as_bytes()).is_err(), "{from:?} {body}");
        }
    }
}

#[test]
fn arguments_that_are_not_json_fail_only_in_messages() {
    let body = r#"{"choices":[{"finish_reason":"tool_calls","message":{"tool_calls":[
        {"id":"c","function":{"name":"f","arguments":"not JSON"}}]}}]}"#;
    for to in crate::support::PROTOCOLS {
        let read = answer::read(protocol::model::Protocol::Chat, body.as_bytes()).expect("read");
        let written = answer::write(to, &read, &context());
        assert_eq!(written.is_err(), to == protocol::model::Protocol::Messages);
    }
}

//! Golden cases of whole answers.

use protocol::ToolName;
use protocol::answer;
use serde_json::{Value, json};

use crate::support::{contains, context, events, protocol};

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

// Golden cases 30 and 35, the way back.
#[test]
fn tools_have_the_names_and_forms_of_the_caller() {
    use protocol::model::Protocol;
    use protocol::stream::{StreamWriter, replay};
    let mut context = context();
    let tool = |written: &str, name: &str, namespace: Option<&str>, is_custom| ToolName {
        written: written.to_owned(),
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        is_custom,
    };
    context.tools = [
        tool("patch", "apply_patch", None, true),
        tool("files__read", "read", Some("files"), false),
        tool("long_1f", "a.very.long.name", None, false),
    ]
    .into_iter()
    .collect();
    let calls = [
        ("patch", r#"{"input": "*** Begin\n\"x\""}"#),
        ("files__read", "{\"a\":1}"),
        ("long_1f", "{}"),
        ("patch", "not JSON"),
        ("other", "{}"),
    ];
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(at, (name, arguments))| {
            json!({"id": format!("c{at}"), "function": {"name": name, "arguments": arguments}})
        })
        .collect();
    let body =
        json!({"choices": [{"finish_reason": "tool_calls", "message": {"tool_calls": calls}}]});
    let body = body.to_string();
    let read = answer::read(Protocol::Chat, body.as_bytes()).expect("an answer");
    let written = answer::write(Protocol::Responses, &read, &context).expect("it is written");
    let response: Value = serde_json::from_slice(&written.body).expect("JSON");
    let expected = json!([
        {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin\n\"x\""},
        {"type": "function_call", "name": "read", "namespace": "files", "arguments": "{\"a\":1}"},
        {"type": "function_call", "name": "a.very.long.name", "arguments": "{}"},
        {"type": "custom_tool_call", "name": "apply_patch", "input": "not JSON"},
        {"type": "function_call", "name": "other"},
    ]);
    assert!(contains(&response["output"], &expected), "{response:#}");
    let mut writer = StreamWriter::new(Protocol::Responses, context.clone());
    let mut out = Vec::new();
    replay(read.clone()).iter().for_each(|event| writer.write(event, &mut out));
    let streamed = events(&out).pop().expect("events").1;
    assert!(contains(&streamed["response"]["output"], &expected), "{streamed:#}");

    let written = answer::write(Protocol::Chat, &read, &context).expect("it is written");
    let completion: Value = serde_json::from_slice(&written.body).expect("JSON");
    let expected = json!([
        {"type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin\n\"x\""}},
        {"type": "function", "function": {"name": "read"}},
        {"type": "function", "function": {"name": "a.very.long.name"}},
        {"type": "custom"},
        {"function": {"name": "other"}},
    ]);
    assert!(contains(&completion["choices"][0]["message"]["tool_calls"], &expected));
}

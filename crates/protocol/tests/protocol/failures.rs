//! Golden cases of failures.

use protocol::failure;
use protocol::model::{Failure, FailureClass, Protocol};
use serde_json::{Value, json};

use crate::support::events;

#[test]
fn golden_failures_are_translated() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("data/failures.json")).expect("the cases are JSON");
    for case in &cases {
        let body = match &case["body"] {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let status = case["status"].as_u64().and_then(|it| u16::try_from(it).ok());
        let read = failure::from_body(status.expect("a status"), body.as_bytes());
        assert_eq!(read.retry_after_seconds, case["retry_after"].as_u64(), "{case}");
        for caller in [Protocol::Chat, Protocol::Responses] {
            let written: Value =
                serde_json::from_slice(&failure::body(&read, caller, Some("r"))).expect("JSON");
            let error = &written["error"];
            let own = json!([read.status(caller), error["type"], error["code"], error["message"]]);
            assert_eq!(own, case["chat"], "{case}");
        }
        let written = failure::body(&read, Protocol::Messages, Some("r"));
        let written: Value = serde_json::from_slice(&written).expect("JSON");
        let error = &written["error"];
        let own = json!([read.status(Protocol::Messages), error["type"], error["message"]]);
        assert_eq!(own, case["messages"], "{case}");
        assert_eq!((&written["type"], &written["request_id"]), (&json!("error"), &json!("r")));
    }
}

#[test]
fn failure_of_the_gateway_keeps_its_code() {
    let mut failure = Failure::new(FailureClass::BadRequest, "no counterpart in Messages");
    failure.code = Some("untranslatable".into());
    failure.param = Some("response_format.type".into());
    let chat: Value =
        serde_json::from_slice(&failure::body(&failure, Protocol::Chat, None)).expect("JSON");
    assert_eq!(chat["error"]["code"], "untranslatable");
    assert_eq!(chat["error"]["param"], "response_format.type");
    let messages: Value =
        serde_json::from_slice(&failure::body(&failure, Protocol::Messages, None)).expect("JSON");
    let expected = "untranslatable: response_format.type: no counterpart in Messages";
    assert_eq!(messages["error"]["message"], expected);
    assert_eq!(messages["request_id"], Value::Null);
}

// Golden case 63, the events.
#[test]
fn event_of_a_failure_has_the_form_of_the_caller() {
    let failure = Failure::new(FailureClass::Overloaded, "m");
    let written = |caller| {
        let mut out = Vec::new();
        failure::event(&failure, caller, 7, &mut out);
        events(&out).remove(0)
    };
    let (name, data) = written(Protocol::Chat);
    assert_eq!((name, &data["error"]["message"]), (None, &json!("m")));
    let (name, data) = written(Protocol::Messages);
    assert_eq!(name.as_deref(), Some("error"));
    assert_eq!(
        (&data["type"], &data["error"]["type"]),
        (&json!("error"), &json!("overloaded_error"))
    );
    let (name, data) = written(Protocol::Responses);
    assert_eq!(name.as_deref(), Some("error"));
    let expected = json!({
        "type": "error", "sequence_number": 7, "code": "server_is_overloaded", "message": "m",
        "param": null,
        "error": {
            "type": "service_unavailable_error", "code": "server_is_overloaded", "message": "m",
            "param": null,
        },
    });
    assert_eq!(data, expected);
}

#[test]
fn events_of_failures_are_read_nested_and_flat() {
    let cases = [
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
            "m",
            FailureClass::Overloaded,
        ),
        (
            r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}"#,
            "m",
            FailureClass::RateLimited,
        ),
        (
            r#"{"error":{"code":"context_length_exceeded","message":"m"}}"#,
            "m",
            FailureClass::TooLong,
        ),
        (r#"{"error":"text"}"#, "text", FailureClass::Upstream),
        (
            r#"{"error":{"message":"prompt is too long: 9 > 8"}}"#,
            "prompt is too long: 9 > 8",
            FailureClass::TooLong,
        ),
        ("no JSON", "the provider reported an error without a description", FailureClass::Upstream),
    ];
    for (data, message, class) in cases {
        let read = failure::from_event(data.as_bytes());
        assert_eq!((&*read.message, read.class), (message, class), "{data}");
    }
}

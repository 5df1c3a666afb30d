//! Guarded requests and whole responses.

use bytes::Bytes;
use config::author;
use gateway::host::body::Body;
use gateway::service::Service;
use serde_json::{Value, json};
use sim::testing::script;
use sim::upstream::Script;
use sim::world::{HangUp, UPSTREAM};

use super::{DOCUMENT, post, request, send_request, world};

#[test]
fn response_too_long_to_check_is_rejected_whatever_on_error_is() {
    let filler = "x".repeat(9 << 20);
    let answer = json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": format!("{filler} bad") }, "finish_reason": "stop" }] });
    let script = Script {
        raw: Some(answer.to_string()),
        content_type: Some("application/json".to_owned()),
        split: Some(65_536),
        ..Script::default()
    };
    // The guard of `terms` fails open.
    for model in ["narrow", "terms"] {
        let (received, record) = send_request(&script, request(model, false, &json!("Hello?")));
        assert_eq!((received.status(), &record["error"]), (503, &json!("guard_unavailable")));
        assert_eq!(record["guards"][0]["result"], "error", "{record}");
    }
}

#[test]
fn upstream_error_with_a_listed_word_is_blocked() {
    let script = script("status = 422\njson = { error = { message = 'so bad' } }");
    let (received, record) = send_request(&script, request("terms", false, &json!("Hello?")));
    assert!(!String::from_utf8_lossy(&received.body()).contains("bad"));
    assert_eq!(record["outcome"], "blocked", "{record}");
    let (received, _) = send_request(&script, request("plain", false, &json!("Hello?")));
    assert!(String::from_utf8_lossy(&received.body()).contains("so bad"));
}

#[test]
fn request_with_a_listed_word_anywhere_is_blocked() {
    let script = script("answer = 'one two'");
    let outcome = |body: Value| {
        let (received, record) = send_request(&script, post(&body));
        assert!(record["target"].is_null(), "{body}: {record}");
        (received.status(), record["outcome"].clone())
    };
    let user = |content: &str| json!({ "role": "user", "content": content });
    let assistant = json!({ "role": "assistant", "content": "Sure," });
    // A message of the assistant at the end does not exempt the messages before it.
    let body = json!({ "model": "terms", "messages": [user("bad"), assistant] });
    assert_eq!(outcome(body), (200, json!("blocked")));
    // Messages that are nested too deeply are refused, even by a guard that fails open.
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let body =
        json!({ "model": "terms", "messages": [{ "role": "user", "content": "bad", "x": deep }] });
    assert_eq!(outcome(body), (400, json!("refused")));
    // With `look_at = "all"`, the guard also checks the other fields that the model reads.
    let tool =
        json!([{ "type": "function", "function": { "name": "f", "description": "so bad" } }]);
    // Properties may have names of message fields, and schemas many levels.
    let property = |text: &str| {
        let mut schema =
            json!({ "type": "object", "properties": { "data": { "description": text } } });
        for _ in 0..8 {
            schema = json!({ "type": "object", "properties": { "name": schema } });
        }
        json!([{ "type": "function", "function": { "name": "f", "parameters": schema } }])
    };
    let schema = json!({ "type": "json_schema", "json_schema": { "schema": { "enum": ["bad"] } } });
    for (member, value) in [
        ("tools", &tool),
        ("functions", &json!([{ "name": "f", "description": "bad" }])),
        ("tools", &property("bad")),
        ("response_format", &schema),
        ("prediction", &json!({ "type": "content", "content": "bad" })),
    ] {
        let mut body = json!({ "model": "whole", "messages": [user("hello")] });
        body[member] = value.clone();
        assert_eq!(outcome(body), (200, json!("blocked")), "{member}");
        let mut body = json!({ "model": "terms", "messages": [user("hello")] });
        body[member] = value.clone();
        let (received, _) = send_request(&script, post(&body));
        let text = received.text();
        assert!(text.contains("one two"), "tools and schemas are trusted by default: {text}");
    }
}

#[test]
fn stored_word_list_blocks_after_its_upload() {
    let world = world(script("answer = 'one two'"));
    world.deploy(
        &author::to_json(&DOCUMENT.replace("UPSTREAM", UPSTREAM))
            .expect("the configuration is valid"),
    );
    let service = Service::default();
    let ask = |request: http::Request<Body>| {
        let answer = service.handle(world.clone(), request);
        let received = world.play(answer, HangUp::Never).expect("it ends");
        (received.status(), received.body())
    };
    let question = || request("stored", false, &json!("so  BAD"));
    // The guard fails closed: without its list, every request fails.
    assert_eq!(ask(question()).0, 503);
    let put = |words: &str| {
        http::Request::put("/admin/v1/words/terms")
            .header("authorization", "Bearer ADMIN_TOKEN")
            .header("content-type", "application/json")
            .body(Body::from(Bytes::from(format!(r#"{{"words":{words}}}"#))))
            .expect("a request")
    };
    let wait = || {
        let sleep = world.executor().sleep(std::time::Duration::from_secs(31));
        world.executor().run(sleep).expect("it ends");
    };
    assert_eq!(ask(put(r#"["so bad"]"#)).0, 200);
    wait();
    let (status, body) = ask(question());
    assert!(status == 200 && String::from_utf8_lossy(&body).contains("No."), "{status} {body:?}");
    assert_eq!(ask(put("[]")).0, 200);
    wait();
    let (status, body) = ask(question());
    assert!(status == 200 && String::from_utf8_lossy(&body).contains("one two"), "{body:?}");
}

#[test]
fn request_with_too_much_to_check_is_refused() {
    let script = script("answer = 'one two'");
    let ask = |model: &str, content: &Value| {
        let messages = json!([{ "role": "user", "content": content }]);
        let (received, record) =
            send_request(&script, post(&json!({ "model": model, "messages": messages })));
        (received.status(), received.text(), record["outcome"].clone())
    };
    // The guard fails open, but its work must not be made too hard.
    let texts = |count: usize| json!(vec!["x"; count]);
    assert_eq!(ask("terms", &texts(20_000)).0, 200, "{}", ask("terms", &texts(20_000)).1);
    let (status, text, outcome) = ask("terms", &texts(20_001));
    assert_eq!((status, outcome), (400, json!("refused")));
    assert!(text.contains("'messages': it contains more than 20,000 texts."), "{text}");
    let phones = |count: usize| json!("13800138000 ".repeat(count));
    assert_eq!(ask("private", &phones(10_000)).0, 200);
    let (status, text, _) = ask("private", &phones(10_001));
    assert!(status == 400 && text.contains("more than 10,000 data to mask"), "{status} {text}");
}

#[test]
fn answer_that_no_guard_can_read_never_passes() {
    let deep = format!("{}\"bad\"{}", "[".repeat(40), "]".repeat(40));
    let many = format!("[{}]", vec!["\"x\""; 20_001].join(","));
    for value in [deep, many] {
        let answer = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":{value}}},"finish_reason":"stop"}}]}}"#
        );
        let whole = Script {
            raw: Some(answer.clone()),
            content_type: Some("application/json".to_owned()),
            ..Script::default()
        };
        // `terms` fails open: that is for services that fail.
        for model in ["terms", "narrow", "private"] {
            let (received, record) = send_request(&whole, request(model, false, &json!("Hello?")));
            assert_eq!(
                (received.status(), &record["error"]),
                (503, &json!("guard_unavailable")),
                "{model}"
            );
        }
        let chunk = answer.replace("message", "delta");
        let events = vec![chunk.into(), "[DONE]".to_owned().into()];
        let stream = Script { events: Some(events), ..Script::default() };
        let (received, _) = send_request(&stream, request("terms", true, &json!("Hello?")));
        let text = received.text();
        assert!(text.contains("guard_unavailable") && !text.contains("bad"), "{text}");
        let (received, _) = send_request(&whole, request("plain", false, &json!("Hello?")));
        assert_eq!(received.status(), 200);
    }
}

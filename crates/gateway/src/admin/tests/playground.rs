//! Tests of providers, texts against guards, and requests as a consumer.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::host::body::Body;
use crate::service::Service;
use crate::testing::fake_host::{FakeHost, block_on};

/// A gateway over a fake host. The value of every secret is its name.
struct Isolate {
    fake: FakeHost,
    service: Service,
}

const ANSWER: &str = r#"{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"OK"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;

const STREAM: &str = concat!(
    r#"data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"O"}}]}"#,
    "\n\n",
    r#"data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"K"},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"x","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#,
    "\n\ndata: [DONE]\n\n",
);

impl Isolate {
    fn new() -> Self {
        let document = json!({
            "providers": [{ "id": "openai", "keys": ["secret:KEY_A", "secret:KEY_B"] }],
            "routes": [{ "id": "chat", "models": ["gpt-*"], "targets": [{ "provider": "openai" }] }],
            "consumers": [
                { "id": "acme", "keys": ["secret:ACME"] },
                { "id": "gone", "keys": ["secret:GONE"], "disabled": true },
            ],
            "limits": [{ "id": "once", "by": "consumer", "requests": { "max": 1, "per": "total" } }],
            "guards": [
                { "id": "terms", "kind": "words", "words": ["forbidden"],
                  "overrides": [{ "consumers": ["acme"], "off": true }] },
                { "id": "pii", "kind": "pii", "detect": ["email"], "check": ["response"] },
                { "id": "judge", "kind": "llm", "provider": "openai", "model": "guard",
                  "format": "llama-guard", "routes": ["chat"], "check": ["request"] },
            ],
            "admin": { "operators": [
                { "name": "eve", "token": "secret:EVE", "role": "editor" },
                { "name": "vic", "token": "secret:VIC", "role": "viewer" },
            ] },
        });
        Self::with_document(&document)
    }

    /// The same without guards: their services would use up the canned response.
    fn without_guards() -> Self {
        let document = json!({
            "providers": [{ "id": "openai", "keys": ["secret:KEY_A", "secret:KEY_B"] }],
            "routes": [{ "id": "chat", "models": ["gpt-*"], "targets": [{ "provider": "openai" }] }],
            "auth": { "required": false },
            "consumers": [
                { "id": "acme", "keys": ["secret:ACME"] },
                { "id": "gone", "keys": ["secret:GONE"], "disabled": true },
            ],
            "limits": [{ "id": "once", "by": "consumer", "requests": { "max": 1, "per": "total" } }],
            "admin": { "operators": [
                { "name": "eve", "token": "secret:EVE", "role": "editor" },
                { "name": "vic", "token": "secret:VIC", "role": "viewer" },
            ] },
        });
        Self::with_document(&document)
    }

    fn with_document(document: &Value) -> Self {
        let fake = FakeHost::new();
        fake.deploy(&document.to_string());
        Self { fake, service: Service::default() }
    }

    fn send(&self, token: &str, line: &str, body: &Value) -> (u16, http::HeaderMap, String) {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let request = Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(format!("/admin/v1/{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let body =
            if body.is_null() { Body::Empty } else { Body::from(Bytes::from(body.to_string())) };
        let request = request.body(body).expect("a request");
        let response = block_on(self.service.handle(self.fake.clone(), request));
        let (parts, body) = response.into_parts();
        let body = block_on(body.collect(usize::MAX)).expect("the body is whole");
        let text = String::from_utf8(body.to_vec()).expect("text");
        (parts.status.as_u16(), parts.headers, text)
    }

    #[track_caller]
    fn assert_status(&self, line: &str, body: &Value, status: u16) -> Value {
        let (found, _, text) = self.send("ADMIN_TOKEN", line, body);
        assert_eq!(found, status, "{line}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    #[track_caller]
    fn assert_refused(&self, line: &str, body: &Value, status: u16, code: &str) {
        let answer = self.assert_status(line, body, status);
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }

    /// The actions in the audit log, the newest first.
    fn actions(&self) -> Vec<String> {
        let log = self.assert_status("GET audit", &Value::Null, 200);
        let entries = log["data"].as_array().expect("entries").clone();
        entries.iter().map(|it| it["action"].as_str().expect("text").to_owned()).collect()
    }
}

#[test]
fn text_is_checked_against_a_guard() {
    let isolate = Isolate::new();
    let check = |guard: &str, body: Value| {
        isolate.assert_status(&format!("POST guards/{guard}/check"), &body, 200)
    };
    let blocked = check("terms", json!({ "text": "this is forbidden" }));
    assert_eq!((&blocked["result"], &blocked["phase"]), (&json!("block"), &json!("request")));
    assert_eq!(blocked["findings"].as_array().map(Vec::len), Some(1));
    assert_eq!(check("terms", json!({ "text": "fine" }))["result"], "pass");
    let off = check("terms", json!({ "text": "this is forbidden", "consumer": "acme" }));
    assert_eq!(off["result"], "off");
    let masked = check("pii", json!({ "text": "write to a@example.com!", "phase": "response" }));
    assert_eq!(masked["result"], "mask");
    let text = masked["masked"].as_str().expect("text");
    assert!(text.starts_with("write to ") && !text.contains("a@example.com"), "{text}");
    // A service that cannot be reached is an error, and not a pass.
    let failed = check("judge", json!({ "text": "hello" }));
    assert_eq!(failed["result"], "error");
    assert!(failed["error"].is_string(), "{failed}");
    // Nothing is recorded.
    isolate.fake.run_deferred();
    assert!(isolate.fake.entries().keys().all(|name| !name.starts_with("verdict/")));
    let line = "POST guards/terms/check";
    for body in [json!({}), json!({ "text": " " }), json!({ "text": "x".repeat(16_001) })] {
        isolate.assert_refused(line, &body, 400, "invalid_request");
    }
    isolate.assert_refused(line, &json!({ "text": "x", "phase": "both" }), 400, "invalid_request");
    let unknown = json!({ "text": "x", "consumer": "nobody" });
    isolate.assert_refused(line, &unknown, 404, "consumer_not_found");
    let none = json!({ "text": "x" });
    isolate.assert_refused("POST guards/none/check", &none, 404, "guard_not_found");
    assert_eq!(isolate.send("VIC", line, &none).0, 403);
}

#[test]
fn provider_is_tested_by_one_real_call() {
    let isolate = Isolate::without_guards();
    let line = "POST providers/openai/test";
    isolate.fake.set_response(Some(ANSWER));
    let answer = isolate.assert_status(line, &json!({ "model": "gpt-4o", "key": 1 }), 200);
    assert_eq!((&answer["ok"], &answer["text"]), (&json!(true), &json!("OK")), "{answer}");
    assert_eq!((&answer["status"], &answer["usage_reported"]), (&json!(200), &json!(true)));
    assert_eq!(answer["tokens"], json!({ "input": 7, "output": 2 }));
    assert_eq!(isolate.fake.take_fetches(), 1);
    isolate.fake.set_response(Some(STREAM));
    let body = json!({ "model": "gpt-4o", "stream": true, "prompt": "Say OK." });
    let answer = isolate.assert_status(line, &body, 200);
    assert_eq!((&answer["ok"], &answer["text"]), (&json!(true), &json!("OK")), "{answer}");
    assert!(answer["first_token_ms"].is_u64(), "{answer}");
    let refusal = r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#;
    isolate.fake.set_response(Some(refusal));
    let answer = isolate.assert_status(line, &body, 200);
    assert_eq!((&answer["ok"], &answer["error"]["result"]), (&json!(false), &json!("key_refused")));
    isolate.fake.set_response(None);
    let answer = isolate.assert_status(line, &body, 200);
    assert_eq!(answer["error"]["result"], "connect");
    assert_eq!(isolate.actions(), ["provider.test"; 4]);
    // Tests are neither counted nor logged.
    isolate.fake.run_deferred();
    let books = format!("{:?}", isolate.fake.books());
    assert!(!books.contains("usage/") && !books.contains("metrics/"), "{books}");
}

#[test]
fn unsaved_provider_is_tested_with_a_key_that_stays_nowhere() {
    let isolate = Isolate::without_guards();
    let line = "POST providers/test";
    isolate.fake.set_response(Some(ANSWER));
    let provider = json!({ "id": "deepseek" });
    let body = json!({ "provider": provider, "key": "sk-unsaved-0123", "model": "deepseek-chat" });
    assert_eq!(isolate.assert_status(line, &body, 200)["ok"], true);
    isolate.fake.run_deferred();
    let (entries, books) = (isolate.fake.entries(), isolate.fake.books());
    let stored = format!("{entries:?}{books:?}{:?}", isolate.fake.take_warnings());
    assert!(!stored.contains("sk-unsaved-0123"));
    let wrong = json!({ "provider": { "id": "x", "kind": "nobody" }, "model": "m" });
    isolate.assert_refused(line, &wrong, 422, "invalid_configuration");
    // The gateway's own secrets cannot be sent anywhere.
    let own = json!({ "id": "deepseek", "keys": ["secret:ADMIN_TOKEN"] });
    let own = json!({ "provider": own, "model": "m" });
    isolate.assert_refused(line, &own, 422, "invalid_configuration");
    for body in [
        json!({ "provider": [], "model": "m" }),
        json!({ "provider": provider, "model": " ", "key": "k" }),
    ] {
        isolate.assert_refused(line, &body, 400, "invalid_request");
    }
    assert_eq!(isolate.send("EVE", line, &body).0, 403, "only an owner names an address");
    let none = json!({ "model": "m" });
    isolate.assert_refused("POST providers/none/test", &none, 404, "provider_not_found");
    let key = json!({ "model": "m", "key": 2 });
    isolate.assert_refused("POST providers/openai/test", &key, 400, "invalid_request");
}

#[test]
fn calls_to_providers_are_bounded() {
    let isolate = Isolate::without_guards();
    let line = "GET providers/openai/models";
    isolate.fake.set_response(Some(r#"{"data":[{"id":"a"},{"id":"b"},{"x":1}]}"#));
    let list = isolate.assert_status(line, &Value::Null, 200);
    assert_eq!(list["data"], json!([{ "id": "a" }, { "id": "b" }]));
    isolate.fake.set_response(Some("<html>"));
    isolate.assert_refused(line, &Value::Null, 501, "models_not_offered");
    isolate.fake.set_response(None);
    let unknown = "GET providers/none/models";
    isolate.assert_refused(unknown, &Value::Null, 404, "provider_not_found");
    for _ in 0..8 {
        isolate.assert_refused(line, &Value::Null, 502, "provider_unavailable");
    }
    isolate.fake.take_fetches();
    let (status, headers, text) = isolate.send("VIC", line, &Value::Null);
    assert_eq!(status, 429, "{text}");
    assert!(headers.contains_key("retry-after"));
    let body = json!({ "model": "gpt-4o" });
    isolate.assert_refused("POST providers/openai/test", &body, 429, "too_many_tests");
    assert_eq!(isolate.fake.take_fetches(), 0);
}

/// The data of the events, and the data of the last event, `serin`.
fn events(text: &str) -> (Vec<&str>, Value) {
    let (answer, record) = text.split_once("event: serin\n").expect("a record");
    let record = record.strip_prefix("data: ").and_then(|it| it.strip_suffix("\n\n"));
    let record = serde_json::from_str(record.expect("one event")).expect("JSON");
    (answer.lines().filter_map(|line| line.strip_prefix("data: ")).collect(), record)
}

#[test]
fn try_answers_as_the_consumer_and_ends_with_the_record() {
    let isolate = Isolate::without_guards();
    isolate.fake.set_response(Some(STREAM));
    let messages = json!([{ "role": "user", "content": "Hi" }]);
    let chat = json!({ "model": "gpt-4o", "stream": true, "messages": messages });
    let body = json!({ "consumer": "acme", "request": chat });
    let (status, headers, text) = isolate.send("EVE", "POST try", &body);
    assert_eq!((status, &headers["content-type"].to_str().ok()), (200, &Some("text/event-stream")));
    assert_eq!(headers["x-serin-target"], "openai/gpt-4o");
    assert_eq!(headers["cache-control"], "no-store");
    let (data, record) = events(&text);
    assert_eq!(data.last(), Some(&"[DONE]"), "{text}");
    assert_eq!((&record["consumer"], &record["route"]), (&json!("acme"), &json!("chat")));
    assert_eq!((&record["outcome"], &record["output_tokens"]), (&json!("answered"), &json!(2)));
    assert_eq!(record["attempts"][0]["target"], "openai/gpt-4o");
    isolate.fake.run_deferred();
    // The consumer's limits hold.
    let (status, _, text) = isolate.send("EVE", "POST try", &body);
    let (data, record) = events(&text);
    assert_eq!((status, &record["outcome"]), (429, &json!("refused")), "{text}");
    assert!(data[0].contains("insufficient_quota"), "{text}");
    // A caller without a key has a balance of its own.
    let anonymous = json!({ "request": chat });
    let (status, _, text) = isolate.send("EVE", "POST try", &anonymous);
    assert_eq!((status, &events(&text).1["consumer"]), (200, &json!("anonymous")), "{text}");
    // An answer in one piece becomes one event.
    let whole = json!({ "request": { "model": "nothing", "messages": messages } });
    let (status, _, text) = isolate.send("EVE", "POST try", &whole);
    assert_eq!((status, events(&text).0.len()), (404, 1), "{text}");
    assert_eq!(isolate.actions(), ["try"; 4]);
    let gone = json!({ "consumer": "gone", "request": chat });
    isolate.assert_refused("POST try", &gone, 409, "consumer_disabled");
    isolate.assert_refused("POST try", &json!({ "request": [] }), 400, "invalid_request");
    let uncharged = json!({ "request": {}, "charge": false });
    isolate.assert_refused("POST try", &uncharged, 400, "invalid_request");
    assert_eq!(isolate.send("VIC", "POST try", &anonymous).0, 403);
}

#[test]
fn health_shows_what_cools_down_in_how_many_isolates() {
    let isolate = Isolate::with_document(&json!({
        "auth": { "required": false },
        "providers": [{ "id": "openai", "keys": ["secret:KEY_A", "secret:KEY_B"] }],
        "routes": [{ "id": "chat", "models": ["gpt-*"], "targets": [{ "provider": "openai" }],
            "retries": { "attempts": 0 } }],
    }));
    let fine = isolate.assert_status("GET health", &Value::Null, 200);
    assert_eq!((&fine["targets"], &fine["keys"]), (&json!([]), &json!([])));
    let ask = |isolate: &Isolate| {
        let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "Hi" }] });
        let request =
            Request::post("/v1/chat/completions").header("content-type", "application/json");
        let body = Body::from(Bytes::from(body.to_string()));
        let request = request.body(body).expect("a request");
        let response = block_on(isolate.service.handle(isolate.fake.clone(), request));
        drop(block_on(response.into_body().collect(usize::MAX)));
    };
    // Nothing listens there: the target cools down for everyone.
    (0..8).for_each(|_| ask(&isolate));
    let here = isolate.assert_status("GET health", &Value::Null, 200);
    let target = &here["targets"][0];
    assert_eq!(
        (&target["target"], &target["resting"]),
        (&json!("openai/gpt-4o"), &json!(1)),
        "{here}"
    );
    assert!(target["until"].is_string());
    // Another isolate knows it from the report, which is written with the usage of the next minute.
    isolate.fake.advance(std::time::Duration::from_secs(1));
    isolate.fake.run_deferred();
    let other = Isolate { fake: isolate.fake.clone(), service: Service::default() };
    let there = other.assert_status("GET health", &Value::Null, 200);
    assert!(there["isolates"].as_u64() >= Some(1), "{there}");
    // A refused key is shown by its position, never by its value.
    let refusal = r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#;
    isolate.fake.advance(std::time::Duration::from_secs(60));
    isolate.fake.set_response(Some(refusal));
    (0..2).for_each(|_| ask(&isolate));
    let keys = isolate.assert_status("GET health", &Value::Null, 200);
    assert_eq!(keys["keys"][0]["key"], 0, "{keys}");
    assert!(!keys.to_string().contains("KEY_A"));
    isolate.fake.run_deferred();
    let there = other.assert_status("GET health", &Value::Null, 200);
    assert_eq!(there["isolates"], 1, "{there}");
    isolate.fake.set_ledger_unavailable(true);
    isolate.assert_refused("GET health", &Value::Null, 503, "ledger_unavailable");
}

#[test]
fn secrets_are_listed_by_name_and_place() {
    let isolate = Isolate::without_guards();
    let list = isolate.assert_status("GET secrets", &Value::Null, 200);
    let named = |name: &str| {
        let data = list["data"].as_array().expect("secrets").iter();
        data.clone().find(|it| it["name"] == name).expect("it is listed").clone()
    };
    let places = json!(["providers.openai.keys[1]"]);
    let key = json!({ "name": "KEY_B", "set": true, "reserved": false, "used_by": places });
    assert_eq!(named("KEY_B"), key);
    assert_eq!(named("EVE")["used_by"], json!(["admin.operators.eve.token"]));
    assert_eq!(named("ADMIN_TOKEN")["reserved"], true);
    assert_eq!(isolate.send("EVE", "GET secrets", &Value::Null).0, 403);
    // A served document may name a secret that is not set.
    let missing = Isolate::with_document(&json!({
        "providers": [{ "id": "openai", "keys": ["secret:MISSING"] }],
        "routes": [{ "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }] }],
    }));
    let list = missing.assert_status("GET secrets", &Value::Null, 200);
    let is_missing = |it: &Value| it["name"] == "MISSING" && it["set"] == false;
    assert!(list["data"].as_array().expect("secrets").iter().any(is_missing), "{list}");
}

#[test]
fn admin_api_is_closed_to_other_addresses() {
    let isolate = Isolate::with_document(&json!({
        "server": { "address_header": "x-real-ip" },
        "auth": { "required": false },
        "providers": [{ "id": "ollama" }],
        "routes": [{ "id": "chat", "models": ["m"], "targets": [{ "provider": "ollama" }] }],
        "admin": { "addresses": { "allow": ["10.0.0.0/8"] } },
    }));
    let send = |path: &str, address: &str| {
        let request = Request::get(path).header("authorization", "Bearer ADMIN_TOKEN");
        let request = request.header("x-real-ip", address).body(Body::Empty).expect("a request");
        block_on(isolate.service.handle(isolate.fake.clone(), request)).status().as_u16()
    };
    assert_eq!(send("/admin/v1/consumers", "10.1.2.3"), 200);
    for path in ["/admin/v1/consumers", "/admin/v1/session", "/metrics"] {
        assert_eq!(send(path, "192.0.2.1"), 403, "{path}");
    }
    assert_eq!(send("/v1/models", "192.0.2.1"), 200);
}

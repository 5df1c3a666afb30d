//! Laws of streams under guard: answers are cut, interleaved and spread over choices as they come, and
//! no caller ever gets what may not be said.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use gateway::service::Service;
use guards::settings::{Pii, PiiAction, PiiKind};
use guards::{WordList, pii};
use secret::Secret;
use serde_json::{Value, json};
use sim::upstream::{Script, ScriptEvent, UpstreamSpec};
use sim::world::{HangUp, Received, UPSTREAM, World, splitmix64};

const DOCUMENT: &str = r#"
[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "UPSTREAM/up/v1"
[[routes]]
id = "plain"
models = ["plain"]
targets = [{ provider = "up" }]
[[routes]]
id = "terms"
models = ["terms"]
targets = [{ provider = "up" }]
[[routes]]
id = "narrow"
models = ["narrow"]
targets = [{ provider = "up" }]
[[routes]]
id = "private"
models = ["private"]
targets = [{ provider = "up" }]
[[routes]]
id = "whole"
models = ["whole"]
targets = [{ provider = "up" }]
[[routes]]
id = "stored"
models = ["stored"]
targets = [{ provider = "up" }]
[[consumers]]
id = "app"
keys = ["secret:APP"]
[[guards]]
id = "terms"
kind = "words"
routes = ["terms"]
words = ["forbidden phrase", "bad", "违禁词"]
on_block = { message = "No." }
stream_window = 200
[[guards]]
id = "narrow"
kind = "words"
routes = ["narrow"]
words = ["forbidden phrase", "bad", "违禁词"]
on_block = { message = "No." }
stream_window = 1
on_error = "closed"
[[guards]]
id = "private"
kind = "pii"
routes = ["private"]
detect = ["phone"]
stream_window = 7
[[guards]]
id = "whole"
kind = "words"
routes = ["whole"]
words = ["bad"]
look_at = "all"
[[guards]]
id = "stored"
kind = "words"
routes = ["stored"]
list = "terms"
on_block = { message = "No." }
on_error = "closed"
"#;

const WORDS: [&str; 3] = ["forbidden phrase", "bad", "违禁词"];

fn document() -> String {
    DOCUMENT.replace("UPSTREAM", UPSTREAM)
}

fn gateway() -> Rc<Gateway> {
    let secret = |name: &str| Some(Secret::new(name));
    let config = author::from_toml(&document(), &secret).expect("the document is right");
    Gateway::new(config, GatewaySecrets::lookup(&secret))
}

fn request(model: &str, stream: bool, content: &Value) -> http::Request<Body> {
    let messages = json!([{ "role": "user", "content": content }]);
    post(&json!({ "model": model, "stream": stream, "messages": messages }))
}

fn post(body: &Value) -> http::Request<Body> {
    http::Request::post("/v1/chat/completions")
        .header("authorization", "Bearer APP")
        .header("content-type", "application/json")
        .body(Body::from(Bytes::from(body.to_string())))
        .expect("a request")
}

fn world(script: Script) -> World {
    let spec = UpstreamSpec { script: vec![script], ..UpstreamSpec::default() };
    World::new(7, [("up".to_owned(), spec)].into())
}

fn send_request(script: &Script, request: http::Request<Body>) -> (Received, Value) {
    let world = world(script.clone());
    let gateway = gateway();
    let received = world.play(gateway.handle(world.clone(), request), HangUp::Never);
    let records = world.take_records();
    assert_eq!(records.len(), 1, "one request has one record");
    (received.expect("it ends"), records[0].clone())
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        let (state, number) = splitmix64(self.0);
        self.0 = state;
        number % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

const PIECES: [&str; 22] = [
    "forbidden",
    "forbid",
    "den",
    " ",
    "phrase",
    "phr",
    "ase",
    "bad",
    "ba",
    "d",
    "违",
    "禁",
    "词",
    "\u{200b}",
    "ok ",
    "a longer text that says nothing of note ",
    ". ",
    "\n",
    "138",
    "0013",
    "8000",
    "13800138000 ",
];

/// Data of the events of a stream. `orderly`: no text goes on after another of its choice has begun.
fn events(rng: &mut Rng, orderly: bool) -> Vec<String> {
    let choices = 1 + rng.below(3);
    let mut channel = vec![0_u64; choices as usize];
    let mut events = vec![
        json!({ "id": "x", "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" } }] }).to_string(),
    ];
    for _ in 0..2 + rng.below(40) {
        let choice = rng.below(choices) as usize;
        channel[choice] = match orderly {
            true => (channel[choice] + u64::from(rng.below(8) == 0)).min(3),
            false => rng.below(4),
        };
        let text = (0..rng.below(4)).map(|_| rng.one_of(&PIECES)).collect::<String>();
        let delta = match channel[choice] {
            0 => json!({ "reasoning_content": text }),
            1 => json!({ "content": text }),
            2 => json!({ "refusal": text }),
            _ => json!({ "tool_calls": [{ "index": 0, "function": { "arguments": text } }] }),
        };
        let logprobs = (rng.below(5) == 0).then(|| json!({ "content": [] }));
        let choice =
            json!({ "index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": null });
        events.push(json!({ "id": "x", "choices": [choice] }).to_string());
    }
    for choice in 0..choices {
        let choice =
            json!({ "index": choice, "delta": { "content": "." }, "finish_reason": "stop" });
        events.push(json!({ "id": "x", "choices": [choice] }).to_string());
    }
    events.push("[DONE]".to_owned());
    events
}

/// What each choice says in each way, as a caller puts it together.
fn texts<'a>(data: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for data in data.filter(|data| data.starts_with('{')) {
        let event: Value = serde_json::from_str(data).expect("JSON");
        for choice in event["choices"].as_array().into_iter().flatten() {
            let delta = &choice["delta"];
            let arguments = &delta["tool_calls"][0]["function"]["arguments"];
            for (name, text) in [
                ("reasoning", &delta["reasoning_content"]),
                ("content", &delta["content"]),
                ("refusal", &delta["refusal"]),
                ("arguments", arguments),
            ] {
                let text = text.as_str().unwrap_or_default();
                texts.entry(format!("{} {name}", choice["index"])).or_default().push_str(text);
            }
        }
    }
    texts
}

fn data(body: &str) -> impl Iterator<Item = &str> {
    body.split("\n\n")
        .filter_map(|event| event.trim_start_matches(": ping\n").strip_prefix("data: "))
}

fn script(rng: &mut Rng, events: Vec<String>) -> Script {
    let gap = rng.one_of(&[0_u64, 3, 400, 1_100]);
    Script {
        events: Some(events.into_iter().map(ScriptEvent::from).collect()),
        gap: (gap > 0).then(|| std::time::Duration::from_millis(gap)),
        split: (rng.below(2) == 0).then(|| 1 + rng.below(90) as usize),
        comments: rng.below(3) == 0,
        ..Script::default()
    }
}

#[test]
fn no_split_lets_a_listed_word_through() {
    let lexicon = WordList::new(WORDS);
    let (mut blocked, mut passed) = (0, 0);
    for seed in 0..400 {
        let mut rng = Rng(seed);
        let orderly = seed % 2 == 0;
        let events = events(&mut rng, orderly);
        let said = texts(events.iter().map(String::as_str));
        let is_clean = said.values().all(|text| lexicon.find(text).is_none());
        let script = script(&mut rng, events);
        let (plain, _) = send_request(&script, request("plain", true, &json!("Hello?")));
        for model in ["terms", "narrow"] {
            let (received, record) = send_request(&script, request(model, true, &json!("Hello?")));
            let body = String::from_utf8(received.body().to_vec()).expect("text");
            // A text that goes on after a long break may have been judged at what looked like its end.
            if is_clean && !orderly && record["outcome"] == "blocked" {
                continue;
            }
            if is_clean {
                assert_eq!(body.as_bytes(), &plain.body()[..], "{seed} {model}");
                assert_eq!(record["outcome"], "answered", "{seed} {model}");
                passed += 1;
                continue;
            }
            let ending = body.find("\"from-security-guard\"").expect("it is blocked");
            let ending = body[..ending].rfind("data: ").expect("an event");
            for (strand, text) in texts(data(&body[..ending])) {
                assert_eq!(lexicon.find(&text), None, "{seed} {model} {strand}: {text:?}");
            }
            assert_eq!(
                (&record["outcome"], &record["blocked_by"]),
                (&json!("blocked"), &json!(model))
            );
            assert_eq!(record["guards"].as_array().map(Vec::len), Some(1), "{seed}: {record}");
            assert!(body.ends_with("data: [DONE]\n\n"));
            blocked += 1;
        }
    }
    assert!(blocked > 100 && passed > 100, "{blocked} {passed}");
}

#[test]
fn arguments_are_read_as_whoever_parses_them() {
    for split in [1, 2, 3, 7, 50] {
        let said = r#"{"q": "x \u8fdd\u7981\u8bcd and more of it"}"#;
        let pieces: Vec<char> = said.chars().collect();
        let chunk = |text: &[char]| {
            let text: String = text.iter().collect();
            let call = json!([{ "index": 0, "function": { "arguments": text } }]);
            json!({ "choices": [{ "index": 0, "delta": { "tool_calls": call } }] }).to_string()
        };
        let mut events: Vec<String> = pieces.chunks(split).map(chunk).collect();
        events.push("[DONE]".to_owned());
        let script = Script { events: Some(events.into_iter().map(ScriptEvent::from).collect()), ..Script::default() };
        let (received, record) = send_request(&script, request("narrow", true, &json!("Hello?")));
        let body = String::from_utf8(received.body().to_vec()).expect("text");
        assert_eq!(record["outcome"], "blocked", "{split}: {body}");
        let shown = texts(data(&body)).remove("0 arguments").unwrap_or_default();
        assert!(!shown.contains("8bcd"), "{split}: {shown}");
    }
}

#[test]
fn no_split_lets_a_number_through() {
    let own = Pii {
        detect: vec![PiiKind::Phone],
        custom: Vec::new(),
        action: PiiAction::Replace,
        restore: false,
    };
    let (mut masked, mut passed) = (0, 0);
    for seed in 1_000..1_300 {
        let mut rng = Rng(seed);
        let events = events(&mut rng, true);
        let said = texts(events.iter().map(String::as_str));
        let is_clean = said.values().all(|text| pii::detect(&own, text).is_empty());
        let script = script(&mut rng, events);
        let (plain, _) = send_request(&script, request("plain", true, &json!("Hello?")));
        let (received, record) = send_request(&script, request("private", true, &json!("Hello?")));
        let body = String::from_utf8(received.body().to_vec()).expect("text");
        assert_eq!(record["outcome"], "answered");
        if is_clean {
            assert_eq!(body.as_bytes(), &plain.body()[..], "{seed}");
            passed += 1;
            continue;
        }
        for (strand, text) in texts(data(&body)) {
            assert!(pii::detect(&own, &text).is_empty(), "{seed} {strand}: {text:?}");
        }
        masked += 1;
    }
    assert!(masked > 50 && passed > 50, "{masked} {passed}");
}

#[test]
fn an_answer_that_is_too_long_to_hold_is_not_passed_unread() {
    let filler = "x".repeat(9 << 20);
    let answer = json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": format!("{filler} bad") }, "finish_reason": "stop" }] });
    let script = Script {
        raw: Some(answer.to_string()),
        content_type: Some("application/json".to_owned()),
        split: Some(65_536),
        ..Script::default()
    };
    let status = |received: &Received| received.head.as_ref().expect("a head").0.as_u16();
    let (received, record) = send_request(&script, request("narrow", false, &json!("Hello?")));
    assert_eq!((status(&received), &record["error"]), (503, &json!("guard_unavailable")));
    // A guard that fails open lets it pass, whole, and the record says so.
    let (received, record) = send_request(&script, request("terms", false, &json!("Hello?")));
    assert_eq!((status(&received), received.body().len()), (200, answer.to_string().len()));
    assert_eq!(record["guards"][0]["result"], "error", "{record}");
}

#[test]
fn an_error_says_nothing_that_may_not_be_said() {
    let script: Script = toml::from_str("status = 404\njson = { error = { message = 'so bad' } }")
        .expect("a script");
    let (received, record) = send_request(&script, request("terms", false, &json!("Hello?")));
    assert!(!String::from_utf8_lossy(&received.body()).contains("bad"));
    assert_eq!(record["outcome"], "blocked", "{record}");
    let (received, _) = send_request(&script, request("plain", false, &json!("Hello?")));
    assert!(String::from_utf8_lossy(&received.body()).contains("so bad"));
}

#[test]
fn no_question_hides_from_guards() {
    let script: Script = toml::from_str("answer = 'one two'").expect("a script");
    let blocked = |body: Value| {
        let (received, record) = send_request(&script, post(&body));
        assert!(record["target"].is_null(), "{body}: {record}");
        (received.head.expect("a head").0.as_u16(), record["outcome"].clone())
    };
    let user = |content: &str| json!({ "role": "user", "content": content });
    let assistant = json!({ "role": "assistant", "content": "Sure," });
    // An answer that the caller has begun does not make old what stands before it.
    let body = json!({ "model": "terms", "messages": [user("bad"), assistant] });
    assert_eq!(blocked(body), (200, json!("blocked")));
    // What is nested too deep is no message, whoever fails open.
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let body =
        json!({ "model": "terms", "messages": [{ "role": "user", "content": "bad", "x": deep }] });
    assert_eq!(blocked(body), (400, json!("refused")));
    // Whoever looks at everything looks at what the model reads beside the messages too.
    let tool =
        json!([{ "type": "function", "function": { "name": "f", "description": "so bad" } }]);
    // Properties have names that mean something else in messages, and schemas many levels.
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
        assert_eq!(blocked(body), (200, json!("blocked")), "{member}");
        let mut body = json!({ "model": "terms", "messages": [user("hello")] });
        body[member] = value.clone();
        let (received, _) = send_request(&script, post(&body));
        let said = String::from_utf8(received.body().to_vec()).expect("text");
        assert!(said.contains("one two"), "an application's own words are trusted: {said}");
    }
}

#[test]
fn a_list_that_is_put_blocks() {
    let world = world(toml::from_str("answer = 'one two'").expect("a script"));
    world.deploy(&author::to_json(&document()).expect("the document is right"));
    let station = Service::default();
    let ask = |request: http::Request<Body>| {
        let answer = station.handle(world.clone(), request);
        let received = world.play(answer, HangUp::Never).expect("it ends");
        (received.head.as_ref().expect("a head").0.as_u16(), received.body())
    };
    let question = || request("stored", false, &json!("so  BAD"));
    // The guard is closed: without its list nothing goes.
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

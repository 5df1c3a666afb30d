//! Properties of readers and writers of requests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use protocol::model::{Protocol, Request};
use protocol::request::{
    Options, ReasoningField, SamplingPolicy, Target, ThinkingForm, UnknownPolicy, read_request,
    splice_seals, write_request,
};
use serde_json::{Map, Value, json};

const PROTOCOLS: [Protocol; 3] = [Protocol::Chat, Protocol::Responses, Protocol::Messages];

/// Reads a body, and writes it for each protocol. Each written body must be a request of its protocol.
fn translate_everywhere(protocol: Protocol, body: &[u8]) {
    if let Ok(Some(spliced)) = splice_seals(protocol, body, Some("m")) {
        let is_json = serde_json::from_slice::<Value>(&spliced).is_ok();
        assert!(is_json, "{}", String::from_utf8_lossy(&spliced));
        // Splicing again finds nothing that it has not left on purpose.
        assert_eq!(splice_seals(protocol, &spliced, Some("m")), Ok(None));
    }
    let Ok(request) = read_request(protocol, body) else { return };
    let lossy: Vec<String> = ["messages", "input", "system", "tools", "tool_choice", "n", "stop"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    for to in PROTOCOLS {
        let strict = (Target::new(to), Options::default());
        let mut target = Target::new(to);
        target.seal_maker = Some("m");
        target.accepts_prefill = true;
        target.accepts_cache_breakpoints = true;
        target.accepts_system_turns = true;
        target.accepts_sampling = true;
        target.accepts_custom_tools = false;
        target.reasoning_field = ReasoningField::ReasoningDetails;
        target.thinking_form = ThinkingForm::Budget;
        let options = Options {
            lossy: &lossy,
            unknown: UnknownPolicy::Shed,
            sampling: SamplingPolicy::Shed,
            is_view: false,
        };
        for (target, options) in [strict, (target, options)] {
            if let Ok(written) = write_request(&request, &target, &options) {
                let text = String::from_utf8_lossy(&written.body);
                if let Err(error) = read_request(to, &written.body) {
                    let body = String::from_utf8_lossy(body);
                    panic!("{protocol:?} to {to:?}: {error}\n{body}\n{text}");
                }
                assert!(written.body.len() <= 16 * body.len() + 4096);
                assert!(written.shed.len() <= 64);
            }
        }
    }
}

/// Words of the three protocols, from which bodies are made.
const WORDS: &[&str] = &[
    "messages",
    "input",
    "role",
    "user",
    "assistant",
    "system",
    "tool",
    "content",
    "type",
    "text",
    "message",
    "function_call",
    "function_call_output",
    "call_id",
    "output",
    "arguments",
    "name",
    "tools",
    "function",
    "custom",
    "tool_calls",
    "id",
    "tool_use",
    "tool_result",
    "tool_use_id",
    "input_text",
    "output_text",
    "image_url",
    "url",
    "image",
    "source",
    "base64",
    "media_type",
    "data",
    "thinking",
    "signature",
    "reasoning",
    "summary",
    "encrypted_content",
    "sr1.m.c2ln",
    "sr1.other.c2ln",
    "cache_control",
    "prompt_cache_breakpoint",
    "ttl",
    "1h",
    "tool_choice",
    "auto",
    "required",
    "any",
    "stop",
    "n",
    "max_tokens",
    "parameters",
    "input_schema",
    "{}",
    "",
    " ",
    "data:image/png;base64,AAAA",
    "tool_call_id",
    "document",
    "file",
    "refusal",
    "instructions",
    "reasoning_details",
    "reasoning.text",
    "extra_content",
    "stream",
    "temperature",
    "item_reference",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => ".{0,4}"]
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        6 => word().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    scalar.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((word(), inner), 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Conversation in the form of Chat Completions that all three protocols can express.
#[derive(Clone, Debug)]
struct Exchange {
    user: String,
    has_image: bool,
    answer: Option<String>,
    calls: Vec<(String, i32, String)>,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let text = "[a-zé\"\\\\\n😀]{0,6}[b-z]";
    let calls = vec(("[a-zA-Z_-]{1,9}", any::<i32>(), text), 0..3);
    (text, any::<bool>(), option::of(text), calls).prop_map(|(user, has_image, answer, calls)| {
        let answer = if calls.is_empty() { Some(answer.unwrap_or_default() + "a") } else { answer };
        Exchange { user, has_image, answer, calls }
    })
}

fn chat_body() -> impl Strategy<Value = Value> {
    let controls = (
        option::of("[a-z]{1,5}"),
        option::of(1..9000_u32),
        option::of(0..10_u32),
        option::of(prop::sample::select(&["none", "low", "medium", "high", "xhigh", "max"])),
        any::<[bool; 4]>(),
        option::of("[a-z]{1,64}"),
    );
    (vec(exchange(), 0..4), controls).prop_map(|(exchanges, controls)| {
        let (system, limit, tenths, effort, [stream, tools, serial, schema], end_user) = controls;
        let mut messages = Vec::new();
        if let Some(system) = system {
            messages.push(json!({"role": "system", "content": system}));
        }
        for (index, exchange) in exchanges.iter().enumerate() {
            messages.extend(exchange_messages(index, exchange));
        }
        messages.push(json!({"role": "user", "content": "end"}));
        let mut body = json!({"model": "m", "messages": messages});
        let mut set = |name: &str, value: Value| body[name] = value;
        set("max_completion_tokens", json!(limit.unwrap_or(4096)));
        if let Some(tenths) = tenths {
            set("temperature", json!(f64::from(tenths) / 10.0));
        }
        if let Some(effort) = effort {
            set("reasoning_effort", json!(effort));
        }
        if let Some(end_user) = end_user {
            set("safety_identifier", json!(end_user));
        }
        if stream {
            set("stream", json!(true));
            set("stream_options", json!({"include_usage": true}));
        }
        if tools {
            let function = json!({"name": "f", "description": "d", "strict": false, "parameters": {"type": "object"}});
            set("tools", json!([{"type": "function", "function": function}]));
            set("tool_choice", json!({"type": "function", "function": {"name": "f"}}));
            set("parallel_tool_calls", json!(!serial));
        }
        if schema {
            let schema = json!({"name": "answer", "strict": true, "schema": {"type": "object"}});
            set("response_format", json!({"type": "json_schema", "json_schema": schema}));
        }
        body
    })
}

fn exchange_messages(index: usize, exchange: &Exchange) -> Vec<Value> {
    let content = if exchange.has_image {
        let url = json!({"url": "data:image/png;base64,iVBORw0KGgoA"});
        json!([{"type": "text", "text": exchange.user}, {"type": "image_url", "image_url": url}])
    } else {
        json!(exchange.user)
    };
    let mut answer = json!({"role": "assistant", "content": exchange.answer});
    let mut results = Vec::new();
    for (number, (name, argument, result)) in exchange.calls.iter().enumerate() {
        let id = format!("call_{index}_{number}");
        let arguments = format!("{{ \"x\": {argument}}}");
        let function = json!({"name": name, "arguments": arguments});
        let call = json!({"id": id, "type": "function", "function": function});
        match answer["tool_calls"].as_array_mut() {
            Some(calls) => calls.push(call),
            None => answer["tool_calls"] = json!([call]),
        }
        results.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
    }
    let mut messages = vec![json!({"role": "user", "content": content}), answer];
    if !results.is_empty() {
        messages.extend(results);
        messages.push(json!({"role": "assistant", "content": "after"}));
    }
    messages
}

fn write_for(request: &Request<'_>, protocol: Protocol) -> Vec<u8> {
    let mut target = Target::new(protocol);
    target.accepts_sampling = true;
    let written = write_request(request, &target, &Options::default());
    let written = written.unwrap_or_else(|error| panic!("{error}"));
    // Members that only tell the provider how to answer this gateway.
    let shed: Vec<_> =
        written.shed.iter().filter(|path| *path != "store" && *path != "include").collect();
    assert!(shed.is_empty(), "{shed:?}");
    written.body
}

proptest! {
    #[test]
    fn any_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        for protocol in PROTOCOLS {
            translate_everywhere(protocol, &bytes);
        }
    }

    #[test]
    fn any_json_is_translated_to_requests_or_refused(
        messages in vec(any_json(), 0..4),
        mut body in any_json(),
    ) {
        for protocol in PROTOCOLS {
            translate_everywhere(protocol, body.to_string().as_bytes());
            let name = if protocol == Protocol::Responses { "input" } else { "messages" };
            if let Some(members) = body.as_object_mut() {
                members.insert(name.to_owned(), json!(messages));
                translate_everywhere(protocol, body.to_string().as_bytes());
            }
        }
    }

    #[test]
    fn damaged_golden_bodies_do_not_panic(
        case in 0..1000_usize,
        (cut, length) in (any::<prop::sample::Index>(), 0..12_usize),
        piece in prop::sample::select(WORDS),
    ) {
        let cases: Vec<Value> = serde_json::from_str(include_str!("golden/requests.json")).unwrap();
        let text = cases[case % cases.len()]["body"].to_string();
        let mut letters: Vec<char> = text.chars().collect();
        let start = cut.index(letters.len());
        let end = (start + length).min(letters.len());
        letters.splice(start..end, piece.chars());
        let text: String = letters.into_iter().collect();
        for protocol in PROTOCOLS {
            translate_everywhere(protocol, text.as_bytes());
        }
    }

    #[test]
    fn grafted_golden_bodies_do_not_panic(
        grafts in vec(any::<[prop::sample::Index; 3]>(), 1..4),
        case in any::<prop::sample::Index>(),
    ) {
        let cases: Vec<Value> = serde_json::from_str(include_str!("golden/requests.json")).unwrap();
        let mut body = cases[case.index(cases.len())]["body"].clone();
        for [donor, from, to] in grafts {
            let donor = &cases[donor.index(cases.len())]["body"];
            let mut nodes = Vec::new();
            list_nodes(donor, String::new(), &mut nodes);
            let node = donor.pointer(&nodes[from.index(nodes.len())]).unwrap().clone();
            let mut nodes = Vec::new();
            list_nodes(&body, String::new(), &mut nodes);
            *body.pointer_mut(&nodes[to.index(nodes.len())]).unwrap() = node;
        }
        let text = body.to_string();
        for protocol in PROTOCOLS {
            translate_everywhere(protocol, text.as_bytes());
        }
    }

    #[test]
    fn request_is_equal_after_same_protocol(body in chat_body()) {
        let body = body.to_string();
        let chat = read_request(Protocol::Chat, body.as_bytes()).unwrap();
        for protocol in PROTOCOLS {
            let first = write_for(&chat, protocol);
            let request = read_request(protocol, &first).unwrap();
            let second = write_for(&request, protocol);
            prop_assert_eq!(read_request(protocol, &second).unwrap(), request);
        }
    }

    #[test]
    fn request_is_equal_there_and_back(body in chat_body()) {
        let body = body.to_string();
        let chat = read_request(Protocol::Chat, body.as_bytes()).unwrap();
        for protocol in PROTOCOLS {
            let there = write_for(&chat, protocol);
            let request = read_request(protocol, &there).unwrap();
            let back = write_for(&request, Protocol::Chat);
            let again = read_request(Protocol::Chat, &back).unwrap();
            prop_assert_eq!(&again, &chat, "{:?}: {}", protocol, String::from_utf8_lossy(&there));
        }
    }
}

/// Lists the JSON pointers of a value and of all values in it.
fn list_nodes(value: &Value, pointer: String, nodes: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                list_nodes(value, format!("{pointer}/{name}"), nodes);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                list_nodes(value, format!("{pointer}/{index}"), nodes);
            }
        }
        _ => {}
    }
    nodes.push(pointer);
}

/// Body whose every list has `count` elements.
fn long_body(protocol: Protocol, count: usize) -> String {
    let (mut items, mut tools, mut names) = (String::new(), String::new(), String::new());
    for index in 0..count {
        let comma = if index == 0 { "" } else { "," };
        let item = match protocol {
            Protocol::Chat => format!(
                r#"{{"role":"assistant","tool_calls":[{{"id":"c{index}","function":{{"name":"f","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"c{index}","content":"\n"}}"#
            ),
            Protocol::Responses => format!(
                r#"{{"type":"custom_tool_call","call_id":"c{index}","name":"f","input":"\n"}},{{"type":"custom_tool_call_output","call_id":"c{index}","output":"x"}}"#
            ),
            Protocol::Messages => format!(
                r#"{{"role":"assistant","content":[{{"type":"tool_use","id":"c{index}","name":"f","input":{{}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"c{index}","content":"x"}},{{"type":"text","text":"\n","cache_control":{{}}}}]}}"#
            ),
        };
        items += &format!("{comma}{item}");
        let tool = match protocol {
            Protocol::Chat => {
                format!(r#"{{"type":"function","function":{{"name":"t{index}","u{index}":1}}}}"#)
            }
            Protocol::Responses => format!(r#"{{"type":"custom","name":"t{index}"}}"#),
            Protocol::Messages => format!(r#"{{"name":"t{index}","u{index}":1}}"#),
        };
        tools += &format!("{comma}{tool}");
        names += &format!(r#"{comma}{{"type":"custom","name":"t{index}"}}"#);
    }
    let list = if protocol == Protocol::Responses { "input" } else { "messages" };
    let choice = match protocol {
        Protocol::Responses => {
            format!(r#","tool_choice":{{"type":"allowed_tools","tools":[{names}]}}"#)
        }
        Protocol::Chat | Protocol::Messages => String::new(),
    };
    let unknown: String = (0..count).map(|index| format!(r#","v{index}":{index}"#)).collect();
    format!(r#"{{"{list}":[{items}],"tools":[{tools}]{choice}{unknown}}}"#)
}

#[test]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the test measures time")]
fn time_grows_with_the_body() {
    let options = Options { unknown: UnknownPolicy::Shed, ..Options::default() };
    let run = |protocol: Protocol, to: Protocol, count: usize| {
        let body = long_body(protocol, count);
        let times = (0..3).map(|_| {
            let start = std::time::Instant::now();
            let request = read_request(protocol, body.as_bytes()).unwrap();
            write_request(&request, &Target::new(to), &options).unwrap();
            start.elapsed()
        });
        times.min().unwrap_or_default()
    };
    for protocol in PROTOCOLS {
        for to in PROTOCOLS {
            // Four times the body takes 4 times the time if it is linear, and 16 times if quadratic. Other
            // work of the machine disturbs single measurements.
            let is_linear = (0..5).any(|_| {
                let [small, middle, large] = [200, 400, 800].map(|count| run(protocol, to, count));
                large < small * 8 && middle < small * 4
            });
            assert!(is_linear, "{protocol:?} to {to:?}");
        }
    }
}

#[test]
fn nesting_and_number_of_parts_are_bounded() {
    let deep = format!(r#"{{"messages":[],"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert!(read_request(Protocol::Chat, deep.as_bytes()).is_err());
    let brackets = format!(r#"{{"messages":[],"x":"{}"}}"#, "[\\\"".repeat(200));
    assert!(read_request(Protocol::Chat, brackets.as_bytes()).is_ok());
    let parts = vec![r#"{"role":"user","content":""}"#; 100_001].join(",");
    let many = format!(r#"{{"messages":[{parts}]}}"#);
    assert!(read_request(Protocol::Chat, many.as_bytes()).is_err());
}

#[test]
fn member_that_appears_twice_is_invalid() {
    for body in [
        r#"{"messages":[],"model":"a","model":"b"}"#,
        r#"{"messages":[{"role":"user","content":"a","content":"b"}]}"#,
        r#"{"messages":[],"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"\u0061":2}"#,
    ] {
        let error = read_request(Protocol::Chat, body.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }
}

#[test]
fn numbers_and_schemas_keep_their_text() {
    let schema = r#"{ "type" : "object", "minimum":1.50 }"#;
    let body = format!(
        r#"{{"messages":[],"temperature":1.00,"response_format":{{"type":"json_schema","json_schema":{{"name":"a","schema":{schema}}}}},"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#
    );
    let request = read_request(Protocol::Chat, body.as_bytes()).unwrap();
    for to in PROTOCOLS {
        let mut target = Target::new(to);
        target.accepts_sampling = true;
        let written = write_request(&request, &target, &Options::default()).unwrap();
        let text = String::from_utf8(written.body).unwrap();
        assert_eq!(text.matches(schema).count(), 2, "{text}");
        assert!(text.contains("\"temperature\":1.00"), "{text}");
    }
}

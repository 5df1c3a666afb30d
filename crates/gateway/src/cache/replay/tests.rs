use bytes::Bytes;
use civil_time::Timestamp;
use openai::Endpoint::{self, ChatCompletions, Completions, Embeddings};
use serde_json::{Value, json};

use crate::cache::{CacheEntry, CacheEntryHead, StoredTokens};
use crate::upstream::wrapping::first_choice_text;

use super::{Replay, ReplayOptions, is_complete};

fn kept(stream: bool, body: &str) -> CacheEntry {
    let times = (Timestamp::from_millis(1), Timestamp::from_millis(2));
    let names = ("chat".to_owned(), "app".to_owned(), "openai/gpt-4o".to_owned());
    let spent = StoredTokens {
        input: 9,
        output: 4,
        cached: 3,
        cache_write: 0,
        reasoning: 1,
        reported: true,
    };
    CacheEntry::new(
        CacheEntryHead::new(times, names, stream, spent),
        Bytes::copy_from_slice(body.as_bytes()),
    )
}

fn replay(
    entry: &CacheEntry,
    endpoint: Endpoint,
    stream: bool,
    usage: bool,
    piecewise: bool,
) -> Option<Replay> {
    Replay::from_entry(
        entry,
        ReplayOptions {
            endpoint,
            stream,
            include_usage: usage,
            id: "fresh",
            split_text: piecewise,
        },
    )
}

/// The replay as a whole answer.
#[track_caller]
fn whole(entry: &CacheEntry, endpoint: Endpoint) -> Value {
    match replay(entry, endpoint, false, false, false) {
        Some(Replay::Whole(bytes)) => serde_json::from_slice(&bytes).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

/// The chunks of a replayed stream, which must end with `[DONE]`.
#[track_caller]
fn chunks(entry: &CacheEntry, endpoint: Endpoint, usage: bool, piecewise: bool) -> Vec<Value> {
    let Some(Replay::Events(events)) = replay(entry, endpoint, true, usage, piecewise) else {
        panic!("no events")
    };
    let (last, chunks) = events.split_last().expect("events");
    assert_eq!(last, "data: [DONE]\n\n");
    let chunk = |event: &Bytes| {
        let text = str::from_utf8(event).expect("text");
        let data = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n"));
        serde_json::from_str(data.expect("one line of data")).expect("JSON")
    };
    chunks.iter().map(chunk).collect()
}

fn events(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

fn chunk(choices: Value) -> Value {
    json!({
        "id": "chatcmpl-old", "object": "chat.completion.chunk", "created": 7, "model": "gpt-4o",
        "novelty": { "deep": 1 }, "choices": choices
    })
}

/// Two interleaved choices, reasoning, a refusal, log probabilities, two tools, unknown members.
fn rich() -> Vec<Value> {
    let of = |index: u64, delta: Value| {
        chunk(json!([{ "index": index, "delta": delta, "finish_reason": null }]))
    };
    vec![
        chunk(json!([])),
        of(0, json!({ "role": "assistant", "content": "" })),
        of(1, json!({ "role": "assistant", "content": null })),
        of(0, json!({ "reasoning_content": "Hm" })),
        of(0, json!({ "reasoning_content": "m", "content": null })),
        chunk(
            json!([{ "index": 0, "delta": { "content": "Hello" }, "logprobs": { "content": [{ "token": "Hello" }], "refusal": null } }]),
        ),
        chunk(
            json!([{ "index": 0, "delta": { "content": " \"you\"\n" }, "logprobs": { "content": [{ "token": " you" }] } }]),
        ),
        of(
            1,
            json!({ "tool_calls": [{ "index": 0, "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "" } }] }),
        ),
        of(
            1,
            json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"a\"" } }, { "index": 1, "id": "call_2", "type": "function", "function": { "name": "g", "arguments": "{" } }] }),
        ),
        // Some servers repeat the name in every piece.
        of(
            1,
            json!({ "tool_calls": [{ "index": 0, "id": "call_1", "type": "function", "function": { "name": "f", "arguments": ":1}" } }] }),
        ),
        of(1, json!({ "tool_calls": [{ "index": 1, "function": { "arguments": "}" } }] })),
        of(0, json!({ "odd": ["x"] })),
        chunk(
            json!([{ "index": 0, "delta": { "odd": ["y"] }, "finish_reason": "stop", "extra": true }]),
        ),
        chunk(json!([{ "index": 1, "delta": {}, "finish_reason": "tool_calls" }])),
    ]
}

fn expected() -> Value {
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    json!({
        "id": "chatcmpl-fresh", "object": "chat.completion", "created": 7, "model": "gpt-4o",
        "novelty": { "deep": 1 },
        "choices": [
            {
                "index": 0, "finish_reason": "stop", "extra": true,
                "message": { "role": "assistant", "content": "Hello \"you\"\n", "reasoning_content": "Hmm", "odd": ["x", "y"] },
                "logprobs": { "content": [{ "token": "Hello" }, { "token": " you" }], "refusal": null },
            },
            {
                "index": 1, "finish_reason": "tool_calls",
                "message": { "role": "assistant", "content": null, "tool_calls": [call("call_1", "f", "{\"a\":1}"), call("call_2", "g", "{}")] },
            },
        ],
        "usage": {
            "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
            "prompt_tokens_details": { "cached_tokens": 3 },
            "completion_tokens_details": { "reasoning_tokens": 1 },
        },
    })
}

#[test]
fn stream_replays_as_whole_answer() {
    let stream = events(&rich());
    for text in
        [stream.clone(), stream.replace('\n', "\r\n"), format!(": hello\n\n{}", stream.trim_end())]
    {
        assert_eq!(whole(&kept(true, &text), ChatCompletions), expected());
    }
    // The answer's own usage takes precedence over the recorded tokens.
    let mut with_usage = rich();
    with_usage.push(json!({ "id": "x", "choices": [], "usage": { "prompt_tokens": 1 } }));
    let served = whole(&kept(true, &events(&with_usage)), ChatCompletions);
    assert_eq!(served["usage"], json!({ "prompt_tokens": 1 }));
    // Estimated tokens are not shown as the provider's usage.
    let mut estimated = kept(true, &stream);
    estimated.head.spent.reported = false;
    assert_eq!(whole(&estimated, ChatCompletions).get("usage"), None);
    assert!(
        chunks(&estimated, ChatCompletions, true, false)
            .iter()
            .all(|chunk| chunk["usage"].is_null())
    );
}

/// Conversions between the forms, in any order, keep the answer.
#[test]
fn conversion_there_and_back_keeps_the_answer() {
    for piecewise in [false, true] {
        let entry = kept(false, &expected().to_string());
        let served = chunks(&entry, ChatCompletions, true, piecewise);
        assert!(
            served.iter().all(|chunk| chunk["id"] == "chatcmpl-fresh"
                && chunk["object"] == "chat.completion.chunk")
        );
        assert_eq!(served[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
        assert_eq!(whole(&kept(true, &events(&served)), ChatCompletions), expected());
        let without = chunks(&entry, ChatCompletions, false, piecewise);
        assert_eq!(without.len() + 1, served.len());
        assert!(without.iter().all(|chunk| chunk.get("usage").is_none()));
    }
}

#[test]
fn stream_replays_as_stream_byte_for_byte() {
    let stream = ": hello\n\ndata: {\"id\" : \"chatcmpl-old\",\"choices\":[{\"index\":0, \"delta\":{\"id\":\"y\",\"content\":\"a\\u00e9\"}}],\"new\":1.50}\r\n\r\ndata: {\"id\":\"chatcmpl-old\",\"choices\":[ ],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\ndata: never\n\n";
    let serve = |usage| match replay(&kept(true, stream), ChatCompletions, true, usage, false) {
        Some(Replay::Events(events)) => String::from_utf8(events.concat()).expect("text"),
        other => panic!("{other:?}"),
    };
    let first = "data: {\"id\" : \"chatcmpl-fresh\",\"choices\":[{\"index\":0, \"delta\":{\"id\":\"y\",\"content\":\"a\\u00e9\"}}],\"new\":1.50}\n\n";
    let usage =
        "data: {\"id\":\"chatcmpl-fresh\",\"choices\":[ ],\"usage\":{\"prompt_tokens\":1}}\n\n";
    assert_eq!(serve(false), format!("{first}data: [DONE]\n\n"));
    assert_eq!(serve(true), format!("{first}{usage}data: [DONE]\n\n"));
    // The first caller did not request usage, so it was hidden; the next one does.
    let served = chunks(&kept(true, &events(&rich())), ChatCompletions, true, false);
    let last = served.last().expect("chunks");
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &expected()["usage"]));
    assert_eq!((&last["id"], &last["created"]), (&json!("chatcmpl-fresh"), &json!(7)));
}

#[test]
fn whole_answer_replays_as_whole_answer() {
    let body = r#"{ "choices":[{"message":{"content":"\u00e9"}}], "id": "chatcmpl-old","x":1.0}"#;
    let served =
        |body: &str, endpoint| match replay(&kept(false, body), endpoint, false, false, false) {
            Some(Replay::Whole(bytes)) => String::from_utf8(bytes.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        };
    assert_eq!(served(body, ChatCompletions), body.replace("chatcmpl-old", "chatcmpl-fresh"));
    assert_eq!(
        served(&body.replace("chatcmpl-old", "cmpl-old"), Completions),
        body.replace("chatcmpl-old", "cmpl-fresh")
    );
    for body in [r#"{"data":[],"id":"embd-1"}"#, r#"{"data":[]}"#] {
        assert_eq!(served(body, Embeddings), body);
    }
}

#[test]
fn completions_convert_both_ways() {
    let part = |index: u64, text: &str, finish: Value| json!({ "id": "cmpl-old", "object": "text_completion", "choices": [{ "index": index, "text": text, "finish_reason": finish }] });
    let stream = [
        part(1, "b", Value::Null),
        part(0, "a ", Value::Null),
        part(0, "c", json!("stop")),
        part(1, "", json!("length")),
    ];
    let served = whole(&kept(true, &events(&stream)), Completions);
    let expected = json!([
        { "index": 0, "text": "a c", "finish_reason": "stop" },
        { "index": 1, "text": "b", "finish_reason": "length" },
    ]);
    assert_eq!(
        (&served["choices"], &served["id"], &served["object"]),
        (&expected, &json!("cmpl-fresh"), &json!("text_completion"))
    );
    let again = chunks(&kept(false, &served.to_string()), Completions, false, true);
    assert_eq!(whole(&kept(true, &events(&again)), Completions)["choices"], expected);
}

#[test]
fn inconvertible_entry_is_not_replayed() {
    let refused = |stream, body: &str, as_stream| {
        assert_eq!(
            replay(&kept(stream, body), ChatCompletions, as_stream, true, false),
            None,
            "{body}"
        );
    };
    for body in ["", "x", "[]", "null"] {
        refused(false, body, false);
        refused(false, body, true);
    }
    refused(false, "{}", true);
    refused(false, r#"{"choices":[{"text":"a"}]}"#, true);
    for body in ["data: {oops\n\ndata: [DONE]\n\n", "data: []\n\n"] {
        refused(true, body, true);
        refused(true, body, false);
    }
    refused(true, "data: [DONE]\n\n", false);
    // An `index` that is no number would be lost among the numbers of a stream.
    let call = |index: &str| {
        let call = format!(r#"{{"index":{index},"id":"a"}}"#);
        format!(r#"{{"choices":[{{"message":{{"tool_calls":[{call}]}}}}]}}"#)
    };
    for index in ["{\"a\":\"b\"}", "\"0\"", "[0]", "true"] {
        refused(false, &call(index), true);
    }
    for index in ["7", "-1", "null"] {
        assert_ne!(replay(&kept(false, &call(index)), ChatCompletions, true, true, false), None);
    }
    assert_eq!(replay(&kept(false, r#"{"data":[]}"#), Embeddings, true, false, false), None);
}

#[track_caller]
fn assert_complete(endpoint: Endpoint, stream: bool, body: &str, expected: bool) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    assert_eq!(is_complete(endpoint, stream, &body, false), expected, "{body:?}");
}

#[test]
fn only_complete_answers_are_stored() {
    assert_complete(ChatCompletions, true, &events(&rich()), true);
    assert_complete(ChatCompletions, false, &expected().to_string(), true);
    assert_complete(Embeddings, false, r#"{"data":[{"embedding":[0.1]}]}"#, true);
    assert_complete(Embeddings, false, r#"{"data":null}"#, false);
    // A choice that never ended, one that was filtered, an error in place of an answer.
    let rich = rich();
    assert_complete(ChatCompletions, true, &events(&rich[..rich.len() - 1]), false);
    assert_complete(ChatCompletions, true, "data: [DONE]\n\n", false);
    for reason in ["\"content_filter\"", "\"error\"", "null", "\"\""] {
        assert_complete(
            ChatCompletions,
            false,
            &format!(r#"{{"choices":[{{"finish_reason":{reason}}}]}}"#),
            false,
        );
    }
    assert_complete(
        ChatCompletions,
        false,
        r#"{"choices":[{"finish_reason":"stop"}],"error":{"message":"x"}}"#,
        false,
    );
    for body in ["", "{}", "[]", "{\"choices\":[]}", "{\"choices\":[{}]}", "<html>"] {
        assert_complete(ChatCompletions, false, body, false);
    }
    let short = Bytes::from_static(br#"{"choices":[{"text":"a","finish_reason":"length"}]}"#);
    assert!(is_complete(ChatCompletions, false, &short, false));
    assert!(!is_complete(ChatCompletions, false, &short, true), "the gateway made it short");
}

#[test]
fn empty_answers_are_not_stored() {
    let whole = |message: &str| {
        format!(r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}]}}"#)
    };
    for (message, expected) in [
        (r#"{"role":"assistant","content":""}"#, false),
        (r#"{"role":"assistant","content":null,"tool_calls":[]}"#, false),
        (r#"{"role":"assistant","content":"","reasoning_content":"hm"}"#, false),
        (r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c"}]}"#, true),
        (r#"{"role":"assistant","content":null,"refusal":"no"}"#, true),
        (r#"{"role":"assistant","content":"a"}"#, true),
    ] {
        assert_complete(ChatCompletions, false, &whole(message), expected);
        let delta = whole(message).replace("message", "delta");
        assert_complete(ChatCompletions, true, &format!("data: {delta}\n\n"), expected);
    }
    let text = r#"{"choices":[{"text":"","finish_reason":"stop"}]}"#;
    assert_complete(Completions, false, text, false);
    let two = r#"{"choices":[{"text":"a","finish_reason":"stop"},{"index":1,"text":"","finish_reason":"stop"}]}"#;
    assert_complete(Completions, false, two, false);
}

#[test]
fn first_choice_text_is_the_answers_text() {
    let of =
        |stream, body: &str| first_choice_text(stream, &Bytes::copy_from_slice(body.as_bytes()));
    assert_eq!(of(true, &events(&rich())).as_deref(), Some("Hello \"you\"\n"));
    assert_eq!(of(false, &expected().to_string()).as_deref(), Some("Hello \"you\"\n"));
    let calls = json!({ "choices": [{ "message": { "content": "x", "tool_calls": [{}] } }] });
    for body in [
        calls.to_string(),
        "{}".to_owned(),
        r#"{"choices":[{"message":{"content":""}}]}"#.to_owned(),
    ] {
        assert_eq!(of(false, &body), None);
    }
}

/// Stream of a chat whose deltas have these values of a member, and the finish.
fn stream_of(name: &str, values: &[Value]) -> String {
    let mut all: Vec<Value> = values
        .iter()
        .map(|value| {
            chunk(json!([{ "index": 0, "delta": { name: value }, "finish_reason": null }]))
        })
        .collect();
    all.push(chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }])));
    events(&all)
}

#[test]
fn parts_of_content_are_kept_or_not_replayed_as_a_whole() {
    let part = |text: &str| json!([{ "type": "text", "text": text }]);
    let told = |name: &str, values: &[Value]| {
        let entry = kept(true, &stream_of(name, values));
        match replay(&entry, ChatCompletions, false, false, false) {
            Some(Replay::Whole(bytes)) => {
                let whole: Value = serde_json::from_slice(&bytes).expect("JSON");
                Some(whole["choices"][0]["message"][name].clone())
            }
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    };
    let both = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
    assert_eq!(told("content", &[part("a"), part("b")]), Some(both.clone()));
    assert_eq!(
        told("content", &[json!(""), part("a"), Value::Null, part("b"), json!("")]),
        Some(both)
    );
    // A list, a text, or an object in the place of another kind would be lost.
    for values in [
        [part("a"), json!("b")],
        [json!("a"), part("b")],
        [json!({ "a": 1 }), json!("b")],
        [json!([{ "index": 0, "a": 1 }]), part("b")],
    ] {
        assert_eq!(told("content", &values), None, "{values:?}");
        assert_eq!(told("new", &values), None, "{values:?}");
        let entry = kept(true, &stream_of("content", &values));
        assert!(
            replay(&entry, ChatCompletions, true, false, false).is_some(),
            "as a stream it is whole"
        );
    }
    assert_eq!(told("role", &[json!("assistant"), json!("user")]), None);
}

/// Total length of the events of a replay.
fn events_bytes(answer: &Value, piecewise: bool) -> Option<usize> {
    match replay(&kept(false, &answer.to_string()), ChatCompletions, true, true, piecewise)? {
        Replay::Events(events) => Some(events.iter().map(Bytes::len).sum()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stream_is_not_many_times_longer_than_its_answer() {
    let choice = |index: usize, text: &str| json!({ "index": index, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" });
    let choices: Vec<Value> = (0..64).map(|index| choice(index, "x")).collect();
    // An unknown member is sent once.
    let novelty = "n".repeat(200_000);
    let answer =
        json!({ "id": "a", "model": "m", "created": 1, "novelty": novelty, "choices": choices });
    assert!(events_bytes(&answer, true).expect("a stream") < 250_000);
    let served = chunks(&kept(false, &answer.to_string()), ChatCompletions, false, false);
    assert_eq!((&served[0]["novelty"], &served[1]["novelty"]), (&json!(novelty), &Value::Null));
    assert!(served.iter().all(|chunk| chunk["model"] == "m" && chunk["id"] == "chatcmpl-fresh"));
    // A long model is unknown too.
    let answer = json!({ "id": "a", "model": novelty, "choices": choices });
    assert!(events_bytes(&answer, true).expect("a stream") < 250_000);
    // A long text has longer pieces.
    let text = "word ".repeat(100_000);
    let length =
        events_bytes(&json!({ "id": "a", "model": "m", "choices": [choice(0, &text)] }), true);
    assert!(length.expect("a stream") < 6 * text.len());
    // Very many choices are not told.
    let choices: Vec<Value> = (0..40_000).map(|_| json!({ "message": {} })).collect();
    assert_eq!(events_bytes(&json!({ "id": "a".repeat(200), "choices": choices }), false), None);
}

#[test]
fn events_of_a_replay_are_each_on_one_line() {
    let answer = "{\r\n \"id\": \"a\",\r\n \"new\": [\n1,\r 2],\r\n \"choices\": [\n{\"message\": {\"content\": \"a\\nb\",\n\"more\": [\r]}}]}\n";
    let Some(Replay::Events(events)) =
        replay(&kept(false, answer), ChatCompletions, true, false, false)
    else {
        panic!("no events")
    };
    let text = String::from_utf8(events.concat()).expect("text");
    assert!(!text.contains('\r'), "{text:?}");
    assert!(
        text.split_terminator("\n\n")
            .all(|event| event.starts_with("data: ") && !event.contains('\n'))
    );
}

proptest::proptest! {
    /// Neither conversion panics, whatever an upstream has sent, and what is converted is JSON.
    #[test]
    fn replay_of_any_bytes_is_json_or_nothing(
        pieces in proptest::collection::vec(piece(), 0..12),
        endpoint in proptest::prop_oneof![
            proptest::prelude::Just(ChatCompletions), proptest::prelude::Just(Completions), proptest::prelude::Just(Embeddings)
        ],
        stored in proptest::prelude::any::<bool>(),
    ) {
        let body = pieces.concat();
        let entry = kept(stored, &body);
        for (stream, usage, piecewise) in [(true, true, true), (true, false, false), (false, true, false)] {
            match replay(&entry, endpoint, stream, usage, piecewise) {
                Some(Replay::Whole(bytes)) => {
                    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).expect("JSON");
                }
                Some(Replay::Events(events)) => {
                    for event in events {
                        let event = str::from_utf8(&event).expect("text");
                        let data = event.strip_prefix("data: ").expect("data");
                        let data = data.replace("\ndata: ", "\n");
                        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&data).is_ok();
                        proptest::prop_assert!(is_json || data == "[DONE]\n\n", "{data:?}");
                    }
                }
                None => {}
            }
        }
        is_complete(endpoint, stored, &entry.body, false);
        first_choice_text(stored, &entry.body);
    }

    /// Texts, tool calls and unknown members survive both conversions.
    #[test]
    fn streams_keep_what_they_hold_there_and_back(
        texts in proptest::collection::vec("[a-z \\n\"é]{0,6}", 1..8),
        arguments in proptest::collection::vec("[a-z{}\"]{0,4}", 0..5),
        piecewise in proptest::prelude::any::<bool>(),
    ) {
        let mut all: Vec<Value> = Vec::new();
        for text in &texts {
            all.push(chunk(json!([{ "index": 0, "delta": { "content": text, "odd": [text] }, "logprobs": { "content": [{ "token": text }] } }])));
        }
        for argument in &arguments {
            all.push(chunk(json!([{ "index": 1, "delta": { "tool_calls": [{ "index": 3, "function": { "arguments": argument } }] } }])));
        }
        for index in 0..=u64::from(!arguments.is_empty()) {
            all.push(chunk(json!([{ "index": index, "delta": {}, "finish_reason": "stop" }])));
        }
        let first = whole(&kept(true, &events(&all)), ChatCompletions);
        let message = &first["choices"][0]["message"];
        proptest::prop_assert_eq!(&message["content"], &json!(texts.concat()));
        proptest::prop_assert_eq!(&message["odd"], &json!(texts));
        if !arguments.is_empty() {
            let call = &first["choices"][1]["message"]["tool_calls"][0];
            proptest::prop_assert_eq!(call, &json!({ "function": { "arguments": arguments.concat() } }));
        }
        let again = chunks(&kept(false, &first.to_string()), ChatCompletions, false, piecewise);
        let second = whole(&kept(true, &events(&again)), ChatCompletions);
        proptest::prop_assert_eq!(second, first);
    }
}

/// Piece of a stream or of an answer, whole or broken.
fn piece() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let value = prop_oneof![
        Just("null"),
        Just("\"\""),
        Just("\"a\\n\""),
        Just("\"\\ud83d\""),
        Just("0"),
        Just("1e999"),
        Just("-1"),
        Just("[]"),
        Just("{}"),
        Just("[{\"index\":0,\"a\":\"b\"},{\"index\":0}]"),
        Just("[1]"),
        Just("{\"content\":\"x\"}"),
        Just(
            "{\"role\":\"assistant\",\"content\":[{\"text\":\"x\"}],\"tool_calls\":[{\"index\":1},7]}"
        ),
        Just("{\"content\":"),
    ];
    let name = prop_oneof![
        Just("index"),
        Just("delta"),
        Just("message"),
        Just("text"),
        Just("logprobs"),
        Just("finish_reason"),
        Just("new"),
    ];
    let choice = proptest::collection::vec((name, value.clone()), 0..4).prop_map(|members| {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    });
    let answer = (proptest::collection::vec(choice, 0..3), value, any::<bool>()).prop_map(
        |(choices, other, is_event)| {
            let json =
                format!("{{\"id\":{other},\"choices\":[{}],\"usage\":{other}}}", choices.join(","));
            if is_event { format!("data: {json}\n\n") } else { json }
        },
    );
    prop_oneof![8 => answer, 1 => "\\PC{0,12}", 1 => Just("data: [DONE]\n\n".to_owned()), 1 => Just("\r\n".to_owned())]
}

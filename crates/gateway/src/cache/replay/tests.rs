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

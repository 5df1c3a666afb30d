//! Golden cases of streams, and their independence of the split into pieces.

use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::sample::Index;
use protocol::model::Protocol;
use protocol::stream::{MAX_HELD_BYTES, StreamWriter};
use serde_json::{Value, json};

use crate::support::{contains, context, events, protocol, stream_bytes, translate};

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("data/streams.json")).expect("the cases are JSON")
}

#[test]
fn golden_streams_are_translated() {
    for case in cases() {
        let bytes = stream_bytes(&case["events"]);
        let own = translate(protocol(&case["from"]), protocol(&case["to"]), [bytes.as_slice()]);
        let own = json!(events(&own));
        let title = format!("case {} ({})", case["case"], case["name"]);
        let expected = case["expect"].as_array().expect("expectations");
        for (at, expected) in expected.iter().enumerate() {
            assert!(contains(&own[at], expected), "{title}: event {at} is {:#}", own[at]);
        }
        assert_eq!(own.as_array().map(Vec::len), Some(expected.len()), "{title}: {own:#}");
    }
}

#[test]
fn names_of_events_are_their_types() {
    for case in cases() {
        let bytes = stream_bytes(&case["events"]);
        let to = protocol(&case["to"]);
        let own = translate(protocol(&case["from"]), to, [bytes.as_slice()]);
        for (name, data) in events(&own) {
            match to {
                Protocol::Chat => assert_eq!(name, None),
                Protocol::Responses | Protocol::Messages => {
                    assert_eq!(name.as_deref(), data["type"].as_str());
                }
            }
        }
    }
}

#[test]
fn writer_that_holds_too_much_fails() {
    let text = "x".repeat(1 << 20);
    let chunk = json!({"model": "m", "choices": [{"delta": {"content": text}}]});
    // The item itself counts as well.
    let held = MAX_HELD_BYTES / text.len() - 1;
    let mut list = vec![json!([null, chunk]); held + 2];
    list.push(json!([null, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]));
    let bytes = stream_bytes(&json!(list));
    let own = events(&translate(Protocol::Chat, Protocol::Responses, [bytes.as_slice()]));
    let names: Vec<&str> = own.iter().filter_map(|(name, _)| name.as_deref()).collect();
    assert_eq!(names[names.len() - 2..], ["error", "response.failed"]);
    assert_eq!(names.iter().filter(|name| **name == "response.output_text.delta").count(), held);
    // Chat holds nothing, and has no bound.
    let own = events(&translate(Protocol::Chat, Protocol::Chat, [bytes.as_slice()]));
    assert_eq!(own.last().map(|(_, data)| data.clone()), Some(json!("[DONE]")));
}

#[test]
fn nothing_follows_a_failure() {
    use protocol::model::{Failure, FailureClass, StreamEvent};
    for caller in crate::support::PROTOCOLS {
        let mut writer = StreamWriter::new(caller, context());
        let mut out = Vec::new();
        writer.fail(&Failure::new(FailureClass::Timeout, "m"), &mut out);
        assert!(writer.has_ended());
        let length = out.len();
        writer.fail(&Failure::new(FailureClass::Timeout, "m"), &mut out);
        writer.write(&StreamEvent::Finished, &mut out);
        assert_eq!(out.len(), length);
        // A writer does not make up an end.
        let mut writer = StreamWriter::new(caller, context());
        out.clear();
        writer.write(&StreamEvent::Finished, &mut out);
        assert!(String::from_utf8_lossy(&out).contains("error"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn output_does_not_depend_on_the_split(
        at in any::<Index>(),
        to in 0..3_usize,
        cuts in proptest::collection::vec(any::<Index>(), 0..24),
    ) {
        let cases = cases();
        let case = at.get(&cases);
        let (from, to) = (protocol(&case["from"]), crate::support::PROTOCOLS[to]);
        let bytes = stream_bytes(&case["events"]);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let whole = translate(from, to, [bytes.as_slice()]);
        let split = translate(from, to, at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]));
        assert_eq!(whole, split);
        assert_eq!(whole, translate(from, to, bytes.chunks(1)));
    }
}

#[test]
fn ping_is_a_comment_once_the_stream_has_begun() {
    let ping = json!(["ping", {"type": "ping"}]);
    let text = json!([null, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}]);
    for to in crate::support::PROTOCOLS {
        let comments = |list: Value| {
            let own = translate(Protocol::Messages, to, [stream_bytes(&list).as_slice()]);
            String::from_utf8(own).expect("UTF-8").matches("\n: keep-alive\n\n").count()
        };
        assert_eq!(comments(json!([ping])), 0, "{to:?}");
        assert_eq!(comments(json!([ping, text, ping])), 1, "{to:?}");
    }
}

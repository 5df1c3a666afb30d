//! What reads bytes from strangers, as functions that a fuzzer calls and that the ordinary tests call
//! with everything in `corpus/`. They return nothing: what must hold is asserted.
//!
//! To fuzz, with cargo-fuzz and a nightly compiler, from the repository's root:
//! `cargo +nightly fuzz run --fuzz-dir crates/fuzz/libfuzzer events crates/fuzz/corpus/events`.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use gateway::config::{Config, author};
use gateway::reader::{Flow, Reader};
use gateway::secret::Secret;
use openai::{Changes, Endpoint, Event, Framer, OutputField, Request};
use serde_json::Value;

/// A request body: whatever is admitted stays the same request when the gateway rewrites it.
pub fn admission(data: &[u8]) {
    for endpoint in Endpoint::ALL {
        let Ok(request) = Request::read(endpoint, data) else { continue };
        assert!(std::str::from_utf8(&data[request.content.clone()]).is_ok());
        let changes = Changes {
            model: Some("another \"model\""),
            ask_for_usage: true,
            most_output: Some((7, OutputField::MaxTokens)),
            more_messages: None,
        };
        let rewritten = request.rewrite(data, changes);
        let rewritten = rewritten.unwrap_or_else(|| data.to_vec());
        let again = Request::read(endpoint, &rewritten).expect("a rewritten request is a request");
        assert_eq!(again.model, "another \"model\"");
        assert_eq!(again.stream, request.stream);
        assert!(again.wants_usage || !request.stream);
        assert!(again.output.most.is_some_and(|most| most <= 7));
        let (Ok(mut before), Ok(mut after)) =
            (serde_json::from_slice::<Value>(data), serde_json::from_slice::<Value>(&rewritten))
        else {
            // Numbers beyond the range of f64, or nesting beyond serde_json's bound for trees.
            continue;
        };
        for value in [&mut before, &mut after] {
            let members = value.as_object_mut().expect("a request is an object");
            members.remove("model");
            members.remove("stream_options");
            members.remove("max_tokens");
            members.remove("max_completion_tokens");
        }
        assert_eq!(before, after);
    }
}

/// A stream: the first byte says how it is split; no split may change what passes, and what passes
/// is the upstream's own bytes in their order.
pub fn events(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let (passed, flow) = relay(stream, stream.len().max(1));
    let (split, split_flow) = relay(stream, usize::from(*size) + 1);
    assert_eq!((said(&passed), flow), (said(&split), split_flow));
    let mut rest = stream.iter();
    assert!(passed.iter().all(|byte| rest.any(|other| other == byte)), "something was added");
}

/// The data of every event, as a client reads it. Bytes are not compared: where a stream turns from
/// bare CRs to CRLF, an LF goes with the event before it or with the one behind, and means nothing.
fn said(passed: &[u8]) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(passed.len());
    framer.push(Bytes::copy_from_slice(passed)).expect("nothing was there before");
    let mut said = Vec::new();
    while let Some(event) = framer.next_event() {
        said.extend(Event::read(framer.bytes(event)).data.map(Cow::into_owned));
    }
    said
}

fn relay(stream: &[u8], size: usize) -> (Vec<u8>, Flow) {
    let mut reader = Reader::new(true);
    let mut ready = VecDeque::new();
    let mut flow = Flow::Open;
    for piece in stream.chunks(size) {
        if flow == Flow::Open {
            flow = reader.take(Bytes::copy_from_slice(piece), &mut ready);
        }
    }
    (ready.into_iter().flatten().collect(), flow)
}

/// A configuration, as JSON and as TOML: it is refused with a path and an expectation, or it works.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let secrets = |name: &str| Some(Secret::new(&format!("secret {name}")));
    for parsed in [Config::from_json(text, &secrets), author::from_toml(text, &secrets)] {
        match parsed {
            Ok(config) => {
                for (_, route) in config.routes_with_index() {
                    assert!(!route.targets.all().is_empty());
                    assert_eq!(
                        route.targets.total().get(),
                        route
                            .targets
                            .all()
                            .iter()
                            .map(|target| u64::from(target.weight))
                            .sum::<u64>()
                    );
                }
            }
            Err(problems) => assert!(!problems.to_string().is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Replays a corpus; an empty one would prove nothing.
    #[track_caller]
    fn replay(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let files = std::fs::read_dir(corpus).expect("the corpus is committed");
        let count = files
            .map(|file| std::fs::read(file.expect("a file").path()).expect("a readable file"))
            .map(|data| target(&data))
            .count();
        assert!(count >= 8, "{name} has only {count} inputs");
    }

    #[test]
    fn admission() {
        replay("admission", super::admission);
    }

    #[test]
    fn events() {
        replay("events", super::events);
    }

    #[test]
    fn configuration() {
        replay("configuration", super::configuration);
    }
}

//! Targets for the readers and writers of the three protocols. The first byte selects the pair.

use bytes::Bytes;
use openai::{Event, Framer};
use protocol::AnswerContext;
use protocol::model::Protocol;
use protocol::request::{
    BodyChanges, Options, Target, read_request, rewrite, splice_seals, write_request,
};
use protocol::stream::{StreamWriter, read_pieces};
use protocol::{summarize_answer, summarize_event};
use serde_json::Value;

/// Maximum length of an event, as in the gateway.
const MAX_EVENT_BYTES: usize = 16 << 20;

fn pair(byte: u8) -> (Protocol, Protocol) {
    let count = Protocol::ALL.len();
    let number = usize::from(byte) % (count * count);
    (Protocol::ALL[number / count], Protocol::ALL[number % count])
}

/// Request body: the view for the gateway loses no request, a translation is a request of its protocol, and a
/// body that stays in its protocol stays JSON.
pub fn translations(data: &[u8]) {
    let Some((selection, body)) = data.split_first() else { return };
    let (from, to) = pair(*selection);
    let changes = BodyChanges {
        model: Some("another \"model\""),
        max_tokens: Some(7),
        ..BodyChanges::default()
    };
    if let Some(rewritten) = rewrite(from, body, changes) {
        let rewritten: Value = match serde_json::from_slice(&rewritten) {
            Ok(value) => value,
            // Nesting beyond serde_json's bound for trees, or numbers beyond the range of f64.
            Err(_) if serde_json::from_slice::<Value>(body).is_err() => return,
            Err(error) => panic!("a rewritten body is JSON: {error}"),
        };
        assert_eq!(rewritten["model"], "another \"model\"");
    }
    // The result is only compared by its existence: it must not panic.
    let _ = splice_seals(from, body, Some("maker-1"));
    let Ok(request) = read_request(from, body) else { return };
    let view = Options { is_view: true, ..Options::default() };
    let view = write_request(&request, &Target::new(Protocol::Chat), &view);
    let view = view.expect("a body that is only read may lose everything").body;
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&view).is_ok());
    match write_request(&request, &Target::new(to), &Options::default()) {
        Ok(written) => {
            if let Err(invalid) = read_request(to, &written.body) {
                panic!("{invalid}: {}", String::from_utf8_lossy(&written.body));
            }
        }
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
}

/// Stream, or whole answer; the second byte selects the size of the stream's pieces. A split changes nothing,
/// and every event that is written is one of its protocol's.
pub fn streams(data: &[u8]) {
    let [selection, size, stream @ ..] = data else { return };
    let protocols = pair(*selection);
    let whole = translate(protocols, stream, stream.len().max(1));
    assert_eq!(whole, translate(protocols, stream, usize::from(*size) + 1));
    let mut framer = Framer::new(whole.len());
    framer.push(Bytes::from(whole)).expect("nothing was there before");
    while let Some(range) = framer.next_event() {
        let event = Event::parse(framer.bytes(range.clone()));
        let Some(data) = &event.data else { continue };
        if &data[..] != b"[DONE]" {
            let value = serde_json::from_slice::<serde::de::IgnoredAny>(data);
            assert!(value.is_ok(), "{}", String::from_utf8_lossy(data));
        }
        let _ = summarize_event(protocols.1, framer.bytes(range));
    }
    let _ = summarize_answer(protocols.0, stream);
    let context = AnswerContext::default();
    if let Ok(answer) = protocol::answer::read(protocols.0, stream)
        && let Ok(written) = protocol::answer::write(protocols.1, &answer, &context)
    {
        let read = protocol::answer::read(protocols.1, &written.body);
        assert!(read.is_ok(), "{}", String::from_utf8_lossy(&written.body));
    }
}

/// Translates a stream that arrives in pieces.
fn translate((from, to): (Protocol, Protocol), stream: &[u8], size: usize) -> Vec<u8> {
    let mut writer = StreamWriter::new(to, AnswerContext::default());
    let mut out = Vec::new();
    let pieces = stream.chunks(size).chain([b"\n\n".as_slice()]).map(Bytes::copy_from_slice);
    read_pieces(from, pieces, MAX_EVENT_BYTES, &mut |event| writer.write(event, &mut out));
    out
}

//! Cost of a translation per request and per event, beside a parse and a write of the same bytes by
//! `serde_json`.

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use openai::{Event, EventSummary, Framer};
use protocol::model::Protocol::{self, Chat, Messages, Responses};
use protocol::request::{
    BodyChanges, BodyPlaces, Options, Target, read_request, rewrite_at, splice_seals, write_request,
};
use protocol::stream::{StreamWriter, read_pieces};
use protocol::{AnswerContext, summarize_event};
use serde_json::{Value, json};

const PAIRS: [(Protocol, Protocol); 6] = [
    (Chat, Messages),
    (Chat, Responses),
    (Messages, Chat),
    (Messages, Responses),
    (Responses, Chat),
    (Responses, Messages),
];
const KIB: [usize; 3] = [1, 64, 1024];
/// Events of text in a stream.
const EVENTS: usize = 200;

fn main() {
    divan::main();
}

/// Conversation of about this many KiB with a tool, in turns of 500 bytes.
fn request(protocol: Protocol, kib: usize) -> Vec<u8> {
    let words = "a few words of an ordinary conversation, ".repeat(12);
    let turns = (kib * 1024 / 500).max(1) | 1;
    let role = |turn| if turn % 2 == 0 { "user" } else { "assistant" };
    let messages: Vec<Value> =
        (0..turns).map(|turn| json!({ "role": role(turn), "content": words })).collect();
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let body = match protocol {
        Chat => json!({
            "model": "m", "max_completion_tokens": 100, "messages": messages,
            "tools": [{ "type": "function", "function": { "name": "f", "parameters": schema } }],
        }),
        Responses => json!({
            "model": "m", "max_output_tokens": 100, "input": messages,
            "tools": [{ "type": "function", "name": "f", "parameters": schema }],
        }),
        Messages => json!({
            "model": "m", "max_tokens": 100, "messages": messages,
            "tools": [{ "name": "f", "input_schema": schema }],
        }),
    };
    body.to_string().into_bytes()
}

/// Stream of [`EVENTS`] pieces of text in a protocol.
fn stream(protocol: Protocol) -> Vec<u8> {
    let mut chat = String::from(
        "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
    );
    for _ in 0..EVENTS {
        chat += "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";
    }
    chat += "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    translate((Chat, protocol), chat.as_bytes())
}

fn translate((from, to): (Protocol, Protocol), stream: &[u8]) -> Vec<u8> {
    let mut writer = StreamWriter::new(to, AnswerContext::default());
    let mut out = Vec::new();
    let stream = [Bytes::copy_from_slice(stream)];
    read_pieces(from, stream, 1 << 20, &mut |event| writer.write(event, &mut out));
    out
}

/// Parses a body into a tree and writes it.
#[divan::bench(args = KIB)]
fn request_parsed_and_written(bencher: Bencher<'_, '_>, kib: usize) {
    let body = request(Messages, kib);
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let value: Value = serde_json::from_slice(black_box(&body)).expect("JSON");
        value.to_string()
    });
}

#[divan::bench(args = KIB, consts = [0, 1, 2, 3, 4, 5])]
fn request_translated<const PAIR: usize>(bencher: Bencher<'_, '_>, kib: usize) {
    let (from, to) = PAIRS[PAIR];
    let body = request(from, kib);
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let request = read_request(from, black_box(&body)).expect("a request");
        write_request(&request, &Target::new(to), &Options::default()).expect("translatable")
    });
}

/// The reading alone, which a gateway does twice: for its own steps, and for a target.
#[divan::bench(args = KIB, consts = [0, 1, 2])]
fn request_read<const PROTOCOL: usize>(bencher: Bencher<'_, '_>, kib: usize) {
    let protocol = Protocol::ALL[PROTOCOL];
    let body = request(protocol, kib);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| read_request(protocol, black_box(&body)).expect("a request"));
}

/// Body that stays in its protocol: the search for seals, and another model in its place.
#[divan::bench(args = KIB)]
fn request_passed(bencher: Bencher<'_, '_>, kib: usize) {
    let body = request(Messages, kib);
    let places = BodyPlaces::find(Messages, &body).expect("an object");
    let changes = BodyChanges { model: Some("other"), ..BodyChanges::default() };
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let spliced = splice_seals(Messages, black_box(&body), Some("maker")).expect("JSON");
        assert!(spliced.is_none());
        rewrite_at(&places, &body, changes)
    });
}

/// Places of the members that change, which are found once for all attempts.
#[divan::bench(args = KIB)]
fn request_places_found(bencher: Bencher<'_, '_>, kib: usize) {
    let body = request(Messages, kib);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| BodyPlaces::find(Messages, black_box(&body)).expect("an object"));
}

/// Parses and writes each event of a stream of Chat; one item is one event.
#[divan::bench]
fn events_parsed_and_written(bencher: Bencher<'_, '_>) {
    let stream = stream(Chat);
    bencher.counter(divan::counter::ItemsCount::new(EVENTS)).bench(|| {
        let mut framer = Framer::new(1 << 20);
        framer.push(Bytes::copy_from_slice(black_box(&stream))).expect("nothing was there before");
        let mut out = Vec::new();
        while let Some(range) = framer.next_event() {
            let event = Event::parse(framer.bytes(range));
            let Some(data) = &event.data else { continue };
            if let Ok(value) = serde_json::from_slice::<Value>(data) {
                out.extend_from_slice(value.to_string().as_bytes());
            }
        }
        out
    });
}

#[divan::bench(consts = [0, 1, 2, 3, 4, 5])]
fn events_translated<const PAIR: usize>(bencher: Bencher<'_, '_>) {
    let stream = stream(PAIRS[PAIR].0);
    bencher
        .counter(divan::counter::ItemsCount::new(EVENTS))
        .bench(|| translate(PAIRS[PAIR], black_box(&stream)));
}

/// Measures each event of a stream that passes.
#[divan::bench(consts = [0, 1, 2])]
fn events_passed<const PROTOCOL: usize>(bencher: Bencher<'_, '_>) {
    let protocol = Protocol::ALL[PROTOCOL];
    let stream = stream(protocol);
    bencher.counter(divan::counter::ItemsCount::new(EVENTS)).bench(|| {
        let mut framer = Framer::new(1 << 20);
        framer.push(Bytes::copy_from_slice(black_box(&stream))).expect("nothing was there before");
        let mut contents = 0;
        while let Some(range) = framer.next_event() {
            let summary = summarize_event(protocol, framer.bytes(range));
            contents +=
                usize::from(matches!(summary, EventSummary::Chunk(chunk) if chunk.has_content));
        }
        contents
    });
}

//! Readers of requests, answers, and events, without a gateway.

use bytes::Bytes;
use gateway::cache::CanonicalRequest;
use gateway::upstream::sse_reader::SseReader;
use openai::{ContentParts, Endpoint, Event, Framer, Prompt, Request, TextSize, texts_in_answer};

use super::{Factor, assert_linear, fill, fill_numbered, list};

/// Values that are short to write and long to keep.
fn values(length: usize) -> Vec<(&'static str, String)> {
    let name = "n".repeat(length / 2);
    vec![
        ("numbers", list(&fill("0,", length))),
        ("empty texts", list(&fill("\"\",", length))),
        ("texts", list(&fill("\"b\",", length))),
        ("escaped texts", list(&fill("\"\\n\",", length))),
        ("objects", list(&fill("{\"\":0},", length))),
        ("empty objects", list(&fill("{},", length))),
        ("lists", list(&fill("[],", length))),
        ("text parts", list(&fill("{\"type\":\"text\",\"text\":\"a@b.co\"},", length))),
        ("members", format!("{{{}\"z\":0}}", fill_numbered(length, |at| format!("\"m{at}\":0,")))),
        ("same members", format!("{{{}\"z\":\"\"}}", fill("\"a\":\"b\",", length))),
        ("long name", format!("{{\"{name}\":{}}}", list(&fill("\"b\",", length / 2)))),
        ("long names", format!("{{\"{name}\":{{\"{name}\":\"b\"}}}}")),
        ("deep", format!("{}{}", "[".repeat(length / 2), "]".repeat(length / 2))),
        ("deep objects", format!("{}0{}", fill("{\"a\":", length), "}".repeat(length / 5))),
        ("text", format!("\"{}\"", "x".repeat(length))),
        ("indexed", list(&fill_numbered(length, |at| format!("{{\"index\":{at},\"a\":\"b\"}},")))),
        ("urls", list(&fill("{\"url\":\"http://x\"},", length))),
        ("names", list(&fill("{\"name\":\"x\"},", length))),
        ("base64", format!("\"{}\"", fill(";base64,", length))),
    ]
}

/// Number of [`values`].
fn count() -> usize {
    values(16).len()
}

/// Asserts linear memory for bodies around each value.
#[track_caller]
fn assert_values<T>(
    name: &str,
    factor: Factor,
    body: impl Fn(&str) -> String,
    run: impl Fn(&str) -> T,
) {
    for number in 0..count() {
        let kind = values(16)[number].0;
        let make = |length| body(&values(length).swap_remove(number).1);
        assert_linear(&format!("{name}, {kind}"), factor, make, String::len, |body| {
            drop(run(&body));
        });
    }
}

#[test]
fn sizes_of_prompts_are_measured_without_memory() {
    assert_values("size", Factor { peak: 0, total: 0 }, str::to_owned, |body| {
        TextSize::measure_prompt(body, 100)
    });
}

#[test]
fn canonical_requests_are_made_in_linear_memory() {
    // A member of five bytes has a name and a range.
    let factor = Factor { peak: 24, total: 48 };
    for around in [r#"{"a":VALUE}"#, r#"{"b":1,"a":[{"c":VALUE,"b":0}]}"#] {
        let body = |value: &str| around.replace("VALUE", value);
        assert_values(around, factor, body, |body| CanonicalRequest::parse(body.as_bytes()));
    }
    // Each level is sorted.
    let nested =
        |length| format!("{}0{}", fill("{\"b\":0,\"a\":", length), "}".repeat(length / 11));
    assert_linear("nested", factor, nested, String::len, |body| {
        drop(CanonicalRequest::parse(body.as_bytes()));
    });
}

#[test]
fn streams_are_framed_in_linear_memory() {
    let factor = Factor { peak: 8, total: 24 };
    for unit in [
        "data: x\n\n",
        "\n\n",
        "data:\n",
        ": comment\r\n\r\n",
        "data: x",
        "\r",
        "event: x\ndata\n\n",
        "data: [1]\n\n",
    ] {
        for piece in [7, 64, 4_096, usize::MAX] {
            let name = format!("{unit:?} in pieces of {piece}");
            assert_linear(
                &name,
                factor,
                |length| fill(unit, length),
                String::len,
                |stream| {
                    let mut framer = Framer::new(usize::MAX);
                    for piece in stream.as_bytes().chunks(piece) {
                        framer.push(Bytes::copy_from_slice(piece)).expect("no limit");
                        while let Some(event) = framer.next_event() {
                            drop(Event::parse(framer.bytes(event)));
                        }
                    }
                    let end = Event::parse(framer.unfinished()).data.map(|data| data.len());
                    assert!(end.is_none_or(|length| length <= stream.len()));
                },
            );
        }
    }
}

#[test]
fn streams_are_read_in_linear_memory() {
    let factor = Factor { peak: 64, total: 96 };
    for unit in [
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        "data: {}\n\n",
        "data: 0\n\n",
        ": x\n\n",
    ] {
        for piece in [64, 4_096] {
            assert_linear(
                unit,
                factor,
                |length| fill(unit, length),
                String::len,
                |stream| {
                    let mut reader =
                        SseReader::new(true, ContentParts { texts: true, delta: true });
                    let mut ready = std::collections::VecDeque::new();
                    for piece in stream.as_bytes().chunks(piece) {
                        reader.push(Bytes::copy_from_slice(piece), &mut ready);
                        ready.clear();
                    }
                },
            );
        }
    }
}

#[test]
fn texts_of_requests_and_answers_are_read_in_linear_memory() {
    let factor = Factor { peak: 64, total: 128 };
    let message = |value: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":{value}}}]}}"#)
    };
    assert_values("request", factor, message, |body| {
        let request = Request::parse(Endpoint::ChatCompletions, body.as_bytes());
        let content = request.expect("a request").content;
        let prompt = Prompt::parse(Endpoint::ChatCompletions, body, content);
        prompt.map(|prompt| prompt.texts.len()).unwrap_or_default()
    });
    let answer = |value: &str| format!(r#"{{"choices":[{{"message":{{"content":{value}}}}}]}}"#);
    assert_values("answer", factor, answer, |body| {
        texts_in_answer(body).map(|texts| texts.len()).unwrap_or_default()
    });
}

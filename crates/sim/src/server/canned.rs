//! Precomputed responses for benchmarks and load: the upstream costs almost no processor time.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::watch;

use super::wire;
use crate::upstream::{BodyStep, PlannedResponse, ProviderRequest, ResponsePlan, Script};

/// Beginning of a content that holds the time of its write.
pub const STAMP_PREFIX: &str = r#""content":"@"#;
/// Shortest event with content.
const TINY_EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
/// Event without content.
const EMPTY_EVENT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":null}]}\n\n";
/// Number of tiny events in one write. A provider that is faster than its network joins events, too.
const EVENTS_PER_WRITE: usize = 64;

/// Response as canned steps.
#[derive(Clone, Debug)]
pub struct CannedResponse {
    pub(super) steps: Vec<CannedStep>,
}

#[derive(Clone, Debug)]
pub(super) enum CannedStep {
    Write(Bytes),
    /// Several writes of the same bytes.
    Repeat(Bytes, usize),
    Pause(Duration),
    /// Waits until the value is true or its sender is dropped.
    Hold(watch::Receiver<bool>),
    /// Event whose content is the time of its write.
    Stamp,
}

impl CannedResponse {
    /// Creates a `chat.completion` whose JSON has `size` bytes, or the smallest possible size.
    pub fn json(size: usize) -> Self {
        let empty = respond(&Script::answering(""), b"{}").bytes().len();
        let text: String = "word ".chars().cycle().take(size.saturating_sub(empty)).collect();
        let script = Script {
            prompt_tokens: Some(1),
            completion_tokens: Some(0),
            ..Script::answering(text)
        };
        let response = respond(&script, b"{}");
        let mut write = wire::head(response.status, &response.headers, response.length);
        write.extend_from_slice(&response.bytes());
        Self { steps: vec![CannedStep::Write(write.freeze())] }
    }

    /// Creates a response with this JSON document.
    pub fn document(body: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut write = wire::head(StatusCode::OK, &headers, Some(body.len() as u64));
        write.extend_from_slice(body.as_bytes());
        Self { steps: vec![CannedStep::Write(write.freeze())] }
    }

    /// Creates a JSON answer with this compressed body.
    pub fn compressed(encoding: &'static str, body: &[u8]) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let mut write = wire::head(StatusCode::OK, &headers, Some(body.len() as u64));
        write.extend_from_slice(body);
        Self { steps: vec![CannedStep::Write(write.freeze())] }
    }

    /// Creates a stream of `words` events with content, one write each, with a pause of `gap` before each. The
    /// role precedes them; finish, usage, and `[DONE]` follow.
    pub fn stream(words: usize, gap: Option<Duration>) -> Self {
        let (head, events) = events(words);
        let mut steps = Vec::with_capacity(2 * events.len());
        for (index, event) in events.into_iter().enumerate() {
            steps.extend(gap.filter(|_| index > 0).map(CannedStep::Pause));
            steps.push(CannedStep::Write(if index > 0 { event } else { join([&head, &event]) }));
        }
        Self { steps }
    }

    /// Creates a stream that sends one word, waits until `released` is true, sends the second word, and ends.
    pub fn held(released: watch::Receiver<bool>) -> Self {
        let (head, events) = events(2);
        let mut steps = vec![CannedStep::Write(join([&head, &events[0], &events[1]]))];
        steps.push(CannedStep::Hold(released));
        steps.push(CannedStep::Write(join(&events[2..])));
        Self { steps }
    }

    /// Creates a stream of `tiny` events with one letter each, as fast as they are read. Finish, usage, and
    /// `[DONE]` follow.
    pub fn flood(tiny: usize) -> Self {
        let (head, events) = events(0);
        let several = |count: usize| {
            let mut write = BytesMut::new();
            wire::chunk(TINY_EVENT.repeat(count).as_bytes(), &mut write);
            write.freeze()
        };
        let mut steps = vec![CannedStep::Write(head)];
        steps.push(CannedStep::Repeat(several(EVENTS_PER_WRITE), tiny / EVENTS_PER_WRITE));
        if !tiny.is_multiple_of(EVENTS_PER_WRITE) {
            steps.push(CannedStep::Write(several(tiny % EVENTS_PER_WRITE)));
        }
        steps.push(CannedStep::Write(join(&events[1..])));
        Self { steps }
    }

    /// Creates a stream that begins with `count` events without content: a role, then empty texts. After
    /// `pause`, an event holds the time of its write: [`STAMP_PREFIX`] and sixteen digits, microseconds since
    /// 1970. Then follow `words` more events, finish, usage, and `[DONE]`.
    pub fn prelude(count: usize, pause: Option<Duration>, words: usize) -> Self {
        let (mut begin, events) = events(words);
        for index in 0..count {
            let mut next = BytesMut::from(&*begin);
            match index {
                0 => next.extend_from_slice(&events[0]),
                _ => wire::chunk(EMPTY_EVENT.as_bytes(), &mut next),
            }
            begin = next.freeze();
        }
        let mut steps = vec![CannedStep::Write(begin)];
        steps.extend(pause.map(CannedStep::Pause));
        steps.push(CannedStep::Stamp);
        steps.extend(events.into_iter().skip(1).map(CannedStep::Write));
        Self { steps }
    }

    /// Creates a stream at the pace of a model. After the role and a `gap`, an event holds the time of its
    /// write ([`STAMP_PREFIX`]). Then follow `words` more, each after a `gap`, finish, usage, and `[DONE]`.
    pub fn paced(words: usize, gap: Duration) -> Self {
        let (head, events) = events(words);
        let mut steps = vec![
            CannedStep::Write(join([&head, &events[0]])),
            CannedStep::Pause(gap),
            CannedStep::Stamp,
        ];
        for event in events.into_iter().skip(1) {
            steps.extend([CannedStep::Pause(gap), CannedStep::Write(event)]);
        }
        Self { steps }
    }
}

/// Returns a head and the events of a stream as chunks. The last chunk includes the end of the body.
fn events(words: usize) -> (Bytes, Vec<Bytes>) {
    let text = vec!["word"; words].join(" ");
    let asked = br#"{"stream":true,"stream_options":{"include_usage":true}}"#;
    let response = respond(&Script::answering(text), asked);
    let mut events = Vec::with_capacity(response.steps.len());
    for step in &response.steps {
        if let BodyStep::Send(bytes) = step {
            let mut event = BytesMut::new();
            wire::chunk(bytes, &mut event);
            events.push(event.freeze());
        }
    }
    if let Some(last) = events.last_mut() {
        *last = join([&**last, wire::LAST_CHUNK]);
    }
    (wire::head(response.status, &response.headers, None).freeze(), events)
}

fn join<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> Bytes {
    let mut all = BytesMut::new();
    for part in parts {
        all.extend_from_slice(part.as_ref());
    }
    all.freeze()
}

/// Writes an event that holds the time of its write, as a chunk.
pub(super) fn stamp(now: SystemTime) -> Bytes {
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let event = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{{STAMP_PREFIX}{micros:016}\"}}}}]}}\n\n"
    );
    let mut chunk = BytesMut::new();
    wire::chunk(event.as_bytes(), &mut chunk);
    chunk.freeze()
}

fn respond(script: &Script, asked: &[u8]) -> PlannedResponse {
    match script.plan(&ProviderRequest::parse("/v1/chat/completions", asked)) {
        Ok(ResponsePlan::Respond(response)) => response,
        other => unreachable!("a plain script answers: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::sync::watch;

    use super::{CannedResponse, CannedStep, stamp};

    /// Returns everything that is written, with `@` for a time and `…` for a hold.
    fn written(canned: &CannedResponse) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let step_text = |next: &CannedStep| match next {
            CannedStep::Write(bytes) => text(bytes),
            CannedStep::Repeat(bytes, times) => text(bytes).repeat(*times),
            CannedStep::Pause(_) => String::new(),
            CannedStep::Hold(_) => "…".to_owned(),
            CannedStep::Stamp => "@".to_owned(),
        };
        canned.steps.iter().map(step_text).collect()
    }

    #[test]
    fn json_has_the_requested_size() {
        let text = written(&CannedResponse::json(4096));
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("content-length: 4096") && body.len() == 4096, "{}", body.len());
    }

    #[test]
    fn stream_has_one_write_per_event() {
        let canned = CannedResponse::stream(200, None);
        assert_eq!(canned.steps.len(), 204, "role, words, finish, usage, done");
        assert!(written(&canned).ends_with("0\r\n\r\n"));
    }

    #[test]
    fn held_stream_sends_one_word_before_the_hold() {
        let (_release, released) = watch::channel(false);
        let text = written(&CannedResponse::held(released));
        let (before, after) = text.split_once('…').expect("it holds");
        let words = |text: &str| text.matches("word").count();
        assert_eq!((words(before), words(after)), (1, 1), "{text}");
        assert!(!before.contains("[DONE]") && after.ends_with("0\r\n\r\n"), "{text}");
    }

    #[test]
    fn flood_has_every_event() {
        let text = written(&CannedResponse::flood(1000));
        assert_eq!(text.matches("data: ").count(), 1003, "finish, usage, done");
    }

    #[test]
    fn document_has_its_length() {
        let text = written(&CannedResponse::document("{\"a\":1}"));
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("content-length: 7") && body == "{\"a\":1}", "{text}");
    }

    #[test]
    fn paced_stream_has_a_pause_before_each_word() {
        let canned = CannedResponse::paced(60, std::time::Duration::from_millis(20));
        let pauses =
            canned.steps.iter().filter(|next| matches!(next, CannedStep::Pause(_))).count();
        let text = written(&canned);
        let (before, after) = text.split_once('@').expect("a moment");
        assert!(!before.contains("word") && after.ends_with("0\r\n\r\n"), "{text}");
        assert_eq!(
            (after.matches("word").count(), pauses),
            (60, 64),
            "the events at the end have pauses, too"
        );
    }

    #[test]
    fn prelude_has_no_content() {
        for count in [0, 1, 20] {
            let text = written(&CannedResponse::prelude(count, None, 3));
            let (before, after) = text.split_once('@').expect("a moment");
            assert_eq!(before.matches("data: ").count(), count);
            assert!(!before.contains("word") && after.matches("word").count() == 3, "{text}");
        }
        let text = String::from_utf8(stamp(SystemTime::UNIX_EPOCH).to_vec()).expect("UTF-8");
        assert!(text.contains(r#"{"content":"@0000000000000000"}"#), "{text}");
    }
}

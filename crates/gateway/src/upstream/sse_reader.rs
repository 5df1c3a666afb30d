//! Cuts an upstream's stream into events, measures them, and selects those that may pass.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use openai::{ContentParts, EventSummary, Framer, StreamEvent};
use protocol::model::Protocol;
use protocol::summarize_event;

use crate::upstream::continuation::splice::StreamedText;
use crate::upstream::usage_meter::{EventKind, UsageMeter};

/// The longest event that is passed on, in bytes: images come as base64 in one event.
pub(crate) const MAX_EVENT_BYTES: usize = 16 << 20;

/// Reader of a stream's events.
#[derive(Debug)]
pub struct SseReader {
    framer: Framer,
    meter: UsageMeter,
    /// Whether a chunk had content: a finish reason alone is none.
    has_text: bool,
    /// Content that the layers behind the reader use.
    parts: ContentParts,
    /// Text so far, if a continuation may need it.
    streamed_text: Option<StreamedText>,
    /// The error event that ended the stream; empty without one.
    error: Bytes,
    /// Protocol of the events.
    protocol: Protocol,
}

/// State of a stream after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// More may follow.
    Open,
    /// The stream has ended with `[DONE]`.
    Done,
    /// The upstream sent an error event. It is withheld, because it may name the provider's
    /// customer.
    Error,
    /// The rest must not be passed on.
    Malformed,
}

impl SseReader {
    /// Creates a reader that passes or hides the event with nothing but usage. If a continuation may
    /// need the text, `parts.delta` is set.
    pub fn new(hides_usage: bool, parts: ContentParts) -> Self {
        Self {
            framer: Framer::new(MAX_EVENT_BYTES),
            meter: UsageMeter::new(hides_usage),
            has_text: false,
            parts,
            streamed_text: parts.delta.then(StreamedText::default),
            error: Bytes::new(),
            protocol: Protocol::Chat,
        }
    }

    /// Creates a reader of a protocol's events, which pass without a change and with their usage. No layer
    /// reads their content.
    pub(crate) fn passing(protocol: Protocol) -> Self {
        Self { protocol, ..Self::new(false, ContentParts::default()) }
    }

    /// Takes the error event that ended the stream.
    pub(crate) fn take_error(&mut self) -> Bytes {
        std::mem::take(&mut self.error)
    }

    /// Protocol of the events.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The text so far, if it is kept.
    pub(crate) fn streamed_text(&self) -> Option<&StreamedText> {
        self.streamed_text.as_ref()
    }

    /// Content that the layers behind the reader use.
    pub(crate) fn parts(&self) -> ContentParts {
        self.parts
    }

    pub(crate) fn meter(&self) -> &UsageMeter {
        &self.meter
    }

    /// Whether a chunk had content: a finish reason alone is none.
    pub(crate) fn has_text(&self) -> bool {
        self.has_text
    }

    /// Place of a `usage` of null that the caller did not request, in the event.
    fn hidden_member(&self, summary: &EventSummary) -> Option<Range<usize>> {
        let EventSummary::Chunk(chunk) = summary else { return None };
        if self.meter.hides_usage() { chunk.null_usage.clone() } else { None }
    }

    /// Measures an event. Returns whether it passes, and the state of the stream after it.
    fn observe(&mut self, summary: &EventSummary) -> (bool, StreamState) {
        self.has_text |= matches!(summary, EventSummary::Chunk(chunk) | EventSummary::Last(chunk) if chunk.has_content);
        admission(self.meter.observe(summary))
    }

    /// Adds a piece and puts the events that may pass into `ready`. Only whole events pass, so that
    /// an error event of the gateway never lands inside another. Neighboring events stay one slice
    /// of the piece, unless their content is requested.
    pub fn push(&mut self, piece: Bytes, ready: &mut VecDeque<StreamEvent>) -> StreamState {
        if self.framer.push(piece).is_err() {
            return StreamState::Malformed;
        }
        match self.parts.is_empty() {
            true => self.read_summaries(ready),
            false => self.read_contents(ready),
        }
    }

    /// Reads the events of the last piece without their content.
    fn read_summaries(&mut self, ready: &mut VecDeque<StreamEvent>) -> StreamState {
        let mut state = StreamState::Open;
        let mut run = EventRun::default();
        while state == StreamState::Open
            && let Some(event) = self.framer.next_event()
        {
            let passes;
            let summary = summarize_event(self.protocol, self.framer.bytes(event.clone()));
            (passes, state) = self.observe(&summary);
            if state == StreamState::Error {
                self.error = self.framer.slice(event.clone());
            }
            if passes {
                run.add(event, self.hidden_member(&summary));
            } else {
                ready.extend(std::mem::take(&mut run).finish(&self.framer));
            }
        }
        ready.extend(run.finish(&self.framer));
        state
    }

    /// Reads the events of the last piece with their content.
    fn read_contents(&mut self, ready: &mut VecDeque<StreamEvent>) -> StreamState {
        let mut state = StreamState::Open;
        while state == StreamState::Open
            && let Some(event) = self.framer.next_event()
        {
            let passes;
            let (summary, event) = StreamEvent::parse(self.framer.slice(event), self.parts);
            (passes, state) = self.observe(&summary);
            if !passes {
                if state == StreamState::Error {
                    self.error = event.into_bytes();
                }
                continue;
            }
            let event = match self.hidden_member(&summary) {
                Some(value) => event.without_null_usage(value),
                None => event,
            };
            if let Some(streamed_text) = &mut self.streamed_text
                && state == StreamState::Open
            {
                streamed_text.add_event(&event);
            }
            ready.push_back(event);
        }
        state
    }

    /// Ends the stream. Some servers omit the blank line after their last event.
    pub(crate) fn finish(&mut self, ready: &mut VecDeque<StreamEvent>) -> StreamState {
        if self.framer.unfinished().is_empty() {
            return StreamState::Open;
        }
        self.push(Bytes::from_static(b"\n\n"), ready)
    }
}

/// Neighboring events that pass.
#[derive(Debug, Default)]
struct EventRun {
    at: Range<usize>,
    /// Places of the values of hidden members, from the start of the run.
    hidden: Vec<Range<usize>>,
}

impl EventRun {
    /// Adds the next event, with the place of a hidden member in it.
    fn add(&mut self, event: Range<usize>, hidden: Option<Range<usize>>) {
        if self.at.is_empty() {
            self.at = event.start..event.start;
        }
        let offset = event.start - self.at.start;
        self.hidden.extend(hidden.map(|value| offset + value.start..offset + value.end));
        self.at.end = event.end;
    }

    /// Returns the bytes of the run: a slice of the piece, or a copy without what is hidden.
    fn finish(self, framer: &Framer) -> Option<StreamEvent> {
        if self.at.is_empty() {
            return None;
        }
        if self.hidden.is_empty() {
            return Some(StreamEvent::unparsed(framer.slice(self.at)));
        }
        let run = framer.bytes(self.at);
        let (mut bytes, mut copied) = (Vec::with_capacity(run.len()), 0);
        for value in self.hidden {
            if let Some(member) = openai::usage_member(run, value) {
                bytes.extend_from_slice(&run[copied..member.start]);
                copied = member.end;
            }
        }
        bytes.extend_from_slice(&run[copied..]);
        Some(StreamEvent::unparsed(bytes.into()))
    }
}

/// Whether an event passes, and the state of the stream after it.
fn admission(kind: EventKind) -> (bool, StreamState) {
    match kind {
        EventKind::Prelude | EventKind::Content => (true, StreamState::Open),
        EventKind::Hidden => (false, StreamState::Open),
        EventKind::Done => (true, StreamState::Done),
        EventKind::Error => (false, StreamState::Error),
        EventKind::Malformed => (false, StreamState::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use openai::{AnswerSize, ContentParts, OutputBounds, TextSize, Tokens, Usage};
    use proptest::prelude::{any, proptest};
    use proptest::sample::Index;

    use super::{SseReader, StreamState};

    const STREAM: &str = concat!(
        ": keep-alive\n\n",
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"你好 \\u00e9\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\r",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n",
        "data: [DONE]\n\n",
        "data: never shown\n\n",
    );

    const UNPARSED: ContentParts = ContentParts { texts: false, delta: false };
    const PARSED: ContentParts = ContentParts { texts: true, delta: true };

    /// Reads pieces; returns the events that pass, the state, and the usage.
    fn run<'a>(
        hides_usage: bool,
        parts: ContentParts,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (String, StreamState, Tokens) {
        let mut reader = SseReader::new(hides_usage, parts);
        let mut ready = VecDeque::new();
        let mut state = StreamState::Open;
        for piece in pieces {
            if state == StreamState::Open {
                state = reader.push(Bytes::copy_from_slice(piece), &mut ready);
            }
        }
        let passed = ready.iter().flat_map(|event| event.bytes().iter().copied()).collect();
        (
            String::from_utf8(passed).expect("events are whole"),
            state,
            reader.meter().tokens(TextSize::default(), OutputBounds::default()),
        )
    }

    #[test]
    fn only_the_usage_event_is_hidden() {
        let (shown, state, tokens) = run(true, UNPARSED, [STREAM.as_bytes()]);
        let usage = STREAM.find("data: {\"choices\":[],").expect("it is there");
        let done = STREAM.find("data: [DONE]").expect("it is there");
        let end = STREAM.find("data: never").expect("it is there");
        assert_eq!(shown, [&STREAM[..usage], &STREAM[done..end]].concat());
        assert_eq!(state, StreamState::Done);
        let usage = Usage { input: 9, output: 3, ..Usage::default() };
        assert_eq!(tokens, Tokens::count(Some(usage), &AnswerSize::default()));
        assert_eq!(run(false, UNPARSED, [STREAM.as_bytes()]).0, STREAM[..end]);
    }

    #[test]
    fn null_usage_is_hidden_from_callers_that_did_not_ask() {
        let stream = concat!(
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n",
            "data: {\"usage\":null,\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: [DONE]\n\n",
        );
        let hidden = stream.replace(",\"usage\":null}", "}").replace("{\"usage\":null,", "{");
        for parts in [UNPARSED, PARSED] {
            assert_eq!(run(true, parts, [stream.as_bytes()]).0, hidden);
            assert_eq!(run(false, parts, [stream.as_bytes()]).0, stream);
        }
    }

    #[test]
    fn malformed_event_stops_the_stream_before_it() {
        let (shown, state, _) = run(
            true,
            UNPARSED,
            [b"data: {\"choices\":[]}\n\ndata: {oops\n\ndata: [DONE]\n\n".as_slice()],
        );
        assert_eq!((shown.as_str(), state), ("data: {\"choices\":[]}\n\n", StreamState::Malformed));
    }

    proptest! {
        #[test]
        fn reader_output_is_independent_of_the_pieces(cuts in proptest::collection::vec(any::<Index>(), 0..16), hides in any::<bool>()) {
            let bytes = STREAM.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let whole = run(hides, UNPARSED, [bytes]);
            for parts in [UNPARSED, PARSED] {
                let split = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
                assert_eq!(run(hides, parts, split), whole);
                assert_eq!(run(hides, parts, bytes.chunks(1)), whole);
            }
        }
    }

    #[test]
    fn last_event_without_blank_line_passes() {
        let mut ready = VecDeque::new();
        let mut reader = SseReader::new(true, UNPARSED);
        assert_eq!(
            reader.push(Bytes::from_static(b"data: [DONE]\n"), &mut ready),
            StreamState::Open
        );
        assert_eq!(reader.finish(&mut ready), StreamState::Done);
        let mut reader = SseReader::new(true, UNPARSED);
        reader.push(Bytes::from_static(b"data: {\"choices\":[{\"del"), &mut ready);
        assert_eq!(reader.finish(&mut ready), StreamState::Malformed);
    }
}

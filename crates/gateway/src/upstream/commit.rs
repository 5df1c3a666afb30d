//! Uncommitted and committed streams: a stream is held back until its first content.

use std::collections::VecDeque;

use bytes::Bytes;
use openai::{ContentParts, OutputBounds, StreamEvent, TextSize, Tokens};
use protocol::model::Protocol;

use crate::host::body::Body;
use crate::upstream::classify::Failure;
use crate::upstream::sse_reader::{SseReader, StreamState};
use crate::upstream::usage_tail::UsageTail;

use super::call_permit::CallPermit;

/// Bytes that are held back before the first content, besides those that repeat the request.
const MAX_PRELUDE_BYTES: usize = 64 << 10;

/// A stream that another target's stream can still replace.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    body: Body,
    reader: SseReader,
    held: VecDeque<StreamEvent>,
    /// Bytes that are held back before the first content. A longer prelude is committed as it is.
    max_prelude: usize,
}

/// A stream with content: it may be shown to the caller.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) body: Body,
    /// `None` for a JSON body that is too long to hold.
    pub(crate) reader: Option<SseReader>,
    /// Usage of such a body.
    pub(crate) usage_tail: UsageTail,
    pub(crate) ready: VecDeque<StreamEvent>,
    pub(crate) state: StreamState,
    pub(crate) prompt_size: TextSize,
    /// Length that the request allows.
    pub(crate) bounds: OutputBounds,
    /// Permit that receives the signal of the stream's end.
    pub(crate) permit: Option<CallPermit>,
}

/// Result of a piece for a stream that is held back.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a held stream moves; a box would be allocated per piece"
)]
pub(crate) enum CommitState {
    /// There is no content yet.
    Held(Uncommitted),
    /// The first content has arrived.
    Ready(Box<Committed>),
    /// An error event has arrived before any content.
    Failed(Bytes),
}

impl Uncommitted {
    /// Holds a stream back. `hides_usage`: the caller did not request the usage event. `parts`:
    /// content that the layers behind the reader use.
    pub(crate) fn new(body: Body, hides_usage: bool, parts: ContentParts) -> Self {
        let (reader, held) = (SseReader::new(hides_usage, parts), VecDeque::new());
        Self { body, reader, held, max_prelude: MAX_PRELUDE_BYTES }
    }

    /// Holds a stream back whose events pass in the caller's own protocol. Two events of Responses repeat the
    /// request's instructions and tools.
    pub(crate) fn passing(body: Body, protocol: Protocol, request_bytes: usize) -> Self {
        let (reader, held) = (SseReader::passing(protocol), VecDeque::new());
        let max_prelude = MAX_PRELUDE_BYTES.saturating_add(request_bytes.saturating_mul(2));
        Self { body, reader, held, max_prelude }
    }

    /// The upstream's body.
    pub(crate) fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Number of events with data so far.
    pub(crate) fn events(&self) -> u64 {
        self.reader.meter().events()
    }

    /// Adds a piece, or the end if `None`. After a failure there was no content to lose.
    pub(crate) fn push(
        mut self,
        piece: Option<Bytes>,
        size: impl FnOnce() -> (TextSize, OutputBounds),
    ) -> Result<CommitState, Failure> {
        let ended = piece.is_none();
        let state = match piece {
            Some(piece) => self.reader.push(piece, &mut self.held),
            None => {
                self.body = Body::Empty;
                self.reader.finish(&mut self.held)
            }
        };
        let too_much =
            self.held.iter().map(|event| event.bytes().len()).sum::<usize>() > self.max_prelude;
        if self.reader.meter().has_content() || (state == StreamState::Open && too_much) {
            let Self { body, reader, held: ready, .. } = self;
            let (prompt_size, bounds) = size();
            return Ok(CommitState::Ready(Box::new(Committed {
                body,
                reader: Some(reader),
                usage_tail: UsageTail::new(bounds),
                ready,
                state,
                prompt_size,
                bounds,
                permit: None,
            })));
        }
        match state {
            StreamState::Open if !ended => Ok(CommitState::Held(self)),
            StreamState::Error => Ok(CommitState::Failed(self.reader.take_error())),
            StreamState::Open | StreamState::Done | StreamState::Malformed => {
                Err(Failure::NotAnAnswer)
            }
        }
    }
}

impl Committed {
    /// Commits a body that is too long to hold; it is passed on unparsed. Its tokens are those that
    /// it reports, else an estimate within `bounds`.
    pub(crate) fn unparsed(
        beginning: Bytes,
        rest: Body,
        prompt_size: TextSize,
        bounds: OutputBounds,
    ) -> Self {
        let mut usage_tail = UsageTail::new(bounds);
        usage_tail.push(&beginning);
        Self {
            usage_tail,
            body: rest,
            reader: None,
            ready: VecDeque::from([StreamEvent::unparsed(beginning)]),
            state: StreamState::Open,
            prompt_size,
            bounds,
            permit: None,
        }
    }

    /// Whether there was content before the stream was committed. A body that is too long to hold
    /// has some.
    pub(crate) fn has_text(&self) -> bool {
        self.reader.as_ref().is_none_or(SseReader::has_text)
    }

    /// Tokens of the answer so far.
    pub(crate) fn tokens(&self) -> Tokens {
        match &self.reader {
            Some(reader) => reader.meter().tokens(self.prompt_size, self.bounds),
            None => self.usage_tail.tokens(self.prompt_size),
        }
    }

    /// Whether the answer has ended at its maximum length; false if it is not parsed.
    pub(crate) fn is_cut(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.meter().is_cut())
    }

    /// Whether the body consists of events.
    pub(crate) fn is_events(&self) -> bool {
        self.reader.is_some()
    }

    /// Sets the permit that receives the signal of the stream's end.
    pub(crate) fn set_permit(&mut self, permit: CallPermit) {
        self.permit = Some(permit);
    }
}

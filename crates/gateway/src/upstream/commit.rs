//! Streams before they are shown: held back until there is content that is worth committing to.

use std::collections::VecDeque;

use bytes::Bytes;
use openai::TextSize;

use crate::host::body::Body;
use crate::upstream::classify::Failure;
use crate::upstream::sse_reader::{SseReader, StreamState};
use crate::upstream::usage_tail::UsageTail;

use super::state::CallPermit;

/// What is held back before the first content, in bytes; beyond it the stream is committed as it is.
const MAX_PRELUDE_BYTES: usize = 64 << 10;

/// A stream whose place another target's could still take.
#[derive(Debug)]
pub struct Uncommitted {
    body: Body,
    reader: SseReader,
    held: VecDeque<Bytes>,
}

/// A stream whose first content is there: proof that it may be shown to the caller.
#[derive(Debug)]
pub struct Committed {
    pub(crate) body: Body,
    /// `None`: not events but a body that is too long to hold.
    pub(crate) reader: Option<SseReader>,
    /// What is seen of such a body.
    pub(crate) usage_tail: UsageTail,
    pub(crate) ready: VecDeque<Bytes>,
    pub(crate) state: StreamState,
    pub(crate) prompt_size: TextSize,
    /// Where to note how it ends.
    pub(crate) permit: Option<CallPermit>,
}

/// What became of a stream that was held back.
#[derive(Debug)]
pub enum CommitState {
    /// There is nothing to show yet.
    Held(Uncommitted),
    /// Its first content is there.
    Ready(Committed),
}

impl Uncommitted {
    /// Holds a stream back. `hides_usage`: the caller did not ask for the event that carries it.
    pub fn new(body: Body, hides_usage: bool) -> Self {
        Self { body, reader: SseReader::new(hides_usage), held: VecDeque::new() }
    }

    /// Has it keep what it says, so that somebody else can go on from there.
    pub fn keep_text(&mut self) {
        self.reader.keep_text();
    }

    /// The upstream's body, to wait on.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// How many events with data have come.
    pub fn events(&self) -> u64 {
        self.reader.meter().events()
    }

    /// Takes what came, or the end. A failure means that there was no content to lose.
    pub fn push(
        mut self,
        piece: Option<Bytes>,
        prompt: impl FnOnce() -> TextSize,
    ) -> Result<CommitState, Failure> {
        let ended = piece.is_none();
        let flow = match piece {
            Some(piece) => self.reader.push(piece, &mut self.held),
            None => {
                self.body = Body::Empty;
                self.reader.finish(&mut self.held)
            }
        };
        let too_much = self.held.iter().map(Bytes::len).sum::<usize>() > MAX_PRELUDE_BYTES;
        if self.reader.meter().has_content() || (flow == StreamState::Open && too_much) {
            let Self { body, reader, held: ready } = self;
            return Ok(CommitState::Ready(Committed {
                body,
                reader: Some(reader),
                usage_tail: UsageTail::new(0),
                ready,
                state: flow,
                prompt_size: prompt(),
                permit: None,
            }));
        }
        match flow {
            StreamState::Open if !ended => Ok(CommitState::Held(self)),
            StreamState::Open | StreamState::Done | StreamState::Error | StreamState::Malformed => {
                Err(Failure::NotAnAnswer)
            }
        }
    }
}

impl Committed {
    /// A body that is too long to hold: it is passed on unread. It counts for what it reports in its
    /// end, or for `most` tokens at most by estimate.
    pub fn unparsed(beginning: Bytes, rest: Body, prompt_size: TextSize, max: u64) -> Self {
        let mut usage_tail = UsageTail::new(max);
        usage_tail.push(&beginning);
        Self {
            usage_tail,
            body: rest,
            reader: None,
            ready: VecDeque::from([beginning]),
            state: StreamState::Open,
            prompt_size,
            permit: None,
        }
    }

    /// Whether it consists of events.
    pub fn is_events(&self) -> bool {
        self.reader.is_some()
    }

    /// Has it noted how the stream ends.
    pub fn set_permit(&mut self, permit: CallPermit) {
        self.permit = Some(permit);
    }
}

//! Streams before they are shown: held back until there is content that is worth committing to.

use std::collections::VecDeque;

use bytes::Bytes;
use openai::Weight;

use crate::body::Body;
use crate::policy::classify::Failure;
use crate::reader::{Flow, Reader};
use crate::tail::Tail;

use super::fleet::Ticket;

/// What is held back before the first content, in bytes; beyond it the stream is committed as it is.
const LONGEST_PRELUDE: usize = 64 << 10;

/// A stream whose place another target's could still take.
#[derive(Debug)]
pub struct Uncommitted {
    body: Body,
    reader: Reader,
    held: VecDeque<Bytes>,
}

/// A stream whose first content is there: proof that it may be shown to the caller.
#[derive(Debug)]
pub struct Committed {
    pub(super) body: Body,
    /// `None`: not events but a body that is too long to hold.
    pub(super) reader: Option<Reader>,
    /// What is seen of such a body.
    pub(super) tail: Tail,
    pub(super) ready: VecDeque<Bytes>,
    pub(super) flow: Flow,
    pub(super) prompt: Weight,
    /// Where to note how it ends.
    pub(super) ticket: Option<Ticket>,
}

/// What became of a stream that was held back.
#[derive(Debug)]
pub enum Taken {
    /// There is nothing to show yet.
    Held(Uncommitted),
    /// Its first content is there.
    Ready(Committed),
}

impl Uncommitted {
    /// Holds a stream back. `hides_usage`: the caller did not ask for the event that carries it.
    pub fn new(body: Body, hides_usage: bool) -> Self {
        Self { body, reader: Reader::new(hides_usage), held: VecDeque::new() }
    }

    /// Has it keep what it says, so that somebody else can go on from there.
    pub fn keep_draft(&mut self) {
        self.reader.keep_draft();
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
    pub fn take(
        mut self,
        piece: Option<Bytes>,
        prompt: impl FnOnce() -> Weight,
    ) -> Result<Taken, Failure> {
        let ended = piece.is_none();
        let flow = match piece {
            Some(piece) => self.reader.take(piece, &mut self.held),
            None => {
                self.body = Body::Empty;
                self.reader.end(&mut self.held)
            }
        };
        let too_much = self.held.iter().map(Bytes::len).sum::<usize>() > LONGEST_PRELUDE;
        if self.reader.meter().has_content() || (flow == Flow::Open && too_much) {
            let Self { body, reader, held: ready } = self;
            return Ok(Taken::Ready(Committed {
                body,
                reader: Some(reader),
                tail: Tail::new(0),
                ready,
                flow,
                prompt: prompt(),
                ticket: None,
            }));
        }
        match flow {
            Flow::Open if !ended => Ok(Taken::Held(self)),
            Flow::Open | Flow::Done | Flow::Error | Flow::Malformed => Err(Failure::NotAnAnswer),
        }
    }
}

impl Committed {
    /// A body that is too long to hold: it is passed on unread. It counts for what it reports in its
    /// end, or for `most` tokens at most by estimate.
    pub fn opaque(beginning: Bytes, rest: Body, prompt: Weight, most: u64) -> Self {
        let mut tail = Tail::new(most);
        tail.see(&beginning);
        Self {
            tail,
            body: rest,
            reader: None,
            ready: VecDeque::from([beginning]),
            flow: Flow::Open,
            prompt,
            ticket: None,
        }
    }

    /// Whether it consists of events.
    pub fn is_events(&self) -> bool {
        self.reader.is_some()
    }

    /// Has it noted how the stream ends.
    pub fn watch(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }
}

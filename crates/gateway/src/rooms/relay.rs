//! A committed stream on its way to the caller: passed on event by event, and ended truthfully.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use openai::{ErrorBody, ErrorObject};

use crate::body::Body;
use crate::config::Timeouts;
use crate::draft::Sequel;
use crate::observe::{Outcome, Record};
use crate::outage::Outage;
use crate::platform::Platform;
use crate::policy::breaker::Sign;
use crate::reader::Flow;
use crate::time::Timestamp;

use super::committed::Committed;
use super::entry::{Entry, LastNotes};
use super::resume::Successors;
use super::transcript::Transcript;

/// How long the upstream may take to end its body after `[DONE]`, so that the host can use the
/// connection again.
const LINGER: Duration = Duration::from_secs(1);
/// What it may still say until then, in bytes.
const MOST_DRAINED: usize = 64 << 10;

/// A committed stream as the caller's response body.
///
/// Dropping it before its end means that the caller hung up: the upstream's body is dropped with it
/// and the record says so.
pub struct Relay<P: Platform> {
    stream: Committed,
    /// Targets that can continue the stream where it breaks off.
    successors: Option<Box<Successors>>,
    platform: P,
    entry: Option<Entry<P>>,
    /// Where to write down what the caller is shown.
    transcript: Option<Rc<Transcript>>,
    ending: Option<Outcome>,
    /// Somebody else closes the record, who may end the stream in another way.
    left_open: bool,
    /// Somebody is asked to go on where the stream broke off. Holds the entry meanwhile.
    continuing: Option<Continuing<P>>,
    /// The stream is another one's rest.
    sequel: Option<Sequel>,
    /// The stream's tokens are in the books already.
    is_counted: bool,
    idle: Duration,
    deadline: Timestamp,
    /// When the upstream began to be silent; `None` while nobody has had to wait for it, so that a
    /// caller who reads slowly is not mistaken for it.
    silent_since: Option<Timestamp>,
    alarm: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Gives the entry back, and the stream that goes on.
type Work<P> = Pin<Box<dyn Future<Output = (Entry<P>, Option<Box<Committed>>)>>>;

/// A stream that broke off, while somebody is asked to go on.
struct Continuing<P: Platform> {
    work: Work<P>,
    /// What the entry is to hear if nobody waits for the work any more.
    notes: LastNotes,
    /// What the caller is told if nobody does.
    code: &'static str,
    message: &'static str,
}

impl<P: Platform> Relay<P> {
    /// Begins to pass a stream on. From here on the relay holds the request's record.
    pub fn begin(
        (stream, successors): (Committed, Option<Box<Successors>>),
        platform: P,
        entry: Entry<P>,
        timeouts: Timeouts,
    ) -> Self {
        let mut relay = Self {
            idle: timeouts.idle,
            deadline: entry.began() + timeouts.total,
            silent_since: None,
            alarm: None,
            stream,
            successors,
            ending: None,
            left_open: false,
            continuing: None,
            sequel: None,
            is_counted: false,
            transcript: entry.transcript().cloned(),
            entry: Some(entry),
            platform,
        };
        relay.follow();
        relay
    }

    /// Draws the consequences of what the reader saw last.
    fn follow(&mut self) {
        match self.stream.flow {
            Flow::Open => {}
            Flow::Done => {
                let body = std::mem::take(&mut self.stream.body);
                self.platform.defer(drain(body, self.platform.sleep(LINGER)));
                self.complete();
            }
            Flow::Error => self.break_off("upstream_error", "The upstream reported an error."),
            Flow::Malformed => {
                self.break_off(
                    "upstream_error",
                    "The upstream sent something that is not a chunk.",
                );
            }
        }
    }

    /// The upstream's body ended.
    fn finish(&mut self) {
        self.stream.body = Body::Empty;
        if let Some(reader) = &mut self.stream.reader {
            self.stream.flow = reader.end(&mut self.stream.ready);
            self.follow();
        }
        match &self.stream.reader {
            _ if self.ending.is_some() || self.continuing.is_some() => {}
            Some(reader) if !reader.meter().is_complete() => {
                self.break_off(
                    "upstream_error",
                    "The upstream ended the stream before the answer was complete.",
                );
            }
            Some(_) | None => self.complete(),
        }
    }

    /// The answer is whole.
    fn complete(&mut self) {
        self.note(Sign::Well);
        self.ending = Some(Outcome::Answered);
    }

    /// Notes what the end of the stream says about the upstream's health, once.
    fn note(&mut self, sign: Sign) {
        if let Some(ticket) = self.stream.ticket.take() {
            ticket.note(sign, self.platform.now(), self.platform.entropy());
        }
    }

    /// Has somebody asked to go on, or ends the stream with an error event in place of what is missing.
    fn break_off(&mut self, code: &'static str, message: &'static str) {
        if self.is_continued(code, message) {
            return;
        }
        let error = ErrorObject { message, kind: "upstream_error", param: None, code: Some(code) };
        self.stream.ready.push_back(ErrorBody { error }.to_event().into());
        self.truncate(code);
    }

    /// Asks somebody to go on where the stream broke off, if that is possible.
    fn is_continued(&mut self, code: &'static str, message: &'static str) -> bool {
        let is_late = self.platform.now() >= self.deadline;
        let Some(successors) = self.successors.take().filter(|_| !is_late) else {
            return false;
        };
        let Some(reader) = &self.stream.reader else { return false };
        let Some((draft, said)) = reader.draft().and_then(|draft| Some((draft, draft.text()?)))
        else {
            return false;
        };
        let Some(mut entry) = self.entry.take() else { return false };
        entry.split_usage(reader.meter().tokens(self.stream.prompt));
        self.sequel = Some(Sequel::to(draft));
        let notes = entry.late_updates();
        let work = successors.go_on(self.platform.clone(), entry, said.to_owned());
        self.continuing = Some(Continuing { work: Box::pin(work), notes, code, message });
        self.is_counted = true;
        self.note(Sign::Failed);
        self.stream.body = Body::Empty;
        true
    }

    /// Takes what became of asking somebody to go on.
    fn poll_continuing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(continuing) = &mut self.continuing else { return Poll::Ready(()) };
        let (entry, stream) = ready!(continuing.work.as_mut().poll(cx));
        let (code, message) = (continuing.code, continuing.message);
        (self.entry, self.continuing) = (Some(entry), None);
        match stream {
            Some(stream) => {
                (self.stream, self.is_counted) = (*stream, false);
                self.silent_since = None;
                self.follow();
            }
            None => {
                self.sequel = None;
                self.break_off(code, message);
            }
        }
        Poll::Ready(())
    }

    fn truncate(&mut self, code: &'static str) {
        // That the time of this request is up says nothing about the upstream.
        let is_late = self.platform.now() >= self.deadline;
        self.note(if is_late { Sign::Nothing } else { Sign::Failed });
        self.stream.body = Body::Empty;
        self.ending = Some(Outcome::Truncated);
        if let Some(entry) = &mut self.entry {
            entry.broke_off(code);
        }
    }

    /// The stream cannot go on. Events end with one that says so; a JSON body can only break off.
    fn broke(&mut self, code: &'static str, message: &'static str) -> Result<(), Outage> {
        if self.stream.reader.is_some() {
            self.break_off(code, message);
            Ok(())
        } else {
            self.truncate(code);
            Err(Outage::new(message))
        }
    }

    /// Leaves it to the caller of [`Relay::close`] when the record is written.
    pub(super) fn leave_open(&mut self) {
        self.left_open = true;
    }

    /// Writes down events that the caller is shown, where that is wanted.
    pub(super) fn show(&self, events: &Bytes) {
        if let Some(transcript) = &self.transcript {
            transcript.see(events);
        }
    }

    /// Asks for no more of the stream.
    pub(super) fn stop(&mut self) {
        self.stream.body = Body::Empty;
    }

    /// Notes something in the record, while it is open.
    pub(super) fn record(&mut self, note: impl FnOnce(&mut Record) + 'static) {
        if let Some(entry) = &mut self.entry {
            entry.update(note);
        } else if let Some(continuing) = &self.continuing {
            continuing.notes.borrow_mut().push(Box::new(note));
        }
    }

    /// Closes the record, if that was not done: in this way, or as the stream has ended.
    pub(super) fn close(&mut self, outcome: Option<Outcome>) {
        let outcome = outcome.or(self.ending).unwrap_or(Outcome::HungUp);
        if let Some(entry) = self.settle() {
            entry.close(outcome);
        } else {
            self.record(move |record| record.outcome = outcome);
            // The entry goes with it.
            self.continuing = None;
        }
    }

    /// Hands the tokens to the record, which is written when the entry goes.
    fn settle(&mut self) -> Option<Entry<P>> {
        let mut entry = self.entry.take()?;
        if self.is_counted {
            return Some(entry);
        }
        entry.spent(match &self.stream.reader {
            Some(reader) => reader.meter().tokens(self.stream.prompt),
            None => self.stream.tail.tokens(self.stream.prompt),
        });
        Some(entry)
    }

    /// Whether the upstream has been silent for too long. One timer serves many pieces: it is set
    /// anew only when it goes off.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.platform.now();
            let since = *self.silent_since.get_or_insert(now);
            let due = (since + self.idle).min(self.deadline);
            if now >= due {
                return Poll::Ready(());
            }
            let platform = &self.platform;
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(platform.sleep(due.since(now))));
            ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
        }
    }

    /// Waits for the upstream's next piece and puts what may pass into `ready`.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Outage>> {
        let Poll::Ready(piece) = self.stream.body.poll_piece(cx) else {
            ready!(self.poll_silence(cx));
            return Poll::Ready(
                self.broke("upstream_timeout", "The upstream was silent for too long."),
            );
        };
        self.silent_since = None;
        Poll::Ready(match piece {
            None => {
                self.finish();
                Ok(())
            }
            Some(Err(_)) => self.broke("upstream_error", "The connection to the upstream broke."),
            Some(Ok(_)) if self.platform.now() >= self.deadline => {
                self.broke("upstream_timeout", "The time for this request is up.")
            }
            Some(Ok(piece)) => {
                match &mut self.stream.reader {
                    Some(reader) => self.stream.flow = reader.take(piece, &mut self.stream.ready),
                    None => {
                        self.stream.tail.see(&piece);
                        self.stream.ready.push_back(piece);
                    }
                }
                self.follow();
                Ok(())
            }
        })
    }
}

impl<P: Platform> Stream for Relay<P> {
    type Item = Result<Bytes, Outage>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let relay = &mut *self;
        loop {
            if let Some(piece) = relay.stream.ready.pop_front() {
                let piece = match &mut relay.sequel {
                    // What is left of the stream that broke off goes first, as it is.
                    Some(sequel) if relay.continuing.is_none() => sequel.pass(piece),
                    Some(_) | None => piece,
                };
                if piece.is_empty() {
                    continue;
                }
                // Who closes the record also knows what is shown of this.
                if !relay.left_open {
                    relay.show(&piece);
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            if relay.continuing.is_some() {
                ready!(relay.poll_continuing(cx));
                continue;
            }
            if relay.ending.is_some() {
                if !relay.left_open {
                    relay.close(None);
                }
                return Poll::Ready(None);
            }
            if let Err(outage) = ready!(relay.poll_upstream(cx)) {
                return Poll::Ready(Some(Err(outage)));
            }
        }
    }
}

// Nothing inside is pinned in place: the alarm is boxed, the rest is plain data.
impl<P: Platform> Unpin for Relay<P> {}

impl<P: Platform> Drop for Relay<P> {
    fn drop(&mut self) {
        // What was shown until the caller left is what is charged. A host also drops a body that
        // broke off, or whose last piece it has, without asking for the end.
        let all_shown = self.stream.ready.is_empty();
        self.close((!all_shown).then_some(Outcome::HungUp));
    }
}

impl<P: Platform> fmt::Debug for Relay<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Reads a body to its end and throws it away, as long as the timer and `MOST_DRAINED` let it.
async fn drain(mut body: Body, timer: impl Future<Output = ()>) {
    let mut timer = pin!(timer);
    let mut drained = 0;
    poll_fn(|cx| {
        while let Poll::Ready(piece) = body.poll_piece(cx) {
            match piece {
                Some(Ok(piece)) if drained < MOST_DRAINED => drained += piece.len(),
                Some(_) | None => return Poll::Ready(()),
            }
        }
        timer.as_mut().poll(cx)
    })
    .await;
}

//! Reading of an upstream's response until an answer can be committed. The body decides whether it
//! is a stream, one answer, or an error; the content type is a hint.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use openai::{
    AnswerSize, AnswerSummary, ContentParts, Endpoint, ErrorReport, InvalidAnswer, Tokens,
};

use crate::host::Host;
use crate::host::body::{Body, append};
use crate::host::futures::timeout;
use crate::routing::plan::Candidate;
use crate::upstream::classify::{Failure, MAX_REPORT_BYTES, RefusalClass, is_uncompressed};

use super::additions::{Addition, SentAdditions};
use super::answer::{Answer, AnswerContent};
use super::attempt::{AcceptedAnswer, AttemptContext};
use super::commit::{CommitState, Committed, Uncommitted};
use super::refusal::{self, Refusal, classify_error_answer};
use super::sse_reader::{SseReader, StreamState};
use super::timeouts::{AttemptError, AttemptTimeouts};
use super::wrapping::{self, Wrapping};

/// Bodies up to this length are read whole before they are passed on, so that another target can
/// still replace a broken one. Longer bodies are committed and streamed.
const MAX_BUFFERED_BYTES: usize = 8 << 20;
/// The longest wait for the body of a failure, which is read only for the reason in it.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

impl<P: Host> AttemptContext<'_, P> {
    /// Reads a response with a success status.
    pub(super) async fn read_answer(
        &self,
        candidate: &Candidate<'_>,
        head: &Parts,
        mut body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<AcceptedAnswer, AttemptError> {
        if !is_uncompressed(&head.headers) {
            return Err(Failure::Compressed.into());
        }
        if !self.request.fields().stream {
            let (whole, rest) = self.read_body(Bytes::new(), body, timeouts).await?;
            return self.accept_whole(candidate, head, whole, rest);
        }
        let start = self.read_start(&mut body, timeouts).await?;
        match Wrapping::detect(&start) {
            Some(Wrapping::Markup) => Err(Failure::NotAnAnswer.into()),
            Some(Wrapping::Json) => {
                let (whole, rest) = self.read_body(start, body, timeouts).await?;
                let whole = without_mark(whole);
                if rest.is_some() {
                    return Err(Failure::NotAnAnswer.into());
                }
                self.check_answer(candidate, &whole)?;
                let events = wrapping::to_events(self.request.endpoint(), &whole);
                let events = events.ok_or(Failure::NotAnAnswer)?;
                let stream = self.open_stream(events, Body::Empty, timeouts).await?;
                Ok(self.accept_stream(head, stream, Some(wrapping::JSON_TO_STREAM)))
            }
            Some(Wrapping::Events) | None => {
                let stream = self.open_stream(start, body, timeouts).await?;
                Ok(self.accept_stream(head, stream, None))
            }
        }
    }

    /// Reads a response with another status: the caller's fault, which passes, or a failure.
    pub(super) async fn read_refusal(
        &self,
        (candidate, additions): (&Candidate<'_>, SentAdditions),
        head: &Parts,
        body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<AcceptedAnswer, AttemptError> {
        let may_pass = matches!(head.status.as_u16(), 400 | 404 | 413 | 415 | 422);
        let is_readable = is_uncompressed(&head.headers);
        let body = match (may_pass, is_readable) {
            // A body that is not passed on need not be readable.
            (true, false) => return Err(Failure::Compressed.into()),
            (false, false) => Bytes::new(),
            (true, true) => match self.read_body(Bytes::new(), body, timeouts).await? {
                (whole, None) => without_mark(whole),
                (_, Some(_)) => return Err(Failure::NotAnAnswer.into()),
            },
            (false, true) => self.read_reason(body).await,
        };
        let report = refusal::read_report(&body);
        let refusal = Refusal {
            kind: candidate.provider.kind,
            status: head.status,
            headers: &head.headers,
            body: &body,
            report: &report,
            model_origin: candidate.model_origin,
        };
        let (class, name) = refusal.classify();
        self.check_additions((candidate, additions), class, name.is_some(), (&body, &report))?;
        match class {
            RefusalClass::Failure(failure) => Err(AttemptError::named(failure, name)),
            RefusalClass::CallersFault => {
                let known = head.headers.get(CONTENT_TYPE);
                let content_type = match Wrapping::detect(&body) {
                    Some(form @ Wrapping::Json) => Some(form.content_type(known)),
                    Some(Wrapping::Events | Wrapping::Markup) | None => known.cloned(),
                };
                let content = AnswerContent::Whole(body);
                let answer = Answer { status: head.status, content_type, content };
                let (tokens, converted) = (None, None);
                let (is_empty, is_cut) = (false, false);
                Ok(AcceptedAnswer { answer, tokens, is_empty, is_cut, converted })
            }
        }
    }

    /// Checks that a refusal is not about a field that the gateway has added.
    fn check_additions(
        &self,
        (candidate, additions): (&Candidate<'_>, SentAdditions),
        class: RefusalClass,
        is_named: bool,
        (body, report): (&[u8], &ErrorReport),
    ) -> Result<(), AttemptError> {
        let target = (candidate.provider_index, candidate.model);
        let may_be_about_a_field = matches!(
            class,
            RefusalClass::CallersFault
                | RefusalClass::Failure(Failure::Unrelated { .. } | Failure::ServerError { .. })
        );
        let named = additions.named_in(body, report);
        if let Some(addition) = named.filter(|_| may_be_about_a_field && self.may_replay) {
            return Err(Failure::AdditionRefused(addition).into());
        }
        // Words that name no field may be about the addition, until the target has accepted it.
        let is_doubtful = class == RefusalClass::CallersFault
            && !is_named
            && self.may_replay
            && !self.upstreams.accepts_usage(target)
            && additions.may_be_usage(report);
        if is_doubtful {
            return Err(Failure::AdditionRefused(Addition::Usage).into());
        }
        Ok(())
    }

    /// Holds a stream back until its first event with content.
    async fn open_stream(
        &self,
        start: Bytes,
        body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<Committed, AttemptError> {
        let hides_usage = !self.request.fields().wants_usage;
        let mut stream = Uncommitted::new(body, hides_usage, self.parts);
        let mut start = Some(start).filter(|start| !start.is_empty());
        loop {
            let piece = match start.take() {
                Some(start) => Some(start),
                None => timeouts.next_piece(stream.body()).await?,
            };
            let events = stream.events();
            match stream.push(piece, || (self.prompt_size(), self.request.output_bounds()))? {
                CommitState::Held(held) => {
                    // Comments do not extend the wait at all, and events without content only
                    // within `first_byte`.
                    timeouts.check_progress(held.events() > events)?;
                    stream = held;
                }
                CommitState::Ready(committed) => return Ok(committed),
            }
        }
    }

    fn accept_stream(
        &self,
        head: &Parts,
        stream: Committed,
        converted: Option<&'static str>,
    ) -> AcceptedAnswer {
        let content_type = Wrapping::Events.content_type(head.headers.get(CONTENT_TYPE));
        let is_empty = !stream.has_text();
        let content = AnswerContent::Stream(Box::new(stream));
        let answer = Answer { status: head.status, content_type: Some(content_type), content };
        AcceptedAnswer { answer, tokens: None, is_empty, is_cut: false, converted }
    }

    /// Accepts an answer that is not to be a stream, if it is valid.
    fn accept_whole(
        &self,
        candidate: &Candidate<'_>,
        head: &Parts,
        whole: Bytes,
        rest: Option<Body>,
    ) -> Result<AcceptedAnswer, AttemptError> {
        let content_type = Some(Wrapping::Json.content_type(head.headers.get(CONTENT_TYPE)));
        let whole = without_mark(whole);
        let is_events = wrapping::is_event_stream(&whole);
        let accepted = |content, tokens, (is_empty, is_cut), converted| {
            let answer = Answer { status: head.status, content_type, content };
            Ok(AcceptedAnswer { answer, tokens, is_empty, is_cut, converted })
        };
        if let Some(rest) = rest {
            if Wrapping::detect(&whole) != Some(Wrapping::Json) {
                return Err(Failure::NotAnAnswer.into());
            }
            let bounds = self.request.output_bounds();
            let long = Committed::unparsed(whole, rest, self.prompt_size(), bounds);
            return accepted(AnswerContent::Stream(Box::new(long)), None, (false, false), None);
        }
        if is_events {
            let (answer, tokens, ends) = self.gather_events(&whole)?;
            let converted = Some(wrapping::STREAM_TO_JSON);
            return accepted(AnswerContent::Whole(answer), Some(tokens), ends, converted);
        }
        let answer = self.check_answer(candidate, &whole)?;
        let size = AnswerSize {
            prompt: self.prompt_size(),
            answer: answer.text_size,
            bounds: self.request.output_bounds(),
            ..AnswerSize::default()
        };
        let tokens = Tokens::count(answer.usage, &size);
        let is_empty =
            self.request.endpoint() != Endpoint::Embeddings && answer.text_size.is_empty();
        accepted(AnswerContent::Whole(whole), Some(tokens), (is_empty, answer.is_cut), None)
    }

    /// Parses one answer. An error in its place is classified like a refusal.
    fn check_answer(
        &self,
        candidate: &Candidate<'_>,
        whole: &[u8],
    ) -> Result<AnswerSummary, AttemptError> {
        AnswerSummary::parse(self.request.endpoint(), whole).map_err(|found| match found {
            InvalidAnswer::NotJson => found.into(),
            InvalidAnswer::IsError | InvalidAnswer::Empty => {
                let (failure, name) = classify_error_answer(candidate.provider.kind, whole);
                AttemptError::named(failure, Some(name.unwrap_or(found.name())))
            }
        })
    }

    /// Puts the events of a stream that nobody asked for together as one answer. Also returns whether it is
    /// empty, and whether it ends at its maximum length.
    fn gather_events(&self, events: &Bytes) -> Result<(Bytes, Tokens, (bool, bool)), AttemptError> {
        let mut reader = SseReader::new(false, ContentParts::default());
        let mut passed = VecDeque::new();
        let mut state = reader.push(events.clone(), &mut passed);
        if state == StreamState::Open {
            state = reader.finish(&mut passed);
        }
        let is_whole = match state {
            StreamState::Done => true,
            StreamState::Open => reader.meter().is_complete(),
            StreamState::Error | StreamState::Malformed => false,
        };
        let answer =
            is_whole.then(|| wrapping::to_answer(self.request.endpoint(), events)).flatten();
        let answer = answer.ok_or(Failure::NotAnAnswer)?;
        Ok((
            answer,
            reader.meter().tokens(self.prompt_size(), self.request.output_bounds()),
            (!reader.has_text(), reader.meter().is_cut()),
        ))
    }

    /// Reads a body until its first visible character.
    async fn read_start(
        &self,
        body: &mut Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<Bytes, AttemptError> {
        let mut start = Bytes::new();
        while Wrapping::detect(&start).is_none() && start.len() <= MAX_REPORT_BYTES {
            let Some(piece) = timeouts.next_piece(body).await? else { break };
            start = append(start, piece);
            timeouts.check_progress(false)?;
        }
        Ok(start)
    }

    /// Reads a body to its end, or until it is too long to hold. In that case the rest is returned
    /// with it.
    async fn read_body(
        &self,
        start: Bytes,
        mut body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<(Bytes, Option<Body>), AttemptError> {
        let mut whole = start;
        while let Some(piece) = timeouts.next_piece(&mut body).await? {
            timeouts.reset_idle();
            let is_first = whole.is_empty();
            whole = append(whole, piece);
            // A single piece that has already arrived is held, however long it is.
            if !is_first && whole.len() > MAX_BUFFERED_BYTES {
                return Ok((whole, Some(body)));
            }
        }
        Ok((whole, None))
    }

    /// Reads the body of a failure, for the reason in it. Empty if it is long, slow, or broken.
    async fn read_reason(&self, mut body: Body) -> Bytes {
        let read = async {
            let mut whole = Bytes::new();
            while let Some(piece) = body.next_piece().await {
                let Ok(piece) = piece else { return Bytes::new() };
                if whole.len() + piece.len() > MAX_REPORT_BYTES {
                    return Bytes::new();
                }
                whole = append(whole, piece);
            }
            whole
        };
        let wait = REASON_TIMEOUT.min(self.deadline.since(self.host.now()));
        without_mark(timeout(self.host, wait, read).await.unwrap_or_default())
    }
}

/// A body without the byte order mark, which JSON readers refuse.
fn without_mark(body: Bytes) -> Bytes {
    match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => body.slice_ref(rest),
        None => body,
    }
}

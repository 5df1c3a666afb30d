//! Reading of an upstream's response until an answer can be committed. The body decides whether it
//! is a stream, one answer, or an error; the content type is a hint.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use openai::{
    AnswerSize, AnswerSummary, ContentParts, Endpoint, ErrorReport, Event, InvalidAnswer, Tokens,
};
use protocol::model::{FailureClass, Protocol};
use protocol::{AnswerContext, summarize_answer};

use crate::host::Host;
use crate::host::body::{Body, append};
use crate::host::futures::timeout;
use crate::routing::plan::Candidate;
use crate::upstream::classify::{Failure, MAX_REPORT_BYTES, RefusalClass, is_uncompressed};

use super::additions::{Addition, SentAdditions};
use super::answer::{Answer, AnswerContent};
use super::answer_form::refused_answer;
use super::attempt::{AcceptedAnswer, AnswerForm, AttemptContext, Exchange};
use super::commit::{CommitState, Committed, Uncommitted};
use super::refusal::{self, Refusal, classify_error_answer};
use super::sse_reader::{SseReader, StreamState};
use super::timeouts::{AttemptError, AttemptTimeouts};
use super::translated_answer;
use super::translated_stream::translate_stream;
use super::wrapping::{self, JSON_TO_STREAM, Wrapping};

/// Bodies up to this length are read whole before they are passed on, so that another target can
/// still replace a broken one. Longer bodies are committed and streamed.
const MAX_BUFFERED_BYTES: usize = 8 << 20;
/// The longest wait for the body of a failure, which is read only for the reason in it.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

impl<P: Host> AttemptContext<'_, P> {
    /// Reads a response with a success status.
    pub(super) async fn read_answer(
        &self,
        (candidate, exchange): (&Candidate<'_>, Exchange),
        head: &Parts,
        mut body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<AcceptedAnswer, AttemptError> {
        if !is_uncompressed(&head.headers) {
            return Err(Failure::Compressed.into());
        }
        if !self.request.fields().stream {
            let (whole, rest) = self.read_body(Bytes::new(), body, timeouts).await?;
            return self.accept_whole((candidate, exchange), head, whole, rest);
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
                let (form, events) = self.whole_to_events((candidate, &exchange), whole)?;
                let opened = (candidate, &exchange, form);
                let stream = self.open_stream(opened, events, Body::Empty, timeouts).await?;
                Ok(self.accept_opened((candidate, exchange), head, stream, Some(JSON_TO_STREAM)))
            }
            Some(Wrapping::Events) | None => {
                let opened = (candidate, &exchange, exchange.form);
                let stream = self.open_stream(opened, start, body, timeouts).await?;
                Ok(self.accept_opened((candidate, exchange), head, stream, None))
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
                let (status, protocol) = (head.status, candidate.protocol);
                let answer = Answer {
                    status,
                    content_type,
                    content,
                    protocol,
                    translation: None,
                    origin: None,
                };
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
        (candidate, exchange, form): (&Candidate<'_>, &Exchange, AnswerForm),
        mut start: Bytes,
        body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<Opened, AttemptError> {
        let hides_usage = !self.request.fields().wants_usage;
        let mut stream = match form {
            AnswerForm::Chat => Uncommitted::new(body, hides_usage, self.parts),
            AnswerForm::Passing(own) => Uncommitted::passing(body, own, self.request.body().len()),
            AnswerForm::Translated(from) => {
                let context = self.answer_context(candidate, exchange);
                let start = std::mem::take(&mut start);
                let chat = translate_stream(start, body, (from, Protocol::Chat), context);
                Uncommitted::new(chat, hides_usage, self.parts)
            }
        };
        let mut start = Some(start).filter(|start| !start.is_empty());
        loop {
            let piece = match start.take() {
                Some(start) => Some(start),
                None => timeouts.next_piece(stream.body()).await?,
            };
            let events = stream.events();
            match stream.push(piece, || (self.prompt_size(), self.request.output_bounds()))? {
                CommitState::Failed(event) => return failed_stream(candidate, &event),
                CommitState::Held(held) => {
                    // Comments do not extend the wait at all, and events without content only
                    // within `first_byte`.
                    timeouts.check_progress(held.events() > events)?;
                    stream = held;
                }
                CommitState::Ready(committed) => return Ok(Opened::Stream(Box::new(committed))),
            }
        }
    }

    /// Accepts a stream with content, or a refusal in place of it.
    fn accept_opened(
        &self,
        (candidate, exchange): (&Candidate<'_>, Exchange),
        head: &Parts,
        opened: Opened,
        converted: Option<&'static str>,
    ) -> AcceptedAnswer {
        let (answer, is_empty) = match opened {
            Opened::Stream(stream) => {
                let content_type = Wrapping::Events.content_type(head.headers.get(CONTENT_TYPE));
                let is_empty = !stream.has_text();
                let content = AnswerContent::Stream(stream);
                (exchange.into_answer(head.status, Some(content_type), content), is_empty)
            }
            Opened::Refusal(failure) => {
                let protocol = candidate.protocol;
                let body = protocol::failure::body(&failure, protocol, None);
                let status = StatusCode::from_u16(failure.status(protocol));
                let answer = Answer {
                    status: status.unwrap_or(StatusCode::BAD_REQUEST),
                    content_type: Some(Wrapping::Json.content_type(None)),
                    content: AnswerContent::Whole(body.into()),
                    protocol,
                    translation: None,
                    origin: None,
                };
                (answer, false)
            }
        };
        AcceptedAnswer { answer, tokens: None, is_empty, is_cut: false, converted }
    }

    /// Accepts an answer that is not to be a stream, if it is valid.
    fn accept_whole(
        &self,
        (candidate, exchange): (&Candidate<'_>, Exchange),
        head: &Parts,
        whole: Bytes,
        rest: Option<Body>,
    ) -> Result<AcceptedAnswer, AttemptError> {
        let content_type = Some(Wrapping::Json.content_type(head.headers.get(CONTENT_TYPE)));
        let mut whole = without_mark(whole);
        let bounds = self.request.output_bounds();
        let accepted = |exchange: Exchange, content, tokens, (is_empty, is_cut), converted| {
            let answer = exchange.into_answer(head.status, content_type, content);
            Ok(AcceptedAnswer { answer, tokens, is_empty, is_cut, converted })
        };
        if let Some(rest) = rest {
            // A translation needs the whole answer.
            let stays = match exchange.form {
                AnswerForm::Chat => self.request.protocol() == Protocol::Chat,
                AnswerForm::Passing(_) => true,
                AnswerForm::Translated(_) => false,
            };
            if !stays || Wrapping::detect(&whole) != Some(Wrapping::Json) {
                return Err(Failure::NotAnAnswer.into());
            }
            let long = Committed::unparsed(whole, rest, self.prompt_size(), bounds);
            let content = AnswerContent::Stream(Box::new(long));
            return accepted(exchange, content, None, (false, false), None);
        }
        let is_events = wrapping::is_event_stream(&whole);
        let converted = is_events.then_some(wrapping::STREAM_TO_JSON);
        let (tokens, ends) = match exchange.form {
            AnswerForm::Chat if is_events => {
                let (answer, tokens, ends) = self.gather_events(&whole)?;
                whole = answer;
                (tokens, ends)
            }
            AnswerForm::Chat => self.measure(&self.check_answer(candidate, &whole)?),
            AnswerForm::Translated(from) => {
                whole = self.to_chat((candidate, &exchange), from, &whole)?;
                self.measure(&self.check_answer(candidate, &whole)?)
            }
            AnswerForm::Passing(own) => {
                if is_events {
                    let context = self.answer_context(candidate, &exchange);
                    whole = translated_answer::to_json(&whole, (own, own), &context)
                        .map_err(|_| refused_answer(candidate, &whole))?;
                }
                let summary = summarize_answer(own, &whole);
                self.measure(&summary.map_err(|found| match found {
                    InvalidAnswer::NotJson => found.into(),
                    InvalidAnswer::IsError | InvalidAnswer::Empty => {
                        refused_answer(candidate, &whole)
                    }
                })?)
            }
        };
        if exchange.is_for_writer(self.request.protocol()) {
            self.check_writable(&whole)?;
        }
        accepted(exchange, AnswerContent::Whole(whole), Some(tokens), ends, converted)
    }

    /// Checks that an answer in Chat can be written in the caller's protocol, while another target can still
    /// answer.
    fn check_writable(&self, whole: &[u8]) -> Result<(), AttemptError> {
        let answer = protocol::answer::read(Protocol::Chat, whole);
        let written = answer.and_then(|answer| {
            protocol::answer::write(self.request.protocol(), &answer, &AnswerContext::default())
        });
        written.map(drop).map_err(|failure| AttemptError {
            detail: Some(failure.message.into_owned()),
            ..Failure::NotAnAnswer.into()
        })
    }

    /// Tokens of a whole answer, and whether it is empty and ends at its maximum length.
    fn measure(&self, answer: &AnswerSummary) -> (Tokens, (bool, bool)) {
        let size = AnswerSize {
            prompt: self.prompt_size(),
            answer: answer.text_size,
            bounds: self.request.output_bounds(),
            ..AnswerSize::default()
        };
        let is_empty =
            self.request.endpoint() != Endpoint::Embeddings && answer.text_size.is_empty();
        (Tokens::count(answer.usage, &size), (is_empty, answer.is_cut))
    }

    /// Parses one answer. An error in its place is classified like a refusal.
    pub(super) fn check_answer(
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

/// A stream that was opened.
enum Opened {
    /// It has content.
    Stream(Box<Committed>),
    /// It has an error in place of content that is the caller's fault.
    Refusal(protocol::model::Failure<'static>),
}

/// The meaning of an error event in place of content: the caller's fault, or a failure of the target.
fn failed_stream(candidate: &Candidate<'_>, event: &[u8]) -> Result<Opened, AttemptError> {
    let event = Event::parse(event);
    let data = event.data.unwrap_or_default();
    let failure = protocol::failure::from_event(&data);
    match failure.class {
        // Only errors that name the prompt: others may be about the gateway's own account.
        FailureClass::TooLong => Ok(Opened::Refusal(failure)),
        _ => Err(refused_answer(candidate, &data)),
    }
}

/// A body without the byte order mark, which JSON readers refuse.
fn without_mark(body: Bytes) -> Bytes {
    match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => body.slice_ref(rest),
        None => body,
    }
}

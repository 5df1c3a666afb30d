//! Reading of an upstream's response until an answer can be committed. The body decides whether it
//! is a stream, one answer, or an error; the content type is a hint.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use openai::{ErrorReport, Event};
use protocol::model::{FailureClass, Protocol};

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
use super::refusal::{self, Refusal};
use super::timeouts::{AttemptError, AttemptTimeouts};
use super::translated_stream::translate_stream;
use super::wrapping::{JSON_TO_STREAM, Wrapping, refusal_content_type, without_mark};

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
                let content_type = Some(refusal_content_type(&body, known));
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
                CommitState::Ready(committed) => return Ok(Opened::Stream(committed)),
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

//! Checks and measurement of an answer that was read whole.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use openai::{AnswerSize, AnswerSummary, ContentParts, Endpoint, InvalidAnswer, Tokens};
use protocol::model::Protocol;
use protocol::summarize_answer;

use crate::host::Host;
use crate::host::body::Body;
use crate::routing::plan::Candidate;
use crate::upstream::classify::Failure;

use super::answer::AnswerContent;
use super::answer_form::refused_answer;
use super::attempt::{AcceptedAnswer, AnswerForm, AttemptContext, Exchange};
use super::commit::Committed;
use super::refusal::classify_error_answer;
use super::sse_reader::{SseReader, StreamState};
use super::timeouts::AttemptError;
use super::translated_answer;
use super::wrapping::{self, Wrapping, without_mark};

impl<P: Host> AttemptContext<'_, P> {
    /// Accepts an answer that is not to be a stream, if it is valid.
    pub(super) fn accept_whole(
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
        let checked =
            answer.and_then(|answer| protocol::answer::check(self.request.protocol(), &answer));
        checked.map_err(|failure| AttemptError {
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
}

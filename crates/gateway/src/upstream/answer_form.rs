//! Forms in which an answer is read, and the steps between them.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use openai::token_estimate;
use protocol::AnswerContext;
use protocol::model::Protocol;

use crate::host::{Clock, Host};
use crate::routing::plan::Candidate;
use crate::upstream::classify::Failure;

use super::answer::{Answer, AnswerContent};
use super::attempt::{AnswerForm, AttemptContext, Exchange};
use super::refusal::classify_error_answer;
use super::timeouts::AttemptError;
use super::{translated_answer, wrapping};

impl<P: Host> AttemptContext<'_, P> {
    /// Turns a whole answer in place of a stream into events, and returns their form.
    pub(super) fn whole_to_events(
        &self,
        (candidate, exchange): (&Candidate<'_>, &Exchange),
        whole: Bytes,
    ) -> Result<(AnswerForm, Bytes), AttemptError> {
        let whole = match exchange.form {
            AnswerForm::Passing(own) => {
                let context = self.answer_context(candidate, exchange);
                let events = translated_answer::to_events(&whole, own, context);
                let events = events.map_err(|_| refused_answer(candidate, &whole))?;
                return Ok((exchange.form, events));
            }
            AnswerForm::Translated(from) => self.to_chat((candidate, exchange), from, &whole)?,
            AnswerForm::Chat => whole,
        };
        self.check_answer(candidate, &whole)?;
        let events = wrapping::to_events(self.request.endpoint(), &whole);
        Ok((AnswerForm::Chat, events.ok_or(Failure::NotAnAnswer)?))
    }

    /// Translates a whole answer to Chat.
    pub(super) fn to_chat(
        &self,
        (candidate, exchange): (&Candidate<'_>, &Exchange),
        from: Protocol,
        whole: &Bytes,
    ) -> Result<Bytes, AttemptError> {
        let context = self.answer_context(candidate, exchange);
        translated_answer::to_json(whole, (from, Protocol::Chat), &context)
            .map_err(|_| refused_answer(candidate, whole))
    }

    /// Facts for the writer of an answer in Chat. A caller of another protocol receives a translation of
    /// it, which has the caller's names of the tools.
    pub(super) fn answer_context(
        &self,
        candidate: &Candidate<'_>,
        exchange: &Exchange,
    ) -> AnswerContext {
        let translation = exchange.translation.as_ref();
        let tools = match self.request.protocol() {
            Protocol::Chat => translation.map(|translation| translation.tools.clone()),
            Protocol::Responses | Protocol::Messages => None,
        };
        AnswerContext {
            seal_maker: Some(candidate.provider.seal_maker.clone()),
            estimated_input_tokens: token_estimate::estimate_tokens(self.prompt_size()),
            includes_usage: true,
            tools: tools.unwrap_or_default(),
            ..base_context(self.host)
        }
    }
}

impl Exchange {
    /// Whether the answer, in Chat, is written in another protocol for the caller.
    pub(super) fn is_for_writer(&self, caller: Protocol) -> bool {
        caller != Protocol::Chat && !matches!(self.form, AnswerForm::Passing(_))
    }

    /// The answer of a target, with its protocol.
    pub(super) fn into_answer(
        self,
        status: StatusCode,
        content_type: Option<HeaderValue>,
        content: AnswerContent,
    ) -> Answer {
        let protocol = match self.form {
            AnswerForm::Chat | AnswerForm::Translated(_) => Protocol::Chat,
            AnswerForm::Passing(own) => own,
        };
        Answer {
            status,
            content_type,
            content,
            protocol,
            translation: self.translation,
            origin: None,
        }
    }
}

/// Facts for the writer of an answer that depend on nothing but the host.
pub(crate) fn base_context(host: &impl Clock) -> AnswerContext {
    AnswerContext {
        id_seed: u128::from(host.entropy()) << 64 | u128::from(host.entropy()),
        now_epoch_seconds: host.now().as_millis() / 1_000,
        ..AnswerContext::default()
    }
}

/// Failure of a body with a success status that is no answer.
pub(super) fn refused_answer(candidate: &Candidate<'_>, whole: &[u8]) -> AttemptError {
    let (failure, name) = classify_error_answer(candidate.provider.kind, whole);
    AttemptError::named(failure, name)
}

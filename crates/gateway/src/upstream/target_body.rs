//! Body of the request for a target: the caller's own, or a translation, with the gateway's changes.

use bytes::Bytes;
use openai::Request;
use protocol::model::Protocol;
use protocol::request::BodyChanges;

use crate::host::Host;
use crate::routing::plan::Candidate;

use super::additions::{self, SentAdditions, TakenBack};
use super::attempt::{AnswerForm, Exchange, TargetBody};
use super::dispatch::Dispatcher;

impl<P: Host> Dispatcher<'_, P> {
    /// The request's body for a target, without the additions that were taken back. `None` if the target's
    /// protocol cannot express it.
    pub(crate) fn request_body(
        &self,
        candidate: &Candidate<'_>,
        taken_back: TakenBack,
    ) -> Option<TargetBody> {
        let known = self.upstreams.taken_back((candidate.provider_index, candidate.model));
        let taken_back = taken_back.union(known);
        match (candidate.protocol == self.request.protocol(), candidate.protocol) {
            (true, Protocol::Chat) => Some(self.own_chat_body(candidate, taken_back)),
            (true, _) => {
                self.own_body(candidate).or_else(|| self.translated_body(candidate, taken_back))
            }
            (false, _) => self.translated_body(candidate, taken_back),
        }
    }

    /// The body of a caller of Chat.
    fn own_chat_body(&self, candidate: &Candidate<'_>, taken_back: TakenBack) -> TargetBody {
        let fields = self.request.fields();
        let (changes, additions) = self.chat_changes(candidate, fields, taken_back);
        let bytes = self.request.body_for_target(changes);
        TargetBody { bytes, additions, exchange: Exchange::default() }
    }

    /// The body of a caller of another protocol. `None` if a step has changed it in a way that only its form in
    /// Chat has.
    fn own_body(&self, candidate: &Candidate<'_>) -> Option<TargetBody> {
        let bytes = self.request.own_body_for(candidate.provider, self.body_changes(candidate))?;
        let form = match self.keeps_answer_from_passing() {
            true => AnswerForm::Translated(candidate.protocol),
            false => AnswerForm::Passing(candidate.protocol),
        };
        let exchange = Exchange { form, translation: None };
        Some(TargetBody { bytes, additions: SentAdditions::default(), exchange })
    }

    fn translated_body(
        &self,
        candidate: &Candidate<'_>,
        taken_back: TakenBack,
    ) -> Option<TargetBody> {
        let (target, route) = ((candidate.provider, candidate.model), self.plan.route());
        let translation = self.request.translate(target, candidate.protocol, route).ok()?;
        let (form, bytes, additions) = match &translation.chat_fields {
            Some(fields) => {
                let (changes, additions) = self.chat_changes(candidate, fields, taken_back);
                let body = translation.body();
                let bytes = fields.rewrite(body, changes).map_or_else(|| body.clone(), Bytes::from);
                (AnswerForm::Chat, bytes, additions)
            }
            None => {
                let bytes = translation.body_with(self.body_changes(candidate));
                (AnswerForm::Translated(candidate.protocol), bytes, SentAdditions::default())
            }
        };
        let exchange = Exchange { form, translation: Some(translation) };
        Some(TargetBody { bytes, additions, exchange })
    }

    fn chat_changes<'c>(
        &self,
        candidate: &'c Candidate<'_>,
        fields: &Request,
        taken_back: TakenBack,
    ) -> (openai::Changes<'c>, SentAdditions) {
        let call = (self.request.endpoint(), fields);
        additions::body_changes(candidate, call, self.max_output_tokens, taken_back)
    }

    fn body_changes<'c>(&'c self, candidate: &'c Candidate<'_>) -> BodyChanges<'c> {
        BodyChanges {
            model: Some(candidate.model),
            max_tokens: self.max_output_tokens,
            previous_response_id: self.continued.map(|stored| stored.id.as_str()),
            // Such an answer loses the provider's id on its way, so that nobody could use what is stored.
            stores_nothing: self.keeps_answer_from_passing(),
        }
    }

    /// Whether a step reads or stores the answer, so that it is needed in Chat.
    fn keeps_answer_from_passing(&self) -> bool {
        self.reads_texts || self.stores_answer
    }
}

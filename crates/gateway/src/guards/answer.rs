//! Guards on the answer: whole answers, and the settings of guarded streams.

use std::time::Duration;

use bytes::Bytes;
use guards::pii::MAX_RESTORED_BYTES;
use guards::{GuardInput, Phase, TextFields};
use http::HeaderValue;
use openai::{Endpoint, Unreadable, answer_texts, texts_in_error};
use serde::de::IgnoredAny;

use crate::error::Error;
use crate::host::Host;
use crate::request::parse::ParsedRequest;
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::answer::{Answer, AnswerContent};

use super::pipeline::{GuardPipeline, GuardRejection};

/// Error in place of a provider's that no guard can read.
const UNCHECKED_ERROR: &[u8] = br#"{"error":{"message":"The provider refused the request. Its reason is not shown, since no guard can check it.","type":"invalid_request_error","param":null,"code":null}}"#;

impl<P: Host> GuardPipeline<P> {
    /// Checks the answer as far as it has arrived. `true` if it is a stream that must be checked on
    /// its way.
    pub(crate) async fn check_answer(
        &self,
        answer: &mut Answer,
        request: &ParsedRequest,
        scope: &mut RequestScope<P>,
    ) -> Result<bool, Error> {
        let result = self.check_content(answer, request.endpoint()).await;
        scope.found(self.take_findings());
        result.map_err(|rejection| self.reject(&rejection, request, scope))
    }

    /// Whether the answer must be checked.
    pub(crate) fn checks_answers(&self) -> bool {
        self.guards_for_phase(Phase::Response).next().is_some() || !self.masks.borrow().is_empty()
    }

    /// Characters of a stream that are checked together.
    pub(crate) fn window_chars(&self) -> usize {
        self.guards_for_phase(Phase::Response)
            .map(|guard| self.guard_config(guard).window)
            .max()
            .unwrap_or(0)
    }

    /// The longest time for which text waits for more text before it is checked.
    pub(crate) fn max_delay(&self) -> Duration {
        let delays =
            self.guards_for_phase(Phase::Response).map(|guard| self.guard_config(guard).delay);
        delays.min().unwrap_or_default()
    }

    async fn check_content(
        &self,
        answer: &mut Answer,
        endpoint: Endpoint,
    ) -> Result<bool, GuardRejection> {
        if !self.checks_answers() {
            return Ok(false);
        }
        match &mut answer.content {
            AnswerContent::Whole(whole) => {
                let is_error = !answer.status.is_success();
                if is_error && serde_json::from_slice::<IgnoredAny>(whole).is_err() {
                    // A provider may repeat the caller's words, and no guard reads plain text.
                    if self.guards_for_phase(Phase::Response).next().is_some() {
                        *whole = Bytes::from_static(UNCHECKED_ERROR);
                        answer.content_type = Some(HeaderValue::from_static("application/json"));
                    }
                } else if let Some(changed) = self.check_json(whole, is_error).await? {
                    *whole = changed;
                }
                Ok(false)
            }
            AnswerContent::Stream(stream) if stream.is_events() => Ok(true),
            // Vectors hold no text.
            AnswerContent::Stream(_) if endpoint == Endpoint::Embeddings => Ok(false),
            AnswerContent::Stream(_) => {
                self.reject_unread("the answer is too long").map(|()| false)
            }
        }
    }

    /// Checks a whole answer, or the error in its place. Returns the changed bytes if masks were
    /// added or restored.
    async fn check_json(
        &self,
        answer: &Bytes,
        is_error: bool,
    ) -> Result<Option<Bytes>, GuardRejection> {
        let text = str::from_utf8(answer).map_err(|_| Unreadable);
        let text_fields = match is_error {
            true => text.and_then(texts_in_error).map(TextFields::new),
            false => text.and_then(answer_texts).map(TextFields::from_answer),
        };
        let Ok(mut text_fields) = text_fields else {
            if !answer.is_empty() {
                self.reject_unread("the answer cannot be read")?;
            }
            return Ok(None);
        };
        self.check_texts(&mut text_fields).await?;
        let restored = self.masks.borrow().restore(&text_fields.text(), MAX_RESTORED_BYTES);
        text_fields.apply_edits(0, &restored);
        Ok(text_fields.write_body(answer))
    }

    /// Rejects an answer that cannot be read, if a guard must check it: it may be made so that no
    /// guard can.
    pub(crate) fn reject_unread(&self, reason: &str) -> Result<(), GuardRejection> {
        match self.guards_for_phase(Phase::Response).next() {
            Some(guard) => Err(self.fail_closed(guard, Phase::Response, reason)),
            None => Ok(()),
        }
    }

    /// Runs all answer guards on texts of an answer.
    pub(crate) async fn check_texts(
        &self,
        input: &mut impl GuardInput,
    ) -> Result<(), GuardRejection> {
        for guard in self.guards_for_phase(Phase::Response) {
            self.run_guard(guard, Phase::Response, input).await?;
        }
        Ok(())
    }
}

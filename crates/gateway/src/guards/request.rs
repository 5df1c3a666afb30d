//! Guards on the request: the messages in scope, their texts, and their images.

use config::{GuardKind, GuardScope};
use guards::{GuardError, Phase, TextFields, tail_start};
use openai::{Endpoint, MessageRole, Prompt, TextField};

use crate::error::Error;
use crate::host::Host;
use crate::host::futures::join_all;
use crate::request::parse::ParsedRequest;
use crate::telemetry::request_scope::RequestScope;

use super::pipeline::{ActiveGuard, GuardPipeline, GuardRejection};

const MAX_IMAGES_PER_REQUEST: usize = 32;
const CONCURRENT_IMAGES: usize = 4;
/// Characters at the end of a question that a judge of its answer gets.
const MAX_QUESTION_CHARS: usize = 4_000;

impl<P: Host> GuardPipeline<P> {
    /// Checks a request. `None` if the request stays unchanged, else the masked request.
    pub(crate) async fn check_request(
        &self,
        request: &ParsedRequest,
        scope: &mut RequestScope<P>,
    ) -> Result<Option<ParsedRequest>, Error> {
        let result = self.run_request_guards(request).await;
        scope.found(self.take_findings());
        result.map_err(|rejection| self.reject(&rejection, request, scope))
    }

    /// Runs the request guards in order; each one checks the request as the earlier ones masked it.
    async fn run_request_guards(
        &self,
        request: &ParsedRequest,
    ) -> Result<Option<ParsedRequest>, GuardRejection> {
        self.masks.borrow_mut().reserve_placeholders(request.body_text());
        let mut masked: Option<ParsedRequest> = None;
        for guard in self.guards_for_phase(Phase::Request) {
            let current = masked.as_ref().unwrap_or(request);
            if let Some(changed) = self.run_request_guard(guard, current).await? {
                masked = Some(changed);
            }
        }
        if self.guards_for_phase(Phase::Response).any(|guard| self.is_judge(guard)) {
            self.keep_question(masked.as_ref().unwrap_or(request))?;
        }
        Ok(masked)
    }

    /// Runs one guard on a request. Returns the masked request if the guard masks a text.
    async fn run_request_guard(
        &self,
        guard: &ActiveGuard,
        request: &ParsedRequest,
    ) -> Result<Option<ParsedRequest>, GuardRejection> {
        let mut prompt = read_prompt(request)?;
        let scope = effective_scope(request.endpoint(), self.guard_config(guard).scope);
        if scope == GuardScope::All {
            prompt
                .read_other_members(request.body_text(), &request.fields().extra_prompt)
                .map_err(|error| GuardRejection::Unreadable(error.name()))?;
        }
        // A masked name would name another function, or none.
        if !self.masks_input(guard) {
            prompt.include_names();
        }
        if prompt.has_tokens {
            let error = GuardError::new("it is given as numbers of tokens");
            self.handle_failure(guard, Phase::Request, &error)?;
        }
        if self.checks_images(guard) {
            self.check_images(guard, &prompt, scope).await?;
        }
        let mut fields = TextFields::new(texts_in_scope(prompt, scope));
        self.run_guard(guard, Phase::Request, &mut fields).await?;
        let masked = fields.write_body(request.body_text().as_bytes());
        Ok(masked.map(|body| request.with_masked_body(body)))
    }

    async fn check_images(
        &self,
        guard: &ActiveGuard,
        prompt: &Prompt<'_>,
        scope: GuardScope,
    ) -> Result<(), GuardRejection> {
        let is_in_scope = in_scope(prompt, scope);
        let images = prompt.images.iter().filter(|image| is_in_scope(image.message, image.role));
        let urls: Vec<&str> = images.map(|image| &*image.url).collect();
        if urls.len() > MAX_IMAGES_PER_REQUEST {
            return Err(GuardRejection::Unreadable("more than 32 images"));
        }
        for some in urls.chunks(CONCURRENT_IMAGES) {
            self.findings.record_run(self.guard_config(guard), Phase::Request);
            self.record_calls(guard, some.len());
            let checks = some.iter().map(|url| self.check_image(guard, url)).collect();
            for verdict in join_all(checks).await {
                // An image has nothing that could be masked.
                self.apply_verdict(guard, Phase::Request, verdict.into(), "")?;
            }
        }
        Ok(())
    }

    /// Keeps the last question for a judge of its answer.
    fn keep_question(&self, request: &ParsedRequest) -> Result<(), GuardRejection> {
        let prompt = read_prompt(request)?;
        let scope = effective_scope(request.endpoint(), GuardScope::New);
        let text = TextFields::new(texts_in_scope(prompt, scope)).text();
        self.question.replace(text[tail_start(&text, MAX_QUESTION_CHARS)..].to_owned());
        Ok(())
    }

    fn is_judge(&self, guard: &ActiveGuard) -> bool {
        matches!(self.guard_config(guard).kind, GuardKind::Judge(_))
    }
}

/// Reads the texts of a request.
fn read_prompt(request: &ParsedRequest) -> Result<Prompt<'_>, GuardRejection> {
    let content = request.fields().content.clone();
    Prompt::parse(request.endpoint(), request.body_text(), content)
        .map_err(|error| GuardRejection::Unreadable(error.name()))
}

/// The texts of messages in scope.
fn texts_in_scope(prompt: Prompt<'_>, scope: GuardScope) -> impl Iterator<Item = TextField<'_>> {
    let is_in_scope = in_scope(&prompt, scope);
    let texts = prompt.texts.into_iter();
    texts.filter(move |(message, field)| is_in_scope(*message, field.role)).map(|(_, field)| field)
}

/// A prompt or an input has no roles: all its texts are the user's last message.
fn effective_scope(endpoint: Endpoint, configured: GuardScope) -> GuardScope {
    if endpoint == Endpoint::ChatCompletions { configured } else { GuardScope::All }
}

/// Returns a predicate: whether a message, by its index and its role, is checked.
fn in_scope(prompt: &Prompt<'_>, scope: GuardScope) -> impl Fn(usize, MessageRole) -> bool + use<> {
    let last = |roles: &[MessageRole], matches: fn(MessageRole) -> bool| {
        roles.iter().rposition(|role| matches(*role))
    };
    let roles = &prompt.roles;
    let first = match scope {
        GuardScope::All => 0,
        GuardScope::New => {
            // A prefilled assistant message belongs to the question and does not end it.
            let question = last(roles, |role| role != MessageRole::Assistant);
            let before = &roles[..question.unwrap_or(0)];
            last(before, |role| role == MessageRole::Assistant).map_or(0, |at| at + 1)
        }
        GuardScope::Last => last(roles, |role| role == MessageRole::User).unwrap_or(0),
    };
    move |index, role| match scope {
        GuardScope::All => true,
        GuardScope::Last => index == first,
        GuardScope::New => index >= first && role != MessageRole::System,
    }
}

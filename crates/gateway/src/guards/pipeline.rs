//! Guard pipeline of a request: runs the guards of its route on the request and on the answer, and
//! applies their verdicts. `invoke` calls a single guard.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::{Config, Guard, GuardKind, GuardScope, OnError, RouteIndex};
use guards::{
    Dimension, Finding, GuardError, GuardInput, Level, Masks, Phase, TextFields, Verdict, WordList,
    aliyun, tail_start,
};
use openai::{Endpoint, MessageRole, Prompt, Unreadable, answer_texts, texts_in_error};
use sha2::{Digest, Sha256};

use crate::auth::caller::Caller;
use crate::error::{Error, Fault, Refusal};
use crate::host::Host;
use crate::host::futures::join_all;
use crate::request::parse::ParsedRequest;
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::answer::{Answer, AnswerContent};
use crate::upstream::state::Upstreams;

use super::block_response;
use super::findings::GuardFindings;
use crate::record::RecordedFindings;
use super::word_lists::WordLists;

/// Guards of one request, and their results so far.
pub struct GuardPipeline<P: Host> {
    pub(crate) config: Rc<Config>,
    pub(crate) upstreams: Rc<Upstreams>,
    pub(crate) host: P,
    /// Session id for services that join the parts of a text.
    pub(crate) session: String,
    /// Masks of the request, which are restored in the answer.
    pub(crate) masks: RefCell<Masks>,
    /// Masks of the answer, which stay.
    pub(crate) answer_masks: RefCell<Masks>,
    /// The last question, for judges of an answer.
    pub(crate) question: RefCell<String>,
    guards: Vec<ActiveGuard>,
    findings: GuardFindings,
}

/// A guard as it applies to one caller.
#[derive(Debug)]
pub(crate) struct ActiveGuard {
    /// Position in the configuration.
    guard_index: usize,
    /// The lowest level that blocks.
    pub(crate) block_at: Option<Level>,
    /// Position of the override for this caller.
    override_index: Option<usize>,
    /// Words of a list from the store.
    pub(crate) stored_words: Option<Rc<WordList>>,
}

/// Reason to stop a request or an answer.
#[derive(Debug)]
pub enum GuardRejection {
    /// A guard blocks the content.
    Blocked(GuardBlock),
    /// A fail-closed guard failed.
    Unavailable,
    /// The content cannot be read, so no guard could check it.
    Unreadable(&'static str),
}

/// Verdict of a guard on a text, and an error that kept it from checking all of it.
#[derive(Debug)]
pub(crate) struct GuardResult {
    pub(crate) verdict: Verdict,
    /// Error of the parts that were not checked.
    pub(crate) error: Option<GuardError>,
}

impl From<Result<Verdict, GuardError>> for GuardResult {
    fn from(result: Result<Verdict, GuardError>) -> Self {
        match result {
            Ok(verdict) => Self { verdict, error: None },
            Err(reason) => Self { verdict: Verdict::Pass, error: Some(reason) },
        }
    }
}

/// A guard's decision to block.
#[derive(Debug)]
pub struct GuardBlock {
    /// Position of the guard in the configuration.
    pub guard: usize,
    pub phase: Phase,
    pub findings: Vec<Finding>,
}

impl<P: Host> GuardPipeline<P> {
    /// Collects the guards of a route for a caller; `None` if there are none.
    pub async fn for_request(
        (config, upstreams, lists): (&Rc<Config>, &Rc<Upstreams>, &WordLists),
        host: &P,
        route: RouteIndex,
        caller: &Caller<'_>,
        request: &str,
    ) -> Option<Rc<Self>> {
        let mut guards = Vec::new();
        for (position, guard) in config.guards_for(route) {
            let fits = guard.overrides.iter().position(|other| {
                other.consumers.iter().any(|one| one.matches(caller.id()))
                    || caller
                        .group()
                        .is_some_and(|group| other.groups.iter().any(|one| one.matches(group)))
            });
            let other = fits.map(|at| &guard.overrides[at]);
            if other.is_some_and(|other| other.off) {
                continue;
            }
            let block_at = other.and_then(|other| other.block_at).or(guard.block_at);
            let list = match &guard.kind {
                GuardKind::Words(words) => match &words.stored_list {
                    Some(name) => lists.get(host, name).await,
                    None => None,
                },
                GuardKind::Aliyun(_)
                | GuardKind::Moderation(_)
                | GuardKind::Judge(_)
                | GuardKind::Pii(_) => None,
            };
            guards.push(ActiveGuard {
                guard_index: position,
                block_at,
                override_index: fits,
                stored_words: list,
            });
        }
        if guards.is_empty() {
            return None;
        }
        let route = config.route(route).id.clone();
        Some(Rc::new(Self {
            config: Rc::clone(config),
            upstreams: Rc::clone(upstreams),
            host: host.clone(),
            session: aliyun::new_session_id(u128::from(host.entropy()) << 64),
            masks: RefCell::default(),
            answer_masks: RefCell::default(),
            question: RefCell::default(),
            guards,
            findings: GuardFindings::new(request, caller.id(), route),
        }))
    }

    /// Whether an override applies to this caller.
    pub(crate) fn has_override(&self, guard: &ActiveGuard) -> bool {
        guard.override_index.is_some()
    }

    /// Digest of these guards, their word lists and their configuration: a cached answer that other
    /// guards checked does not count as checked.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.config.digest);
        for guard in &self.guards {
            let exception = guard.override_index.map_or(u64::MAX, |at| at as u64);
            let list = guard.stored_words.as_ref().map_or(0, |list| list.digest());
            for number in [guard.guard_index as u64, exception, list] {
                hash.update(number.to_be_bytes());
            }
        }
        hash.finalize().into()
    }

    pub(crate) fn guard_config(&self, guard: &ActiveGuard) -> &Guard {
        &self.config.guards[guard.guard_index]
    }

    /// Name of the service that a guard calls, if the guard or the caller's override sets one.
    pub(crate) fn service(&self, guard: &ActiveGuard, phase: Phase) -> Option<&str> {
        let other = &self.guard_config(guard).overrides[guard.override_index?];
        match phase {
            Phase::Request => other.request_service.as_deref(),
            Phase::Response => other.response_service.as_deref(),
        }
    }

    /// Whether the answer must be checked.
    pub fn checks_answers(&self) -> bool {
        self.guards_for_phase(Phase::Response).next().is_some() || !self.masks.borrow().is_empty()
    }

    fn guards_for_phase(&self, phase: Phase) -> impl Iterator<Item = &ActiveGuard> {
        self.guards.iter().filter(move |active_guard| {
            let guard = self.guard_config(active_guard);
            match phase {
                Phase::Request => guard.request,
                Phase::Response => guard.response,
            }
        })
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

    /// Checks a request. `None` if the request stays unchanged, else the masked request.
    pub async fn check_request(
        &self,
        request: &ParsedRequest,
        scope: &mut RequestScope<P>,
    ) -> Result<Option<ParsedRequest>, Error> {
        let result = self.check_texts_of_request(request).await;
        scope.found(self.take_findings());
        result.map_err(|rejection| self.reject(&rejection, request, scope))
    }

    /// Checks the answer as far as it has arrived. `true` if it is a stream that must be checked on
    /// its way.
    pub async fn check_answer(
        &self,
        answer: &mut Answer,
        request: &ParsedRequest,
        scope: &mut RequestScope<P>,
    ) -> Result<bool, Error> {
        let result = self.check_content(answer, request.endpoint()).await;
        scope.found(self.take_findings());
        result.map_err(|rejection| self.reject(&rejection, request, scope))
    }

    /// The error for a rejection.
    fn reject(
        &self,
        rejection: &GuardRejection,
        request: &ParsedRequest,
        scope: &mut RequestScope<P>,
    ) -> Error {
        let block = match rejection {
            GuardRejection::Blocked(block) => block,
            GuardRejection::Unavailable => return Fault::GuardUnavailable.into(),
            GuardRejection::Unreadable(what) => {
                let param = request.endpoint().content_field();
                return Refusal::Unchecked { param, what }.into();
            }
        };
        let guard = &self.config.guards[block.guard];
        scope.blocked_by(&guard.id);
        let (endpoint, stream) = (request.endpoint(), request.fields().stream);
        Error::Blocked(Box::new(block_response::whole(&self.host, guard, block, endpoint, stream)))
    }

    async fn check_texts_of_request(
        &self,
        request: &ParsedRequest,
    ) -> Result<Option<ParsedRequest>, GuardRejection> {
        self.masks.borrow_mut().reserve_placeholders(request.body_text());
        let mut changed: Option<ParsedRequest> = None;
        for guard in self.guards_for_phase(Phase::Request) {
            let effective_request = changed.as_ref().unwrap_or(request);
            let mut prompt = read_prompt(effective_request)?;
            let scope =
                effective_scope(effective_request.endpoint(), self.guard_config(guard).scope);
            if scope == GuardScope::All {
                let beside = prompt.read_tools_and_schema(
                    effective_request.body_text(),
                    &effective_request.fields().extra_prompt,
                );
                beside
                    .map_err(|_| GuardRejection::Unreadable("a schema that is nested too deep"))?;
            }
            if prompt.has_tokens {
                let unread = GuardError("it is given as numbers of tokens".to_owned());
                self.handle_failure(guard, Phase::Request, &unread)?;
            }
            let is_meant = in_scope(&prompt, scope);
            if self.checks_images(guard) {
                let pictures = prompt.images.iter();
                let pictures = pictures.filter(|it| is_meant(it.message, it.role));
                let pictures: Vec<&str> = pictures.map(|picture| &*picture.url).collect();
                if pictures.len() > MAX_IMAGES_PER_REQUEST {
                    return Err(GuardRejection::Unreadable("more pictures than are checked"));
                }
                for some in pictures.chunks(CONCURRENT_IMAGES) {
                    self.findings.record_run(self.guard_config(guard), Phase::Request);
                    let looks = some.iter().map(|url| self.check_image(guard, url)).collect();
                    for verdict in join_all(looks).await {
                        // An image has nothing that could be masked.
                        self.apply_verdict(guard, Phase::Request, verdict.into(), "")?;
                    }
                }
            }
            let texts = prompt.texts.into_iter();
            let texts = texts.filter(|(number, field)| is_meant(*number, field.role));
            let mut text_fields = TextFields::new(texts.map(|(_, field)| field));
            self.run_guard(guard, Phase::Request, &mut text_fields).await?;
            if let Some(masked) = text_fields.write_body(effective_request.body_text().as_bytes()) {
                changed = Some(effective_request.with_body(masked));
            }
        }
        if self.guards_for_phase(Phase::Response).any(|guard| self.is_judge(guard)) {
            let effective_request = changed.as_ref().unwrap_or(request);
            let prompt = read_prompt(effective_request)?;
            let is_meant =
                in_scope(&prompt, effective_scope(effective_request.endpoint(), GuardScope::New));
            let texts = prompt.texts.into_iter();
            let texts = texts.filter(|(number, field)| is_meant(*number, field.role));
            let text = TextFields::new(texts.map(|(_, field)| field)).text();
            self.question.replace(text[tail_start(&text, MAX_QUESTION_CHARS)..].to_owned());
        }
        Ok(changed)
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
                if let Some(changed) = self.check_json(whole, is_error).await? {
                    *whole = changed;
                }
                Ok(false)
            }
            AnswerContent::Stream(stream) if stream.is_events() => Ok(true),
            // Vectors hold no text.
            AnswerContent::Stream(_) if endpoint == Endpoint::Embeddings => Ok(false),
            AnswerContent::Stream(_) => self.reject_unreadable().map(|()| false),
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
                self.reject_unreadable()?;
            }
            return Ok(None);
        };
        self.check_texts(&mut text_fields).await?;
        let restored = self.masks.borrow().restore(&text_fields.text());
        text_fields.apply_edits(0, &restored);
        Ok(text_fields.write_body(answer))
    }

    /// Applies the failure of all answer guards to an answer that cannot be read.
    pub fn reject_unreadable(&self) -> Result<(), GuardRejection> {
        let unread = GuardError("the answer cannot be read".to_owned());
        self.guards_for_phase(Phase::Response)
            .try_for_each(|guard| self.handle_failure(guard, Phase::Response, &unread))
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

    /// Runs one guard on texts.
    async fn run_guard(
        &self,
        guard: &ActiveGuard,
        phase: Phase,
        input: &mut impl GuardInput,
    ) -> Result<(), GuardRejection> {
        for text in input.texts() {
            // Text that was checked is not checked again.
            if text.unchecked_from == text.text.len() || text.text.trim().is_empty() {
                continue;
            }
            if text.text.len() > MAX_TEXT_BYTES && self.guard_config(guard).kind.calls_service() {
                match phase {
                    Phase::Request => {
                        return Err(GuardRejection::Unreadable("more text than is checked"));
                    }
                    Phase::Response => {
                        self.handle_failure(
                            guard,
                            phase,
                            &GuardError("it is too long".to_owned()),
                        )?;
                        continue;
                    }
                }
            }
            self.findings.record_run(self.guard_config(guard), phase);
            let result = self.invoke_guard(guard, phase, &text).await;
            if let Verdict::Mask(edits, _) = self.apply_verdict(guard, phase, result, &text.text)? {
                input.apply_edits(text.number, &edits);
            }
            input.hold_back(text.number, self.undecided_bytes(guard, &text));
        }
        Ok(())
    }

    /// Records a guard's verdict and applies it.
    fn apply_verdict(
        &self,
        guard: &ActiveGuard,
        phase: Phase,
        GuardResult { verdict, error }: GuardResult,
        text: &str,
    ) -> Result<Verdict, GuardRejection> {
        match &verdict {
            Verdict::Block(findings) => {
                self.record_result(guard, phase, "block", findings, text);
                let findings = findings.clone();
                return Err(GuardRejection::Blocked(GuardBlock {
                    guard: guard.guard_index,
                    phase,
                    findings,
                }));
            }
            Verdict::Mask(_, findings) => self.record_result(guard, phase, "mask", findings, text),
            Verdict::Pass => {}
        }
        if let Some(reason) = error {
            self.handle_failure(guard, phase, &reason)?;
        }
        Ok(verdict)
    }

    fn is_judge(&self, guard: &ActiveGuard) -> bool {
        matches!(self.guard_config(guard).kind, GuardKind::Judge(_))
    }

    /// Applies a guard's failure.
    fn handle_failure(
        &self,
        guard: &ActiveGuard,
        phase: Phase,
        reason: &GuardError,
    ) -> Result<(), GuardRejection> {
        let found =
            Finding { dimension: Dimension::Content, level: Level::None, label: String::new() };
        self.record_result(guard, phase, "error", &[found], &reason.0);
        match self.guard_config(guard).on_error {
            OnError::Open => Ok(()),
            OnError::Closed => Err(GuardRejection::Unavailable),
        }
    }

    /// Records the findings of a guard.
    fn record_result(
        &self,
        active_guard: &ActiveGuard,
        phase: Phase,
        result: &'static str,
        findings: &[Finding],
        text: &str,
    ) {
        let guard = self.guard_config(active_guard);
        for finding in findings {
            self.findings.record_finding(&self.host, guard, (phase, result), finding, text);
        }
    }

    /// Returns the findings since the last call.
    pub(crate) fn take_findings(&self) -> RecordedFindings {
        self.findings.take()
    }
}

/// The longest text that is sent to a service, in bytes: some hundred calls.
const MAX_TEXT_BYTES: usize = 1 << 20;
const MAX_IMAGES_PER_REQUEST: usize = 32;
const CONCURRENT_IMAGES: usize = 4;
/// Characters at the end of a question that a judge of its answer gets.
const MAX_QUESTION_CHARS: usize = 4_000;

/// Providers ignore unknown members, however deeply nested; a guard that failed on them would check
/// nothing.
fn read_prompt(request: &ParsedRequest) -> Result<Prompt<'_>, GuardRejection> {
    let prompt =
        Prompt::parse(request.endpoint(), request.body_text(), request.fields().content.clone());
    prompt.map_err(|_| GuardRejection::Unreadable(NO_MESSAGE))
}

const NO_MESSAGE: &str = "something that is no message";

/// A prompt or an input has no roles: all its texts are the user's last message.
fn effective_scope(endpoint: Endpoint, configured: GuardScope) -> GuardScope {
    if endpoint == Endpoint::ChatCompletions { configured } else { GuardScope::All }
}

/// Returns a predicate: whether a message, by its index and its role, is checked.
fn in_scope(prompt: &Prompt<'_>, scope: GuardScope) -> impl Fn(usize, MessageRole) -> bool + use<> {
    let last = |speakers: &[MessageRole], is_meant: fn(MessageRole) -> bool| {
        speakers.iter().rposition(|speaker| is_meant(*speaker))
    };
    let speakers = &prompt.roles;
    let first = match scope {
        GuardScope::All => 0,
        GuardScope::New => {
            // A prefilled assistant message belongs to the question and does not end it.
            let asked = last(speakers, |speaker| speaker != MessageRole::Assistant);
            let before = &speakers[..asked.unwrap_or(0)];
            last(before, |speaker| speaker == MessageRole::Assistant).map_or(0, |at| at + 1)
        }
        GuardScope::Last => last(speakers, |speaker| speaker == MessageRole::User).unwrap_or(0),
    };
    move |number, speaker| match scope {
        GuardScope::All => true,
        GuardScope::Last => number == first,
        GuardScope::New => number >= first && speaker != MessageRole::System,
    }
}

impl<P: Host> std::fmt::Debug for GuardPipeline<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardPipeline").field("posts", &self.guards).finish_non_exhaustive()
    }
}

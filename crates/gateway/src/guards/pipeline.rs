//! Guards at work: what is asked and what is answered is shown to those that watch the route, in their
//! order. What they say is followed here; how a service is asked is in `consult`.

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
use super::word_lists::WordLists;
use crate::record::RecordedFindings;

/// The guards that watch one request, and what they have said of it.
pub struct GuardPipeline<P: Host> {
    pub(crate) config: Rc<Config>,
    pub(crate) upstreams: Rc<Upstreams>,
    pub(crate) host: P,
    /// Names the conversation to services that join the parts of a text.
    pub(crate) session: String,
    /// What was masked in the question, and is restored in the answer.
    pub(crate) masks: RefCell<Masks>,
    /// What was masked in the answer, and stays so.
    pub(crate) answer_masks: RefCell<Masks>,
    /// The last thing that was asked, for judges of an answer.
    pub(crate) question: RefCell<String>,
    guards: Vec<ActiveGuard>,
    findings: GuardFindings,
}

/// A guard, as it is for one caller.
#[derive(Debug)]
pub(crate) struct ActiveGuard {
    /// Its position in the configuration.
    guard_index: usize,
    /// The least risk that blocks.
    pub(crate) block_at: Option<Level>,
    /// The position of what is otherwise for this caller.
    override_index: Option<usize>,
    /// The words of a list that is kept in the store.
    pub(crate) stored_words: Option<Rc<WordList>>,
}

/// Why something may not go on.
#[derive(Debug)]
pub enum GuardRejection {
    /// A guard says that it is unsafe.
    Blocked(GuardBlock),
    /// A guard that must be asked could not be.
    Unavailable,
    /// The caller has sent what no guard can check, so that none would see what is in it.
    Unreadable(&'static str),
}

/// What a guard says of a text, and what kept it from saying more.
#[derive(Debug)]
pub(crate) struct GuardResult {
    pub(crate) verdict: Verdict,
    /// Why parts of the text were not judged.
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

/// A guard's refusal.
#[derive(Debug)]
pub struct GuardBlock {
    /// The guard's position in the configuration.
    pub guard: usize,
    /// Which side was refused.
    pub phase: Phase,
    /// The reasons.
    pub findings: Vec<Finding>,
}

impl<P: Host> GuardPipeline<P> {
    /// The guards that watch a route for a caller; `None`: there are none.
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

    /// Whether something is otherwise for this caller.
    pub(crate) fn has_override(&self, guard: &ActiveGuard) -> bool {
        guard.override_index.is_some()
    }

    /// Stands for these guards, the lists that they go by and their configuration: what was checked by
    /// others does not count as checked.
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

    /// The guard of a post.
    pub(crate) fn guard_config(&self, guard: &ActiveGuard) -> &Guard {
        &self.config.guards[guard.guard_index]
    }

    /// The service that a post asks, where its guard or what is otherwise for the caller names one.
    pub(crate) fn service(&self, guard: &ActiveGuard, phase: Phase) -> Option<&str> {
        let other = &self.guard_config(guard).overrides[guard.override_index?];
        match phase {
            Phase::Request => other.request_service.as_deref(),
            Phase::Response => other.response_service.as_deref(),
        }
    }

    /// Whether an answer has to be looked at.
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

    /// Of a stream, so many characters are checked together.
    pub(crate) fn window_chars(&self) -> usize {
        self.guards_for_phase(Phase::Response)
            .map(|guard| self.guard_config(guard).window)
            .max()
            .unwrap_or(0)
    }

    /// So long text waits for others before it is checked alone.
    pub(crate) fn max_delay(&self) -> Duration {
        let delays =
            self.guards_for_phase(Phase::Response).map(|guard| self.guard_config(guard).delay);
        delays.min().unwrap_or_default()
    }

    /// Checks a request. `None` if the request stays as it is, else the masked request.
    pub async fn check_request(
        &self,
        request: &ParsedRequest,
        scope: &mut RequestScope<P>,
    ) -> Result<Option<ParsedRequest>, Error> {
        let result = self.check_texts_of_request(request).await;
        scope.found(self.take_findings());
        result.map_err(|rejection| self.reject(&rejection, request, scope))
    }

    /// Checks the answer to a request, as far as it is there. `true` if it is a stream that has to be
    /// checked on its way.
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

    /// The error that a guard's refusal becomes.
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
                        // There is nothing in a picture that could be masked.
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
            // Vectors say nothing.
            AnswerContent::Stream(_) if endpoint == Endpoint::Embeddings => Ok(false),
            AnswerContent::Stream(_) => self.reject_unreadable().map(|()| false),
        }
    }

    /// Checks a whole answer, or the error in its place. What guards have masked or restored makes
    /// another one of it.
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

    /// An answer, or a part of one, cannot be read: those who watch answers have failed.
    pub fn reject_unreadable(&self) -> Result<(), GuardRejection> {
        let unread = GuardError("the answer cannot be read".to_owned());
        self.guards_for_phase(Phase::Response)
            .try_for_each(|guard| self.handle_failure(guard, Phase::Response, &unread))
    }

    /// Shows texts of an answer to everybody who watches answers.
    pub(crate) async fn check_texts(
        &self,
        input: &mut impl GuardInput,
    ) -> Result<(), GuardRejection> {
        for guard in self.guards_for_phase(Phase::Response) {
            self.run_guard(guard, Phase::Response, input).await?;
        }
        Ok(())
    }

    /// Shows texts to one guard.
    async fn run_guard(
        &self,
        guard: &ActiveGuard,
        phase: Phase,
        input: &mut impl GuardInput,
    ) -> Result<(), GuardRejection> {
        for text in input.texts() {
            // What was shown was looked at.
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

    /// Notes what a guard has said, and what follows from it.
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

    /// A guard has not said anything.
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

    /// Notes what a guard has said.
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

    /// Hands out what was noted since the last time.
    pub(crate) fn take_findings(&self) -> RecordedFindings {
        self.findings.take()
    }
}

/// The longest text of which a service is asked, in bytes: some hundred questions.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// The most pictures of one request of which a service is asked.
const MAX_IMAGES_PER_REQUEST: usize = 32;
/// So many pictures are looked at at once.
const CONCURRENT_IMAGES: usize = 4;
/// So much of a question's end is shown to a judge of its answer, in characters.
const MAX_QUESTION_CHARS: usize = 4_000;

/// Providers pass over members that they do not know, however they are nested; a guard that gave up on
/// them would have seen nothing.
fn read_prompt(request: &ParsedRequest) -> Result<Prompt<'_>, GuardRejection> {
    let prompt =
        Prompt::parse(request.endpoint(), request.body_text(), request.fields().content.clone());
    prompt.map_err(|_| GuardRejection::Unreadable(NO_MESSAGE))
}

const NO_MESSAGE: &str = "something that is no message";

/// A prompt or an input has one text or many, and all of them are the user's last word.
fn effective_scope(endpoint: Endpoint, configured: GuardScope) -> GuardScope {
    if endpoint == Endpoint::ChatCompletions { configured } else { GuardScope::All }
}

/// Says whether a message, by its number and its speaker, is looked at.
fn in_scope(prompt: &Prompt<'_>, scope: GuardScope) -> impl Fn(usize, MessageRole) -> bool + use<> {
    let last = |speakers: &[MessageRole], is_meant: fn(MessageRole) -> bool| {
        speakers.iter().rposition(|speaker| is_meant(*speaker))
    };
    let speakers = &prompt.roles;
    let first = match scope {
        GuardScope::All => 0,
        GuardScope::New => {
            // An answer that the caller has begun is a part of the question, and ends none.
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

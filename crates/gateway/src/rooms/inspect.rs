//! Guards at work: what is asked and what is answered is shown to those that watch the route, in their
//! order. What they say is followed here; how a service is asked is in `consult`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use openai::{Endpoint, Prompt, Speaker, Unreadable, said_in_error, sayings_in_answer};
use sha2::{Digest, Sha256};

use crate::config::{Config, Guard, GuardKind, OnError, RouteIndex, Scope};
use crate::error::{Error, Fault, Refusal};
use crate::guard::aliyun;
use crate::guard::{
    Dimension, Finding, Level, Lexicon, Masks, Material, NoVerdict, Phase, Sheet, Verdict, tail,
};
use crate::platform::Platform;

use super::admit::Ask;
use super::answer::{Answer, Content};
use super::blocked;
use super::caller::Caller;
use super::entry::Entry;
use super::fleet::Fleet;
use super::futures::join;
use super::lists::Lists;
use super::notebook::{Notebook, Notes};

/// The guards that watch one request, and what they have said of it.
pub struct Inspector<P: Platform> {
    pub(super) config: Rc<Config>,
    pub(super) fleet: Rc<Fleet>,
    pub(super) platform: P,
    /// Names the conversation to services that join the parts of a text.
    pub(super) session: String,
    /// What was masked in the question, and is restored in the answer.
    pub(super) masks: RefCell<Masks>,
    /// What was masked in the answer, and stays so.
    pub(super) unsaid: RefCell<Masks>,
    /// The last thing that was asked, for judges of an answer.
    pub(super) question: RefCell<String>,
    posts: Vec<Post>,
    notebook: Notebook,
}

/// A guard, as it is for one caller.
#[derive(Debug)]
pub(super) struct Post {
    /// Its position in the configuration.
    guard: usize,
    /// The least risk that blocks.
    pub(super) block_at: Option<Level>,
    /// The position of what is otherwise for this caller.
    exception: Option<usize>,
    /// The words of a list that is kept in the store.
    pub(super) list: Option<Rc<Lexicon>>,
}

/// Why something may not go on.
#[derive(Debug)]
pub enum Stop {
    /// A guard says that it is unsafe.
    Blocked(Block),
    /// A guard that must be asked could not be.
    Unavailable,
    /// The caller has sent what no guard can check, so that none would see what is in it.
    Unreadable(&'static str),
}

/// What a guard says of a text, and what kept it from saying more.
#[derive(Debug)]
pub(super) struct Opinion {
    pub(super) verdict: Verdict,
    /// Why parts of the text were not judged.
    pub(super) trouble: Option<NoVerdict>,
}

impl From<Result<Verdict, NoVerdict>> for Opinion {
    fn from(result: Result<Verdict, NoVerdict>) -> Self {
        match result {
            Ok(verdict) => Self { verdict, trouble: None },
            Err(reason) => Self { verdict: Verdict::Pass, trouble: Some(reason) },
        }
    }
}

/// A guard's refusal.
#[derive(Debug)]
pub struct Block {
    /// The guard's position in the configuration.
    pub guard: usize,
    /// Which side was refused.
    pub phase: Phase,
    /// The reasons.
    pub findings: Vec<Finding>,
}

impl<P: Platform> Inspector<P> {
    /// The guards that watch a route for a caller; `None`: there are none.
    pub async fn post(
        (config, fleet, lists): (&Rc<Config>, &Rc<Fleet>, &Lists),
        platform: &P,
        route: RouteIndex,
        caller: &Caller<'_>,
        request: &str,
    ) -> Option<Rc<Self>> {
        let mut posts = Vec::new();
        for (position, guard) in config.guards_for(route) {
            let fits = guard.overrides.iter().position(|other| {
                other.consumers.iter().any(|one| one.covers(caller.id()))
                    || caller
                        .group()
                        .is_some_and(|group| other.groups.iter().any(|one| one.covers(group)))
            });
            let other = fits.map(|at| &guard.overrides[at]);
            if other.is_some_and(|other| other.off) {
                continue;
            }
            let block_at = other.and_then(|other| other.block_at).or(guard.block_at);
            let list = match &guard.kind {
                GuardKind::Words(words) => match &words.list {
                    Some(name) => lists.read(platform, name).await,
                    None => None,
                },
                GuardKind::Aliyun(_)
                | GuardKind::Moderation(_)
                | GuardKind::Judge(_)
                | GuardKind::Pii(_) => None,
            };
            posts.push(Post { guard: position, block_at, exception: fits, list });
        }
        if posts.is_empty() {
            return None;
        }
        let route = config.route(route).id.clone();
        Some(Rc::new(Self {
            config: Rc::clone(config),
            fleet: Rc::clone(fleet),
            platform: platform.clone(),
            session: aliyun::session(u128::from(platform.entropy()) << 64),
            masks: RefCell::default(),
            unsaid: RefCell::default(),
            question: RefCell::default(),
            posts,
            notebook: Notebook::new(request, caller.id(), route),
        }))
    }

    /// Whether something is otherwise for this caller.
    pub(super) fn is_exception(&self, post: &Post) -> bool {
        post.exception.is_some()
    }

    /// Stands for these guards, the lists that they go by and their configuration: what was checked by
    /// others does not count as checked.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.config.digest);
        for post in &self.posts {
            let exception = post.exception.map_or(u64::MAX, |at| at as u64);
            let list = post.list.as_ref().map_or(0, |list| list.digest());
            for number in [post.guard as u64, exception, list] {
                hash.update(number.to_be_bytes());
            }
        }
        hash.finalize().into()
    }

    /// The guard of a post.
    pub(super) fn guard(&self, post: &Post) -> &Guard {
        &self.config.guards[post.guard]
    }

    /// The service that a post asks, where its guard or what is otherwise for the caller names one.
    pub(super) fn service(&self, post: &Post, phase: Phase) -> Option<&str> {
        let other = &self.guard(post).overrides[post.exception?];
        match phase {
            Phase::Request => other.request_service.as_deref(),
            Phase::Response => other.response_service.as_deref(),
        }
    }

    /// Whether an answer has to be looked at.
    pub fn watches_answers(&self) -> bool {
        self.watching(Phase::Response).next().is_some() || !self.masks.borrow().is_empty()
    }

    fn watching(&self, phase: Phase) -> impl Iterator<Item = &Post> {
        self.posts.iter().filter(move |post| {
            let guard = self.guard(post);
            match phase {
                Phase::Request => guard.request,
                Phase::Response => guard.response,
            }
        })
    }

    /// Of a stream, so many characters are checked together.
    pub(super) fn window(&self) -> usize {
        self.watching(Phase::Response).map(|post| self.guard(post).window).max().unwrap_or(0)
    }

    /// So long text waits for others before it is checked alone.
    pub(super) fn delay(&self) -> Duration {
        let delays = self.watching(Phase::Response).map(|post| self.guard(post).delay);
        delays.min().unwrap_or_default()
    }

    /// Checks a request. `None` if the request stays as it is, else the masked request.
    pub async fn check_request(
        &self,
        ask: &Ask,
        entry: &mut Entry<P>,
    ) -> Result<Option<Ask>, Error> {
        let result = self.read_request(ask).await;
        entry.found(self.take_notes());
        result.map_err(|stop| self.reject(&stop, ask, entry))
    }

    /// Checks the answer to a request, as far as it is there. `true` if it is a stream that has to be
    /// checked on its way.
    pub async fn check_answer(
        &self,
        answer: &mut Answer,
        ask: &Ask,
        entry: &mut Entry<P>,
    ) -> Result<bool, Error> {
        let result = self.receive(answer, ask.endpoint()).await;
        entry.found(self.take_notes());
        result.map_err(|stop| self.reject(&stop, ask, entry))
    }

    /// The error that a guard's refusal becomes.
    fn reject(&self, stop: &Stop, ask: &Ask, entry: &mut Entry<P>) -> Error {
        let block = match stop {
            Stop::Blocked(block) => block,
            Stop::Unavailable => return Fault::GuardUnavailable.into(),
            Stop::Unreadable(what) => {
                let param = ask.endpoint().content_field();
                return Refusal::Unchecked { param, what }.into();
            }
        };
        let guard = &self.config.guards[block.guard];
        entry.blocked_by(&guard.id);
        let (endpoint, stream) = (ask.endpoint(), ask.request().stream);
        Error::Blocked(Box::new(blocked::whole(&self.platform, guard, block, endpoint, stream)))
    }

    async fn read_request(&self, ask: &Ask) -> Result<Option<Ask>, Stop> {
        self.masks.borrow_mut().avoid(ask.text());
        let mut changed: Option<Ask> = None;
        for post in self.watching(Phase::Request) {
            let asked = changed.as_ref().unwrap_or(ask);
            let mut prompt = read(asked)?;
            let scope = scope(asked.endpoint(), self.guard(post).scope);
            if scope == Scope::All {
                let beside = prompt.read_beside(asked.text(), &asked.request().beside);
                beside.map_err(|_| Stop::Unreadable("a schema that is nested too deep"))?;
            }
            if prompt.has_tokens {
                let unread = NoVerdict("it is given as numbers of tokens".to_owned());
                self.failed(post, Phase::Request, &unread)?;
            }
            let is_meant = in_scope(&prompt, scope);
            if self.looks(post) {
                let pictures = prompt.pictures.iter();
                let pictures = pictures.filter(|it| is_meant(it.message, it.speaker));
                let pictures: Vec<&str> = pictures.map(|picture| &*picture.url).collect();
                if pictures.len() > MOST_PICTURES {
                    return Err(Stop::Unreadable("more pictures than are checked"));
                }
                for some in pictures.chunks(AT_ONCE) {
                    self.notebook.look(self.guard(post), Phase::Request);
                    let looks = some.iter().map(|url| self.look(post, url)).collect();
                    for verdict in join(looks).await {
                        // There is nothing in a picture that could be masked.
                        self.follow(post, Phase::Request, verdict.into(), "")?;
                    }
                }
            }
            let texts = prompt.texts.into_iter();
            let texts = texts.filter(|(number, said)| is_meant(*number, said.speaker));
            let mut sheet = Sheet::new(texts.map(|(_, said)| said));
            self.pass(post, Phase::Request, &mut sheet).await?;
            if let Some(masked) = sheet.write(asked.text().as_bytes()) {
                changed = Some(asked.with_body(masked));
            }
        }
        if self.watching(Phase::Response).any(|post| self.is_judge(post)) {
            let asked = changed.as_ref().unwrap_or(ask);
            let prompt = read(asked)?;
            let is_meant = in_scope(&prompt, scope(asked.endpoint(), Scope::New));
            let texts = prompt.texts.into_iter();
            let texts = texts.filter(|(number, said)| is_meant(*number, said.speaker));
            let text = Sheet::new(texts.map(|(_, said)| said)).text();
            self.question.replace(text[tail(&text, LONGEST_QUESTION)..].to_owned());
        }
        Ok(changed)
    }

    async fn receive(&self, answer: &mut Answer, endpoint: Endpoint) -> Result<bool, Stop> {
        if !self.watches_answers() {
            return Ok(false);
        }
        match &mut answer.content {
            Content::Whole(whole) => {
                let is_error = !answer.status.is_success();
                if let Some(changed) = self.release(whole, is_error).await? {
                    *whole = changed;
                }
                Ok(false)
            }
            Content::Stream(stream) if stream.is_events() => Ok(true),
            // Vectors say nothing.
            Content::Stream(_) if endpoint == Endpoint::Embeddings => Ok(false),
            Content::Stream(_) => self.unreadable().map(|()| false),
        }
    }

    /// Checks a whole answer, or the error in its place. What guards have masked or restored makes
    /// another one of it.
    async fn release(&self, answer: &Bytes, is_error: bool) -> Result<Option<Bytes>, Stop> {
        let text = str::from_utf8(answer).map_err(|_| Unreadable);
        let sheet = match is_error {
            true => text.and_then(said_in_error).map(Sheet::new),
            false => text.and_then(sayings_in_answer).map(Sheet::of_answer),
        };
        let Ok(mut sheet) = sheet else {
            if !answer.is_empty() {
                self.unreadable()?;
            }
            return Ok(None);
        };
        self.check(&mut sheet).await?;
        let restored = self.masks.borrow().restore(&sheet.text());
        sheet.edit(0, &restored);
        Ok(sheet.write(answer))
    }

    /// An answer, or a part of one, cannot be read: those who watch answers have failed.
    pub fn unreadable(&self) -> Result<(), Stop> {
        let unread = NoVerdict("the answer cannot be read".to_owned());
        self.watching(Phase::Response)
            .try_for_each(|post| self.failed(post, Phase::Response, &unread))
    }

    /// Shows texts of an answer to everybody who watches answers.
    pub(super) async fn check(&self, material: &mut impl Material) -> Result<(), Stop> {
        for post in self.watching(Phase::Response) {
            self.pass(post, Phase::Response, material).await?;
        }
        Ok(())
    }

    /// Shows texts to one guard.
    async fn pass(
        &self,
        post: &Post,
        phase: Phase,
        material: &mut impl Material,
    ) -> Result<(), Stop> {
        for text in material.texts() {
            // What was shown was looked at.
            if text.from == text.text.len() || text.text.trim().is_empty() {
                continue;
            }
            if text.text.len() > LONGEST_TEXT && self.guard(post).kind.asks_a_service() {
                match phase {
                    Phase::Request => return Err(Stop::Unreadable("more text than is checked")),
                    Phase::Response => {
                        self.failed(post, phase, &NoVerdict("it is too long".to_owned()))?;
                        continue;
                    }
                }
            }
            self.notebook.look(self.guard(post), phase);
            let opinion = self.consult(post, phase, &text).await;
            if let Verdict::Mask(edits, _) = self.follow(post, phase, opinion, &text.text)? {
                material.edit(text.number, &edits);
            }
            material.hold(text.number, self.undecided(post, &text));
        }
        Ok(())
    }

    /// Notes what a guard has said, and what follows from it.
    fn follow(
        &self,
        post: &Post,
        phase: Phase,
        Opinion { verdict, trouble }: Opinion,
        text: &str,
    ) -> Result<Verdict, Stop> {
        match &verdict {
            Verdict::Block(findings) => {
                self.note(post, phase, "block", findings, text);
                let findings = findings.clone();
                return Err(Stop::Blocked(Block { guard: post.guard, phase, findings }));
            }
            Verdict::Mask(_, findings) => self.note(post, phase, "mask", findings, text),
            Verdict::Pass => {}
        }
        if let Some(reason) = trouble {
            self.failed(post, phase, &reason)?;
        }
        Ok(verdict)
    }

    fn is_judge(&self, post: &Post) -> bool {
        matches!(self.guard(post).kind, GuardKind::Judge(_))
    }

    /// A guard has not said anything.
    fn failed(&self, post: &Post, phase: Phase, reason: &NoVerdict) -> Result<(), Stop> {
        let found =
            Finding { dimension: Dimension::Content, level: Level::None, label: String::new() };
        self.note(post, phase, "error", &[found], &reason.0);
        match self.guard(post).on_error {
            OnError::Open => Ok(()),
            OnError::Closed => Err(Stop::Unavailable),
        }
    }

    /// Notes what a guard has said.
    fn note(
        &self,
        post: &Post,
        phase: Phase,
        result: &'static str,
        findings: &[Finding],
        text: &str,
    ) {
        let guard = self.guard(post);
        for finding in findings {
            self.notebook.note(&self.platform, guard, (phase, result), finding, text);
        }
    }

    /// Hands out what was noted since the last time.
    pub(super) fn take_notes(&self) -> Notes {
        self.notebook.take()
    }
}

/// The longest text of which a service is asked, in bytes: some hundred questions.
const LONGEST_TEXT: usize = 1 << 20;
/// The most pictures of one request of which a service is asked.
const MOST_PICTURES: usize = 32;
/// So many pictures are looked at at once.
const AT_ONCE: usize = 4;
/// So much of a question's end is shown to a judge of its answer, in characters.
const LONGEST_QUESTION: usize = 4_000;

/// Providers pass over members that they do not know, however they are nested; a guard that gave up on
/// them would have seen nothing.
fn read(ask: &Ask) -> Result<Prompt<'_>, Stop> {
    let prompt = Prompt::read(ask.endpoint(), ask.text(), ask.request().content.clone());
    prompt.map_err(|_| Stop::Unreadable(NO_MESSAGE))
}

const NO_MESSAGE: &str = "something that is no message";

/// A prompt or an input has one text or many, and all of them are the user's last word.
fn scope(endpoint: Endpoint, configured: Scope) -> Scope {
    if endpoint == Endpoint::ChatCompletions { configured } else { Scope::All }
}

/// Says whether a message, by its number and its speaker, is looked at.
fn in_scope(prompt: &Prompt<'_>, scope: Scope) -> impl Fn(usize, Speaker) -> bool + use<> {
    let last = |speakers: &[Speaker], is_meant: fn(Speaker) -> bool| {
        speakers.iter().rposition(|speaker| is_meant(*speaker))
    };
    let speakers = &prompt.speakers;
    let first = match scope {
        Scope::All => 0,
        Scope::New => {
            // An answer that the caller has begun is a part of the question, and ends none.
            let asked = last(speakers, |speaker| speaker != Speaker::Assistant);
            let before = &speakers[..asked.unwrap_or(0)];
            last(before, |speaker| speaker == Speaker::Assistant).map_or(0, |at| at + 1)
        }
        Scope::Last => last(speakers, |speaker| speaker == Speaker::User).unwrap_or(0),
    };
    move |number, speaker| match scope {
        Scope::All => true,
        Scope::Last => number == first,
        Scope::New => number >= first && speaker != Speaker::System,
    }
}

impl<P: Platform> std::fmt::Debug for Inspector<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector").field("posts", &self.posts).finish_non_exhaustive()
    }
}

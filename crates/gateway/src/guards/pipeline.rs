//! Guard pipeline of a request: runs the guards of its route on the request and on the answer, and
//! applies their verdicts. `invoke` calls a single guard.

use std::cell::RefCell;
use std::rc::Rc;

use config::{Config, Guard, GuardKind, OnError, RouteIndex};
use guards::{
    Dimension, Finding, GuardError, GuardInput, GuardText, Level, Masks, Phase, Verdict, WordList,
    aliyun,
};
use sha2::{Digest, Sha256};

use crate::auth::caller::Caller;
use crate::error::{Error, Fault, Refusal};
use crate::host::Host;
use crate::record::RecordedFindings;
use crate::request::parse::ParsedRequest;
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::state::Upstreams;

use super::block_response;
use super::call_load::CallLoad;
use super::findings::GuardFindings;
use super::word_lists::WordLists;

/// The longest text that is sent to a service, in bytes: some hundred calls.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;

/// Content with more to mask than a guard keeps.
const TOO_MANY_MATCHES: &str = "more than 10,000 data to mask";

/// Guards of one request, and their results so far.
pub(crate) struct GuardPipeline<P: Host> {
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
    call_load: Rc<CallLoad>,
    pub(super) findings: GuardFindings,
}

/// State of the gateway that guards use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardServices<'a> {
    pub config: &'a Rc<Config>,
    pub upstreams: &'a Rc<Upstreams>,
    pub word_lists: &'a WordLists,
    pub call_load: &'a Rc<CallLoad>,
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
pub(crate) enum GuardRejection {
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
pub(crate) struct GuardBlock {
    /// Position of the guard in the configuration.
    pub guard: usize,
    pub phase: Phase,
    pub findings: Vec<Finding>,
}

/// A guard as it applies to a caller; `None` if it skips it.
async fn activate<P: Host>(
    services: GuardServices<'_>,
    host: &P,
    (guard_index, guard): (usize, &Guard),
    caller: &Caller<'_>,
) -> Option<ActiveGuard> {
    let override_index = guard.overrides.iter().position(|other| {
        other.consumers.iter().any(|one| one.matches(caller.id()))
            || caller.group().is_some_and(|group| other.groups.iter().any(|one| one.matches(group)))
    });
    let other = override_index.map(|at| &guard.overrides[at]);
    if other.is_some_and(|other| other.off) {
        return None;
    }
    let block_at = other.and_then(|other| other.block_at).or(guard.block_at);
    let stored_words = match &guard.kind {
        GuardKind::Words(words) => match &words.stored_list {
            Some(name) => services.word_lists.get(host, name).await,
            None => None,
        },
        GuardKind::Aliyun(_)
        | GuardKind::Moderation(_)
        | GuardKind::Judge(_)
        | GuardKind::Pii(_) => None,
    };
    Some(ActiveGuard { guard_index, block_at, override_index, stored_words })
}

impl<P: Host> GuardPipeline<P> {
    /// Collects the guards of a route for a caller; `None` if there are none.
    pub(crate) async fn for_request(
        services: GuardServices<'_>,
        host: &P,
        route: RouteIndex,
        caller: &Caller<'_>,
        request_id: &str,
    ) -> Option<Rc<Self>> {
        let mut guards = Vec::new();
        for (position, guard) in services.config.guards_for(route) {
            guards.extend(activate(services, host, (position, guard), caller).await);
        }
        if guards.is_empty() {
            return None;
        }
        let route = services.config.route(route).id.clone();
        Some(Rc::new(Self::new(
            services,
            host,
            guards,
            GuardFindings::new(request_id, caller.id(), route),
        )))
    }

    /// Runs one guard of the configuration on a text, without a request. `None` if it skips the caller. Nothing
    /// is recorded.
    pub(crate) async fn check_text(
        services: GuardServices<'_>,
        host: &P,
        guard: (usize, &Guard),
        caller: &Caller<'_>,
        (phase, text): (Phase, String),
    ) -> Option<GuardResult> {
        let guard = activate(services, host, guard, caller).await?;
        let findings = GuardFindings::new("", caller.id(), String::new());
        let pipeline = Self::new(services, host, Vec::new(), findings);
        let text = GuardText { number: 0, text, unchecked_from: 0, goes_on: false };
        Some(pipeline.invoke_guard(&guard, phase, &text).await)
    }

    fn new(
        services: GuardServices<'_>,
        host: &P,
        guards: Vec<ActiveGuard>,
        findings: GuardFindings,
    ) -> Self {
        Self {
            config: Rc::clone(services.config),
            upstreams: Rc::clone(services.upstreams),
            host: host.clone(),
            session: aliyun::new_session_id(u128::from(host.entropy()) << 64),
            masks: RefCell::default(),
            answer_masks: RefCell::default(),
            question: RefCell::default(),
            guards,
            call_load: Rc::clone(services.call_load),
            findings,
        }
    }

    /// Whether an override applies to this caller.
    pub(crate) fn has_override(&self, guard: &ActiveGuard) -> bool {
        guard.override_index.is_some()
    }

    /// Digest of these guards, their word lists and their configuration: a cached answer that other
    /// guards checked does not count as checked.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.config.digest);
        for guard in &self.guards {
            let override_index = guard.override_index.map_or(u64::MAX, |at| at as u64);
            let list = guard.stored_words.as_ref().map_or(0, |list| list.digest());
            for number in [guard.guard_index as u64, override_index, list] {
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

    pub(super) fn guards_for_phase(&self, phase: Phase) -> impl Iterator<Item = &ActiveGuard> {
        self.guards.iter().filter(move |active_guard| {
            let guard = self.guard_config(active_guard);
            match phase {
                Phase::Request => guard.request,
                Phase::Response => guard.response,
            }
        })
    }

    /// The error for a rejection.
    pub(super) fn reject(
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

    /// Runs one guard on texts.
    pub(super) async fn run_guard(
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
                        return Err(GuardRejection::Unreadable("more than 1 MiB of text"));
                    }
                    Phase::Response => {
                        return Err(self.fail_closed(guard, phase, "it is too long"));
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
    pub(super) fn apply_verdict(
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
            Verdict::TooMany => {
                return Err(match phase {
                    Phase::Request => GuardRejection::Unreadable(TOO_MANY_MATCHES),
                    Phase::Response => self.fail_closed(guard, phase, TOO_MANY_MATCHES),
                });
            }
            Verdict::Mask(_, findings) => self.record_result(guard, phase, "mask", findings, text),
            Verdict::Pass => {}
        }
        if let Some(reason) = error {
            self.handle_failure(guard, phase, &reason)?;
        }
        Ok(verdict)
    }

    /// Records that a guard cannot check something, and rejects it, whatever `on_error` is: that
    /// setting is for services that fail, and not for content that evades a guard.
    pub(super) fn fail_closed(
        &self,
        guard: &ActiveGuard,
        phase: Phase,
        reason: &str,
    ) -> GuardRejection {
        self.record_failure(guard, phase, reason);
        GuardRejection::Unavailable
    }

    fn record_failure(&self, guard: &ActiveGuard, phase: Phase, reason: &str) {
        let found =
            Finding { dimension: Dimension::Content, level: Level::None, label: String::new() };
        self.record_result(guard, phase, "error", &[found], reason);
    }

    /// Counts calls of a guard's service.
    pub(super) fn record_calls(&self, guard: &ActiveGuard, calls: usize) {
        let guard = self.guard_config(guard);
        self.call_load.record_calls(&guard.id, self.findings.consumer(), calls, self.host.now());
    }

    /// Applies a guard's failure. A caller that makes most of the calls must not open a guard by using up
    /// the quota of its service.
    pub(super) fn handle_failure(
        &self,
        guard: &ActiveGuard,
        phase: Phase,
        reason: &GuardError,
    ) -> Result<(), GuardRejection> {
        self.record_failure(guard, phase, &reason.reason);
        let config = self.guard_config(guard);
        let is_cause =
            || self.call_load.is_mostly_by(&config.id, self.findings.consumer(), self.host.now());
        match config.on_error {
            OnError::Open if reason.is_rate_limited && is_cause() => {
                Err(GuardRejection::Unavailable)
            }
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

impl<P: Host> std::fmt::Debug for GuardPipeline<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardPipeline").field("guards", &self.guards).finish_non_exhaustive()
    }
}

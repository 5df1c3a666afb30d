//! Continuation of an interrupted text stream on a fallback target.
//!
//! The relay decides when a stream is continued, and splices the result.

pub(crate) mod overlap;
pub(crate) mod splice;

use std::fmt;
use std::rc::Rc;

use config::{Config, ModelPrice, ProviderIndex, RouteIndex};
use http::Uri;
use openai::{ContentParts, Endpoint, TextSize, token_estimate};
use protocol::model::Protocol;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::record::AttemptKind;
use crate::request::parse::ParsedRequest;
use crate::routing::plan::{Candidate, ModelOrigin};
use crate::telemetry::request_scope::RequestScope;

use super::additions;
use super::answer::AnswerContent;
use super::attempt::{AttemptContext, Exchange, TargetBody};
use super::caller_upstreams::CallerUpstreams;
use super::commit::Committed;
use super::last_resort::Access;

/// Targets that are asked for a continuation of one request.
const MAX_CONTINUATION_CALLS: usize = 2;

/// Message behind the text so far that asks for the continuation. Every chat model understands it,
/// while some providers refuse a message that is to be completed.
const CONTINUE_PROMPT: &str = "Your last message was cut off. Continue it exactly where it stops. Do not repeat any of it, and do not comment on this.";

/// Targets behind the one that answered, with the data that calls to them need.
pub(crate) struct ContinuationTargets {
    config: Rc<Config>,
    upstreams: CallerUpstreams,
    request: ParsedRequest,
    route: RouteIndex,
    targets: Vec<ContinuationTarget>,
    /// Content of the stream that later layers use.
    parts: ContentParts,
}

struct ContinuationTarget {
    provider: ProviderIndex,
    model: String,
    url: Uri,
    price: Option<ModelPrice>,
    model_origin: ModelOrigin,
}

/// Whether the answer to a request may come from two models: a single chat stream of free text.
pub(crate) fn can_continue(parsed_request: &ParsedRequest) -> bool {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        response_format: Option<Format<'a>>,
    }
    #[derive(Deserialize)]
    struct Format<'a> {
        r#type: std::borrow::Cow<'a, str>,
    }
    let request = parsed_request.fields();
    request.stream
        && parsed_request.original().is_none()
        && parsed_request.endpoint() == Endpoint::ChatCompletions
        && request.output.choices == 1
        && serde_json::from_slice::<Fields<'_>>(parsed_request.body())
            .is_ok_and(|fields| fields.response_format.is_none_or(|format| format.r#type == "text"))
}

impl ContinuationTargets {
    pub(crate) fn new(
        config: Rc<Config>,
        upstreams: CallerUpstreams,
        request: &ParsedRequest,
        route: RouteIndex,
        candidates: &[Candidate<'_>],
        parts: ContentParts,
    ) -> Self {
        let to_target = |candidate: &Candidate<'_>| ContinuationTarget {
            provider: candidate.provider_index,
            model: candidate.model.to_owned(),
            url: candidate.url.clone(),
            price: candidate.price,
            model_origin: candidate.model_origin,
        };
        let speaks_chat = |candidate: &&Candidate<'_>| candidate.protocol == Protocol::Chat;
        let targets = candidates.iter().filter(speaks_chat).map(to_target).collect();
        Self { config, upstreams, request: request.clone(), route, targets, parts }
    }

    /// Asks the targets in order to continue a text, until one sends content. Returns the scope; if
    /// the caller hangs up meanwhile, the scope is closed here.
    pub(crate) async fn continue_stream<P: Host>(
        self,
        host: P,
        mut scope: RequestScope<P>,
        text: String,
    ) -> (RequestScope<P>, Option<Box<Committed>>) {
        let route = self.config.route(self.route);
        let text_size = TextSize::measure(&text);
        let context = AttemptContext {
            host: &host,
            upstreams: &self.upstreams,
            request: &self.request,
            route,
            deadline: scope.began() + route.timeouts.total,
            extra_prompt: text_size,
            trace: scope.trace().cloned(),
            parts: self.parts,
            may_replay: false,
            required_key: None,
            access: Access::Regular,
        };
        let max = self.request.fields().output.max_per_choice;
        let left = max.map(|max| max.saturating_sub(token_estimate::estimate_tokens(text_size)));
        let messages = continuation_messages(&text);
        let mut calls = 0;
        for target in &self.targets {
            if calls == MAX_CONTINUATION_CALLS || left == Some(0) || host.now() >= context.deadline
            {
                break;
            }
            let candidate = Candidate {
                provider_index: target.provider,
                provider: self.config.provider(target.provider),
                model: &target.model,
                protocol: Protocol::Chat,
                url: target.url.clone(),
                price: target.price,
                model_origin: target.model_origin,
            };
            let Ok(attempt) = context.start(&candidate, AttemptKind::Continuation, &mut scope)
            else {
                continue;
            };
            calls += 1;
            let taken_back = self.upstreams.taken_back((target.provider, &target.model));
            let call = (self.request.endpoint(), self.request.fields());
            let (changes, additions) = additions::body_changes(&candidate, call, left, taken_back);
            let changes = openai::Changes { extra_messages: Some(&messages), ..changes };
            let bytes = self.request.body_for_target(changes);
            let body = TargetBody { bytes, additions, exchange: Exchange::default() };
            let result = context.send(&candidate, (attempt.key, attempt.record_index), body).await;
            if let Ok(answer) = context.record_outcome(attempt, result, &mut scope)
                && answer.status.is_success()
                && let AnswerContent::Stream(stream) = answer.content
            {
                scope.continued();
                return (scope, Some(stream));
            }
        }
        (scope, None)
    }
}

/// Messages behind the caller's own: the text so far, and the request to continue.
fn continuation_messages(text: &str) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'a str,
        content: &'a str,
    }
    let messages = [("assistant", text), ("user", CONTINUE_PROMPT)].map(|(role, content)| {
        serde_json::to_string(&Message { role, content }).expect("strings always serialize")
    });
    messages.join(",")
}

impl fmt::Debug for ContinuationTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContinuationTargets")
            .field("count", &self.targets.len())
            .finish_non_exhaustive()
    }
}

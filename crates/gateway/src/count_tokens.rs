//! Counts of a prompt's tokens: forwarded to a target whose provider counts, and never estimated.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use openai::{Endpoint, TextSize};
use protocol::AnswerContext;
use protocol::listing::token_count;
use protocol::model::Protocol;
use protocol::request::BodyChanges;
use serde::Deserialize;

use crate::auth::access;
use crate::auth::caller::Caller;
use crate::error::{Error, Fault, Refusal};
use crate::gateway::Gateway;
use crate::host::Host;
use crate::host::body::Body;
use crate::host::futures::timeout;
use crate::record::{ANSWERED, Attempt, AttemptKind, CALLERS_FAULT, TIMEOUT};
use crate::request::endpoint::InferenceCall;
use crate::request::parse::ParsedRequest;
use crate::request::read_body::{self, BodyBounds};
use crate::response::recorder::Retention;
use crate::response::{Reply, ServedAnswer};
use crate::routing::plan::{Candidate, MatchedRoute, TargetPlan};
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::answer::{Answer, AnswerContent};
use crate::upstream::caller_upstreams::CallerUpstreams;
use crate::upstream::dispatch::Dispatched;
use crate::upstream::request::upstream_request;

/// Maximum length of a count or of an error in its place, in bytes.
const MAX_COUNT_BYTES: usize = 64 << 10;

/// Result of a call without a count.
const NO_COUNT: &str = "no_count";

/// Counts the tokens of a prompt. A failure of the call says nothing about a target's health: some
/// providers count for few of their models.
pub(crate) async fn run<P: Host>(
    gateway: &Gateway,
    protocol: Protocol,
    (parts, body): (&Parts, &mut Body),
    caller: &Caller<'_>,
    scope: &mut RequestScope<P>,
) -> Result<Reply<P>, Error> {
    let host = &scope.host().clone();
    let config = gateway.shared_config();
    let bounds = BodyBounds {
        max_bytes: config.server.max_body,
        deadline: scope.began() + access::max_total_time(config, caller),
        budget: gateway.body_budget(),
    };
    let received = read_body::read_json_body(host, &parts.headers, body, bounds).await?;
    let call = InferenceCall { endpoint: Endpoint::ChatCompletions, protocol, deployment: None };
    let request = ParsedRequest::parse(&call, &parts.headers, received)?;
    scope.parsed(request.fields(), protocol);
    let matched = MatchedRoute::lookup(config, caller, &request.fields().model)?;
    let upstreams = CallerUpstreams::new(gateway.upstreams(), caller.authenticated_id());
    let now_and_entropy = (host.now(), host.entropy());
    let plan = TargetPlan::select(
        config,
        matched,
        caller,
        &request,
        &parts.headers,
        &upstreams,
        now_and_entropy,
    )?;
    scope.routed(matched.route, config.models.has_exact(&request.fields().model));
    access::check_parameters(caller, &request)?;
    let mut is_counted = false;
    for candidate in plan.targets() {
        let Some((candidate, body)) = counting_call(candidate, &request, &plan) else { continue };
        is_counted = true;
        let target = (candidate.provider_index, candidate.model);
        let Ok(key) = upstreams.next_key(target.0, target.1, host.now()) else { continue };
        let wait = matched.route.timeouts.until_first_byte(false);
        let call = (&candidate, key);
        if let Some(answer) = call_target(host, call, body, wait, (&request, scope)).await {
            scope.answered_by(candidate.label());
            return Ok(Reply::Answer(ServedAnswer {
                answer: Dispatched { answer, continuation_targets: None },
                timeouts: matched.route.timeouts,
                guards: None,
                retention: Retention::default(),
                context: AnswerContext::default(),
                tagger: None,
            }));
        }
    }
    match is_counted {
        true => Err(Fault::Upstream.into()),
        false => Err(Refusal::NoTokenCount { model: request.fields().model.clone() }.into()),
    }
}

/// The call that counts at a target's provider. `None` if it has none.
fn counting_call<'c>(
    candidate: &Candidate<'c>,
    request: &ParsedRequest,
    plan: &TargetPlan<'_>,
) -> Option<(Candidate<'c>, Bytes)> {
    let Candidate { provider_index, provider, model, protocol, price, model_origin, .. } =
        *candidate;
    let url = provider.count_url(protocol, model)?;
    let changes = BodyChanges { model: Some(model), ..BodyChanges::default() };
    let body = match protocol == request.protocol() {
        true => request.own_body_for(provider, changes)?,
        false => request.translate_count(provider, protocol, plan.route()).ok()?.body_with(changes),
    };
    let candidate =
        Candidate { provider_index, provider, model, protocol, url, price, model_origin };
    Some((candidate, body))
}

/// Calls a target once. `None` if another one may count.
async fn call_target<P: Host>(
    host: &P,
    (candidate, key): (&Candidate<'_>, Option<usize>),
    body: Bytes,
    wait: Duration,
    (request, scope): (&ParsedRequest, &mut RequestScope<P>),
) -> Option<Answer> {
    let attempt = Attempt::start(candidate.label(), key, AttemptKind::Primary, host.now());
    let index = scope.attempt_started(attempt, None, TextSize::default());
    let forwarded = request.original().map(|original| original.headers.clone()).unwrap_or_default();
    let secret = key.map(|position| &candidate.provider.keys[position]);
    let call = upstream_request(candidate, secret, body, false, &forwarded);
    let exchange = async {
        let (head, body) = host.fetch(call).await.ok()?.into_parts();
        let body = body.collect(MAX_COUNT_BYTES).await.ok()?;
        Some((head, body))
    };
    let (head, body) = match timeout(host, wait, exchange).await {
        Some(Some(answer)) => answer,
        outcome => {
            let result = if outcome.is_none() { TIMEOUT } else { NO_COUNT };
            scope.attempt_finished(index, result, None, None);
            return None;
        }
    };
    let is_callers_fault = matches!(head.status.as_u16(), 400 | 413 | 422);
    let own = match head.status.is_success() {
        true => read_count(&body).and_then(|count| token_count(request.protocol(), count)),
        false => None,
    };
    let (result, body, protocol) = match own {
        Some(count) => (ANSWERED, Bytes::from(count), request.protocol()),
        None if is_callers_fault => (CALLERS_FAULT, body, candidate.protocol),
        None => {
            scope.attempt_finished(index, NO_COUNT, Some(head.status), None);
            return None;
        }
    };
    scope.attempt_finished(index, result, Some(head.status), None);
    let status = if result == ANSWERED { StatusCode::OK } else { head.status };
    let content_type = head.headers.get(CONTENT_TYPE).cloned();
    let content = AnswerContent::Whole(body);
    Some(Answer { status, content_type, content, protocol, translation: None, origin: None })
}

/// Reads a count in the form of Messages or Responses.
fn read_count(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Count {
        input_tokens: u64,
    }
    serde_json::from_slice::<Count>(body).ok().map(|count| count.input_tokens)
}

//! The pipeline of a request: the only place where the order of the steps stands.

use std::rc::Rc;

use http::request::Parts;
use openai::token_estimate;
use protocol::AnswerContext;
use protocol::model::Protocol;

use crate::auth::access;
use crate::auth::caller::ActingConsumer;
use crate::cache::lookup::{self, CacheLookup, CacheRequest};
use crate::count_tokens;
use crate::error::{Error, Refusal};
use crate::feedback;
use crate::gateway::Gateway;
use crate::guards::pipeline::GuardPipeline;
use crate::history::load;
use crate::host::Host;
use crate::host::body::Body;
use crate::limits::admission::{self, Admitted};
use crate::limits::matching::LimitSubject;
use crate::record::SkipReason;
use crate::request::client_ip;
use crate::request::cors::{self, Cors};
use crate::request::endpoint::{self, ApiEndpoint, GatewayEndpoint};
use crate::request::headers::client_product;
use crate::request::parse::ParsedRequest;
use crate::request::read_body;
use crate::request::request_id;
use crate::response::recorder::Retention;
use crate::response::{self, Reply, ServedAnswer, models};
use crate::routing::matched_route::MatchedRoute;
use crate::routing::plan::TargetPlan;
use crate::stored_response;
use crate::telemetry::otlp::TraceContext;
use crate::telemetry::record_sinks::RecordSinks;
use crate::telemetry::record_tap::RecordTap;
use crate::telemetry::request_scope::RequestScope;
use crate::telemetry::transcript::Transcript;
use crate::upstream::answer_form::base_context;
use crate::upstream::caller_upstreams::CallerUpstreams;
use crate::upstream::dispatch::Dispatcher;
use crate::upstream::response_tag::{ResponseTagger, continued_response};

impl Gateway {
    /// The request's trace context; `None` if no traces are exported.
    fn start_trace<P: Host>(&self, host: &P, parts: &Parts) -> Option<Rc<TraceContext>> {
        let otlp = self.shared_config().observe.otlp.as_ref().filter(|otlp| otlp.traces)?;
        Some(Rc::new(TraceContext::from_headers(&parts.headers, otlp.sample, host)))
    }

    /// Handles one request. Dropping the future, or the response's body before its end, means that
    /// the caller hung up.
    pub async fn handle<P: Host>(
        self: &Rc<Self>,
        host: P,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let origins = &self.shared_config().server.origins;
        let cors = Cors::from_headers(origins, &parts.headers);
        let preflight = cors.as_ref().and_then(|cors| cors.preflight_response(&parts));
        let mut response = match preflight {
            Some(answer) => answer,
            None => self.handle_api(host, parts, body, self.record_sinks()).await,
        };
        cors::add_vary(origins, response.headers_mut());
        if let Some(cors) = cors {
            cors.add_headers(response.headers_mut());
        }
        response
    }

    /// Handles the request of an operator, whose record goes to `tap`.
    pub(crate) async fn handle_for_operator<P: Host>(
        self: &Rc<Self>,
        host: P,
        request: http::Request<Body>,
        tap: RecordTap,
    ) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        self.handle_api(host, parts, body, self.record_sinks().with_tap(tap)).await
    }

    async fn handle_api<P: Host>(
        self: &Rc<Self>,
        host: P,
        parts: Parts,
        mut body: Body,
        sinks: RecordSinks,
    ) -> http::Response<Body> {
        let api = match GatewayEndpoint::parse(&parts.method, parts.uri.path()) {
            // Without a record: a load balancer's health check is no caller's request.
            Ok(GatewayEndpoint::Health) => {
                return response::strip_body_for_head(&parts.method, response::health_response());
            }
            Ok(GatewayEndpoint::Api(api)) => Ok(api),
            Err(refusal) => Err(refusal),
        };
        let protocol = match &api {
            Ok(api) => api.protocol(&parts.headers),
            Err(_) => endpoint::error_protocol(parts.uri.path()),
        };
        let id = request_id::request_id(&parts.headers, &host);
        let trace = self.start_trace(&host, &parts);
        let mut scope = RequestScope::open(sinks, host.clone(), id, trace);
        let result = match api {
            Ok(api) => run(self, api, &parts, &mut body, &mut scope).await,
            Err(refusal) => Err(refusal.into()),
        };
        let response = response::into_response(result, protocol, host.clone(), scope);
        self.report_health(host.now());
        // Without a wait, unless a refusal left a part of the body unread.
        read_body::drain_body(&host, &parts.headers, &mut body).await;
        response::strip_body_for_head(&parts.method, response)
    }
}

/// Runs the steps of one request, in the order in which they stand here. An error is the response in
/// place of an answer.
pub(crate) async fn run<P: Host>(
    gateway: &Gateway,
    api: ApiEndpoint,
    parts: &Parts,
    body: &mut Body,
    scope: &mut RequestScope<P>,
) -> Result<Reply<P>, Error> {
    let host = &scope.host().clone();
    let config = gateway.shared_config();
    let headers = &parts.headers;

    // The IP list comes first, because it is the cheapest check.
    let client_ip = client_ip::client_ip(config, parts);
    access::check_global_ip(config, client_ip)?;
    // Authentication comes before the body is read: anonymous clients must not cause work.
    let protocol = api.protocol(headers);
    let caller = match parts.extensions.get::<ActingConsumer>() {
        Some(acting) => acting.caller(config),
        None => gateway.authenticator().authenticate(host, headers, protocol).await?,
    };
    scope.authenticated(&caller, api.operation());
    scope.update(|record| record.client = client_product(headers));
    access::check_caller_ip(&caller, client_ip)?;
    let call = match api {
        ApiEndpoint::Models => {
            return Ok(Reply::Models(models::list(config, &caller, protocol), protocol));
        }
        ApiEndpoint::Model(id) => {
            return Ok(Reply::Models(models::model(config, &caller, &id, protocol)?, protocol));
        }
        ApiEndpoint::CountTokens(protocol) => {
            return count_tokens::run(gateway, protocol, (parts, body), &caller, scope).await;
        }
        ApiEndpoint::Feedback => {
            return feedback::run(gateway, (parts, body), &caller, scope).await;
        }
        ApiEndpoint::StoredResponse(call) => {
            return stored_response::run(gateway, call, parts, &caller, scope).await;
        }
        ApiEndpoint::Inference(call) => call,
    };

    // The body is parsed only once; later steps work on ranges of it.
    let bounds = gateway.body_bounds(&caller, scope.began());
    let received = read_body::read_json_body(host, headers, body, bounds).await?;
    let size = received.bytes.len();
    let mut request = ParsedRequest::parse(&call, headers, received)?;
    scope.parsed(request.fields(), request.protocol());
    // The route comes next, because permissions name routes.
    let matched = MatchedRoute::lookup(config, &caller, &request.fields().model)?;
    let owner = caller.authenticated_id().unwrap_or_default();
    let continued = continued_response(config, matched.route, owner, &request)?;
    let matched = matched.bound_to(continued.as_ref().map(|stored| stored.provider));
    if host.now() >= scope.began() + matched.route.timeouts.total {
        return Err(Refusal::BodyTimeout { received: size }.into());
    }
    // The history comes before all steps that read the conversation.
    let conversations = gateway.conversation_store();
    let conversation =
        load::load_conversation(conversations, host, &caller, headers, matched.index, &mut request)
            .await;
    if let Some(conversation) = &conversation {
        scope.set_header(load::HISTORY_HEADER, conversation.turns().to_string());
    }
    let (request, conversation) = (request, conversation.map(Box::new));

    // Without a call, unless the isolate is new or was idle.
    let matched = matched.with_canary(gateway.rollouts().share(host, matched.route).await);
    let upstreams = CallerUpstreams::new(gateway.upstreams(), caller.authenticated_id());
    let now_and_entropy = (host.now(), host.entropy());
    let plan = TargetPlan::select(
        config,
        matched,
        &caller,
        &request,
        headers,
        &upstreams,
        now_and_entropy,
    )?;
    scope.routed(matched.route, config.models.has_exact(&request.fields().model));
    // Before the cache: hits at one side alone would make the shares uneven.
    scope.update(|record| record.rollout = plan.rollout_unit().cloned());
    if let Some(max_chars) = config.observe.logged_content(matched.index) {
        scope.capture(Transcript::new(&request, max_chars));
    }
    access::check_parameters(config, &caller, matched.route, &request)?;

    let services = gateway.guard_services();
    let request_id = scope.record().id.clone();
    let guards =
        GuardPipeline::for_request(services, host, matched.index, &caller, &request_id).await;
    // The cache key names the guards, so a hit needs no check.
    let fingerprint = guards.as_ref().map_or_else(Vec::new, |guards| guards.fingerprint().to_vec());
    let cache_request = CacheRequest {
        caller: &caller,
        headers,
        request: &request,
        plan: &plan,
        guard_fingerprint: &fingerprint,
    };
    let lookup = lookup::lookup(gateway.response_cache(), host, cache_request).await;
    scope.looked_up(lookup.name());
    let (mut slot, charged_hit) = match lookup {
        CacheLookup::Disabled | CacheLookup::Bypass => (None, None),
        CacheLookup::Miss(slot) => (Some(slot), None),
        CacheLookup::Hit(hit) if hit.is_charged() => (None, Some(hit)),
        CacheLookup::Hit(hit) => {
            let retention = Retention { slot: None, conversation };
            return Ok(Reply::Cached(hit, retention, caller_context(host, &request)));
        }
    };

    // Limits come after everything that refuses for free, and before everything that costs money.
    let subject = LimitSubject {
        route: Some(matched.index),
        consumer: caller.id(),
        group: caller.group(),
        client_ip,
        headers,
        uri: &parts.uri,
    };
    let limits = (&**config, gateway.limiter_state());
    let (limit, admitted) = admission::admit(limits, subject, &request, plan, host).await;
    scope.limited_by(limit);
    let Admitted { plan, reservation, dropped } = admitted?;
    dropped.into_iter().for_each(|label| scope.passed_over(label, SkipReason::Limit));
    scope.reserved(reservation);
    // A fallback by a limit is no comparison.
    scope.update(|record| record.rollout = plan.rollout_unit().cloned());
    if let Some(hit) = charged_hit {
        let first = &plan.targets()[0];
        if hit.target == first.label() {
            scope.priced(first.price);
            let retention = Retention { slot: None, conversation };
            return Ok(Reply::Cached(hit, retention, caller_context(host, &request)));
        }
        // A limit selected another target than the hit's.
        scope.looked_up(CacheLookup::Bypass.name());
    }

    // Guards come after limits, because their services cost money too.
    let masked = match &guards {
        Some(guards) => guards.check_request(&request, scope).await?,
        None => None,
    };
    let max_output_tokens = scope.max_output_tokens();
    if let Some(slot) = &mut slot {
        slot.is_capped = max_output_tokens.is_some();
    }
    let dispatcher = Dispatcher {
        host,
        config,
        upstreams: &upstreams,
        request: masked.as_ref().unwrap_or(&request),
        plan: &plan,
        max_output_tokens,
        reads_texts: scope.transcript().is_some()
            || guards.as_ref().is_some_and(|guards| guards.checks_answers()),
        stores_answer: slot.is_some() || conversation.is_some(),
        continued: continued.as_ref(),
    };
    let mut answer = dispatcher.dispatch(scope).await?;
    let guards_stream = match &guards {
        Some(guards) => guards.check_answer(&mut answer.answer, &request, scope).await?,
        None => false,
    };
    let guards = guards.filter(|_| guards_stream).map(|guards| (guards, call.endpoint));
    let mut context = caller_context(host, &request);
    let translation = answer.answer.translation.as_deref();
    scope.shed(translation.map_or(&[][..], |translation| &translation.shed));
    if let Some(context) = &mut context {
        let provider = answer.answer.origin.map(|(provider, _)| config.provider(provider));
        context.seal_maker = provider.map(|provider| provider.seal_maker.clone());
        context.tools = translation.map(|it| it.tools.clone()).unwrap_or_default();
        if !context.tools.is_empty() {
            // An entry has no place for the caller's names of the tools.
            slot = None;
        }
    }
    let is_stored = request.original().is_some_and(|original| original.stored.is_stored);
    let tagger = match (answer.answer.protocol, answer.answer.origin) {
        (Protocol::Responses, Some((provider, key))) if is_stored => {
            ResponseTagger::new(config.provider(provider), key, owner).map(Box::new)
        }
        _ => None,
    };
    let (timeouts, retention) = (matched.route.timeouts, Retention { slot, conversation });
    Ok(Reply::Answer(ServedAnswer { answer, timeouts, guards, retention, context, tagger }))
}

/// Facts for the writer of an answer in the caller's protocol; `None` for a caller of Chat.
fn caller_context(host: &impl Host, request: &ParsedRequest) -> Option<Box<AnswerContext>> {
    request.original().map(|original| {
        Box::new(AnswerContext {
            estimated_input_tokens: token_estimate::estimate_tokens(request.prompt_size()),
            echo: original.echo(),
            ..base_context(host)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use config::Config;
    use http::StatusCode;
    use secret::Secret;

    use crate::config_loader::GatewaySecrets;
    use crate::gateway::Gateway;
    use crate::host::body::Body;
    use crate::request::body_budget::{BODY_COPIES, MAX_BODY_BYTES_IN_FLIGHT};
    use crate::testing::fake_host::{FakeHost, block_on};
    use crate::testing::pieces::Pieces;

    const DOCUMENT: &str = r#"{
        "server": { "max_body": "64KiB" },
        "providers": [{ "id": "openai", "keys": ["secret:KEY"] }],
        "routes": [{ "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }],
            "timeouts": { "total": "20s" } }],
        "consumers": [{ "id": "app", "keys": ["secret:APP"] }]
    }"#;

    fn gateway() -> Rc<Gateway> {
        let config = Config::from_json(DOCUMENT, &|name| Some(Secret::new(name)));
        Gateway::new(config.expect("the document is right"), GatewaySecrets::default())
    }

    /// Sends a chat with this path, key, and body; returns the status and the error's code.
    fn send(
        gateway: &Rc<Gateway>,
        host: &FakeHost,
        (path, key): (&str, &str),
        body: Body,
    ) -> (StatusCode, String) {
        let request = http::Request::builder().method("POST").uri(path);
        let request = request.header("authorization", format!("Bearer {key}")).body(body);
        let response = block_on(gateway.handle(host.clone(), request.expect("a request")));
        let status = response.status();
        let retries = response.headers().contains_key("retry-after");
        assert_eq!(retries, status == StatusCode::SERVICE_UNAVAILABLE);
        let body = block_on(response.into_body().collect(1 << 20)).expect("a whole body");
        let error: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        (status, error["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn body_that_never_ends_is_answered_when_the_total_time_is_up() {
        let (gateway, host) = (gateway(), FakeHost::new());
        let pieces = Pieces { size: 1, count: 1_000, every: Duration::from_secs(5), ends: true };
        let (body, read) = pieces.into_body(&host);
        let (status, code) = send(&gateway, &host, ("/v1/chat/completions", "APP"), body);
        assert_eq!((status, code.as_str()), (StatusCode::REQUEST_TIMEOUT, "request_timeout"));
        assert_eq!(read.get(), 4);
    }

    #[test]
    fn refusal_follows_the_end_of_the_body() {
        for (path, key, expected) in [
            ("/v1/chat/completions", "wrong", "invalid_api_key"),
            ("/v1/files", "APP", "unknown_url"),
            ("/v1/messages", "APP", ""),
            ("/v1/models", "APP", "method_not_allowed"),
            ("/v1/chat/completions", "APP", "request_too_large"),
        ] {
            let (gateway, host) = (gateway(), FakeHost::new());
            let pieces = Pieces { size: 1 << 16, count: 100, every: Duration::ZERO, ends: true };
            let (body, read) = pieces.into_body(&host);
            assert_eq!(send(&gateway, &host, (path, key), body).1, expected, "{path}");
            assert_eq!(read.get(), 100, "{path}: {expected}");
        }
    }

    #[test]
    fn body_beyond_the_budget_of_the_isolate_is_refused() {
        let (gateway, host) = (gateway(), FakeHost::new());
        let mut others = gateway.body_budget().permit();
        others.grow(MAX_BODY_BYTES_IN_FLIGHT / BODY_COPIES).expect("they are alone");
        let pieces = Pieces { size: 1_000, count: 3, every: Duration::ZERO, ends: true };
        let chat = ("/v1/chat/completions", "APP");
        let (status, code) = send(&gateway, &host, chat, pieces.into_body(&host).0);
        assert_eq!((status, code.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
        drop(others);
        let (_, code) = send(&gateway, &host, chat, pieces.into_body(&host).0);
        assert_eq!(code, "invalid_json");
        let mut all = gateway.body_budget().permit();
        // A permit that is alone may exceed the budget: no request holds bytes any more.
        assert_eq!(all.grow(MAX_BODY_BYTES_IN_FLIGHT + 1), Ok(()));
    }
}

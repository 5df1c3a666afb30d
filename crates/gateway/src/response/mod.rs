//! The response to the caller.

pub(crate) mod cached_answer;
pub(crate) mod caller_form;
pub(crate) mod guarded_stream;
pub(crate) mod headers;
pub(crate) mod json;
pub(crate) mod models;
pub(crate) mod recorder;
pub(crate) mod relay;
pub(crate) mod tagged_body;

use std::rc::Rc;

use bytes::Bytes;
use config::Timeouts;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, StatusCode};
use openai::Endpoint;
use protocol::AnswerContext;
use protocol::model::Protocol;

use crate::cache::lookup::CacheHit;
use crate::error::{self, BlockResponse, Error, Refusal};
use crate::guards::pipeline::GuardPipeline;
use crate::host::Host;
use crate::host::body::Body;
use crate::record::Outcome;
use crate::response::guarded_stream::GuardedStream;
use crate::response::headers::{add_gateway_headers, disable_buffering};
use crate::response::json::json_response;
use crate::response::recorder::{RecordingBody, Retention};
use crate::response::relay::Relay;
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::answer::AnswerContent;
use crate::upstream::answer_form::base_context;
use crate::upstream::dispatch::Dispatched;
use crate::upstream::response_tag::ResponseTagger;

/// Result of the pipeline for a request that is not refused.
#[derive(Debug)]
pub(crate) enum Reply<P: Host> {
    /// The models that a caller may name, or one of them, as JSON in this protocol.
    Models(Vec<u8>, Protocol),
    /// A provider's answer to a call beside the dispatch.
    Forwarded(Forwarded),
    Answer(ServedAnswer<P>),
    /// A cached answer, the places in which it is stored, and facts for its writer.
    Cached(Box<CacheHit>, Retention, Option<Box<AnswerContext>>),
}

/// A whole JSON answer of a provider to a call beside the dispatch.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub status: StatusCode,
    pub body: Bytes,
    /// Protocol of the body.
    pub protocol: Protocol,
    /// Tagger of the ids of a response that the provider stores.
    pub tagger: Option<Box<ResponseTagger>>,
}

/// An upstream's answer, and the handling of its rest.
#[derive(Debug)]
pub(crate) struct ServedAnswer<P: Host> {
    pub answer: Dispatched,
    /// Timeouts of the rest.
    pub timeouts: Timeouts,
    /// Guards of the rest, if it is a stream that they check.
    pub guards: Option<(Rc<GuardPipeline<P>>, Endpoint)>,
    /// Places in which the answer is stored.
    pub retention: Retention,
    /// Facts for the writer of the answer in the caller's protocol; `None` for a caller of Chat.
    pub context: Option<Box<AnswerContext>>,
    /// Tagger of the ids of a response that the provider stores.
    pub tagger: Option<Box<ResponseTagger>>,
}

/// Creates the response from the pipeline's result, in the caller's protocol. A stream keeps the scope
/// open until its end.
pub(crate) fn into_response<P: Host>(
    result: Result<Reply<P>, Error>,
    caller: Protocol,
    host: P,
    scope: RequestScope<P>,
) -> http::Response<Body> {
    let form_host = host.clone();
    let (mut context, mut protocol) = (None, Protocol::Chat);
    let response = match result {
        Ok(Reply::Answer(mut served)) => {
            let retention = std::mem::take(&mut served.retention);
            context = served.context.take();
            protocol = served.answer.answer.protocol;
            let tagger = served.tagger.take();
            let response = with_recording(retention, host, scope, |host, scope| {
                answer_response(served, host, scope)
            });
            match tagger {
                Some(tagger) => tagged_body::tag(response, *tagger),
                None => response,
            }
        }
        Ok(Reply::Forwarded(forwarded)) => {
            protocol = forwarded.protocol;
            let response = json_response(forwarded.status, forwarded.body);
            let response = finish_response(response, Outcome::Answered, scope);
            match forwarded.tagger {
                Some(tagger) => tagged_body::tag(response, *tagger),
                None => response,
            }
        }
        Ok(Reply::Cached(hit, retention, of_hit)) => {
            context = of_hit;
            with_recording(retention, host, scope, |host, scope| {
                cached_answer::into_response(*hit, host, scope)
            })
        }
        Ok(Reply::Models(list, of_list)) => {
            protocol = of_list;
            finish_response(json_response(StatusCode::OK, list), Outcome::Answered, scope)
        }
        Err(Error::Blocked(blocked)) => blocked_response(*blocked, scope),
        Err(Error::Refusal(refusal)) => {
            error_response(refusal.to_api_error(), Outcome::Refused, scope)
        }
        Err(Error::Fault(fault)) => {
            error_response(fault.to_api_error(&scope.record().attempts), Outcome::Failed, scope)
        }
    };
    caller_form::apply(response, (protocol, caller), || {
        context.map_or_else(|| base_context(&form_host), |context| *context)
    })
}

/// Wraps a response's body so that its bytes reach the cache and the conversation of `retention`.
fn with_recording<P: Host>(
    retention: Retention,
    host: P,
    mut scope: RequestScope<P>,
    respond: impl FnOnce(P, RequestScope<P>) -> http::Response<Body>,
) -> http::Response<Body> {
    let recorder = RecordingBody::from_scope(retention, &mut scope, &host);
    let response = respond(host, scope);
    match recorder {
        Some(recorder) => recorder.wrap(response),
        None => response,
    }
}

/// Creates the response from an upstream's answer.
fn answer_response<P: Host>(
    served: ServedAnswer<P>,
    host: P,
    mut scope: RequestScope<P>,
) -> http::Response<Body> {
    let ServedAnswer { answer, timeouts, guards, .. } = served;
    let Dispatched { answer, continuation_targets } = answer;
    scope.responded(answer.status, None);
    let mut response = http::Response::new(Body::Empty);
    *response.status_mut() = answer.status;
    if let Some(content_type) = answer.content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    if !answer.status.is_success() {
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    add_gateway_headers(&mut response, &scope);
    *response.body_mut() = match answer.content {
        AnswerContent::Whole(whole) => {
            if let Some(transcript) = scope.transcript() {
                transcript.add_answer(&whole);
            }
            scope.close(Outcome::Answered);
            Body::from(whole)
        }
        AnswerContent::Stream(committed) => {
            disable_buffering(response.headers_mut());
            let relay = Relay::new(*committed, continuation_targets, host, scope, timeouts);
            match guards {
                Some((pipeline, endpoint)) => {
                    Body::stream(GuardedStream::new(relay, pipeline, endpoint))
                }
                None => Body::stream(relay),
            }
        }
    };
    response
}

/// Creates the configured response in place of blocked content.
fn blocked_response<P: Host>(
    blocked: BlockResponse,
    mut scope: RequestScope<P>,
) -> http::Response<Body> {
    scope.responded(blocked.status, blocked.error);
    let mut response = http::Response::new(Body::from(blocked.body));
    *response.status_mut() = blocked.status;
    if blocked.content_type == "text/event-stream" {
        disable_buffering(response.headers_mut());
    }
    response.headers_mut().insert(CONTENT_TYPE, blocked.content_type);
    add_gateway_headers(&mut response, &scope);
    scope.close(Outcome::Blocked);
    response
}

/// Creates an error response.
fn error_response<P: Host>(
    answer: error::ApiError,
    outcome: Outcome,
    mut scope: RequestScope<P>,
) -> http::Response<Body> {
    let mut response = json_response(answer.status, answer.to_json());
    // The reservation is returned, so the rate-limit headers computed with it are wrong.
    scope.replace_headers(answer.headers);
    add_gateway_headers(&mut response, &scope);
    scope.responded(answer.status, Some(answer.code));
    scope.close(outcome);
    response
}

/// Closes the scope with a whole response.
fn finish_response<P: Host>(
    mut response: http::Response<Body>,
    outcome: Outcome,
    mut scope: RequestScope<P>,
) -> http::Response<Body> {
    add_gateway_headers(&mut response, &scope);
    scope.responded(response.status(), None);
    scope.close(outcome);
    response
}

/// Error response without a record.
pub(crate) fn unrecorded_error_response(refusal: &Refusal) -> http::Response<Body> {
    let answer = refusal.to_api_error();
    json_response(answer.status, answer.to_json())
}

/// Reports that the gateway runs. It calls no upstream, so that a provider's outage restarts
/// nothing.
pub(crate) fn health_response() -> http::Response<Body> {
    json_response(StatusCode::OK, br#"{"status":"ok"}"#.to_vec())
}

/// Removes the body of a response to a HEAD request.
pub(crate) fn strip_body_for_head(
    method: &Method,
    mut response: http::Response<Body>,
) -> http::Response<Body> {
    if method == Method::HEAD {
        *response.body_mut() = Body::Empty;
    }
    response
}

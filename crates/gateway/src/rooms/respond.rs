//! The response that the caller gets.

use std::rc::Rc;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use openai::Endpoint;
use serde::Serialize;

use crate::body::Body;
use crate::config::{Config, ModelPattern, Timeouts};
use crate::error::{self, Blocked, Error, Refusal};
use crate::observe::Outcome;
use crate::platform::Platform;
use crate::policy::parameters;

use super::answer::Content;
use super::call::Dispatched;
use super::caller::Caller;
use super::entry::Entry;
use super::headers::{must_pass_at_once, name};
use super::inspect::Inspector;
use super::json::json;
use super::relay::Relay;
use super::retell;
use super::screen::Screen;
use super::shelf::Hit;
use super::tee::{Keep, Tee};

/// What a request comes to when nothing goes wrong.
#[derive(Debug)]
pub enum Reply<P: Platform> {
    /// The models that a caller may name, as JSON.
    Models(Vec<u8>),
    /// An upstream's answer.
    Answer(Served<P>),
    /// An answer from the cache, and what is to be kept of it.
    Kept(Box<Hit>, Keep),
}

/// An upstream's answer, and what becomes of the rest of it.
#[derive(Debug)]
pub struct Served<P: Platform> {
    /// The answer.
    pub answer: Dispatched,
    /// The bounds on waiting for the rest.
    pub timeouts: Timeouts,
    /// Who watches the rest.
    pub guards: Option<(Rc<Inspector<P>>, Endpoint)>,
    /// What is to be kept of the answer.
    pub keep: Keep,
}

impl<P: Platform> Reply<P> {
    /// Lists the models that a caller may name: those that routes name exactly, and those that its
    /// permissions do.
    pub fn models(config: &Config, caller: &Caller<'_>) -> Self {
        #[derive(Serialize)]
        struct List<'a> {
            object: &'static str,
            data: Vec<Model<'a>>,
        }
        #[derive(Serialize)]
        struct Model<'a> {
            id: &'a str,
            object: &'static str,
            created: u64,
            owned_by: &'static str,
        }
        let patterns = config.routes.iter().flat_map(|route| &route.models);
        let exact = patterns.filter_map(|pattern| match pattern {
            ModelPattern::Exact(id) => Some(id.as_str()),
            ModelPattern::Prefix(_) | ModelPattern::Regex(_) => None,
        });
        let bounds = || caller.permissions().flat_map(|permissions| &permissions.parameters);
        let mut names: Vec<&str> = Vec::new();
        for name in exact.chain(parameters::allowed(bounds(), "model")) {
            let is_served = config.models.route(name).is_some_and(|route| caller.may_use(route));
            if is_served && !names.contains(&name) && parameters::may_be(bounds(), "model", name) {
                names.push(name);
            }
        }
        let model = |id| Model { id, object: "model", created: 0, owned_by: "serin" };
        let data = names.into_iter().map(model).collect();
        let list = List { object: "list", data };
        Self::Models(serde_json::to_vec(&list).expect("strings and numbers always serialise"))
    }
}

/// Answers the caller with what the pipeline comes to. A stream keeps the scope open until its end.
pub fn deliver<P: Platform>(
    result: Result<Reply<P>, Error>,
    platform: P,
    entry: Entry<P>,
) -> http::Response<Body> {
    match result {
        Ok(Reply::Answer(Served { answer, timeouts, guards, keep })) => {
            record_into(keep, platform, entry, |platform, entry| {
                pass_on((answer, timeouts, guards), platform, entry)
            })
        }
        Ok(Reply::Kept(hit, keep)) => record_into(keep, platform, entry, |platform, entry| {
            retell::deliver(*hit, platform, entry)
        }),
        Ok(Reply::Models(list)) => finish(json(StatusCode::OK, list), Outcome::Answered, entry),
        Err(Error::Blocked(blocked)) => block(*blocked, entry),
        Err(Error::Refusal(refusal)) => refuse(refusal.answer(), Outcome::Refused, entry),
        Err(Error::Fault(fault)) => {
            refuse(fault.answer(&entry.record().attempts), Outcome::Failed, entry)
        }
    }
}

/// Wraps a response's body so that its bytes reach the cache and the conversation that `keep` names.
fn record_into<P: Platform>(
    keep: Keep,
    platform: P,
    mut entry: Entry<P>,
    respond: impl FnOnce(P, Entry<P>) -> http::Response<Body>,
) -> http::Response<Body> {
    let tee = Tee::over(keep, &mut entry, &platform);
    let response = respond(platform, entry);
    match tee {
        Some(tee) => tee.wrap(response),
        None => response,
    }
}

/// Passes an upstream's answer on.
fn pass_on<P: Platform>(
    (answer, timeouts, guards): (Dispatched, Timeouts, Option<(Rc<Inspector<P>>, Endpoint)>),
    platform: P,
    mut entry: Entry<P>,
) -> http::Response<Body> {
    let Dispatched { answer, successors } = answer;
    entry.responded(answer.status, None);
    let mut response = http::Response::new(Body::Empty);
    *response.status_mut() = answer.status;
    if let Some(content_type) = answer.content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    name(&mut response, &entry);
    *response.body_mut() = match answer.content {
        Content::Whole(whole) => {
            if let Some(transcript) = entry.transcript() {
                transcript.take(&whole);
            }
            entry.close(Outcome::Answered);
            Body::from(whole)
        }
        Content::Stream(committed) => {
            must_pass_at_once(response.headers_mut());
            let relay = Relay::begin((*committed, successors), platform, entry, timeouts);
            match guards {
                Some((inspector, endpoint)) => {
                    Body::stream(Screen::new(relay, inspector, endpoint))
                }
                None => Body::stream(relay),
            }
        }
    };
    response
}

/// Answers with what the configuration puts in the place of blocked content.
fn block<P: Platform>(blocked: Blocked, mut entry: Entry<P>) -> http::Response<Body> {
    entry.responded(blocked.status, blocked.error);
    let mut response = http::Response::new(Body::from(blocked.body));
    *response.status_mut() = blocked.status;
    if blocked.content_type == "text/event-stream" {
        must_pass_at_once(response.headers_mut());
    }
    response.headers_mut().insert(CONTENT_TYPE, blocked.content_type);
    name(&mut response, &entry);
    entry.close(Outcome::Blocked);
    response
}

/// Answers with an error.
fn refuse<P: Platform>(
    answer: error::Answer,
    outcome: Outcome,
    mut entry: Entry<P>,
) -> http::Response<Body> {
    let mut response = json(answer.status, answer.body().to_json());
    // The reservation returns, so the rate-limit headers of its success do not hold.
    entry.replace_headers(answer.headers);
    name(&mut response, &entry);
    entry.responded(answer.status, Some(answer.code));
    entry.close(outcome);
    response
}

/// Closes the scope with a whole response.
fn finish<P: Platform>(
    mut response: http::Response<Body>,
    outcome: Outcome,
    mut entry: Entry<P>,
) -> http::Response<Body> {
    name(&mut response, &entry);
    entry.responded(response.status(), None);
    entry.close(outcome);
    response
}

/// Answers with an error, without a record.
pub fn turn_away(refusal: &Refusal) -> http::Response<Body> {
    let answer = refusal.answer();
    json(answer.status, answer.body().to_json())
}

/// Says that the gateway runs. It asks no upstream, so that a provider's outage restarts nothing.
pub fn health() -> http::Response<Body> {
    json(StatusCode::OK, br#"{"status":"ok"}"#.to_vec())
}

/// Takes the body off where only the head was asked for.
pub fn without_body(method: &Method, mut response: http::Response<Body>) -> http::Response<Body> {
    if method == Method::HEAD {
        *response.body_mut() = Body::Empty;
    }
    response
}

//! The response that the caller gets.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use openai::Endpoint;
use serde::Serialize;

use crate::body::Body;
use crate::config::{Config, ModelPattern, Timeouts};
use crate::error::Error;
use crate::observe::Outcome;
use crate::platform::Platform;
use crate::policy::parameters;

use super::authenticate::Caller;
use super::blocked::Blocked;
use super::call::{Answer, Content};
use super::entry::Entry;
use super::inspect::Inspector;
use super::relay::Relay;
use super::retell;
use super::screen::Screen;
use super::shelf::Hit;

/// What a request comes to when nothing goes wrong.
#[derive(Debug)]
pub enum Reply<P: Platform> {
    /// The models that a caller may name, as JSON.
    Models(Vec<u8>),
    /// An upstream's answer.
    Answer(Served<P>),
    /// What a guard did not let pass, and what takes its place.
    Blocked(Blocked),
    /// An answer that was given before.
    Kept(Box<Hit>),
}

/// An upstream's answer, and what becomes of the rest of it.
#[derive(Debug)]
pub struct Served<P: Platform> {
    /// The answer.
    pub answer: Answer,
    /// The bounds on waiting for the rest.
    pub timeouts: Timeouts,
    /// Who watches the rest.
    pub guards: Option<(Rc<Inspector<P>>, Endpoint)>,
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

/// Gives the caller what there is. A stream keeps the record open until its end.
pub fn deliver<P: Platform>(
    reply: Reply<P>,
    platform: P,
    mut entry: Entry<P>,
) -> http::Response<Body> {
    let Served { answer, timeouts, guards } = match reply {
        Reply::Answer(served) => served,
        Reply::Blocked(blocked) => {
            entry.record.error = blocked.error;
            entry.record.status = Some(blocked.status.as_u16());
            let mut response = http::Response::new(Body::from(blocked.body));
            *response.status_mut() = blocked.status;
            if blocked.content_type == "text/event-stream" {
                must_pass_at_once(response.headers_mut());
            }
            response.headers_mut().insert(CONTENT_TYPE, blocked.content_type);
            name(&mut response, &entry);
            entry.close(Outcome::Blocked);
            return response;
        }
        Reply::Kept(hit) => return retell::deliver(*hit, platform, entry),
        Reply::Models(list) => {
            let mut response = json(StatusCode::OK, list);
            name(&mut response, &entry);
            entry.record.status = Some(200);
            entry.close(Outcome::Answered);
            return response;
        }
    };
    entry.record.status = Some(answer.status.as_u16());
    let mut response = http::Response::new(Body::Empty);
    *response.status_mut() = answer.status;
    if let Some(content_type) = answer.content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    name(&mut response, &entry);
    *response.body_mut() = match answer.content {
        Content::Whole(whole) => {
            if let Some(transcript) = &entry.transcript {
                transcript.take(&whole);
            }
            entry.close(Outcome::Answered);
            Body::from(whole)
        }
        Content::Stream(committed) => {
            must_pass_at_once(response.headers_mut());
            let relay = Relay::begin(*committed, platform, entry, timeouts);
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

/// Tells the caller why there is no answer.
pub fn refuse<P: Platform>(error: &Error, mut entry: Entry<P>) -> http::Response<Body> {
    let answer = error.answer(&entry.record.attempts);
    let mut response = json(answer.status, answer.body().to_json());
    // What was reserved returns, so that what it left is not what is left.
    entry.headers.clone_from(&answer.headers);
    name(&mut response, &entry);
    entry.record.status = Some(answer.status.as_u16());
    entry.record.error = Some(answer.code);
    entry.close(match error {
        Error::Refusal(_) => Outcome::Refused,
        Error::Fault(_) => Outcome::Failed,
    });
    response
}

/// Tells somebody who may not even ask; nobody's record has a place for it.
pub fn turn_away(error: &Error) -> http::Response<Body> {
    let answer = error.answer(&[]);
    json(answer.status, answer.body().to_json())
}

/// Says that the gateway runs. It asks no upstream, so that a provider's outage restarts nothing.
pub fn health() -> http::Response<Body> {
    json(StatusCode::OK, br#"{"status":"ok"}"#.to_vec())
}

/// Proxies must neither hold a stream back nor keep it.
pub(super) fn must_pass_at_once(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Takes the body off where only the head was asked for.
pub fn without_body(method: &Method, mut response: http::Response<Body>) -> http::Response<Body> {
    if method == Method::HEAD {
        *response.body_mut() = Body::Empty;
    }
    response
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> http::Response<Body> {
    let mut response = http::Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A text with everything that a header cannot hold as `%XX`: models have Chinese names too.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' => escaped.push(char::from(byte)),
            other => write!(escaped, "%{other:02X}").expect("a string takes everything"),
        }
    }
    escaped
}

/// The headers that tell what the gateway did.
pub(super) fn name<P: Platform>(response: &mut http::Response<Body>, entry: &Entry<P>) {
    let record = &entry.record;
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        let is_visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let value = if is_visible { Cow::Borrowed(value) } else { Cow::Owned(escaped(value)) };
        let value = HeaderValue::from_str(&value).expect("ASCII that can be seen");
        headers.insert(HeaderName::from_static(name), value);
    };
    set("x-request-id", &record.id);
    if let Some(route) = &record.route {
        set("x-serin-route", route);
        set("x-serin-attempts", &record.attempts.len().to_string());
    }
    if let Some(target) = &record.target {
        set("x-serin-target", target);
    }
    if let Some(cache) = record.cache {
        set("x-serin-cache", cache);
    }
    for (name, value) in &entry.headers {
        set(name, value);
    }
}

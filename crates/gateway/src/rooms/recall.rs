//! What was said before, for a caller who brings only its next question.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use openai::Endpoint;
use serde_json::value::RawValue;

use crate::cache::said;
use crate::config::{Config, RouteIndex, Session};
use crate::history::{Bounds, Talk, Turn, digest, lone_question, names};
use crate::platform::Platform;

use super::admit::Ask;
use super::caller::Caller;
use super::recent::Recent;
use super::shelf::{SHORTEST, covers};

/// The caller's header of this name may say `off`; the answer's says how many turns were put before it.
pub(crate) const HEADER: &str = "x-serin-history";

/// A conversation that goes on.
#[derive(Debug)]
pub struct Recollection {
    name: String,
    talk: Talk,
    question: Box<RawValue>,
    bounds: Bounds,
    ttl: Duration,
    recent: Rc<Recent>,
}

/// Puts before a lone question what was said before it. `None`: the request is nobody's conversation, or
/// the store is away: then nothing is added to it either, lest what is there be lost.
pub(crate) async fn recall<P: Platform>(
    (config, recent): (&Config, &Rc<Recent>),
    platform: &P,
    caller: &Caller<'_>,
    headers: &HeaderMap,
    route: RouteIndex,
    ask: &mut Ask,
) -> Option<Recollection> {
    let history = config.history.as_ref()?;
    let is_off = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"off");
    if ask.endpoint() != Endpoint::ChatCompletions
        || !covers(history.routes.as_deref(), route)
        || headers.get(HEADER).is_some_and(is_off)
    {
        return None;
    }
    // Strangers have no name that would keep their conversations apart.
    let consumer = caller.proven()?;
    let session = match &history.session {
        Session::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()),
        Session::User => ask.request().user.as_deref(),
    };
    let session = session.map(str::trim).filter(|session| !session.is_empty())?;
    let name = names(consumer) + &digest(session);
    let content = ask.request().content.clone();
    let at = lone_question(&ask.text()[content.clone()])?;
    let at = content.start + at.start..content.start + at.end;
    let question = RawValue::from_string(ask.text()[at.clone()].to_owned()).ok()?;
    let bounds = Bounds { turns: history.turns, bytes: history.max_bytes };
    let kept = recent.read(platform, &name).await.ok()?;
    let mut talk = kept.map(|bytes| Talk::read(&bytes)).unwrap_or_default();
    if platform.now() >= talk.last() + history.ttl {
        talk = Talk::default();
    }
    talk.hold_to(bounds);
    if !talk.turns().is_empty() {
        let text = ask.text();
        let body = [&text[..at.start], &talk.messages(), &text[at.start..]].concat();
        *ask = ask.with_body(body.into());
    }
    let recent = Rc::clone(recent);
    Some(Recollection { name, talk, question, bounds, ttl: history.ttl, recent })
}

impl Recollection {
    /// How many turns were put before the question.
    pub(crate) fn turns(&self) -> usize {
        self.talk.turns().len()
    }

    /// Adds the question and its answer, if that is a text.
    pub(super) async fn store<P: Platform>(mut self, platform: &P, stream: bool, body: &Bytes) {
        let Some(answer) = said(stream, body) else { return };
        let now = platform.now();
        // Another question of the same conversation may have been answered meanwhile.
        if let Some(written) = self.recent.find(&self.name, now) {
            let written = written.map(|bytes| Talk::read(&bytes)).unwrap_or_default();
            self.talk = written;
        }
        self.talk.add(Turn { at: now, question: self.question, answer }, self.bounds);
        let bytes = Bytes::from(self.talk.to_bytes());
        self.recent.note(self.name.clone(), Some(bytes.clone()), now);
        // The conversation goes on without this turn, if it must.
        let _ = platform.put(&self.name, bytes.to_vec(), Some(self.ttl.max(SHORTEST))).await;
    }
}

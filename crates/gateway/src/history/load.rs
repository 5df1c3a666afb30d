//! What was said before, for a caller who brings only its next question.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::{Config, RouteIndex, SessionSource};
use http::HeaderMap;
use openai::Endpoint;
use serde_json::value::RawValue;

use crate::auth::caller::Caller;
use crate::cache::first_choice_text;
use crate::cache::lookup::{MIN_STORE_TTL, includes_route};
use crate::history::conversation::{
    Conversation, ConversationLimits, Turn, find_lone_question, key_prefix, session_digest,
};
use crate::host::Host;
use crate::host::recent_writes::RecentWrites;
use crate::request::parse::ParsedRequest;

/// The caller's header of this name may say `off`; the answer's says how many turns were put before it.
pub(crate) const HISTORY_HEADER: &str = "x-serin-history";

/// A conversation that goes on.
#[derive(Debug)]
pub struct LoadedConversation {
    name: String,
    conversation: Conversation,
    question: Box<RawValue>,
    limits: ConversationLimits,
    ttl: Duration,
    recent_writes: Rc<RecentWrites>,
}

/// Puts before a lone question what was said before it. `None`: the request is nobody's conversation, or
/// the store is away: then nothing is added to it either, lest what is there be lost.
pub(crate) async fn load_conversation<P: Host>(
    (config, recent): (&Config, &Rc<RecentWrites>),
    platform: &P,
    caller: &Caller<'_>,
    headers: &HeaderMap,
    route: RouteIndex,
    ask: &mut ParsedRequest,
) -> Option<LoadedConversation> {
    let history = config.history.as_ref()?;
    let is_off = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"off");
    if ask.endpoint() != Endpoint::ChatCompletions
        || !includes_route(history.routes.as_deref(), route)
        || headers.get(HISTORY_HEADER).is_some_and(is_off)
    {
        return None;
    }
    // Strangers have no name that would keep their conversations apart.
    let consumer = caller.authenticated_id()?;
    let session = match &history.session {
        SessionSource::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()),
        SessionSource::User => ask.fields().user.as_deref(),
    };
    let session = session.map(str::trim).filter(|session| !session.is_empty())?;
    let name = key_prefix(consumer) + &session_digest(session);
    let content = ask.fields().content.clone();
    let at = find_lone_question(&ask.body_text()[content.clone()])?;
    let at = content.start + at.start..content.start + at.end;
    let question = RawValue::from_string(ask.body_text()[at.clone()].to_owned()).ok()?;
    let bounds = ConversationLimits { turns: history.turns, bytes: history.max_bytes };
    let kept = recent.get(platform, &name).await.ok()?;
    let mut talk = kept.map(|bytes| Conversation::parse(&bytes)).unwrap_or_default();
    if platform.now() >= talk.last_turn_at() + history.ttl {
        talk = Conversation::default();
    }
    talk.trim_to(bounds);
    if !talk.turns().is_empty() {
        let text = ask.body_text();
        let body = [&text[..at.start], &talk.messages(), &text[at.start..]].concat();
        *ask = ask.with_body(body.into());
    }
    let recent = Rc::clone(recent);
    Some(LoadedConversation {
        name,
        conversation: talk,
        question,
        limits: bounds,
        ttl: history.ttl,
        recent_writes: recent,
    })
}

impl LoadedConversation {
    /// How many turns were put before the question.
    pub(crate) fn turns(&self) -> usize {
        self.conversation.turns().len()
    }

    /// Adds the question and its answer, if that is a text.
    pub(crate) async fn store<P: Host>(mut self, platform: &P, stream: bool, body: &Bytes) {
        let Some(answer) = first_choice_text(stream, body) else { return };
        let now = platform.now();
        // Another question of the same conversation may have been answered meanwhile.
        if let Some(written) = self.recent_writes.lookup(&self.name, now) {
            let written = written.map(|bytes| Conversation::parse(&bytes)).unwrap_or_default();
            self.conversation = written;
        }
        self.conversation.add_turn(Turn { at: now, question: self.question, answer }, self.limits);
        let bytes = Bytes::from(self.conversation.to_bytes());
        self.recent_writes.record_write(self.name.clone(), Some(bytes.clone()), now);
        // The conversation goes on without this turn, if it must.
        let _ = platform.put(&self.name, bytes.to_vec(), Some(self.ttl.max(MIN_STORE_TTL))).await;
    }
}

//! Loads the stored conversation of a caller who sends only the next question.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::{Config, RouteIndex, SessionSource};
use http::HeaderMap;
use openai::Endpoint;
use serde_json::value::RawValue;

use crate::auth::caller::Caller;
use crate::cache::lookup::{MIN_STORE_TTL, includes_route};
use crate::history::conversation::{
    Conversation, ConversationLimits, Turn, find_lone_question, key_prefix, session_digest,
};
use crate::host::Host;
use crate::host::recent_writes::RecentWrites;
use crate::request::parse::ParsedRequest;
use crate::upstream::wrapping::first_choice_text;

/// The request's header may be `off`; the response's holds the number of turns put before the
/// question.
pub(crate) const HISTORY_HEADER: &str = "x-serin-history";

/// Stored conversations of one gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConversationStore<'a> {
    pub(crate) config: &'a Config,
    pub(crate) recent_writes: &'a Rc<RecentWrites>,
}

/// A conversation that the request extends.
#[derive(Debug)]
pub(crate) struct LoadedConversation {
    name: String,
    conversation: Conversation,
    question: Box<RawValue>,
    limits: ConversationLimits,
    ttl: Duration,
    recent_writes: Rc<RecentWrites>,
}

/// Puts the stored turns before a lone question. `None` if the request belongs to no conversation,
/// or the store is unavailable. In that case no turn is added either, because a write would replace
/// the stored ones.
pub(crate) async fn load_conversation<P: Host>(
    store: ConversationStore<'_>,
    host: &P,
    caller: &Caller<'_>,
    headers: &HeaderMap,
    route: RouteIndex,
    request: &mut ParsedRequest,
) -> Option<LoadedConversation> {
    let ConversationStore { config, recent_writes } = store;
    let history = config.history.as_ref()?;
    let is_off = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"off");
    if request.endpoint() != Endpoint::ChatCompletions
        || !includes_route(history.routes.as_deref(), route)
        || headers.get(HISTORY_HEADER).is_some_and(is_off)
    {
        return None;
    }
    // Anonymous callers have no id that would separate their conversations.
    let consumer = caller.authenticated_id()?;
    let session = match &history.session {
        SessionSource::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()),
        SessionSource::User => request.fields().user.as_deref(),
    };
    let session = session.map(str::trim).filter(|session| !session.is_empty())?;
    let name = key_prefix(consumer) + &session_digest(session);
    let content = request.fields().content.clone();
    let at = find_lone_question(&request.body_text()[content.clone()])?;
    let at = content.start + at.start..content.start + at.end;
    let question = RawValue::from_string(request.body_text()[at.clone()].to_owned()).ok()?;
    let limits = ConversationLimits { turns: history.turns, bytes: history.max_bytes };
    let kept = recent_writes.get(host, &name).await.ok()?;
    let mut conversation = kept.map(|bytes| Conversation::parse(&bytes)).unwrap_or_default();
    if host.now() >= conversation.last_turn_at() + history.ttl {
        conversation = Conversation::default();
    }
    conversation.trim_to(limits);
    if !conversation.turns().is_empty() {
        let text = request.body_text();
        let body = [&text[..at.start], &conversation.messages(), &text[at.start..]].concat();
        *request = request.with_body(body.into());
    }
    let recent_writes = Rc::clone(recent_writes);
    Some(LoadedConversation {
        name,
        conversation,
        question,
        limits,
        ttl: history.ttl,
        recent_writes,
    })
}

impl LoadedConversation {
    /// Number of turns that were put before the question.
    pub(crate) fn turns(&self) -> usize {
        self.conversation.turns().len()
    }

    /// Adds the question and its answer, if the answer is a text.
    pub(crate) async fn store<P: Host>(mut self, host: &P, stream: bool, body: &Bytes) {
        let Some(answer) = first_choice_text(stream, body) else { return };
        let now = host.now();
        // A concurrent request of the same conversation may have been answered meanwhile.
        if let Some(written) = self.recent_writes.lookup(&self.name, now) {
            let written = written.map(|bytes| Conversation::parse(&bytes)).unwrap_or_default();
            self.conversation = written;
        }
        self.conversation.add_turn(Turn { at: now, question: self.question, answer }, self.limits);
        let bytes = Bytes::from(self.conversation.to_bytes());
        self.recent_writes.record_write(self.name.clone(), Some(bytes.clone()), now);
        // A failed write loses this turn only.
        let _ = host.put(&self.name, bytes.to_vec(), Some(self.ttl.max(MIN_STORE_TTL))).await;
    }
}

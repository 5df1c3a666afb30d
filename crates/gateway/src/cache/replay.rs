//! Replay of a cache entry: with fresh ids, in the stored form or converted to the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use json::Edits;
use openai::Endpoint;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::upstream::wrapping::{Completion, Frame, completion_to_events, event_data};

use super::entry::{CacheEntry, StoredTokens};

/// Requested form of a replay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayOptions<'a> {
    pub endpoint: Endpoint,
    /// Whether a stream is requested.
    pub stream: bool,
    /// Whether the stream's usage is requested.
    pub include_usage: bool,
    /// Suffix of the answer's id.
    pub id: &'a str,
    /// Whether a text that was stored in one piece is split.
    pub split_text: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    Whole(Bytes),
    /// The events of a stream.
    Events(Vec<Bytes>),
}

/// The members of an answer or of a chunk that a replay needs.
#[derive(Deserialize)]
struct AnswerOutline<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl Replay {
    /// Replays an entry. `None` if it cannot be converted.
    pub(crate) fn from_entry(entry: &CacheEntry, how: ReplayOptions<'_>) -> Option<Self> {
        let id = match how.endpoint {
            Endpoint::ChatCompletions => format!("chatcmpl-{}", how.id),
            Endpoint::Completions => format!("cmpl-{}", how.id),
            Endpoint::Embeddings => String::new(),
        };
        match (entry.head.stream, how.stream) {
            (false, false) => Some(Self::Whole(with_new_id(&entry.body, &id)?.1)),
            (true, true) => replay_stream(entry, &id, how.include_usage),
            (true, false) => {
                let chunks = event_data(&entry.body);
                let completion = Completion::from_chunks(how.endpoint, &chunks)?;
                let usage = entry.head.spent.reported.then(|| usage_json(entry.head.spent));
                let usage = usage.filter(|_| !completion.has_usage());
                Some(Self::Whole(completion.to_json(Some(&id), usage.as_deref()).into()))
            }
            (false, true) => {
                let answer = str::from_utf8(&entry.body).ok()?;
                let (mut events, frame, usage) =
                    completion_to_events(how.endpoint, answer, Some(&id), how.split_text)?;
                let usage = usage.map(RawValue::get).filter(|usage| usage.starts_with('{'));
                if let Some(usage) = usage.filter(|_| how.include_usage) {
                    events.push(frame.usage_event(usage));
                }
                events.push(sse_event("[DONE]"));
                Some(Self::Events(events))
            }
        }
    }
}

/// A stored stream with a fresh id, with or without the event that carries nothing but usage.
fn replay_stream(entry: &CacheEntry, id: &str, wants_usage: bool) -> Option<Replay> {
    let mut events = Vec::new();
    let mut has_usage = false;
    let chunks = event_data(&entry.body);
    for chunk in &chunks {
        let (outline, renamed) = with_new_id(chunk, id)?;
        let is_usage = outline.usage.is_some_and(|usage| usage.get() != "null");
        let is_bare = outline.choices.is_some_and(|choices| {
            choices.get().trim_matches(['[', ']', ' ', '\n', '\t', '\r']).is_empty()
        });
        has_usage |= is_usage;
        if is_bare && is_usage && !wants_usage {
            continue;
        }
        events.push(sse_event(str::from_utf8(&renamed).ok()?));
    }
    if wants_usage && !has_usage && entry.head.spent.reported {
        let (frame, ..) = Frame::parse(str::from_utf8(chunks.first()?).ok()?, Some(id))?;
        events.push(frame.usage_event(&usage_json(entry.head.spent)));
    }
    events.push(sse_event("[DONE]"));
    Some(Replay::Events(events))
}

/// The same JSON with another id, if it has one, and an outline of it.
fn with_new_id<'a>(text: &'a Bytes, id: &str) -> Option<(AnswerOutline<'a>, Bytes)> {
    let outline: AnswerOutline<'_> = json::from_bytes(text).ok()?;
    let known = outline.id.filter(|known| known.get().starts_with('"') && !id.is_empty());
    let Some(known) = known else { return Some((outline, text.clone())) };
    let mut edits = Edits::default();
    edits.replace(json::range_in(str::from_utf8(text).ok()?, known.get()), format!("\"{id}\""));
    Some((outline, edits.apply(text).into()))
}

fn usage_json(spent: StoredTokens) -> String {
    let usage = json!({
        "prompt_tokens": spent.input,
        "completion_tokens": spent.output,
        "total_tokens": spent.input.saturating_add(spent.output),
        "prompt_tokens_details": { "cached_tokens": spent.cached },
        "completion_tokens_details": { "reasoning_tokens": spent.reasoning },
    });
    usage.to_string()
}

fn sse_event(data: &str) -> Bytes {
    // Data of several lines was joined by line feeds; each becomes a line of its own.
    ["data: ", &data.replace('\n', "\ndata: "), "\n\n"].concat().into()
}

/// Whether a body may be stored: every choice has ended with some content, and none by a content
/// filter, an error, or, if the gateway capped it, its length.
pub(crate) fn is_complete(endpoint: Endpoint, stream: bool, body: &Bytes, is_capped: bool) -> bool {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow, default)]
        choices: Vec<Choice<'a>>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(default)]
        index: Option<u32>,
        finish_reason: Option<String>,
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        delta: Option<&'a RawValue>,
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    let bodies = if stream { event_data(body) } else { vec![body.clone()] };
    // Whether each choice has ended, and whether it has content.
    let mut choices: BTreeMap<u32, (bool, bool)> = BTreeMap::new();
    for body in &bodies {
        let Ok(answer) = json::from_bytes::<Answer<'_>>(body) else { return false };
        if answer.error.is_some_and(|error| error.get() != "null") {
            return false;
        }
        if endpoint == Endpoint::Embeddings {
            return answer.data.is_some_and(|data| data.get().starts_with('['));
        }
        for choice in answer.choices {
            let has_ended = match choice.finish_reason.as_deref() {
                None | Some("") => false,
                Some("content_filter" | "error") => return false,
                Some("length") if is_capped => return false,
                Some(_) => true,
            };
            let parts = [choice.message, choice.delta, choice.text];
            let (ended, filled) = choices.entry(choice.index.unwrap_or(0)).or_default();
            *ended |= has_ended;
            *filled |= parts.into_iter().flatten().any(has_content);
        }
    }
    !choices.is_empty() && choices.values().all(|(ended, filled)| *ended && *filled)
}

/// Whether a part of a choice shows something: a text, a tool call, a refusal. Reasoning alone is
/// no answer.
fn has_content(part: &RawValue) -> bool {
    let is_filled = |value: &RawValue| !matches!(value.get(), "null" | "\"\"" | "[]" | "{}");
    if !part.get().starts_with('{') {
        return is_filled(part);
    }
    let Ok(members) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(part.get()) else {
        return true;
    };
    let is_shown = |name: &str| !matches!(name, "role" | "name") && !name.contains("reasoning");
    members.iter().any(|(name, value)| is_shown(name) && is_filled(value))
}

#[cfg(test)]
mod tests;

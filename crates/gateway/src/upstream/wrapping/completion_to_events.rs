//! Converts a completion to the events of a stream. Unknown members are kept: those of the completion
//! in the first chunk, those of a choice in its last one.

use std::borrow::Cow;

use bytes::Bytes;
use openai::Endpoint;
use serde_json::value::RawValue;

use super::merged::{for_each_item, members, to_json};

/// Length of a piece if a text is split, in bytes, up to the end of its word.
const TEXT_PIECE_BYTES: usize = 16;

/// Length of all events, in bytes, besides a few times that of the answer. Every chunk repeats the
/// id and the model.
const MAX_EVENTS_BYTES: usize = 256 << 10;
const MAX_EVENTS_BYTES_PER_BYTE: usize = 8;
/// The same for texts that are not split: there are few chunks.
const MAX_WHOLE_EVENTS_BYTES_PER_BYTE: usize = 2;

/// Longest value that every chunk repeats, in bytes.
const MAX_REPEATED_BYTES: usize = 256;

/// Members that every chunk has.
const REPEATED_MEMBERS: [&str; 6] =
    ["created", "id", "model", "object", "service_tier", "system_fingerprint"];

/// Members that come first, regardless of their order in the answer.
const LEADING_MEMBERS: [&str; 3] = ["reasoning_content", "reasoning", "content"];

/// Members of the chunks of one answer, apart from their choices.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// Members of every chunk, in the order of their names.
    repeated: Vec<(&'static str, Cow<'a, str>)>,
    /// Members of the first chunk only.
    once: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Usage in the form of some providers: it follows the content that it counts.
    last: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Frame<'a> {
    /// Reads the frame of an answer or a chunk, with the new id if it has one. Also returns the choices
    /// and the usage.
    pub(crate) fn parse(
        answer: &'a str,
        new_id: Option<&str>,
    ) -> Option<(Self, Option<&'a RawValue>, Option<&'a RawValue>)> {
        let mut frame = Self { repeated: Vec::new(), once: Vec::new(), last: Vec::new() };
        let (mut choices, mut usage) = (None, None);
        for (name, value) in members(answer)? {
            let repeated = REPEATED_MEMBERS.iter().find(|repeated| **repeated == name);
            match (&*name, repeated) {
                ("choices", _) => choices = Some(value),
                ("usage", _) => usage = Some(value),
                (_, Some(name)) if value.get().len() <= MAX_REPEATED_BYTES => {
                    frame.repeated.retain(|(other, _)| other != name);
                    frame.repeated.push((*name, Cow::Borrowed(value.get())));
                }
                _ if openai::is_usage_container(&name) => frame.last.push((name, value)),
                _ => frame.once.push((name, value)),
            }
        }
        sorting::sort_by_key(&mut frame.repeated, |(name, _)| *name);
        if let Some(id) = new_id
            && let Some((_, known)) = frame.repeated.iter_mut().find(|(name, _)| *name == "id")
            && known.starts_with('"')
        {
            *known = Cow::Owned(to_json(id));
        }
        Some((frame, choices, usage))
    }

    /// Sets the kind of the chunks.
    fn set_object(&mut self, object: &'static str) {
        self.repeated.retain(|(name, _)| *name != "object");
        self.once.retain(|(name, _)| name != "object");
        self.repeated.push(("object", Cow::Borrowed(object)));
        sorting::sort_by_key(&mut self.repeated, |(name, _)| *name);
    }

    /// Length of the members of every chunk, in bytes.
    fn repeated_bytes(&self) -> usize {
        self.repeated.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
    }

    /// Returns the event of the usage in another form. `None` if there is none.
    fn last_event(&self) -> Option<Bytes> {
        let mut more = String::new();
        for (name, value) in &self.last {
            more.push_str(&format!(",{}:{}", to_json(name), value.get()));
        }
        (!more.is_empty()).then(|| self.event("", false, &more))
    }

    /// Returns the last event of a stream, with its usage.
    pub(crate) fn usage_event(&self, usage: &str) -> Bytes {
        self.event("", false, &format!(",\"usage\":{usage}"))
    }

    /// Returns the event of a chunk with these choices, and more members at its end.
    fn event(&self, choices: &str, is_first: bool, more: &str) -> Bytes {
        let mut data = format!("data: {{\"choices\":[{choices}]");
        let once = self.once.iter().filter(|_| is_first);
        let once = once.map(|(name, value)| (name.as_ref(), value.get()));
        for (name, value) in
            self.repeated.iter().map(|(name, value)| (*name, value.as_ref())).chain(once)
        {
            data.push(',');
            data.push_str(&to_json(name));
            data.push(':');
            data.push_str(value);
        }
        data.push_str(more);
        data.push('}');
        // No string of JSON holds a line ending.
        let mut data = data.into_bytes();
        data.iter_mut()
            .filter(|byte| matches!(**byte, b'\r' | b'\n'))
            .for_each(|byte| *byte = b' ');
        data.extend_from_slice(b"\n\n");
        data.into()
    }
}

/// Returns the events without the one that holds the usage, their frame, and the usage. `None` if
/// the answer cannot be a stream, or its stream would be many times longer.
pub(crate) fn completion_to_events<'a>(
    endpoint: Endpoint,
    answer: &'a str,
    new_id: Option<&str>,
    piecewise: bool,
) -> Option<(Vec<Bytes>, Frame<'a>, Option<&'a RawValue>)> {
    let (mut frame, choices, usage) = Frame::parse(answer, new_id)?;
    if endpoint == Endpoint::ChatCompletions {
        frame.set_object("\"chat.completion.chunk\"");
    }
    let bytes_per_byte = match piecewise {
        true => MAX_EVENTS_BYTES_PER_BYTE,
        false => MAX_WHOLE_EVENTS_BYTES_PER_BYTE,
    };
    let mut events = Events {
        piece_bytes: piecewise.then(|| piece_bytes(answer.len(), frame.repeated_bytes())),
        frame: &frame,
        bytes_left: MAX_EVENTS_BYTES + bytes_per_byte * answer.len(),
        events: Vec::new(),
    };
    let mut position = 0_usize;
    for_each_item(choices?.get(), |choice| {
        events.add_choice(endpoint, choice, position)?;
        position += 1;
        Some(())
    })?;
    let mut events = events.events;
    if let Some(last) = frame.last_event() {
        events.push(last);
    }
    (!events.is_empty()).then_some((events, frame, usage))
}

/// Returns the length of the pieces of a text, so that the chunks of a long answer are not many
/// times its length.
fn piece_bytes(answer: usize, repeated: usize) -> usize {
    const CHUNK_BYTES: usize = 160;
    TEXT_PIECE_BYTES.max(answer * (repeated + CHUNK_BYTES) / (MAX_EVENTS_BYTES / 2 + 4 * answer))
}

/// Events of a stream, as far as they are made.
struct Events<'f, 'a> {
    frame: &'f Frame<'a>,
    /// Length of the pieces of a text; `None` if it stays whole.
    piece_bytes: Option<usize>,
    /// Bytes that the events may still take.
    bytes_left: usize,
    events: Vec<Bytes>,
}

impl Events<'_, '_> {
    /// Adds a chunk of one choice. `None` if the events take too much.
    fn push(&mut self, choice: &str) -> Option<()> {
        let event = self.frame.event(choice, self.events.is_empty(), "");
        self.bytes_left = self.bytes_left.checked_sub(event.len())?;
        self.events.push(event);
        Some(())
    }

    fn push_delta(&mut self, index: &str, delta: &str) -> Option<()> {
        self.push(&format!("{{\"delta\":{{{delta}}},\"finish_reason\":null,\"index\":{index}}}"))
    }

    fn add_choice(&mut self, endpoint: Endpoint, choice: &str, position: usize) -> Option<()> {
        let mut members = members(choice)?;
        let mut take = |name: &str| {
            let found = members.iter().rposition(|(other, _)| other == name);
            let found = found.map(|at| members[at].1);
            members.retain(|(other, _)| other != name);
            found
        };
        let index =
            take("index").map_or_else(|| position.to_string(), |index| index.get().to_owned());
        let last = match endpoint {
            Endpoint::ChatCompletions => {
                self.add_message(&index, take("message")?.get())?;
                "\"delta\":{}"
            }
            Endpoint::Completions => {
                let text = take("text")?.get();
                self.split(text, |events, piece| {
                    events.push(&format!(
                        "{{\"finish_reason\":null,\"index\":{index},\"text\":{piece}}}"
                    ))
                })?;
                "\"text\":\"\""
            }
            Endpoint::Embeddings => return None,
        };
        let mut choice = format!("{{{last},\"index\":{index}");
        for (name, value) in members {
            choice.push(',');
            choice.push_str(&to_json(&name));
            choice.push(':');
            choice.push_str(value.get());
        }
        choice.push('}');
        self.push(&choice)
    }

    /// Adds a message: the role, reasoning and content, then the rest.
    fn add_message(&mut self, index: &str, message: &str) -> Option<()> {
        let members = members(message)?;
        let find = |name: &str| members.iter().rev().find(|(other, _)| other == name);
        let role = find("role").map_or("\"assistant\"", |(_, role)| role.get());
        // As OpenAI does, missing content is null.
        let has_text = find("content").is_some_and(|(_, content)| content.get().starts_with('"'));
        let content = if has_text { "\"\"" } else { "null" };
        self.push_delta(index, &format!("\"content\":{content},\"role\":{role}"))?;
        for name in LEADING_MEMBERS {
            let value = find(name).map_or("null", |(_, value)| value.get());
            if value.starts_with('"') {
                self.split(value, |events, piece| {
                    events.push_delta(index, &format!("\"{name}\":{piece}"))
                })?;
            } else if value != "null" {
                self.push_delta(index, &format!("\"{name}\":{value}"))?;
            }
        }
        for (name, value) in &members {
            let value = value.get();
            match &**name {
                "role" => {}
                name if LEADING_MEMBERS.contains(&name) || value == "null" => {}
                "tool_calls" if value.starts_with('[') => {
                    let mut number = 0_usize;
                    for_each_item(value, |call| {
                        let call = numbered_call(call, number)?;
                        number += 1;
                        self.push_delta(index, &format!("\"tool_calls\":[{call}]"))
                    })?;
                }
                name => self.push_delta(index, &format!("{}:{value}", to_json(name)))?,
            }
        }
        Some(())
    }

    /// Calls a function for the JSON of a text, whole or in pieces. `None` if it is no text.
    fn split(
        &mut self,
        text: &str,
        mut each: impl FnMut(&mut Self, &str) -> Option<()>,
    ) -> Option<()> {
        match self.piece_bytes {
            None if text == "\"\"" => Some(()),
            None => text.starts_with('"').then(|| each(self, text))?,
            Some(bytes) => split_text(&json::decode_string(text)?, bytes)
                .try_for_each(|piece| each(self, &to_json(piece))),
        }
    }
}

/// Returns a tool call with its number. `None` if it has an `index` that is no number, which would be
/// lost.
fn numbered_call<'a>(call: &'a str, number: usize) -> Option<Cow<'a, str>> {
    if !call.starts_with('{') {
        return Some(Cow::Borrowed(call));
    }
    let mut numbered = format!("{{\"index\":{number}");
    for (name, value) in members(call)? {
        if name == "index" {
            let is_number =
                value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
            if is_number || value.get() == "null" {
                continue;
            }
            return None;
        }
        numbered.push(',');
        numbered.push_str(&to_json(&name));
        numbered.push(':');
        numbered.push_str(value.get());
    }
    numbered.push('}');
    Some(Cow::Owned(numbered))
}

/// Pieces of at least so many bytes that end with a word.
fn split_text(text: &str, bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let far = rest.ceil_char_boundary(bytes);
        // A script without spaces has no end of a word to wait for.
        let near = &rest[far..rest.floor_char_boundary(far + TEXT_PIECE_BYTES + 1).max(far)];
        let is_last = far + near.len() == rest.len();
        let end = match near.find(' ') {
            Some(space) => far + space,
            None if is_last => rest.len(),
            None => far,
        };
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::split_text;

    #[test]
    fn split_text_joins_to_the_text() {
        for text in [
            "",
            "a",
            "The quick brown fox jumps over the lazy dog",
            &"你好".repeat(40),
            &"a".repeat(99),
        ] {
            for bytes in [16, 40] {
                let all: Vec<&str> = split_text(text, bytes).collect();
                assert_eq!(all.concat(), text);
                assert_eq!(all.len() > 1, text.len() > 2 * bytes, "{all:?}");
            }
        }
    }
}

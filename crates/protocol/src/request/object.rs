//! Objects of a body: known members are removed one by one, the rest is left over.

use std::borrow::Cow;
use std::collections::BTreeSet;

use json::{Members, decode_string, from_text, is_same_name};
use serde_json::value::RawValue;

use super::invalid::{InvalidRequest, Problem};
use super::rules::{Loss, Scope, member_rule};
use crate::model::{Leftover, Place, Protocol};

/// Maximum number of brackets around a value.
pub(super) const MAX_NESTING: usize = 100;
/// Maximum number of elements in the lists of a body that become parts. It bounds the memory, since a
/// part of 30 bytes takes 300 in the model.
pub(super) const MAX_PARTS: usize = 100_000;
/// Members of a body by which the gateway selects, bounds, and owns an answer, or that hold its texts.
const STEERING_NAMES: [&str; 17] = [
    "model",
    "stream",
    "max_tokens",
    "max_output_tokens",
    "max_completion_tokens",
    "previous_response_id",
    "conversation",
    "store",
    "background",
    "messages",
    "system",
    "input",
    "instructions",
    "tools",
    "prompt",
    "thinking",
    "reasoning",
];
/// Members by which servers bound an answer's length or choose its number of choices, of every API.
/// A server may read those of others too, where they would evade a limit.
const ANSWER_BOUNDS: [&str; 9] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "n_predict",
    "num_predict",
    "n",
    "n_cmpl",
    "best_of",
];
/// Length from which repeated names are found in a sorted set.
const MIN_SORTED_MEMBERS: usize = 12;

/// Checks the encoding and the nesting of a body.
pub(super) fn check_text(body: &[u8]) -> Result<&str, InvalidRequest> {
    let text = str::from_utf8(body).map_err(|error| not_json(&error))?;
    if is_nested_too_deep(text) {
        return Err(InvalidRequest::new(String::new(), Problem::TooDeep));
    }
    Ok(text)
}

/// Whether a text has more than [`MAX_NESTING`] brackets around a value.
pub(super) fn is_nested_too_deep(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at += string_length(&bytes[at..]),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return true;
        }
    }
    false
}

/// Length of a string behind its first quotation mark, with its last one.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        // The escaped byte.
        at += 1;
    }
    bytes.len()
}

fn not_json(error: &dyn ToString) -> InvalidRequest {
    InvalidRequest::new(String::new(), Problem::NotJson(error.to_string()))
}

/// Members of an object that are not read yet.
pub(super) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Option<&'a RawValue>)>,
    pub(super) place: Place,
}

impl<'a> Object<'a> {
    /// Reads the body itself.
    pub(super) fn from_body(text: &'a str) -> Result<Self, InvalidRequest> {
        let body = Self::read_text(text, Place::ROOT).map_err(|invalid| {
            // Tells JSON of another type from no JSON.
            serde_json::from_str::<&RawValue>(text)
                .map_or_else(|error| not_json(&error), |_| invalid)
        })?;
        // Case-insensitive readers (Go's, for example) take such a name for one that steers the gateway.
        for (name, _) in &body.members {
            let is_variant = |known: &&&str| name != **known && is_same_name(name, known);
            if let Some(known) = STEERING_NAMES.iter().find(is_variant) {
                let problem = Problem::Expected("spelled exactly like this, in lower case");
                return Err(InvalidRequest::new((*known).to_owned(), problem));
            }
        }
        Ok(body)
    }

    /// Refuses what bounds an answer in another API. `maximum`: the member that does in this one.
    pub(super) fn check_bounds(&self, maximum: &str) -> Result<(), InvalidRequest> {
        for (name, value) in &self.members {
            let is_foreign =
                name != maximum && ANSWER_BOUNDS.iter().any(|bound| is_same_name(name, bound));
            if is_foreign && value.is_some_and(|raw| raw.get() != "null") {
                let problem = Problem::Expected("left out: this API has no such field");
                return Err(InvalidRequest::new(name.to_string(), problem));
            }
        }
        Ok(())
    }

    /// Reads an object; a repeated member is an error.
    pub(super) fn read(raw: &'a RawValue, place: Place) -> Result<Self, InvalidRequest> {
        Self::read_text(raw.get(), place)
    }

    fn read_text(text: &'a str, place: Place) -> Result<Self, InvalidRequest> {
        let wrong = || InvalidRequest::new(place.path_to(""), Problem::Expected("an object"));
        let Members(members) = from_text(text).map_err(|_| wrong())?;
        let mut names = BTreeSet::new();
        for (index, (name, _)) in members.iter().enumerate() {
            let is_repeated = if members.len() < MIN_SORTED_MEMBERS {
                members[..index].iter().any(|(other, _)| other == name)
            } else {
                !names.insert(name.as_ref())
            };
            if is_repeated {
                return Err(InvalidRequest::new(place.path_to(name), Problem::Twice));
            }
        }
        let members = members.into_iter().map(|(name, raw)| (name, Some(raw))).collect();
        Ok(Self { members, place })
    }

    /// Removes a member. `None` if it is absent or null.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let member = self.members.iter_mut().find(|(other, _)| other == name)?;
        member.1.take().filter(|raw| raw.get() != "null")
    }

    /// Whether a member is present and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut members = self.members.iter();
        members.any(|(other, raw)| other == name && raw.is_some_and(|raw| raw.get() != "null"))
    }

    /// Removes a member of any type that the model does not need.
    pub(super) fn ignore(&mut self, name: &str) {
        self.raw(name);
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, InvalidRequest> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        string(raw).map(Some).ok_or_else(|| self.expected(name, "a string"))
    }

    pub(super) fn required_text(&mut self, name: &str) -> Result<Cow<'a, str>, InvalidRequest> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, InvalidRequest> {
        match self.raw(name).map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.expected(name, "a boolean")),
        }
    }

    /// Removes a number, as written.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<&'a str>, InvalidRequest> {
        let Some(raw) = self.raw(name).map(RawValue::get) else { return Ok(None) };
        let is_number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if is_number { Ok(Some(raw)) } else { Err(self.expected(name, "a number")) }
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<Option<u64>, InvalidRequest> {
        let Some(raw) = self.raw(name).map(RawValue::get) else { return Ok(None) };
        let digits = raw.strip_suffix(".0").unwrap_or(raw);
        digits.parse().map(Some).map_err(|_| self.expected(name, "a whole number of at least 0"))
    }

    /// Removes an object, as written.
    pub(super) fn raw_object(&mut self, name: &str) -> Result<Option<&'a str>, InvalidRequest> {
        let Some(raw) = self.raw(name).map(RawValue::get) else { return Ok(None) };
        if raw.starts_with('{') { Ok(Some(raw)) } else { Err(self.expected(name, "an object")) }
    }

    pub(super) fn object(&mut self, name: &'static str) -> Result<Option<Self>, InvalidRequest> {
        let place = self.place.member(name);
        self.raw(name).map(|raw| Self::read(raw, place)).transpose()
    }

    pub(super) fn required_object(&mut self, name: &'static str) -> Result<Self, InvalidRequest> {
        self.object(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Vec<&'a RawValue>, InvalidRequest> {
        let Some(raw) = self.raw(name) else { return Ok(Vec::new()) };
        list(raw).ok_or_else(|| self.expected(name, "a list"))
    }

    /// Removes a list of objects.
    pub(super) fn objects(&mut self, name: &'static str) -> Result<Vec<Self>, InvalidRequest> {
        let list = self.list(name)?;
        let place = self.place;
        let objects = list.into_iter().enumerate();
        objects.map(|(index, raw)| Self::read(raw, place.element(name, index))).collect()
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<Cow<'a, str>>, InvalidRequest> {
        let texts: Option<Vec<_>> = self.list(name)?.into_iter().map(string).collect();
        texts.ok_or_else(|| self.expected(name, "a list of strings"))
    }

    /// Removes a word that stands for one of some values.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
        expected: &'static str,
    ) -> Result<Option<T>, InvalidRequest> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let value = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        value.map(Some).ok_or_else(|| self.expected(name, expected))
    }

    /// Returns the error of a member with the wrong type or value.
    pub(super) fn expected(&self, name: &str, expected: &'static str) -> InvalidRequest {
        InvalidRequest::new(self.place.path_to(name), Problem::Expected(expected))
    }

    pub(super) fn missing(&self, name: &str) -> InvalidRequest {
        InvalidRequest::new(self.place.path_to(name), Problem::Missing)
    }

    /// Adds the members that were not removed to the leftovers. Null and members without a meaning
    /// are dropped.
    fn leave(self, protocol: Protocol, scope: Scope, leftovers: &mut Vec<Leftover<'a>>) {
        let place = self.place;
        for (name, raw) in self.members {
            let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "null") else { continue };
            let rule = member_rule(protocol, scope, &name);
            let is_meaningless =
                rule.is_some_and(|rule| rule.loss == Loss::None && rule.carried_to.is_empty());
            if !is_meaningless {
                leftovers.push(Leftover { place, name, raw, rule });
            }
        }
    }
}

/// Whether a value is this compact JSON, apart from spaces.
pub(super) fn is_same(raw: &str, compact: &str) -> bool {
    raw.len() <= 4 * compact.len() + 64
        && raw.bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(compact.bytes())
}

/// Decodes a string.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    decode_string(raw.get())
}

/// Reads the elements of a list.
pub(super) fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// State of a reader: members that are left over, and the number of parts.
pub(super) struct Reading<'a> {
    pub(super) protocol: Protocol,
    pub(super) leftovers: Vec<Leftover<'a>>,
    parts: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, leftovers: Vec::new(), parts: 0 }
    }

    /// Adds the members that were not removed to the leftovers.
    pub(super) fn leave(&mut self, object: Object<'a>, scope: Scope) {
        object.leave(self.protocol, scope, &mut self.leftovers);
    }

    /// Counts elements that become parts. Error if the body has too many.
    pub(super) fn count_parts(&mut self, count: usize) -> Result<(), InvalidRequest> {
        self.parts += count;
        if self.parts > MAX_PARTS {
            return Err(InvalidRequest::new(String::new(), Problem::TooManyParts));
        }
        Ok(())
    }
}

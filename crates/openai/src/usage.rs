//! `usage` object in the dialects of providers.

use std::fmt;

use json::MemberName;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::usage_dialects::{Container, Count, DIALECTS};

/// Tokens reported by a provider, as far as it reports them.
///
/// [`crate::Tokens::count`] makes counts of it: providers disagree on which parts others include.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, those of a cache included.
    pub input: u64,
    /// Tokens of the answer; some providers leave out reasoning.
    pub output: u64,
    /// Prompt, answer, and tokens that neither includes; zero if it is not reported.
    pub total: u64,
    /// Prompt tokens from the provider's cache: part of `input`.
    pub cached: u64,
    /// Prompt tokens that the provider wrote to its cache: part of `input`.
    pub cache_write: u64,
    /// Reasoning tokens: part of `output`, or beside it.
    pub reasoning: u64,
    /// The report has no count of the prompt.
    pub lacks_input: bool,
}

impl Usage {
    /// Parses a `usage` value. `None` if it has no count: `{}` is not zero tokens.
    ///
    /// A member that cannot be read is passed over, so that one odd detail does not cost the rest.
    pub fn parse(json: &str) -> Option<Self> {
        let mut counts = Counts::default();
        let members = UsageVisitor { counts: &mut counts, within: None };
        // Counts before an unreadable name still count.
        drop(serde_json::Deserializer::from_str(json).deserialize_map(members));
        counts.into_usage()
    }

    /// Parses the value of a container's member.
    pub(crate) fn parse_in(container: Container, json: &str) -> Option<Self> {
        match container {
            Container::Usage => Self::parse(json),
            Container::Wrapper => Self::parse(json::last_member(json, "usage").ok()??.get()),
        }
    }

    /// Merges another report of the same answer. Members that one of them lacks come from the other
    /// one. A count cannot fall: providers report running totals, some of them with zeros at the
    /// end.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            total: self.total.max(other.total),
            cached: self.cached.max(other.cached),
            cache_write: self.cache_write.max(other.cache_write),
            reasoning: self.reasoning.max(other.reasoning),
            lacks_input: self.lacks_input && other.lacks_input,
        }
    }

    /// Merges two reports if both are there.
    pub(crate) fn merge_options(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.merge(other)),
            (found, None) | (None, found) => found,
        }
    }
}

/// Counts of one report, before it is known which of them include others.
#[derive(Default)]
struct Counts {
    prompt: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    cache_miss: Option<u64>,
    read_apart: Option<u64>,
    written_apart: Option<u64>,
    reasoning: Option<u64>,
}

impl Counts {
    fn add(&mut self, count: Count, value: u64) {
        let slot = match count {
            Count::Prompt => &mut self.prompt,
            Count::Input => &mut self.input,
            Count::Output => &mut self.output,
            Count::Total => &mut self.total,
            Count::Cached => &mut self.cached,
            Count::CacheWrite => &mut self.cache_write,
            Count::CacheMiss => &mut self.cache_miss,
            Count::ReadApart => &mut self.read_apart,
            Count::WrittenApart => &mut self.written_apart,
            Count::Reasoning => &mut self.reasoning,
        };
        *slot = (*slot).max(Some(value));
    }

    fn into_usage(self) -> Option<Usage> {
        let cached = self.cached.max(self.read_apart).unwrap_or(0);
        let cache_write = self.cache_write.max(self.written_apart).unwrap_or(0);
        let output = self.output.unwrap_or(0);
        let total = self.total.unwrap_or(0);
        let hits_and_misses = || self.cache_miss.map(|missed| missed.saturating_add(cached));
        let input = self.prompt.max(self.input).or_else(hits_and_misses);
        if input.is_none() && self.output.is_none() && total == 0 && self.reasoning.is_none() {
            return None;
        }
        let mut usage = Usage {
            input: input.unwrap_or(0),
            output,
            total,
            cached,
            cache_write,
            reasoning: self.reasoning.unwrap_or(0),
            lacks_input: input.is_none(),
        };
        // Messages counts the parts of a cache apart from `input_tokens`.
        let has_names_of_messages = (self.read_apart.is_some() || self.written_apart.is_some())
            && self.prompt.unwrap_or(0) == 0
            && self.input.is_some();
        let apart = cached.saturating_add(cache_write);
        let seems_apart = apart > usage.input || has_names_of_messages;
        let sum = usage.input.saturating_add(output);
        let is_apart = input.is_some()
            && seems_apart
            && (total == 0 || total < sum || total >= sum.saturating_add(apart.max(1)));
        if is_apart {
            usage.input = usage.input.saturating_add(apart);
        }
        Some(usage)
    }
}

/// Reads the known members of a usage object, or of an object `within` it.
struct UsageVisitor<'c> {
    counts: &'c mut Counts,
    within: Option<&'static str>,
}

impl<'de> Visitor<'de> for UsageVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a usage object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(MemberName(name)) = members.next_key::<MemberName<'de>>()? {
            let value: &RawValue = members.next_value()?;
            let Some(outer) = self.within else {
                self.counts.read_member(&name, value);
                continue;
            };
            let places = DIALECTS.iter().filter(|it| it.member == outer);
            let mut found = places.filter(|it| it.detail.is_some_and(|detail| detail == name));
            if let Some((place, value)) = found.next().zip(parse_count(value)) {
                self.counts.add(place.count, value);
            }
        }
        Ok(())
    }
}

impl Counts {
    /// Reads one member of the usage object.
    fn read_member(&mut self, name: &str, value: &RawValue) {
        let Some(place) = DIALECTS.iter().find(|it| it.member == name) else { return };
        if place.detail.is_some() {
            let inside = UsageVisitor { counts: self, within: Some(place.member) };
            // An unreadable detail leaves the other counts as they are.
            drop(serde_json::Deserializer::from_str(value.get()).deserialize_map(inside));
        } else if let Some(value) = parse_count(value) {
            self.add(place.count, value);
        }
    }
}

/// A count of tokens. Providers in languages with one kind of number send `12.0`, some quote it.
/// `None` for anything else.
fn parse_count(raw: &RawValue) -> Option<u64> {
    let text = raw.get().trim_matches('"').trim();
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    // The conversion saturates; a count that no model reaches is replaced later.
    text.parse::<f64>().ok().map(|count| count.ceil() as u64)
}

#[cfg(test)]
mod tests;

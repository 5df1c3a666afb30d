//! Canonical form of a request's body for the cache key: members sorted by name, no white space,
//! and without members that do not affect the answer. Numbers and texts stay as written.
//!
//! Nothing is interpreted: a value that is written differently is another request.

use std::ops::Range;

/// Members of a request that do not affect the answer: its transport, billing and abuse tracking,
/// and the model, which the target in the key replaces.
pub(super) const IGNORED_MEMBERS: [&str; 10] = [
    "model",
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// Deeper values are compared byte for byte, so that no request can exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Body of a request in canonical form.
#[derive(Debug, Default, PartialEq)]
pub struct CanonicalRequest {
    /// Equal for equivalent bodies. It is unambiguous, but not JSON: each member and element is
    /// followed by a comma.
    pub text: Vec<u8>,
    /// The request's `temperature`, if it is a number.
    pub temperature: Option<f64>,
}

impl CanonicalRequest {
    /// Reads a body that is a JSON object. `None` if it is not; parsing has ruled that out.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body = str::from_utf8(body).ok()?;
        let mut canonicalizer = Canonicalizer {
            text: Vec::with_capacity(body.len()),
            objects: Vec::new(),
            members: Vec::new(),
            sorted: Vec::new(),
            temperature: None,
        };
        json::walk_raw(body, MAX_DEPTH, &mut canonicalizer).ok()?;
        let Canonicalizer { text, temperature, .. } = canonicalizer;
        text.starts_with(b"{").then_some(Self { text, temperature })
    }
}

struct Canonicalizer<'b> {
    text: Vec<u8>,
    objects: Vec<OpenObject>,
    /// Members of every open object: the name as written, and the range of the member in the text.
    members: Vec<(&'b str, Range<usize>)>,
    sorted: Vec<u8>,
    temperature: Option<f64>,
}

struct OpenObject {
    first_member: usize,
    /// Start of the members in the text.
    start: usize,
    /// Two names that are written differently may be equal: then the order of members is kept.
    has_escapes: bool,
}

impl<'b> json::RawVisitor<'b> for Canonicalizer<'b> {
    fn begin_object(&mut self) {
        self.text.push(b'{');
        self.objects.push(OpenObject {
            first_member: self.members.len(),
            start: self.text.len(),
            has_escapes: false,
        });
    }

    fn begin_member(&mut self, name: &'b str) -> bool {
        let is_ignored = || IGNORED_MEMBERS.contains(&&name[1..name.len() - 1]);
        if self.objects.len() == 1 && is_ignored() {
            return false;
        }
        let object = self.objects.last_mut().expect("the member is in an object");
        object.has_escapes |= name.contains('\\');
        let start = self.text.len();
        self.members.push((name, start..start));
        self.text.extend_from_slice(name.as_bytes());
        self.text.push(b':');
        true
    }

    fn end_member(&mut self) {
        self.text.push(b',');
        let (_, range) = self.members.last_mut().expect("the member has begun");
        range.end = self.text.len();
    }

    fn end_object(&mut self) {
        let object = self.objects.pop().expect("the object has begun");
        if self.objects.is_empty() {
            self.temperature = self.last_number("\"temperature\"");
        }
        if !object.has_escapes {
            self.sort(&object);
        }
        self.members.truncate(object.first_member);
        self.text.push(b'}');
    }

    fn begin_array(&mut self) {
        self.text.push(b'[');
    }

    fn end_element(&mut self) {
        self.text.push(b',');
    }

    fn end_array(&mut self) {
        self.text.push(b']');
    }

    fn raw_value(&mut self, raw: &'b str) {
        self.text.extend_from_slice(raw.as_bytes());
    }
}

impl Canonicalizer<'_> {
    /// Returns the value of the last member of this name. `None` if it is not a number.
    fn last_number(&self, name: &str) -> Option<f64> {
        let (_, range) = self.members.iter().rfind(|(other, _)| *other == name)?;
        let value = &self.text[range.start + name.len() + 1..range.end - 1];
        str::from_utf8(value).ok()?.parse().ok()
    }

    /// Sorts the members of the innermost object. Members of one name keep their order, because the
    /// last one counts.
    fn sort(&mut self, object: &OpenObject) {
        let members = &mut self.members[object.first_member..];
        if members.is_sorted_by_key(|(name, _)| *name) {
            return;
        }
        sorting::sort_by_key(members, |(name, _)| *name);
        self.sorted.clear();
        for (_, range) in members {
            self.sorted.extend_from_slice(&self.text[range.clone()]);
        }
        self.text[object.start..].copy_from_slice(&self.sorted);
    }
}

#[cfg(test)]
mod tests;

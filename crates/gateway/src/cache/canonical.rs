//! Canonical form of a request's body for the cache key: members sorted by name, no white space,
//! and without members that do not affect the answer. Numbers and texts stay as written.
//!
//! Nothing is interpreted: a value that is written differently is another request.

use std::ops::Range;

use memchr::memchr2;

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
        let text = Vec::with_capacity(body.len());
        let mut scribe =
            Canonicalizer { body, at: 0, text, members: Vec::new(), sorted: Vec::new() };
        let mut temperature = None;
        scribe.skip_space();
        if scribe.peek()? != b'{' {
            return None;
        }
        scribe.object(0, &mut temperature)?;
        let temperature = temperature.and_then(|at| str::from_utf8(&body[at]).ok()?.parse().ok());
        Some(Self { text: scribe.text, temperature })
    }
}

struct Canonicalizer<'b> {
    body: &'b [u8],
    at: usize,
    text: Vec<u8>,
    /// Members of every open object: the range of the name in the body, and of the member in the
    /// text.
    members: Vec<(Range<usize>, Range<usize>)>,
    sorted: Vec<u8>,
}

impl Canonicalizer<'_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn copy(&mut self, from: Range<usize>) {
        self.text.extend_from_slice(&self.body[from]);
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' | b'[' if depth > MAX_DEPTH => {
                let raw = self.skip()?;
                self.copy(raw);
            }
            b'{' => self.object(depth, &mut None)?,
            b'[' => self.array(depth)?,
            _ => {
                let raw = self.skip()?;
                self.copy(raw);
            }
        }
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        self.text.push(b'[');
        loop {
            self.skip_space();
            match self.peek()? {
                b']' => {
                    self.at += 1;
                    self.text.push(b']');
                    return Some(());
                }
                b',' => self.at += 1,
                _ => {
                    self.value(depth + 1)?;
                    self.text.push(b',');
                }
            }
        }
    }

    fn object(&mut self, depth: usize, temperature: &mut Option<Range<usize>>) -> Option<()> {
        self.at += 1;
        self.text.push(b'{');
        let (first, opening) = (self.members.len(), self.text.len());
        // Two names that are written differently may be equal: then the order of members is kept.
        let mut has_escapes = false;
        loop {
            self.skip_space();
            match self.peek()? {
                b'}' => break,
                b',' => self.at += 1,
                _ => {
                    let name = self.string()?;
                    self.skip_space();
                    self.at += 1;
                    self.skip_space();
                    let inner = &self.body[name.start + 1..name.end - 1];
                    has_escapes |= inner.contains(&b'\\');
                    if depth == 0 && IGNORED_MEMBERS.iter().any(|left| left.as_bytes() == inner) {
                        self.skip()?;
                        continue;
                    }
                    let (at, from) = (self.at, self.text.len());
                    let is_temperature = depth == 0 && inner == b"temperature";
                    self.copy(name.clone());
                    self.text.push(b':');
                    self.value(depth + 1)?;
                    if is_temperature {
                        *temperature = Some(at..self.at);
                    }
                    self.text.push(b',');
                    self.members.push((name, from..self.text.len()));
                }
            }
        }
        self.at += 1;
        if !has_escapes {
            self.sort(first, opening);
        }
        self.members.truncate(first);
        self.text.push(b'}');
        Some(())
    }

    /// Sorts the members of the innermost object. Members of one name keep their order, because the
    /// last one counts.
    fn sort(&mut self, first: usize, opening: usize) {
        let body = self.body;
        let members = &mut self.members[first..];
        if members.is_sorted_by_key(|(name, _)| &body[name.clone()]) {
            return;
        }
        members.sort_by_key(|(name, _)| &body[name.clone()]);
        self.sorted.clear();
        for (_, at) in members {
            self.sorted.extend_from_slice(&self.text[at.clone()]);
        }
        self.text[opening..].copy_from_slice(&self.sorted);
    }

    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if self.peek()? != b'"' {
            return None;
        }
        let mut at = start + 1;
        loop {
            at += memchr2(b'"', b'\\', self.body.get(at..)?)?;
            if self.body[at] == b'"' {
                self.at = at + 1;
                return Some(start..self.at);
            }
            at += 2;
        }
    }

    /// Skips a value of any depth.
    fn skip(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1)?;
                    self.at += 1;
                }
                _ if open > 0 => {
                    let matters = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
                    self.at += self.body[self.at..].iter().position(matters)?;
                    continue;
                }
                _ => {
                    let is_end = |byte: &u8| {
                        matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                    };
                    let rest = &self.body[self.at..];
                    self.at += rest.iter().position(is_end).unwrap_or(rest.len());
                }
            }
            if open == 0 {
                return Some(start..self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests;

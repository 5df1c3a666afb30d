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
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{CanonicalRequest, IGNORED_MEMBERS};

    fn canonical_text(body: &str) -> String {
        let canonical = CanonicalRequest::parse(body.as_bytes()).expect("an object");
        String::from_utf8(canonical.text).expect("what came was UTF-8")
    }

    #[track_caller]
    fn assert_same(one: &str, other: &str) {
        assert_eq!(canonical_text(one), canonical_text(other), "{one} and {other}");
    }

    #[track_caller]
    fn assert_different(one: &str, other: &str) {
        assert_ne!(canonical_text(one), canonical_text(other), "{one} and {other}");
    }

    #[test]
    fn different_requests_have_different_forms() {
        // Numbers as written: a parser of floats would equate these.
        assert_different(r#"{"seed":1}"#, r#"{"seed":1.0}"#);
        assert_different(r#"{"seed":18446744073709551616}"#, r#"{"seed":18446744073709551617}"#);
        // Of members with one name the last one counts, however the name is written.
        assert_different(r#"{"a":[{"b":1,"b":2}]}"#, r#"{"a":[{"b":2,"b":1}]}"#);
        assert_different(r#"{"a":[{"b":1,"\u0062":2}]}"#, r#"{"a":[{"\u0062":2,"b":1}]}"#);
        // A nested member is not ignored.
        assert_different(r#"{"a":{"stream":true}}"#, r#"{"a":{}}"#);
        assert_different(r#"{"a":"b\",\"c\":\"d"}"#, r#"{"a":"b","c":"d"}"#);
        assert_different(r#"{"a":"x y"}"#, r#"{"a":"xy"}"#);
        assert_different(r#"{"a":[]}"#, r#"{"a":{}}"#);
        assert_different(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#);
        assert_different(r#"{"a":[[1],2]}"#, r#"{"a":[[1,2]]}"#);
        assert_different(r#"{"n":null}"#, r#"{}"#);
    }

    #[test]
    fn equivalent_requests_have_the_same_form() {
        assert_same(
            r#" {"b" : 1 , "a":[ 1,	{"d":2,"c":3} ] }"#,
            r#"{"a":[1,{"c":3,"d":2}],"b":1}"#,
        );
        for name in IGNORED_MEMBERS {
            let body = format!(r#"{{"a":1,"{name}":{{"x":["]}}",1]}},"b":2}}"#);
            assert_same(&body, r#"{"b":2,"a":1}"#);
        }
    }

    #[test]
    fn temperature_is_read_from_the_outermost_object() {
        let of =
            |body: &str| CanonicalRequest::parse(body.as_bytes()).expect("an object").temperature;
        assert_eq!(of(r#"{"a":{"temperature":2},"temperature" : 0.5 }"#), Some(0.5));
        assert_eq!(of(r#"{"a":{"temperature":2},"temperature":null}"#), None);
    }

    #[test]
    fn deep_nesting_is_accepted() {
        let deep = |inner: &str| {
            format!("{{\"a\":{}{inner}{}}}", "[".repeat(200_000), "]".repeat(200_000))
        };
        assert_same(&deep("1"), &deep("1"));
        assert_different(&deep("1"), &deep("2"));
        for broken in ["", "1", "[]", "{", "{\"a", "{\"a\":", "{\"a\":[", "{\"a\":\"\\", "{\"a\":1"]
        {
            assert_eq!(CanonicalRequest::parse(broken.as_bytes()), None, "{broken}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c{}\\[\\],:\" \\\\\u{e9}]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                object(inner),
            ]
        })
    }

    fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-d]{1,2}", inner, 0..5)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    /// Writes a value with shuffled members and with white space.
    fn shuffled(value: &Value, seed: &mut u64) -> String {
        let mut roll = |max: usize| {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) as usize % max
        };
        let space = [" ", "", "\n\t", "\r\n"][roll(4)];
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                let turn = roll(members.len().max(1));
                members.rotate_left(turn);
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(name, value)| {
                        format!(
                            "{space}{}{space}:{space}{}",
                            Value::from(name.as_str()),
                            shuffled(value, seed)
                        )
                    })
                    .collect();
                format!("{{{}{space}}}", members.join(","))
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| shuffled(item, seed)).collect();
                format!("[{space}{}{space}]", items.join(&format!("{space},{space}")))
            }
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn order_and_white_space_do_not_matter(value in object(json()), seed in any::<u64>()) {
            prop_assert_eq!(canonical_text(&shuffled(&value, &mut seed.clone())), canonical_text(&value.to_string()));
        }

        #[test]
        fn any_other_difference_changes_the_form(one in object(json()), other in object(json())) {
            prop_assert_eq!(canonical_text(&one.to_string()) == canonical_text(&other.to_string()), one == other);
        }
    }
}

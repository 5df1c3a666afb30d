//! Walk over a JSON value in one pass, with names and scalars as written.
//!
//! serde_json reads every token. It does not return numbers and escapes as written, except as a
//! [`RawValue`], whose content would be read again at each level. So each value's first byte is
//! looked up in the text: only scalars, and containers below the deepest level, are read raw.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Receiver of the parts of a value, in their order.
pub trait RawVisitor<'a> {
    /// Begins an object.
    fn begin_object(&mut self);
    /// Begins a member. The name is as written, with its quotation marks. `false` skips the member.
    fn begin_member(&mut self, name: &'a str) -> bool;
    /// Ends a member that was not skipped.
    fn end_member(&mut self);
    /// Ends an object.
    fn end_object(&mut self);
    /// Begins an array.
    fn begin_array(&mut self);
    /// Ends an element of an array.
    fn end_element(&mut self);
    /// Ends an array.
    fn end_array(&mut self);
    /// Receives a scalar, or a container that is nested too deep, as written.
    fn raw_value(&mut self, raw: &'a str);
}

/// Walks over the whole text: in one pass, and without memory for each part.
///
/// Containers in more than `max_depth` others are raw values, of any depth. The bound must be
/// below serde_json's own, 127.
pub fn walk_raw<'a>(
    text: &'a str,
    max_depth: usize,
    visitor: &mut impl RawVisitor<'a>,
) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut walk = Walk { text, at: 0, visitor };
    Step { walk: &mut walk, depth_left: max_depth + 1 }.deserialize(&mut reader)?;
    reader.end()
}

struct Walk<'w, 'a, V> {
    text: &'a str,
    /// End of the last part that was read.
    at: usize,
    visitor: &'w mut V,
}

impl<'a, V> Walk<'_, 'a, V> {
    /// Returns the first byte of the next value, or the bracket that closes its container. Only
    /// white space, colons, and commas precede it.
    fn next_byte(&mut self) -> Option<u8> {
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':' | b',');
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| is_between(byte)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves behind a bracket.
    fn pass_bracket(&mut self) {
        self.next_byte();
        self.at += 1;
    }

    fn pass_raw(&mut self, raw: &'a RawValue) -> &'a str {
        let raw = raw.get();
        self.at = raw.as_ptr() as usize - self.text.as_ptr() as usize + raw.len();
        raw
    }
}

/// Reads one value. It can enter containers on `depth_left` levels, its own included.
struct Step<'s, 'w, 'a, V> {
    walk: &'s mut Walk<'w, 'a, V>,
    depth_left: usize,
}

impl<'a, V: RawVisitor<'a>> DeserializeSeed<'a> for Step<'_, '_, 'a, V> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.walk.next_byte() {
            Some(b'{') if self.depth_left > 0 => deserializer.deserialize_map(self),
            Some(b'[') if self.depth_left > 0 => deserializer.deserialize_seq(self),
            _ => {
                let raw = <&RawValue>::deserialize(deserializer)?;
                let raw = self.walk.pass_raw(raw);
                self.walk.visitor.raw_value(raw);
                Ok(())
            }
        }
    }
}

impl<'a, V: RawVisitor<'a>> Visitor<'a> for Step<'_, '_, 'a, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        let Step { walk, depth_left } = self;
        walk.pass_bracket();
        walk.visitor.begin_object();
        while let Some(name) = members.next_key::<&RawValue>()? {
            let name = walk.pass_raw(name);
            if walk.visitor.begin_member(name) {
                members.next_value_seed(Step { walk: &mut *walk, depth_left: depth_left - 1 })?;
                walk.visitor.end_member();
            } else {
                let skipped: &RawValue = members.next_value()?;
                walk.pass_raw(skipped);
            }
        }
        walk.pass_bracket();
        walk.visitor.end_object();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
        let Step { walk, depth_left } = self;
        walk.pass_bracket();
        walk.visitor.begin_array();
        while elements
            .next_element_seed(Step { walk: &mut *walk, depth_left: depth_left - 1 })?
            .is_some()
        {
            walk.visitor.end_element();
        }
        walk.pass_bracket();
        walk.visitor.end_array();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{RawVisitor, walk_raw};

    /// Writes the parts that it receives.
    #[derive(Default)]
    struct Trace(String);

    impl<'a> RawVisitor<'a> for Trace {
        fn begin_object(&mut self) {
            self.0.push('{');
        }

        fn begin_member(&mut self, name: &'a str) -> bool {
            self.0.push_str(name);
            self.0.push(':');
            name != "\"skipped\""
        }

        fn end_member(&mut self) {
            self.0.push(';');
        }

        fn end_object(&mut self) {
            self.0.push('}');
        }

        fn begin_array(&mut self) {
            self.0.push('[');
        }

        fn end_element(&mut self) {
            self.0.push(',');
        }

        fn end_array(&mut self) {
            self.0.push(']');
        }

        fn raw_value(&mut self, raw: &'a str) {
            self.0.push_str(raw);
        }
    }

    #[track_caller]
    fn assert_walk(text: &str, expected: Option<&str>) {
        let mut trace = Trace::default();
        let is_read = walk_raw(text, 2, &mut trace).is_ok();
        assert_eq!(is_read.then_some(trace.0.as_str()), expected, "{text}");
    }

    #[test]
    fn parts_are_visited_as_written() {
        assert_walk(" -1.50E+2 ", Some("-1.50E+2"));
        assert_walk(r#""\u0061\"\\""#, Some(r#""\u0061\"\\""#));
        assert_walk("\t{ }\r\n", Some("{}"));
        assert_walk("[ ]", Some("[]"));
        assert_walk(
            r#"{ "a" : [ 1 , true ,"]" ], "\u0061":{"b":null },"skipped" : [{ }] , "c":{} }"#,
            Some(r#"{"a":[1,true,"]",];"\u0061":{"b":null;};"skipped":"c":{};}"#),
        );
    }

    #[test]
    fn container_below_deepest_level_is_raw() {
        assert_walk("[[[[ 1 ], 2]]]", Some("[[[[ 1 ],2,],],]"));
        assert_walk(r#"[{"a":[{ "b" : 1 }]}]"#, Some(r#"[{"a":[{ "b" : 1 },];},]"#));
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_walk(&deep, Some(&format!("[[[{},],],]", &deep[3..deep.len() - 3])));
    }

    #[test]
    fn broken_text_is_an_error() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,]",
            "[1}",
            r#"{"a"}"#,
            r#"{"a":1,}"#,
            "{1:1}",
            "[]]",
            "nul",
        ] {
            assert_walk(text, None);
        }
    }

    proptest! {
        #[test]
        fn each_byte_is_visited_at_most_once(text in "[\\[\\]{}:,\"a1 ]{0,24}") {
            let mut trace = Trace::default();
            if walk_raw(&text, 2, &mut trace).is_ok() {
                // A part adds at most one separator, which the text may lack.
                prop_assert!(trace.0.len() <= text.len() * 2);
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
            }
        }
    }
}

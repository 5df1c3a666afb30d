//! Rules for the parameters that a caller may send.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use config::{Parameter, ParameterRule};
use json::{MemberName, RawVisitor, is_same_name, walk_raw};
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A parameter that violates a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParameterViolation {
    /// Path of the field.
    pub path: String,
    /// The allowed values, for people: `must be at most 4096`.
    pub expected: String,
}

/// Checks a body against all rules. The body must be a JSON object.
///
/// Values are judged as written and in one pass: a tree of a caller's bytes would take many times
/// their length.
pub(crate) fn check_parameters<'p>(
    body: &[u8],
    bounds: impl Iterator<Item = &'p Parameter>,
) -> Result<(), ParameterViolation> {
    let bounds: Vec<&Parameter> = bounds.collect();
    // Most callers have no rules, and the body is not read for them.
    let Some(first) = bounds.first() else { return Ok(()) };
    let not_allowed =
        |bound: &Parameter, expected| ParameterViolation { path: bound.path.clone(), expected };
    // A duplicate member cannot be checked: one reader takes the first, another the last. Names on
    // the way to a checked field must therefore be unique.
    let members = match matching_members(body, &bounds) {
        Ok(members) => members,
        Err(UnreadableMembers::Duplicate(of)) => {
            return Err(not_allowed(bounds[of], DUPLICATE_MEMBER.to_owned()));
        }
        Err(UnreadableMembers::NotAnObject) => {
            return Err(not_allowed(first, DUPLICATE_MEMBER.to_owned()));
        }
    };
    for bound in bounds {
        let path: Vec<&str> = bound.path.split('.').collect();
        let found = members.iter().filter(|(name, _)| is_same_name(name, path[0]));
        for (_, value) in found {
            let mut check = RuleCheck::new(&bound.rule, &path);
            let max_depth = MAX_ARRAY_DEPTH + path.len().min(MAX_ARRAY_DEPTH);
            if walk_raw(value.get(), max_depth, &mut check).is_err() {
                return Err(not_allowed(bound, DUPLICATE_MEMBER.to_owned()));
            }
            if let Some(expected) = check.violation {
                return Err(not_allowed(bound, expected));
            }
        }
    }
    Ok(())
}

/// The texts that rules allow for a field.
pub(crate) fn allowed_texts<'p>(
    bounds: impl Iterator<Item = &'p Parameter>,
    path: &str,
) -> impl Iterator<Item = &'p str> {
    let rules = bounds.filter(move |bound| bound.path == path).map(|bound| &bound.rule);
    let lists = rules.filter_map(|rule| match rule {
        ParameterRule::Allow(allowed) => Some(allowed),
        ParameterRule::Range { .. } | ParameterRule::Forbid => None,
    });
    lists.flatten().filter_map(Value::as_str)
}

/// Whether a field may hold a text.
pub(crate) fn allows_text<'p>(
    mut bounds: impl Iterator<Item = &'p Parameter>,
    path: &str,
    text: &str,
) -> bool {
    let text = Found::Text(Cow::Borrowed(text));
    bounds.all(|bound| bound.path != path || allows(&bound.rule, &text))
}

const DUPLICATE_MEMBER: &str =
    "must be in objects without duplicate names and in at most 32 nested arrays";
/// Maximum depth of nested arrays: no API nests deeper, and the stack is finite.
const MAX_ARRAY_DEPTH: usize = 32;

/// Reason not to check the members of a body.
enum UnreadableMembers {
    /// Two members have the same name, which this rule names.
    Duplicate(usize),
    /// The body is no object, or has a name that is no text.
    NotAnObject,
}

/// Returns the members that rules name, in any case, since readers differ on that. Other members
/// are passed over.
fn matching_members<'a>(
    body: &'a [u8],
    bounds: &[&Parameter],
) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, UnreadableMembers> {
    struct Matching<'b, 'p, 'a> {
        bounds: &'b [&'p Parameter],
        members: Vec<(Cow<'a, str>, &'a RawValue)>,
        names: BTreeSet<Cow<'a, str>>,
        duplicate: Option<usize>,
    }
    impl<'de> Visitor<'de> for &mut Matching<'_, '_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(MemberName(name)) = map.next_key::<MemberName<'de>>()? {
                let is_named = |bound: &&Parameter| {
                    bound.path.split('.').next().is_some_and(|first| is_same_name(&name, first))
                };
                let Some(bound) = self.bounds.iter().position(is_named) else {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                };
                if !self.names.insert(name.clone()) {
                    self.duplicate = Some(bound);
                    return Err(A::Error::custom("duplicate name"));
                }
                self.members.push((name, map.next_value()?));
            }
            Ok(())
        }
    }
    let mut matching =
        Matching { bounds, members: Vec::new(), names: BTreeSet::new(), duplicate: None };
    let text = str::from_utf8(body).map_err(|_| UnreadableMembers::NotAnObject)?;
    let read = serde_json::Deserializer::from_str(text).deserialize_map(&mut matching);
    match (read, matching.duplicate) {
        (Ok(()), _) => Ok(matching.members),
        (Err(_), Some(of)) => Err(UnreadableMembers::Duplicate(of)),
        (Err(_), None) => Err(UnreadableMembers::NotAnObject),
    }
}

/// Check of one value against one rule, in one pass. In an array, the path continues in each item.
struct RuleCheck<'r, 'a> {
    rule: &'r ParameterRule,
    path: &'r [&'r str],
    /// Number of names of the path that lead to the next value.
    depth: usize,
    /// The arrays and objects that are open.
    open: Vec<OpenContainer<'a>>,
    /// The allowed values, if another one was found.
    violation: Option<String>,
}

struct OpenContainer<'a> {
    /// Number of names of the path that lead to it.
    depth: usize,
    /// Names that match the path: equal ones are ambiguous.
    names: BTreeSet<Cow<'a, str>>,
}

impl<'r> RuleCheck<'r, '_> {
    /// Begins at the value of a member that the first name of the path matches.
    fn new(rule: &'r ParameterRule, path: &'r [&'r str]) -> Self {
        Self { rule, path, depth: 1, open: Vec::new(), violation: None }
    }

    fn is_at_end(&self) -> bool {
        self.depth == self.path.len()
    }

    /// Whether the next value is an item of the array that the path leads to.
    fn is_item(&self) -> bool {
        self.open.last().is_some_and(|open| open.depth == self.path.len())
    }

    fn open(&mut self) {
        self.open.push(OpenContainer { depth: self.depth, names: BTreeSet::new() });
    }

    fn close(&mut self) {
        self.depth = self.open.pop().map_or(1, |open| open.depth);
    }

    fn check(&mut self, found: &Found<'_>) {
        if self.violation.is_none() && !allows(self.rule, found) {
            self.violation = Some(describe(self.rule));
        }
    }
}

impl<'a> RawVisitor<'a> for RuleCheck<'_, 'a> {
    fn begin_object(&mut self) {
        if self.is_at_end() {
            self.check(&Found::Container);
        }
        self.open();
    }

    fn begin_member(&mut self, name: &'a str) -> bool {
        let is_item = self.is_item();
        let Some(open) = self.open.last_mut().filter(|_| !is_item) else { return false };
        let Some(name) = json::decode_string(name) else {
            self.violation = Some(DUPLICATE_MEMBER.to_owned());
            return false;
        };
        if !is_same_name(&name, self.path[open.depth]) {
            return false;
        }
        self.depth = open.depth + 1;
        if !open.names.insert(name) {
            self.violation = Some(DUPLICATE_MEMBER.to_owned());
        }
        true
    }

    fn end_member(&mut self) {
        self.depth = self.open.last().map_or(1, |open| open.depth);
    }

    fn end_object(&mut self) {
        self.close();
    }

    fn begin_array(&mut self) {
        // Of a list, every item must be allowed.
        let is_list = matches!(self.rule, ParameterRule::Allow(_)) && !self.is_item();
        if self.is_at_end() && !is_list {
            self.check(&Found::Container);
        }
        self.open();
    }

    fn end_element(&mut self) {}

    fn end_array(&mut self) {
        self.close();
    }

    fn raw_value(&mut self, raw: &'a str) {
        if self.violation.is_some() {
            return;
        }
        let found = Found::parse(raw);
        match self.is_at_end() {
            // An explicit null is allowed: it selects the default.
            true if raw == "null" && !self.is_item() => {}
            true => self.check(&found),
            // Nested too deeply.
            false if matches!(found, Found::Container) => {
                self.violation = Some(DUPLICATE_MEMBER.to_owned());
            }
            false => {}
        }
    }
}

/// Value of a checked field.
enum Found<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Bool(bool),
    Null,
    /// Array or object.
    Container,
    /// Text that is no text, or a number that is none.
    Unreadable,
}

impl<'a> Found<'a> {
    /// Parses a value as written.
    fn parse(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => Self::Container,
            Some(b'"') => json::decode_string(raw).map_or(Self::Unreadable, Self::Text),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            Some(_) | None => match raw.parse::<f64>() {
                Ok(number) if number.is_finite() => Self::Number(number),
                Ok(_) | Err(_) => Self::Unreadable,
            },
        }
    }

    /// Whether this is the value. Numbers are equal by value: `1` and `1.0` match.
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(text), Value::String(value)) => text == value,
            (Self::Number(number), value) => value.as_f64() == Some(*number),
            (Self::Bool(bool), value) => value.as_bool() == Some(*bool),
            (Self::Null, value) => value.is_null(),
            (Self::Text(_) | Self::Container | Self::Unreadable, _) => false,
        }
    }
}

/// Whether a rule allows a value.
fn allows(rule: &ParameterRule, found: &Found<'_>) -> bool {
    match (rule, found) {
        (ParameterRule::Forbid, _) => false,
        (ParameterRule::Range { min, max }, Found::Number(number)) => {
            min.is_none_or(|min| *number >= min) && max.is_none_or(|max| *number <= max)
        }
        (ParameterRule::Range { .. }, _) => false,
        (ParameterRule::Allow(allowed), found) => allowed.iter().any(|value| found.is(value)),
    }
}

/// The values that a rule allows, for people.
fn describe(rule: &ParameterRule) -> String {
    match rule {
        ParameterRule::Forbid => "may not be sent with this API key".to_owned(),
        ParameterRule::Range { min, max } => match (min, max) {
            (Some(min), Some(max)) => format!("must be a number from {min} to {max}"),
            (Some(min), None) => format!("must be a number of at least {min}"),
            (None, Some(max)) => format!("must be a number of at most {max}"),
            (None, None) => "must be a number".to_owned(),
        },
        ParameterRule::Allow(allowed) => {
            let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
            format!("must be one of {}", list.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use config::{Parameter, ParameterRule};
    use serde_json::json;

    use super::check_parameters;

    fn bounds() -> Vec<Parameter> {
        let bound = |path: &str, rule| Parameter { path: path.to_owned(), rule };
        vec![
            bound("max_tokens", ParameterRule::Range { min: None, max: Some(4096.0) }),
            bound("temperature", ParameterRule::Range { min: Some(0.0), max: Some(1.2) }),
            bound(
                "response_format.type",
                ParameterRule::Allow(vec![json!("text"), json!("json_object")]),
            ),
            bound("tools.type", ParameterRule::Allow(vec![json!("function")])),
            bound("stop", ParameterRule::Allow(vec![json!("END"), json!(1)])),
            bound("logit_bias", ParameterRule::Forbid),
            bound("stream_options.include_obfuscation", ParameterRule::Forbid),
        ]
    }

    #[track_caller]
    fn assert_checked(body: &str, expected: Option<&str>) {
        let found = check_parameters(body.as_bytes(), bounds().iter())
            .err()
            .map(|found| format!("{} {}", found.path, found.expected));
        assert_eq!(found.as_deref(), expected, "{body}");
    }

    #[test]
    fn violations_name_the_field_and_the_allowed_values() {
        assert_checked(r#"{"model":"a","messages":[]}"#, None);
        assert_checked(r#"{"max_tokens":4096,"temperature":1.2}"#, None);
        assert_checked(
            r#"{"max_tokens":4097}"#,
            Some("max_tokens must be a number of at most 4096"),
        );
        assert_checked(
            r#"{"max_tokens":"1"}"#,
            Some("max_tokens must be a number of at most 4096"),
        );
        assert_checked(r#"{"max_tokens":null}"#, None);
        assert_checked(
            r#"{"temperature":-0.1}"#,
            Some("temperature must be a number from 0 to 1.2"),
        );
        assert_checked(r#"{"response_format":{"type":"text"}}"#, None);
        assert_checked(
            r#"{"response_format":{"type":"json_schema"}}"#,
            Some(r#"response_format.type must be one of "text", "json_object""#),
        );
        assert_checked(
            r#"{"tools":[{"type":"function"},{"type":"web"}]}"#,
            Some(r#"tools.type must be one of "function""#),
        );
        assert_checked(r#"{"stop":["END",1.0]}"#, None);
        assert_checked(r#"{"stop":["END","X"]}"#, Some(r#"stop must be one of "END", 1"#));
        assert_checked(
            r#"{"logit_bias":{}}"#,
            Some("logit_bias may not be sent with this API key"),
        );
        assert_checked(r#"{"logit_bias":null}"#, None);
        assert_checked(
            r#"{"lo\u0067it_bias":{}}"#,
            Some("logit_bias may not be sent with this API key"),
        );
        assert_checked(r#"{"stream_options":{"include_usage":true}}"#, None);
        assert_checked(
            r#"{"stream_options":{"include_obfuscation":false}}"#,
            Some("stream_options.include_obfuscation may not be sent with this API key"),
        );
        assert_checked(r#"{"Temperature":9}"#, Some("temperature must be a number from 0 to 1.2"));
        assert_checked(
            r#"{"Logit_Bia\u017f":{}}"#,
            Some("logit_bias may not be sent with this API key"),
        );
        assert_checked(
            r#"{"response_format":{"type":"text","TYPE":"json_schema"}}"#,
            Some(r#"response_format.type must be one of "text", "json_object""#),
        );
        assert_checked(
            r#"{"response_format":{"type":"json_schema","type":"text"}}"#,
            Some(
                "response_format.type must be in objects without duplicate names and in at most 32 nested arrays",
            ),
        );
        let deep = format!(r#"{{"tools":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        assert_checked(
            &deep,
            Some(
                "tools.type must be in objects without duplicate names and in at most 32 nested arrays",
            ),
        );
        assert_checked(
            r#"{"temperature":9,"temperature":1}"#,
            Some(
                "temperature must be in objects without duplicate names and in at most 32 nested arrays",
            ),
        );
    }

    #[test]
    fn values_of_every_shape_are_judged() {
        let number = "temperature must be a number from 0 to 1.2";
        for value in
            ["[0]", "[[{\"\":0}]]", "{}", "true", "1e999", "\"\\ud83d\"", "{\"a\":1,\"a\":2}"]
        {
            assert_checked(&format!(r#"{{"temperature":{value}}}"#), Some(number));
        }
        let stop = r#"stop must be one of "END", 1"#;
        for value in
            [r#"[["END"]]"#, r#"[{"a":"END"}]"#, "[null]", "{}", "[1,true]", r#"["END",[]]"#]
        {
            assert_checked(&format!(r#"{{"stop":{value}}}"#), Some(stop));
        }
        assert_checked(r#"{"stop":null,"temperature":null}"#, None);
        assert_checked(r#"{"stop":[]}"#, None);
        assert_checked(r#"{"stop":"\u0045ND"}"#, None);
        assert_checked(
            r#"{"logit_bias":[]}"#,
            Some("logit_bias may not be sent with this API key"),
        );
        // The path continues in the items of arrays, but not beside them.
        assert_checked(r#"{"tools":[[{"type":"function"}],{"x":{"type":"y"}}],"x":"type"}"#, None);
        assert_checked(
            r#"{"tools":[[{"type":["function","web"]}]]}"#,
            Some(r#"tools.type must be one of "function""#),
        );
        assert_checked(r#"{"tools":"x","response_format":7,"stream_options":[1,"x"]}"#, None);
        // Members that no rule names may repeat.
        assert_checked(r#"{"x":1,"x":2,"tools":[{"y":1,"y":2}]}"#, None);
    }

    #[test]
    fn body_is_not_read_without_bounds() {
        assert_eq!(check_parameters(b"not even JSON", [].iter()), Ok(()));
    }
}

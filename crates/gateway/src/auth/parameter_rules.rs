//! Rules for the parameters that a caller may send.

use std::collections::BTreeMap;

use config::{Parameter, ParameterRule};
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
pub(crate) fn check_parameters<'p>(
    body: &[u8],
    bounds: impl Iterator<Item = &'p Parameter>,
) -> Result<(), ParameterViolation> {
    let mut bounds = bounds.peekable();
    // Most callers have no rules, and the body is not read for them.
    if bounds.peek().is_none() {
        return Ok(());
    }
    // A duplicate member cannot be checked: one reader takes the first, another the last. Names
    // must therefore be unique in every object on the way to a checked field; see `parse_members`.
    let members = parse_members(body);
    for bound in bounds {
        let not_allowed = |expected| Err(ParameterViolation { path: bound.path.clone(), expected });
        let Some(members) = &members else {
            return not_allowed(DUPLICATE_MEMBER.to_owned());
        };
        let path: Vec<&str> = bound.path.split('.').collect();
        let mut found = Vec::new();
        // A whole prompt is parsed only if a rule names a field inside it.
        if find_in_members(members, &path, MAX_ARRAY_DEPTH, &mut found).is_none() {
            return not_allowed(DUPLICATE_MEMBER.to_owned());
        }
        for raw in found {
            let Ok(value) = serde_json::from_str::<Value>(raw.get()) else {
                return not_allowed("must be plain JSON".to_owned());
            };
            if let Some(expected) = check_value(&bound.rule, &value) {
                return not_allowed(expected);
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
    let value = Value::from(text);
    bounds.all(|bound| bound.path != path || check_value(&bound.rule, &value).is_none())
}

const DUPLICATE_MEMBER: &str =
    "must be in objects without duplicate names and in at most 32 nested arrays";
/// Maximum depth of nested arrays: no API nests deeper, and the stack is finite.
const MAX_ARRAY_DEPTH: usize = 32;

/// The members of an object; `None` if a name occurs twice.
fn parse_members(body: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    let UniqueMembers(members) = serde_json::from_str(str::from_utf8(body).ok()?).ok()?;
    Some(members)
}

/// Members by name, without duplicates.
struct UniqueMembers<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for UniqueMembers<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = UniqueMembers<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<UniqueMembers<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("duplicate name"));
                    }
                }
                Ok(UniqueMembers(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Finds all values at a path among members. Names match in any case, since readers differ on that.
/// `None` if a name occurs twice on the way.
fn find_in_members<'a>(
    members: &BTreeMap<String, &'a RawValue>,
    path: &[&str],
    max_depth: usize,
    found: &mut Vec<&'a RawValue>,
) -> Option<()> {
    let [name, rest @ ..] = path else { return Some(()) };
    let mut matching = members.iter().filter(|(other, _)| json::is_same_name(other, name));
    matching.try_for_each(|(_, value)| find_values(value, rest, max_depth, found))
}

/// Finds all values at a path. In an array, the path continues in each item.
fn find_values<'a>(
    value: &'a RawValue,
    path: &[&str],
    max_depth: usize,
    found: &mut Vec<&'a RawValue>,
) -> Option<()> {
    if path.is_empty() {
        found.push(value);
        return Some(());
    }
    match value.get().as_bytes().first() {
        Some(b'{') => {
            find_in_members(&parse_members(value.get().as_bytes())?, path, max_depth, found)
        }
        Some(b'[') => {
            let max_depth = max_depth.checked_sub(1)?;
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            items.into_iter().try_for_each(|item| find_values(item, path, max_depth, found))
        }
        Some(_) | None => Some(()),
    }
}

/// The expected value, if the found one is not allowed.
fn check_value(rule: &ParameterRule, value: &Value) -> Option<String> {
    match rule {
        // An explicit null is allowed: it selects the default.
        ParameterRule::Forbid if value.is_null() => None,
        ParameterRule::Forbid => Some("may not be sent with this API key".to_owned()),
        ParameterRule::Range { .. } | ParameterRule::Allow(_) if value.is_null() => None,
        ParameterRule::Range { min, max } => {
            let fits = value.as_f64().is_some_and(|number| {
                min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
            });
            let expected = match (min, max) {
                (Some(min), Some(max)) => format!("must be a number from {min} to {max}"),
                (Some(min), None) => format!("must be a number of at least {min}"),
                (None, Some(max)) => format!("must be a number of at most {max}"),
                (None, None) => "must be a number".to_owned(),
            };
            (!fits).then_some(expected)
        }
        ParameterRule::Allow(allowed) => {
            let fits = match value {
                Value::Array(items) => items.iter().all(|item| is_among(allowed, item)),
                one => is_among(allowed, one),
            };
            let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
            (!fits).then(|| format!("must be one of {}", list.join(", ")))
        }
    }
}

/// Numbers are equal by value: `1` and `1.0` match.
fn is_among(allowed: &[Value], value: &Value) -> bool {
    allowed.iter().any(|one| match (one.as_f64(), value.as_f64()) {
        (Some(one), Some(value)) => one == value,
        _ => one == value,
    })
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
                "max_tokens must be in objects without duplicate names and in at most 32 nested arrays",
            ),
        );
    }

    #[test]
    fn body_is_not_read_without_bounds() {
        assert_eq!(check_parameters(b"not even JSON", [].iter()), Ok(()));
    }
}

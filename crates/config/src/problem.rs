//! Problems of a document: the path, the found value, and the expected one.
//!
//! A problem never repeats a value that may be a secret written in the wrong place.

use std::fmt;

use super::hint;

/// One problem of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path in the document: `routes[0].targets[1].provider`, or `line 3, column 5` if the syntax is
    /// broken. Empty for the document as a whole.
    pub path: String,
    /// The found value.
    pub found: String,
    /// The expected value.
    pub expected: String,
}

/// A part of a valid document that needs attention: a secret that is not set, an address without encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The path in the document.
    pub path: String,
    /// The sentence for operators, without a secret.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All problems of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Converts serde's error about a JSON document.
    pub fn from_json(error: serde_json::Error) -> Self {
        // serde_json reports column 0 before it reads the first character.
        let position = (error.line(), error.column().max(1));
        Self(vec![Problem::from_json(&error, position)])
    }
}

/// The path of a syntax error. Both numbers begin at 1.
pub(super) fn line_path(line: usize, column: usize) -> String {
    format!("line {line}, column {column}")
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Problem {
    /// Converts serde's error about a JSON text that begins elsewhere in a document, for a line and column there.
    pub(super) fn from_json(error: &serde_json::Error, (line, column): (usize, usize)) -> Self {
        let position = line_path(line, column);
        let message = error.to_string();
        // serde_json ends its messages with the position, which is the path here.
        let suffix = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&suffix).unwrap_or(&message);
        // TOML begins with a comment, a name, or `[[name]]`.
        if message == "expected value" && line == 1 && column <= 3 {
            let found = "a text that is not JSON".to_owned();
            let expected = "JSON; `cargo xtask config put FILE` sends a TOML file".to_owned();
            return Self { path: position, found, expected };
        }
        Self::from_serde(position, message, "valid JSON")
    }

    /// Splits serde's message. Strings and values of a wrong type are not repeated: they may be a misplaced key,
    /// which would end up in a log.
    pub(super) fn from_serde(path: String, message: &str, syntax: &str) -> Self {
        let (found, expected) = if let Some(field) = message.strip_prefix("missing field ") {
            (format!("no field {field}"), format!("the field {field}"))
        } else if let Some(field) = message.strip_prefix("duplicate field ") {
            (format!("the field {field} twice"), "it once".to_owned())
        } else if let Some((before, expected)) = message.rsplit_once(", expected ") {
            (found_in_message(before), expected_in_message(&path, before, expected))
        } else if let Some(expected) = message.strip_prefix("expected ") {
            ("something else".to_owned(), expected.to_owned())
        } else {
            (message.to_owned(), syntax.to_owned())
        };
        Self { path, found, expected }
    }
}

fn found_in_message(message: &str) -> String {
    if let Some(field) = message.strip_prefix("unknown field ") {
        return format!("the unknown field {field}");
    }
    let (value, of_type) = match message.strip_prefix("invalid type: ") {
        Some(value) => (value, true),
        None => match message.strip_prefix("invalid value: ") {
            Some(value) => (value, false),
            None => return message.to_owned(),
        },
    };
    match value.split([' ', ',']).next().unwrap_or_default() {
        "string" | "character" => "a string".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        "null" | "unit" => "nothing".to_owned(),
        "integer" | "floating" if of_type => "a number".to_owned(),
        "boolean" if of_type => "true or false".to_owned(),
        _ => format!("the {value}"),
    }
}

/// Translates serde's names of Rust types, and proposes a form or the nearest of the alternatives in
/// backticks.
fn expected_in_message(path: &str, found: &str, expected: &str) -> String {
    if let Some(field) = found.strip_prefix("unknown field ") {
        let field = field.trim_matches('`');
        let alternatives = || expected.split('`').skip(1).step_by(2);
        return match hint::other_name(field, alternatives()) {
            Some(name) => format!("{expected} (did you mean {name}?)"),
            None => with_hint(expected, field, alternatives()),
        };
    }
    let value = found.strip_prefix("invalid type: ");
    if let Some(form) = value.and_then(|value| hint::expected_type(path, value, expected)) {
        return form;
    }
    match expected {
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "u16" | "u32" | "u64" => "a whole number, zero or above",
        "f64" => "a number",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
    .to_owned()
}

/// Appends "did you mean …?" to `expected` if a name is close to `found`.
pub(super) fn with_hint<'n>(
    expected: &str,
    found: &str,
    names: impl Iterator<Item = &'n str>,
) -> String {
    // One typo in three letters, and never a whole name.
    let allowed = found.len().div_ceil(3).min(3).min(found.len().saturating_sub(1));
    let nearest = names
        .filter(|name| name.len().abs_diff(found.len()) <= allowed)
        .map(|name| (edit_distance(found, name), name))
        .filter(|(edits, _)| (1..=allowed).contains(edits))
        .min();
    match nearest {
        Some((_, name)) => format!("{expected} (did you mean {name}?)"),
        None => expected.to_owned(),
    }
}

/// The number of bytes to insert, remove, or replace that turns one name into the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::{Problem, edit_distance, with_hint};

    #[track_caller]
    fn assert_problem(message: &str, found: &str, expected: &str) {
        let problem = Problem::from_serde(String::new(), message, "valid JSON");
        assert_eq!((problem.found.as_str(), problem.expected.as_str()), (found, expected));
    }

    #[test]
    fn problem_from_serde_message_omits_values_that_may_be_secret() {
        assert_problem("missing field `id`", "no field `id`", "the field `id`");
        assert_problem(
            "unknown field `keyz`, expected one of `id`, `keys`",
            "the unknown field `keyz`",
            "one of `id`, `keys` (did you mean keys?)",
        );
        assert_problem(
            "invalid type: string \"sk-1, expected x\", expected a sequence",
            "a string",
            "a list, in square brackets",
        );
        assert_problem(
            "invalid type: integer `123456`, expected a string",
            "a number",
            "a string, in quotes",
        );
        assert_problem(
            "invalid value: integer `-1`, expected u32",
            "the integer `-1`",
            "a whole number, zero or above",
        );
        assert_problem(
            "invalid type: map, expected a sequence",
            "a table",
            "a list of tables, in square brackets",
        );
        assert_problem(
            "invalid type: boolean `true`, expected struct Server",
            "true or false",
            "a table",
        );
        assert_problem("EOF while parsing an object", "EOF while parsing an object", "valid JSON");
        assert_problem("expected `,` or `}`", "something else", "`,` or `}`");
    }

    #[test]
    fn hint_proposes_only_a_near_name() {
        let names = || ["openai", "deepseek", "local"].into_iter();
        assert_eq!(with_hint("a name", "opnai", names()), "a name (did you mean openai?)");
        assert_eq!(with_hint("a name", "anthropic", names()), "a name");
        assert_eq!(with_hint("a name", "", names()), "a name");
        assert_eq!(
            (edit_distance("", "abc"), edit_distance("kitten", "sitting"), edit_distance("a", "a")),
            (3, 3, 0)
        );
    }
}

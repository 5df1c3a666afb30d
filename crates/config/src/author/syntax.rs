//! Errors of TOML's syntax, with the list or table that they are in.

use super::super::problem::{Problem, Problems, line_path};
use super::locate::line_and_column;

/// Converts an error about a text that is not TOML.
pub(super) fn problems(error: &toml::de::Error, text: &str) -> Problems {
    let Some(span) = error.span() else {
        return Problems(vec![Problem::from_serde(String::new(), error.message(), "valid TOML")]);
    };
    let (line, column) = line_and_column(text, span.start);
    let mut problem = Problem::from_serde(line_path(line, column), error.message(), "valid TOML");
    if error.message() == "duplicate key" {
        let key = text.get(span).unwrap_or_default();
        problem.found = format!("the key `{}` twice", key.trim());
        "it once in its table".clone_into(&mut problem.expected);
    } else {
        if let Some((found, expected)) = plain_words(error.message()) {
            (problem.found, problem.expected) = (found.to_owned(), expected.to_owned());
        }
        if let Some(open) = innermost_open(text, span.start) {
            let (open_line, _) = line_and_column(text, open);
            let bracket = &text[open..=open];
            let note = format!(", after the `{bracket}` of line {open_line}");
            problem.expected.push_str(&note);
        }
    }
    if let Some(other) = other_format(text) {
        problem
            .expected
            .push_str(&format!(": this looks like {other}, and a configuration file is TOML"));
    }
    Problems(vec![problem])
}

/// The found and the expected text, for messages of the TOML reader that name its grammar.
fn plain_words(message: &str) -> Option<(&'static str, &'static str)> {
    let (found, _) = message.split_once(", expected ").unwrap_or((message, ""));
    Some(match found {
        "missing comma between array elements" => ("no comma before this value", "`,` or `]`"),
        "missing comma between key-value pairs" => ("no comma before this field", "`,` or `}`"),
        "string values must be quoted" => {
            ("a text without quotes", "a text in quotes, or a number")
        }
        "key with no value" => ("a name without a value", "`=` and a value"),
        "invalid basic string" | "invalid literal string" => {
            ("a text that does not end on its line", "a closing quote")
        }
        _ => return None,
    })
}

/// The position of the last bracket that is open at `end`, outside of strings and comments.
fn innermost_open(text: &str, end: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut is_comment = false;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().take(end) {
        match (quote, byte) {
            _ if is_comment => is_comment = byte != b'\n',
            (Some(b'"'), b'\\') if !is_escaped => {
                is_escaped = true;
                continue;
            }
            (Some(inside), _) if inside == byte && !is_escaped => quote = None,
            // A string on one line.
            (Some(_), b'\n') => quote = None,
            (Some(_), _) => {}
            (None, b'#') => is_comment = true,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[' | b'{') => open.push(at),
            (None, b']' | b'}') => {
                open.pop();
            }
            (None, _) => {}
        }
        is_escaped = false;
    }
    open.pop()
}

/// The format that a text seems to have, if it is not TOML.
fn other_format(text: &str) -> Option<&'static str> {
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let first = text.lines().find(is_content)?.trim();
    if first.starts_with('{') {
        return Some("JSON");
    }
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let is_yaml = first == "---"
        || first.split_once(':').is_some_and(|(name, rest)| {
            !name.is_empty() && is_name(name) && (rest.is_empty() || rest.starts_with(' '))
        });
    is_yaml.then_some("YAML")
}

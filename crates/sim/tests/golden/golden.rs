//! Comparison with the expected files, and masks for texts that may change.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Lines of context before the first difference.
const CONTEXT_LINES: usize = 3;
/// Most differing lines that a failure shows.
const MAX_SHOWN_LINES: usize = 8;
/// Most characters of a line that a failure shows.
const MAX_LINE_CHARS: usize = 240;
/// Characters that a failure shows before the first difference within a line.
const CHARS_BEFORE_DIFFERENCE: usize = 80;

/// Asserts that a text equals `expected/<name>`. `SERIN_BLESS=1` writes the file instead.
#[track_caller]
pub(crate) fn assert_golden(name: &str, actual: &str) {
    if let Err(difference) = compare(name, actual) {
        panic!("{difference}");
    }
}

/// Compares a text with `expected/<name>`. The error shows the first differing lines.
pub(crate) fn compare(name: &str, actual: &str) -> Result<(), String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/expected").join(name);
    if std::env::var_os("SERIN_BLESS").is_some_and(|value| value == "1") {
        let folder = path.parent().expect("the file is in a folder");
        std::fs::create_dir_all(folder).expect("the folder can be made");
        std::fs::write(&path, actual).expect("the file can be written");
        return Ok(());
    }
    let expected = std::fs::read_to_string(&path)
        .map_err(|error| format!("{name}: cannot be read ({error}); SERIN_BLESS=1 writes it"))?;
    if expected == actual { Ok(()) } else { Err(difference(name, &expected, actual)) }
}

/// Shows the first differing lines of two texts, each from shortly before the first difference on.
fn difference(name: &str, expected: &str, actual: &str) -> String {
    let expected: Vec<&str> = expected.split('\n').collect();
    let actual: Vec<&str> = actual.split('\n').collect();
    let same = expected.iter().zip(&actual).take_while(|(one, other)| one == other).count();
    let line = |lines: &[&str]| lines.get(same).copied().unwrap_or_default().to_owned();
    let (one, other) = (line(&expected), line(&actual));
    let column = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let mut text = format!("expected/{name} differs from line {}, column {column} on:\n", same + 1);
    for line in &expected[same.saturating_sub(CONTEXT_LINES)..same] {
        let _ = writeln!(text, "  {}", clipped(line, 0));
    }
    for (sign, lines) in [('-', &expected), ('+', &actual)] {
        for (position, line) in lines.iter().skip(same).take(MAX_SHOWN_LINES).enumerate() {
            let column = if position == 0 { column } else { 0 };
            let _ = writeln!(text, "{sign} {}", clipped(line, column));
        }
    }
    let _ =
        writeln!(text, "(- expected, {} lines; + actual, {} lines)", expected.len(), actual.len());
    text
}

/// Part of a line around a column, short enough for a terminal.
fn clipped(line: &str, column: usize) -> String {
    let start = column.saturating_sub(CHARS_BEFORE_DIFFERENCE);
    let part: String = line.chars().skip(start).take(MAX_LINE_CHARS).collect();
    let is_cut = line.chars().nth(start + MAX_LINE_CHARS).is_some();
    format!("{}{part}{}", if start > 0 { "…" } else { "" }, if is_cut { "…" } else { "" })
}

/// Beginnings of messages that come from a configuration or an upstream of these tests.
const KEPT_MESSAGES: [&str; 4] = ["The stand-in was told to", "No.", "Blocked.", "so bad"];

/// Masks the error texts of the gateway in a response body. Texts of [`KEPT_MESSAGES`] stay.
pub(crate) fn mask_answer(text: &str) -> String {
    text.split('\n').map(mask_line).collect::<Vec<_>>().join("\n")
}

fn mask_line(line: &str) -> String {
    let is_data = |text: &str| KEPT_MESSAGES.iter().any(|kept| text.starts_with(kept));
    let mut text = mask_member(line, "message", is_data);
    for name in ["expected", "found", "detail"] {
        text = mask_member(&text, name, |_| false);
    }
    text
}

/// Masks the texts of connection failures in a record.
pub(crate) fn mask_record(text: &str) -> String {
    mask_member(text, "detail", |_| false)
}

/// Masks the version of the program.
pub(crate) fn mask_version(text: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let text = text.replace(&format!("serin/{version}"), "serin/<version>");
    text.replace(&format!("\"{version}\""), "\"<version>\"")
}

/// Replaces the string of every JSON member with this name, unless `keep` holds for it.
pub(crate) fn mask_member(text: &str, name: &str, keep: impl Fn(&str) -> bool) -> String {
    let label = format!("\"{name}\":\"");
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&label) {
        let start = at + label.len();
        let length = string_length(&rest[start..]);
        let value = &rest[start..start + length];
        masked.push_str(&rest[..start]);
        masked.push_str(if value.is_empty() || keep(value) { value } else { "<text>" });
        rest = &rest[start + length..];
    }
    masked + rest
}

/// Length of a JSON string after its opening quote, in bytes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.find(|letter| {
        let ends = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

#[test]
fn mask_member_of_several_strings_keeps_the_rest() {
    let text = r#"{"message":"a \" b","x":{"message":"No."},"message":{"y":"message"}}"#;
    let expected = r#"{"message":"<text>","x":{"message":"No."},"message":{"y":"message"}}"#;
    assert_eq!(mask_member(text, "message", |value| value == "No."), expected);
}

#[test]
fn difference_of_two_texts_shows_the_first_differing_line() {
    let text = difference("x.txt", "a\nb\nc", "a\nB\nc");
    assert!(
        text.starts_with("expected/x.txt differs from line 2, column 0 on:\n  a\n- b\n- c\n+ B\n"),
        "{text}"
    );
}

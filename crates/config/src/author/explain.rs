//! Problems of a file in the form of compilers: `FILE:LINE:COLUMN: path: …`.

use std::fmt::Write as _;

use super::super::problem::Problems;
use super::locate;

/// Formats one line for each problem of a TOML text. `file` is the name as the user typed it.
pub fn explain(file: &str, text: &str, problems: &Problems) -> String {
    let mut lines = String::new();
    for problem in problems {
        lines.push_str(file);
        if let Some((line, column)) = locate(text, &problem.path) {
            write!(lines, ":{line}:{column}").ok();
        }
        // A syntax error has a line in the text but no path in the document.
        if !problem.path.is_empty() && !problem.path.starts_with("line ") {
            write!(lines, ": {}", problem.path).ok();
        }
        writeln!(lines, ": found {}, expected {}", problem.found, problem.expected).ok();
    }
    lines
}

//! Where in a TOML text a path of the document is written.

use toml::de::{DeTable, DeValue};

/// The place of a path such as `routes[0].targets[1].provider`, or of the nearest part of it that is
/// written: line and column, both from 1, columns in characters. `None` where the text is no TOML or
/// has nothing of it. A path that is already a place in the text is taken at its word.
pub fn locate(text: &str, path: &str) -> Option<(usize, usize)> {
    if let Some((line, column)) =
        path.strip_prefix("line ").and_then(|at| at.split_once(", column "))
    {
        return Some((line.parse().ok()?, column.parse().ok()?));
    }
    let document = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut here = Here::Table(document.get_ref());
    for step in steps(path) {
        let (start, next) = match (here, step) {
            (Here::Table(table), Step::Field(name)) => {
                let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else {
                    break;
                };
                (key.span().start, value)
            }
            (Here::Value(DeValue::Array(items)), Step::Item(index)) => {
                let Some(value) = items.get(index) else { break };
                (value.span().start, value)
            }
            (Here::Value(_) | Here::Table(_), _) => break,
        };
        found = Some(start);
        here = match next.get_ref() {
            DeValue::Table(table) => Here::Table(table),
            value => Here::Value(value),
        };
    }
    found.map(|start| position(text, start))
}

/// The line and column of a byte.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[derive(Clone, Copy)]
enum Here<'a> {
    Table(&'a DeTable<'a>),
    Value(&'a DeValue<'a>),
}

enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).map(|part| {
        let index = part.strip_suffix(']').and_then(|index| index.parse().ok());
        index.map_or(Step::Field(part), Step::Item)
    })
}

#[cfg(test)]
mod tests {
    use super::locate;

    const TEXT: &str = "\
[server]
max_body = \"4MiB\"

[[routes]]
id = \"a\"

[[routes]]
id      = \"bé\"
targets = [
  { provider = \"x\" }, { model = \"é\", provider = \"y\" },
]
retries = { attempts = 1 }
[routes.timeouts]
total = \"5m\"
";

    #[track_caller]
    fn check(path: &str, line: usize, column: usize) {
        assert_eq!(locate(TEXT, path), Some((line, column)), "{path}");
    }

    #[test]
    fn tables_lists_and_inline_tables_are_found() {
        check("server", 1, 2);
        check("server.max_body", 2, 1);
        check("routes[0]", 4, 1);
        check("routes[0].id", 5, 1);
        check("routes[1].id", 8, 1);
        check("routes[1].targets[1]", 10, 23);
        check("routes[1].targets[1].provider", 10, 38);
        check("routes[1].retries.attempts", 12, 13);
        check("routes[1].timeouts.total", 14, 1);
    }

    #[test]
    fn what_is_not_written_is_at_its_nearest_parent() {
        check("routes[1].targets[7].provider", 9, 1);
        check("routes[1].timeouts.idle", 13, 9);
        check("server.max_body.x", 2, 1);
        assert_eq!(locate(TEXT, "cache"), None);
        assert_eq!(locate(TEXT, ""), None);
        assert_eq!(locate("[", "server"), None);
        check("line 3, column 5", 3, 5);
    }
}

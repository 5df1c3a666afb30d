//! Position of a document's path in its TOML text.

use toml::de::{DeTable, DeValue};

/// The line and column of a path such as `routes[0].targets[1].provider`, or of its nearest written parent.
/// Both begin at 1, and columns count characters. `None` if the text is not TOML or has no part of the path.
/// A path such as `line 3, column 5` is parsed and returned.
pub fn locate(text: &str, path: &str) -> Option<(usize, usize)> {
    if let Some((line, column)) =
        path.strip_prefix("line ").and_then(|at| at.split_once(", column "))
    {
        return Some((line.parse().ok()?, column.parse().ok()?));
    }
    let document = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut here = TomlNode::Table(document.get_ref());
    let mut rest = path;
    while !rest.is_empty() {
        // A table where a list belongs counts as its first item.
        if matches!(here, TomlNode::Table(_)) {
            rest = rest.strip_prefix("[0].").unwrap_or(rest);
        }
        let (start, next, after) = match here {
            TomlNode::Table(table) => {
                let after = |key: &str| strip_name(rest, key);
                // A field's name may have dots, as those of nested parameters do.
                let fitting = table.iter().filter_map(|one| Some((one, after(one.0.get_ref())?)));
                let Some(((key, value), after)) = fitting.min_by_key(|(_, after)| after.len())
                else {
                    break;
                };
                (key.span().start, value, after)
            }
            TomlNode::Value(DeValue::Array(items)) => {
                let Some((index, after)) = strip_index(rest) else { break };
                let Some(value) = items.get(index) else { break };
                (value.span().start, value, after)
            }
            TomlNode::Value(_) => break,
        };
        found = Some(start);
        rest = after.trim_start_matches('.');
        here = match next.get_ref() {
            DeValue::Table(table) => TomlNode::Table(table),
            value => TomlNode::Value(value),
        };
    }
    found.map(|start| line_and_column(text, start))
}

/// The rest of a path after a field's name. `None` if the path does not begin with it.
fn strip_name<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let after = path.strip_prefix(name)?;
    (after.is_empty() || after.starts_with(['.', '['])).then_some(after)
}

/// The index at the beginning of a path, and the rest.
fn strip_index(path: &str) -> Option<(usize, &str)> {
    let (index, after) = path.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, after))
}

/// The line and column of a byte offset.
pub(super) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[derive(Clone, Copy)]
enum TomlNode<'a> {
    Table(&'a DeTable<'a>),
    Value(&'a DeValue<'a>),
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

[[consumers]]
id = \"app\"
params = { a = { max = 1 }, \"a.b\" = { allow = [1, {}] } }
";

    #[track_caller]
    fn assert_located(path: &str, line: usize, column: usize) {
        assert_eq!(locate(TEXT, path), Some((line, column)), "{path}");
    }

    #[test]
    fn locate_table_list_or_inline_table_returns_its_position() {
        assert_located("server", 1, 2);
        assert_located("server.max_body", 2, 1);
        assert_located("routes[0]", 4, 1);
        assert_located("routes[0].id", 5, 1);
        assert_located("routes[1].id", 8, 1);
        assert_located("routes[1].targets[1]", 10, 23);
        assert_located("routes[1].targets[1].provider", 10, 38);
        assert_located("routes[1].retries.attempts", 12, 13);
        assert_located("routes[1].timeouts.total", 14, 1);
        assert_located("consumers[0].params.a.max", 18, 18);
        assert_located("consumers[0].params.a.b", 18, 29);
        assert_located("consumers[0].params.a.b.allow[1]", 18, 51);
    }

    #[test]
    fn locate_missing_path_returns_nearest_parent() {
        assert_located("routes[1].targets[7].provider", 9, 1);
        assert_located("routes[1].timeouts.idle", 13, 9);
        assert_located("server.max_body.x", 2, 1);
        assert_eq!(locate(TEXT, "cache"), None);
        assert_eq!(locate(TEXT, ""), None);
        assert_eq!(locate("[", "server"), None);
        assert_located("line 3, column 5", 3, 5);
    }
}

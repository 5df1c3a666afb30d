//! Structural diff of two configuration documents, with readable paths.
//!
//! Lists of objects with an `id` are compared by id, so a moved item or a new neighbor is not reported
//! as a change. The diff does not interpret fields.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// One difference between two documents.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DocumentChange {
    /// Path of the value, such as `routes.chat.targets[0].weight`.
    pub path: String,
    /// The value before; `None` if it was absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after; `None` if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl fmt::Display for DocumentChange {
    /// Formats a change as `routes.chat.targets[0].weight: 90 → 80`; `+` marks an added and `-` a
    /// removed value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "  {path}: {before} → {after}"),
            (None, Some(after)) => write!(f, "+ {path}: {after}"),
            (Some(before), None) => write!(f, "- {path}: {before}"),
            (None, None) => write!(f, "  {path}"),
        }
    }
}

/// Returns all changes, members in alphabetical order.
pub fn diff_documents(before: &Value, after: &Value) -> Vec<DocumentChange> {
    let mut changes = Vec::new();
    diff_values("", before, after, &mut changes);
    changes
}

fn diff_values(path: &str, before: &Value, after: &Value, changes: &mut Vec<DocumentChange>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => diff_tables(path, old, new, changes),
        (Value::Array(old), Value::Array(new)) => diff_lists(path, old, new, changes),
        _ if before == after => {}
        _ => changes.push(new_change(path, Some(before), Some(after))),
    }
}

fn diff_tables(
    path: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    changes: &mut Vec<DocumentChange>,
) {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    sorting::sort_by_key(&mut names, |name| *name);
    names.dedup();
    for name in names {
        diff_optional(&member_path(path, name), old.get(name), new.get(name), changes);
    }
}

fn diff_lists(path: &str, old: &[Value], new: &[Value], changes: &mut Vec<DocumentChange>) {
    if let (Some(was), Some(is)) = (list_ids(old), list_ids(new)) {
        for (id, before) in was.iter().zip(old) {
            let after = is.iter().position(|other| other == id).map(|at| &new[at]);
            diff_optional(&member_path(path, id), Some(before), after, changes);
        }
        for (id, after) in is.iter().zip(new).filter(|(id, _)| !was.contains(id)) {
            diff_optional(&member_path(path, id), None, Some(after), changes);
        }
        // The first matching route is taken, so the order of items is significant.
        let both = |these: &[&str], those: &[&str]| -> Vec<Value> {
            these.iter().filter(|id| those.contains(id)).map(|id| Value::from(*id)).collect()
        };
        let (before, after) = (both(&was, &is), both(&is, &was));
        if before != after {
            let path = format!("{path} (order)");
            changes.push(new_change(&path, Some(&before.into()), Some(&after.into())));
        }
    } else if old.iter().chain(new).all(|item| !item.is_object() && !item.is_array()) {
        // A list of scalars is shown whole.
        if old != new {
            let (before, after) = (Value::from(old.to_vec()), Value::from(new.to_vec()));
            changes.push(new_change(path, Some(&before), Some(&after)));
        }
    } else {
        for at in 0..old.len().max(new.len()) {
            diff_optional(&format!("{path}[{at}]"), old.get(at), new.get(at), changes);
        }
    }
}

fn diff_optional(
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<DocumentChange>,
) {
    match (before, after) {
        (Some(before), Some(after)) => diff_values(path, before, after, changes),
        _ => changes.push(new_change(path, before, after)),
    }
}

fn new_change(path: &str, before: Option<&Value>, after: Option<&Value>) -> DocumentChange {
    DocumentChange { path: path.to_owned(), before: before.cloned(), after: after.cloned() }
}

fn member_path(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The ids of a list; `None` unless every item has a unique `id`.
fn list_ids(list: &[Value]) -> Option<Vec<&str>> {
    let ids: Option<Vec<&str>> = list.iter().map(|item| item.get("id")?.as_str()).collect();
    let ids = ids?;
    let mut sorted = ids.clone();
    sorting::sort_by_key(&mut sorted, |id| *id);
    sorted.dedup();
    (sorted.len() == ids.len()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::diff_documents;

    #[track_caller]
    fn assert_diff(before: Value, after: Value, expected: &[&str]) {
        let lines: Vec<String> =
            diff_documents(&before, &after).iter().map(ToString::to_string).collect();
        assert_eq!(lines, expected);
        assert!(
            diff_documents(&before, &before).is_empty()
                && diff_documents(&after, &after).is_empty()
        );
    }

    fn route(id: &str, weight: u32) -> Value {
        json!({ "id": id, "models": ["a", "b"], "targets": [{ "provider": "x", "weight": weight }, { "provider": "y" }] })
    }

    #[test]
    fn changed_weight_path_names_its_route() {
        assert_diff(
            json!({ "routes": [route("other", 1), route("chat", 90)] }),
            json!({ "routes": [route("other", 1), route("chat", 80)] }),
            &["  routes.chat.targets[0].weight: 90 → 80"],
        );
    }

    #[test]
    fn added_removed_and_moved_items_are_listed() {
        assert_diff(
            json!({ "routes": [route("a", 1), route("b", 1)], "cache": { "ttl": "1h" } }),
            json!({ "routes": [{ "id": "c" }, route("b", 1), route("a", 2)], "server": {} }),
            &[
                r#"- cache: {"ttl":"1h"}"#,
                "  routes.a.targets[0].weight: 1 → 2",
                r#"+ routes.c: {"id":"c"}"#,
                r#"  routes (order): ["a","b"] → ["b","a"]"#,
                "+ server: {}",
            ],
        );
    }

    #[test]
    fn lists_without_ids_are_compared_by_position() {
        assert_diff(json!({ "l": [1, 2] }), json!({ "l": [2] }), &["  l: [1,2] → [2]"]);
        assert_diff(json!({ "l": [] }), json!({ "l": ["x"] }), &[r#"  l: [] → ["x"]"#]);
        assert_diff(
            json!({ "l": [{ "a": 1 }, { "b": 1 }] }),
            json!({ "l": [{ "a": 2 }] }),
            &["  l[0].a: 1 → 2", r#"- l[1]: {"b":1}"#],
        );
        // A duplicate id identifies nothing.
        assert_diff(
            json!({ "l": [{ "id": "x" }, { "id": "x", "n": 1 }] }),
            json!({ "l": [{ "id": "x" }, { "id": "x", "n": 2 }] }),
            &["  l[1].n: 1 → 2"],
        );
        assert_diff(json!({ "l": [] }), json!({ "l": {} }), &["  l: [] → {}"]);
        assert_diff(json!({ "l": [{ "id": "x" }] }), json!({ "l": [] }), &[r#"- l.x: {"id":"x"}"#]);
    }
}

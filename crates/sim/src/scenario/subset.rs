//! Comparison of a JSON value with an expected part of it.

use serde_json::Value;

/// Appends one line for each path at which `actual` does not contain `expected`.
///
/// Objects may have further members, lists further items at their end. The string `*` matches every value
/// except `null`. Numbers are compared by value: `1` equals `1.0`.
pub(super) fn differences(path: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, value) in expected {
                differences(
                    &format!("{path}.{name}"),
                    value,
                    actual.get(name).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            for (index, value) in expected.iter().enumerate() {
                let actual = actual.get(index).unwrap_or(&Value::Null);
                differences(&format!("{path}[{index}]"), value, actual, found);
            }
        }
        (Value::String(any), actual) if any == "*" => {
            if actual.is_null() {
                found.push(format!("{path}: expected a value, found null"));
            }
        }
        (Value::Number(expected), Value::Number(actual))
            if expected.as_f64() == actual.as_f64() => {}
        _ if expected == actual => {}
        _ => found.push(format!("{path}: expected {expected}, found {actual}")),
    }
}

/// Returns the value at a dotted path such as `attempts.0.result`; `null` if the path does not exist.
pub(super) fn value_at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, step| match value {
        Value::Array(items) => {
            step.parse::<usize>().ok().and_then(|at| items.get(at)).unwrap_or(&Value::Null)
        }
        _ => value.get(step).unwrap_or(&Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{differences, value_at};

    #[track_caller]
    fn assert_differences(expected: Value, actual: Value, count: usize) {
        let mut found = Vec::new();
        differences("body", &expected, &actual, &mut found);
        assert_eq!(found.len(), count, "{found:?}");
    }

    #[test]
    fn differences_of_a_superset_are_empty_and_of_a_subset_are_listed() {
        assert_differences(json!({"a": {"b": 1}}), json!({"a": {"b": 1.0, "c": 2}, "d": 3}), 0);
        assert_differences(json!({"a": 1, "b": 2}), json!({"a": 2}), 2);
        assert_differences(json!([1, 2]), json!([1, 2, 3]), 0);
        assert_differences(json!([1, 2]), json!([2]), 2);
        assert_differences(json!({"a": "*", "b": "*"}), json!({"a": [], "b": null}), 1);
        assert_differences(json!("1"), json!(1), 1);
    }

    #[test]
    fn value_at_a_path_through_a_list_returns_the_member() {
        let value = json!({"attempts": [{"result": "429"}]});
        assert_eq!(value_at(&value, "attempts.0.result"), "429");
        assert_eq!(value_at(&value, "attempts.1.result"), &Value::Null);
    }
}

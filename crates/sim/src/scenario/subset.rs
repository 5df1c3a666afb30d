//! Whether one JSON value holds what another expects, and where it does not.

use serde_json::Value;

/// Adds a line for every place at which `actual` does not hold what `expected` says.
///
/// Objects and lists may have more than expected: objects anywhere, lists at their end. The string
/// `*` stands for anything but nothing, and numbers are compared by value (`1` is `1.0`).
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
                found.push(format!("{path}: expected something, found nothing"));
            }
        }
        (Value::Number(expected), Value::Number(actual))
            if expected.as_f64() == actual.as_f64() => {}
        _ if expected == actual => {}
        _ => found.push(format!("{path}: expected {expected}, found {actual}")),
    }
}

/// The value at a dotted path: `attempts.0.result`.
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
    fn more_is_fine_and_less_is_not() {
        assert_differences(json!({"a": {"b": 1}}), json!({"a": {"b": 1.0, "c": 2}, "d": 3}), 0);
        assert_differences(json!({"a": 1, "b": 2}), json!({"a": 2}), 2);
        assert_differences(json!([1, 2]), json!([1, 2, 3]), 0);
        assert_differences(json!([1, 2]), json!([2]), 2);
        assert_differences(json!({"a": "*", "b": "*"}), json!({"a": [], "b": null}), 1);
        assert_differences(json!("1"), json!(1), 1);
    }

    #[test]
    fn a_dotted_path_goes_through_lists() {
        let value = json!({"attempts": [{"result": "429"}]});
        assert_eq!(value_at(&value, "attempts.0.result"), "429");
        assert_eq!(value_at(&value, "attempts.1.result"), &Value::Null);
    }
}

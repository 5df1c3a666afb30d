//! Claims of a verified token. The crate gives them no meaning.

use std::fmt;

use civil_time::Timestamp;
use serde_json::{Map, Value};

use super::rules::{Rejection, Rules};

/// Claims of a token whose signature was verified.
///
/// `Debug` prints none of them: they are personal data.
#[derive(Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Returns the text at a path: the name of a claim, or names of nested objects joined by dots
    /// (`realm.team`). A name may contain dots (`https://example.com/team`). An array yields its
    /// first string. An empty text is `None`.
    pub fn get_text(&self, path: &str) -> Option<&str> {
        find_at_path(&self.0, path, &as_text).filter(|text| !text.is_empty())
    }

    /// Whether a path holds a value that is neither null nor empty, of any type.
    pub fn has(&self, path: &str) -> bool {
        find_at_path(&self.0, path, &as_non_empty).is_some()
    }

    /// Expiry of the token (`exp`).
    pub fn expires_at(&self) -> Timestamp {
        let millis = self.numeric_date("exp").ok().flatten().unwrap_or(0.0);
        Timestamp::from_millis(millis.max(0.0) as u64)
    }

    /// Checks the claims that [`Rules`] constrain.
    pub(super) fn check(&self, rules: &Rules<'_>, now: Timestamp) -> Result<(), Rejection> {
        if let Some(issuer) = rules.issuer
            && self.0.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(Rejection::Issuer);
        }
        self.check_audience(rules.audiences)?;

        // Floating point, as claims are: exact for every millisecond until the year 287396.
        let now = now.as_millis() as f64;
        let skew = rules.skew.as_millis() as f64;
        if self.numeric_date("nbf")?.is_some_and(|begin| now + skew < begin) {
            return Err(Rejection::NotYetValid);
        }
        let end = self.numeric_date("exp")?.ok_or(Rejection::Malformed)?;
        let last = rules.max_lifetime.map(|lifetime| now + lifetime.as_millis() as f64 + skew);
        match now < end + skew {
            false => Err(Rejection::Expired),
            true if last.is_some_and(|last| end > last) => Err(Rejection::Lifetime),
            true => Ok(()),
        }
    }

    /// `aud` is a string or an array of strings (RFC 7519, 4.1.3).
    fn check_audience(&self, accepted: &[String]) -> Result<(), Rejection> {
        let named = match self.0.get("aud") {
            None => &[],
            Some(Value::Array(audiences)) => audiences.as_slice(),
            Some(audience) => std::slice::from_ref(audience),
        };
        if !named.iter().all(Value::is_string) {
            return Err(Rejection::Malformed);
        }
        let is_accepted =
            |audience: &Value| accepted.iter().any(|accepted| *audience == **accepted);
        if accepted.is_empty() || named.iter().any(is_accepted) {
            Ok(())
        } else {
            Err(Rejection::Audience)
        }
    }

    /// Reads a NumericDate (RFC 7519, section 2): seconds with an optional fraction. Returns
    /// milliseconds.
    fn numeric_date(&self, name: &str) -> Result<Option<f64>, Rejection> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_f64().ok_or(Rejection::Malformed)?;
                Ok(Some(seconds * 1000.0))
            }
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(…)")
    }
}

/// Finds the value at a path. A name with dots goes before the nested name of the same spelling,
/// and a shorter first name before a longer one.
fn find_at_path<'a, T>(
    object: &'a Map<String, Value>,
    path: &str,
    read: &impl Fn(&'a Value) -> Option<T>,
) -> Option<T> {
    object.get(path).and_then(read).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| {
            let nested = object.get(&path[..dot])?.as_object()?;
            find_at_path(nested, &path[dot + 1..], read)
        })
    })
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) => items.iter().find_map(Value::as_str),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn as_non_empty(value: &Value) -> Option<()> {
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    (!is_empty).then_some(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Claims;

    #[track_caller]
    fn assert_text(claims: Value, path: &str, expected: Option<&str>) {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        assert_eq!(Claims::new(claims).get_text(path), expected);
    }

    #[test]
    fn path_to_claim_returns_text() {
        assert_text(json!({"sub": "anna"}), "sub", Some("anna"));
        assert_text(json!({"sub": "anna"}), "su", None);
        assert_text(json!({"realm": {"team": "red"}}), "realm.team", Some("red"));
        assert_text(json!({"realm": {"team": "red"}}), "realm", None);
        assert_text(json!({"realm": {"team": "red"}}), "realm.team.", None);
        assert_text(json!({"realm": "team"}), "realm.team", None);
        assert_text(json!({"a": {"b": {"c": "deep"}}}), "a.b.c", Some("deep"));
        assert_text(json!({}), "", None);
        assert_text(json!({}), "...", None);
    }

    #[test]
    fn claim_name_with_dots_goes_before_nested_name() {
        assert_text(
            json!({"https://example.com/team": "red"}),
            "https://example.com/team",
            Some("red"),
        );
        assert_text(
            json!({"https://example.com": {"team": "red"}}),
            "https://example.com.team",
            Some("red"),
        );
        assert_text(json!({"a.b": "name", "a": {"b": "nested"}}), "a.b", Some("name"));
        assert_text(json!({"a.b": 1, "a": {"b": "nested"}}), "a.b", Some("nested"));
    }

    #[test]
    fn array_returns_first_text() {
        assert_text(json!({"groups": ["red", "blue"]}), "groups", Some("red"));
        assert_text(json!({"groups": [7, "blue"]}), "groups", Some("blue"));
        assert_text(json!({"groups": []}), "groups", None);
        for (claims, expected) in [
            (json!({"team": 7}), true),
            (json!({"team": [7]}), true),
            (json!({"team": {"name": "red"}}), true),
            (json!({"team": "red"}), true),
            (json!({"team": []}), false),
            (json!({"team": null}), false),
            (json!({"other": 7}), false),
        ] {
            let Value::Object(claims) = claims else { panic!("claims are an object") };
            assert_eq!(Claims::new(claims.clone()).has("team"), expected, "{claims:?}");
        }
        assert_text(json!({"realm": {"roles": ["user"]}}), "realm.roles", Some("user"));
    }

    #[test]
    fn value_that_is_not_text_returns_none() {
        assert_text(json!({"sub": ""}), "sub", None);
        assert_text(json!({"sub": 7}), "sub", None);
        assert_text(json!({"sub": null}), "sub", None);
        assert_text(json!({"sub": true}), "sub", None);
    }

    #[test]
    fn claims_debug_hides_values() {
        assert_eq!(format!("{:?}", Claims::new(serde_json::Map::new())), "Claims(…)");
    }
}

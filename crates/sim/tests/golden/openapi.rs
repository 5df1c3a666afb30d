//! OpenAPI document of the admin API: paths, operations, parameters and schemas, without prose.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use sim::world::HangUp;

use crate::fixture::{self, DOCUMENT, request};
use crate::golden::assert_golden;

#[test]
fn openapi_without_prose_matches_golden() {
    let headers = [("authorization", "Bearer the-token-of-the-owner")];
    let request = request("GET", "/admin/v1/openapi.json", &headers, "");
    let received = fixture::host(DOCUMENT, &[]).play(request, HangUp::Never);
    let document: Value = serde_json::from_slice(&received.body()).expect("JSON");
    let mut lines = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let mut line = format!("{method} {path}");
            let _ = write!(line, " {}", operation["operationId"]);
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for parameter in parameters {
                let _ = write!(line, " {}:{}", parameter["in"], parameter["name"]);
            }
            let responses = operation["responses"].as_object().into_iter().flatten();
            let _ =
                write!(line, " → {:?}", responses.map(|(status, _)| status).collect::<Vec<_>>());
            lines.insert(line);
        }
    }
    walk("components", &document["components"], &mut lines);
    walk("paths", &document["paths"], &mut lines);
    let lines: Vec<String> = lines.into_iter().collect();
    assert_golden("admin/openapi.txt", &(lines.join("\n") + "\n"));
}

/// Lists the path and the value of every member, without descriptions and examples.
fn walk(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    const PROSE: [&str; 4] = ["description", "summary", "examples", "example"];
    match value {
        Value::Object(members) => {
            let is_map = path.ends_with("/properties");
            for (name, value) in members {
                if is_map || !PROSE.contains(&name.as_str()) {
                    walk(&format!("{path}/{name}"), value, lines);
                }
            }
        }
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(at, one)| walk(&format!("{path}/{at}"), one, lines));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.insert(format!("{path} = {value}"));
        }
    }
}

//! The admin plane: every endpoint, answered and refused, and what it leaves in the store.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use sim::world::Received;

use crate::golden::assert_golden;
use crate::stage::{self, DOCUMENT, STREAM, Tale, chat, part, question, request};

/// A key of somebody else's that is taken over.
const ADOPTED: &str = "sk-proj-0123456789abcdef";

fn tale() -> Tale {
    let local = part(&["answer = 'mind the words'\nprompt_tokens = 9\ncompletion_tokens = 3"]);
    let openai = part(&[
        "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 8\ncached_tokens = 4\nreasoning_tokens = 2",
        "status = 500",
    ]);
    let azure = part(&["answer = 'one two three'\nusage = false\ngap = '300ms'", "status = 500"]);
    Tale::new(stage::host(DOCUMENT, &[("local", local), ("openai", openai), ("azure", azure)]))
}

fn json(received: &Received) -> Value {
    serde_json::from_slice(&received.body()).expect("JSON")
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().expect("text").to_owned()
}

fn tag(received: &Received) -> String {
    let (_, headers) = received.head.as_ref().expect("a head");
    headers["etag"].to_str().expect("text").to_owned()
}

#[test]
fn consumers_and_keys() {
    let mut tale = tale();
    tale.administer("GET /admin/v1/consumers", &[], "");
    tale.administer("POST /admin/v1/consumers", &[], r#"{"id":"acme","group":"gold","routes":["chat","kept"],"params":{"temperature":{"max":1.0}}}"#);
    tale.administer("POST /admin/v1/consumers", &[], r#"{"id":"acme"}"#);
    tale.administer("POST /admin/v1/consumers", &[], r#"{"id":"a","routes":["nothing"]}"#);
    tale.administer("POST /admin/v1/consumers", &[], "{");
    tale.administer("GET /admin/v1/consumers/acme", &[], "");
    tale.administer("GET /admin/v1/consumers/app", &[], "");
    tale.administer("GET /admin/v1/consumers/nobody", &[], "");
    tale.administer("PATCH /admin/v1/consumers/acme", &[], r#"{"group":null,"routes":["chat"]}"#);
    tale.administer("PATCH /admin/v1/consumers/acme", &[], r#"{"id":"other"}"#);
    tale.administer("PATCH /admin/v1/consumers/app", &[], r#"{"group":"x"}"#);
    tale.administer("GET /admin/v1/consumers?limit=1", &[], "");
    let issued = tale.administer(
        "POST /admin/v1/consumers/acme/keys",
        &[],
        r#"{"note":"for the robot","expires_at":"2027-01-31T09:00:00Z"}"#,
    );
    let issued = json(&issued);
    tale.administer("POST /admin/v1/consumers/acme/keys", &[], "");
    let adopted = tale.administer(
        "POST /admin/v1/consumers/app/keys",
        &[],
        &format!(r#"{{"key":"{ADOPTED}"}}"#),
    );
    let adopted = json(&adopted);
    tale.administer("POST /admin/v1/consumers/app/keys", &[], &format!(r#"{{"key":"{ADOPTED}"}}"#));
    tale.administer("POST /admin/v1/consumers/acme/keys", &[], r#"{"expires_at":1}"#);
    tale.administer("POST /admin/v1/consumers/nobody/keys", &[], "{}");
    let path = format!("/admin/v1/consumers/acme/keys/{}", text(&issued, "id"));
    tale.administer(
        &format!("PATCH {path}"),
        &[],
        r#"{"note":"for another robot","expires_at":null}"#,
    );
    tale.administer(&format!("PATCH {path}"), &[], r#"{"note":"x","nothing":1}"#);
    tale.administer("PATCH /admin/v1/consumers/acme/keys/key_x", &[], "{}");
    tale.administer("GET /admin/v1/consumers/acme/keys", &[], "");
    tale.administer("GET /admin/v1/consumers/nobody/keys", &[], "");
    for key in [text(&issued, "key"), ADOPTED.to_owned()] {
        let headers = [("authorization", &*format!("Bearer {key}"))];
        let body = chat("gpt-4o", "Hello", "");
        tale.ask("a caller with the key", request("POST", "/v1/chat/completions", &headers, &body));
    }
    tale.text.push_str(&crate::show::part("store", &tale.host.entries()));
    tale.text.push_str(&crate::show::part("books", &tale.host.books("claim/")));
    let operations = tale.host.take_operations(|text| text.starts_with("claim/"));
    tale.text.push_str(&crate::show::part("operations", &operations));
    assert_golden("admin/consumers.txt", &std::mem::take(&mut tale.text));

    tale.administer(&format!("DELETE {path}"), &[], "");
    tale.administer(&format!("DELETE {path}"), &[], "");
    tale.administer(
        &format!("DELETE /admin/v1/consumers/app/keys/{}", text(&adopted, "id")),
        &[],
        "",
    );
    tale.administer("DELETE /admin/v1/consumers/acme", &[], "");
    tale.administer("DELETE /admin/v1/consumers/acme", &[], "");
    tale.administer("DELETE /admin/v1/consumers/app", &[], "");
    tale.administer("GET /admin/v1/audit?limit=3", &[], "");
    tale.administer("GET /admin/v1/audit?target=consumer/app", &[], "");
    tale.administer("GET /admin/v1/audit?limit=0", &[], "");
    tale.host.take_ledger_away(true);
    tale.administer("POST /admin/v1/consumers", &[], r#"{"id":"late"}"#);
    tale.host.take_ledger_away(false);
    tale.host.take_store_away(true);
    tale.administer("GET /admin/v1/consumers", &[], "");
    tale.text.push_str(&crate::show::part("store", &tale.host.entries()));
    assert_golden("admin/consumers_deleted.txt", &tale.text);
}

#[test]
fn operators_and_paths() {
    let mut tale = tale();
    let eve = ("authorization", "Bearer the-token-of-eve");
    for (headers, line) in [
        (vec![("authorization", "Basic x")], "GET /admin/v1/consumers"),
        (vec![("authorization", "Bearer wrong")], "GET /admin/v1/nothing"),
        (vec![eve], "GET /admin/v1/consumers/app"),
        (vec![eve], "POST /admin/v1/consumers"),
        (vec![eve], "PUT /admin/v1/config"),
        (vec![], "GET /admin/v1/nothing"),
        (vec![], "PUT /admin/v1/consumers"),
        (vec![], "GET /admin/v1/consumers/app/keys/key_1"),
        (vec![], "GET /admin/v1/consumers?x=1"),
        (vec![], "GET /admin/v1/openapi.json?x=1"),
        (vec![], "POST /metrics"),
    ] {
        tale.administer(line, &headers, "");
    }
    tale.administer("POST /admin/v1/consumers", &[("content-type", "text/plain")], "{}");
    tale.administer(
        "POST /admin/v1/consumers",
        &[],
        &format!("{{\"id\":\"{}\"}}", "x".repeat(70_000)),
    );
    assert_golden("admin/operators.txt", &tale.text);
}

#[test]
fn configurations() {
    let mut tale = tale();
    let before = tale.administer("GET /admin/v1/config", &[], "");
    let old = String::from_utf8(before.body().to_vec()).expect("text");
    let new = old.replacen("\"gpt-4o\"", "\"gpt-5\"", 1);
    assert_ne!(old, new);
    let tag_before = tag(&before);
    tale.text = tale.text.replacen(&old, "(document)", 1);
    tale.administer("GET /admin/v1/config?x=1", &[], "");
    let path = "PUT /admin/v1/config";
    tale.administer(path, &[], &new);
    tale.administer(path, &[("if-match", "\"7-0000000000000000\"")], &new);
    tale.administer("PUT /admin/v1/config?dry_run=true", &[], &new);
    tale.administer("PUT /admin/v1/config?dry_run=x", &[], &new);
    tale.administer(path, &[("if-match", &tag_before)], "{\"routes\":[]}");
    tale.administer(path, &[("if-match", &tag_before)], "{\"routes\":[{\"id\":\"a\",\"models\":[],\"targets\":[{\"provider\":\"x\"}]}],\"nothing\":1}");
    tale.administer(path, &[("if-match", &tag_before)], "{\"routes\":[{\"id\":\"a\",\"models\":[],\"targets\":[{\"provider\":\"x\"}]}],\"guards\":[{\"id\":\"g\",\"kind\":\"words\"}]}");
    tale.administer(path, &[("if-match", &tag_before)], "[]");
    let done = tale.administer(path, &[("if-match", &tag_before)], &new);
    tale.administer(path, &[("if-match", &tag_before)], &old);
    tale.administer(path, &[("if-match", &tag(&done))], &new);
    tale.administer("GET /admin/v1/config/versions", &[], "");
    tale.administer("POST /admin/v1/config/versions/0/restore", &[("if-match", &tag(&done))], "");
    tale.administer("POST /admin/v1/config/versions/9/restore", &[("if-match", "*")], "");
    tale.administer("POST /admin/v1/config/versions/1/restore", &[], "");
    tale.administer("GET /admin/v1/config/versions?limit=1", &[], "");
    tale.administer("GET /admin/v1/config/versions?cursor=x", &[], "");
    tale.administer("GET /admin/v1/config/versions/9", &[], "");
    tale.administer("GET /admin/v1/config/versions/1", &[], "");
    tale.text.push_str(&crate::show::part("store", &tale.host.entries()));
    tale.text.push_str(&crate::show::part("books", &tale.host.books("config")));
    let operations = tale.host.take_operations(|text| text.starts_with("config"));
    tale.text.push_str(&crate::show::part("operations", &operations));
    assert_golden("admin/config.txt", &tale.text);
}

#[test]
fn limits() {
    let mut tale = tale();
    tale.administer("GET /admin/v1/limits/rate/app", &[], "");
    tale.ask(
        "a request",
        request(
            "POST",
            "/v1/chat/completions",
            &[("authorization", "Bearer app-key"), ("x-team", "a/b")],
            &chat("metered", "Hello", r#","max_tokens":10"#),
        ),
    );
    tale.host.take_lines();
    tale.administer("GET /admin/v1/limits/rate/app", &[], "");
    tale.administer("GET /admin/v1/limits/daily/gold", &[], "");
    tale.administer("GET /admin/v1/limits/everybody/_", &[], "");
    tale.administer("GET /admin/v1/limits/prepaid/a%2Fb", &[], "");
    tale.administer("GET /admin/v1/limits/nothing/app", &[], "");
    tale.administer("GET /admin/v1/limits/everybody/app", &[], "");
    tale.administer("POST /admin/v1/limits/prepaid/a%2Fb/adjust", &[], r#"{"left":2.5}"#);
    tale.administer(
        "POST /admin/v1/limits/rate/app/adjust",
        &[],
        r#"{"measure":"tokens","by":-100}"#,
    );
    tale.administer("POST /admin/v1/limits/rate/app/adjust", &[], r#"{"by":1}"#);
    tale.administer("POST /admin/v1/limits/rate/app/adjust", &[], r#"{"measure":"tokens"}"#);
    tale.administer(
        "POST /admin/v1/limits/rate/app/adjust",
        &[],
        r#"{"measure":"tokens","by":1,"left":1}"#,
    );
    tale.administer("POST /admin/v1/limits/nothing/app/adjust", &[], r#"{"by":1}"#);
    tale.host.take_ledger_away(true);
    tale.administer("GET /admin/v1/limits/rate/app", &[], "");
    tale.administer("POST /admin/v1/limits/rate/app/adjust", &[], r#"{"measure":"tokens","by":5}"#);
    tale.text.push_str(&crate::show::part("store", &tale.host.entries()));
    assert_golden("admin/limits.txt", &tale.text);
}

#[test]
fn usage_and_metrics() {
    let mut tale = tale();
    for (title, request) in [
        ("an answer", question("gpt-4o", "Hello", "")),
        ("a fallback", question("gpt-4o", "Hello", "")),
        ("a miss", question("kept", "Hello", "")),
        ("a hit", question("kept", "Hello", "")),
        ("a stream", question("talk", "Hello", STREAM)),
        ("a stream without usage", question("azure-gpt", "Hello", r#","stream":true"#)),
        ("a failure", question("azure-gpt", "Hello", "")),
        ("blocked", question("guarded", "a forbidden phrase", "")),
        ("masked", question("guarded", "I am ann@example.com", "")),
        ("limited", question("metered", "Hello", r#","max_tokens":9999"#)),
        ("refused", question("nothing", "Hello", "")),
        ("a stranger", request("POST", "/v1/chat/completions", &[], "{}")),
        ("the models", request("GET", "/v1/models", &[("authorization", "Bearer app-key")], "")),
    ] {
        tale.ask(title, request);
    }
    let operations = tale
        .host
        .take_operations(|text| text.starts_with("usage/") || text.starts_with("metrics/"));
    assert_golden("observe/tallies.txt", &operations);
    let books = tale.host.books("usage/") + &tale.host.books("metrics/");
    assert_golden("observe/books.txt", &books);
    tale.text.clear();
    tale.administer("GET /metrics", &[], "");
    let metrics = mask_help(&std::mem::take(&mut tale.text));
    assert_golden("observe/metrics.txt", &metrics);
    tale.administer("GET /admin/v1/usage", &[], "");
    for step in ["minute", "hour", "day", "total"] {
        tale.administer(
            &format!("GET /admin/v1/usage?step={step}&by=consumer,group,model,provider,route"),
            &[],
            "",
        );
    }
    tale.administer(
        "GET /admin/v1/usage?step=hour&by=route&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z",
        &[],
        "",
    );
    tale.administer("GET /admin/v1/usage?step=week", &[], "");
    tale.administer("GET /admin/v1/usage?by=nothing", &[], "");
    tale.host.take_ledger_away(true);
    tale.administer("GET /admin/v1/usage", &[], "");
    tale.administer("GET /metrics", &[], "");
    assert_golden("admin/usage.txt", &tale.text);
}

/// The sentences of a scrape are for people; names, types, labels and values are not.
fn mask_help(text: &str) -> String {
    let mask = |line: &str| match line.strip_prefix("| # HELP ") {
        Some(rest) => {
            let name = rest.split(' ').next().unwrap_or_default();
            format!("| # HELP {name} <text>\n")
        }
        None => format!("{line}\n"),
    };
    text.lines().map(mask).collect()
}

#[test]
fn what_is_kept() {
    let mut tale = tale();
    let session = |name| [("authorization", "Bearer app-key"), ("x-session-id", name)];
    for (model, more) in [("kept", ""), ("kept", STREAM)] {
        tale.ask("a kept answer", question(model, "Hello", more));
        tale.ask("another kept answer", question(model, "Hello again", more));
    }
    tale.ask(
        "kept embeddings",
        request(
            "POST",
            "/v1/embeddings",
            &[("authorization", "Bearer app-key")],
            r#"{"model":"kept","input":"a"}"#,
        ),
    );
    for content in ["One?", "Two \\\"quoted\\\"?", "Three?"] {
        tale.ask(
            "a turn",
            request("POST", "/v1/chat/completions", &session("s-1"), &chat("talk", content, "")),
        );
    }
    tale.ask(
        "a turn of another",
        request("POST", "/v1/chat/completions", &session("s-2"), &chat("talk", "Four?", STREAM)),
    );
    tale.ask("blocked", question("guarded", "a forbidden phrase", ""));
    tale.ask("masked", question("guarded", "I am ann@example.com", ""));
    tale.ask("a guard that fails", question("moderated", "Hello", ""));
    tale.text.clear();
    assert_golden("store/kept.txt", &tale.host.entries());

    tale.administer("GET /admin/v1/words/terms", &[], "");
    tale.administer("PUT /admin/v1/words/terms", &[], r#"{"words":["mind the","Größe","违禁词"]}"#);
    tale.administer("PUT /admin/v1/words/terms", &[], r#"{"words":["a\nb"]}"#);
    tale.administer("PUT /admin/v1/words/Terms", &[], r#"{"words":[]}"#);
    tale.administer("GET /admin/v1/words/terms", &[], "");
    tale.host.wait(Duration::from_secs(61));
    tale.ask("blocked by the list", question("listed", "mind the gap", ""));
    tale.administer("GET /admin/v1/history/app", &[], "");
    tale.administer("GET /admin/v1/history/app/s-1", &[], "");
    tale.administer("GET /admin/v1/history/app/s-9", &[], "");
    tale.administer("GET /admin/v1/verdicts", &[], "");
    tale.administer("GET /admin/v1/verdicts?guard=terms&limit=1", &[], "");
    tale.administer("GET /admin/v1/verdicts", &[("authorization", "Bearer the-token-of-eve")], "");
    tale.administer("GET /admin/v1/verdicts?from=x", &[], "");
    tale.administer("DELETE /admin/v1/cache", &[], "");
    tale.administer("DELETE /admin/v1/cache?route=kept&consumer=app", &[], "");
    tale.administer("DELETE /admin/v1/cache?all=true", &[], "");
    tale.administer("GET /admin/v1/history/app?limit=0", &[], "");
    tale.administer("DELETE /admin/v1/history/app?x=1", &[], "");
    tale.administer("DELETE /admin/v1/history/app/s-1?x=1", &[], "");
    tale.administer("DELETE /admin/v1/history/app/s-1", &[], "");
    tale.administer("DELETE /admin/v1/history/app", &[], "");
    tale.administer("DELETE /admin/v1/words/terms", &[], "");
    tale.administer("DELETE /admin/v1/words/terms", &[], "");
    tale.text.push_str(&crate::show::part("store", &tale.host.entries()));
    assert_golden("admin/kept.txt", &tale.text);
}

#[test]
fn the_description_names_what_it_named() {
    let mut tale = tale();
    let document = json(&tale.administer("GET /admin/v1/openapi.json", &[], ""));
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

/// Every member's path with what a program reads of it: no descriptions, no examples.
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

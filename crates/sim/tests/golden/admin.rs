//! Admin API: every endpoint with a success and a refusal, and the entries that it stores.

use std::time::Duration;

use serde_json::Value;
use sim::world::Received;

use crate::fixture::{self, DOCUMENT, STREAM, Session, chat, question, request, upstream};
use crate::golden::assert_golden;

/// Key of another system, for adoption.
const ADOPTED: &str = "sk-proj-0123456789abcdef";

fn session() -> Session {
    let local = upstream(&["answer = 'mind the words'\nprompt_tokens = 9\ncompletion_tokens = 3"]);
    let openai = upstream(&[
        "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 8\ncached_tokens = 4\nreasoning_tokens = 2",
        "status = 500",
    ]);
    let azure =
        upstream(&["answer = 'one two three'\nusage = false\ngap = '300ms'", "status = 500"]);
    Session::new(fixture::host(DOCUMENT, &[("local", local), ("openai", openai), ("azure", azure)]))
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
fn consumers_and_keys_match_golden() {
    let mut session = session();
    session.send_admin("GET /admin/v1/consumers", &[], "");
    session.send_admin("POST /admin/v1/consumers", &[], r#"{"id":"acme","group":"gold","routes":["chat","kept"],"params":{"temperature":{"max":1.0}}}"#);
    session.send_admin("POST /admin/v1/consumers", &[], r#"{"id":"acme"}"#);
    session.send_admin("POST /admin/v1/consumers", &[], r#"{"id":"a","routes":["nothing"]}"#);
    session.send_admin("POST /admin/v1/consumers", &[], "{");
    session.send_admin("GET /admin/v1/consumers/acme", &[], "");
    session.send_admin("GET /admin/v1/consumers/app", &[], "");
    session.send_admin("GET /admin/v1/consumers/nobody", &[], "");
    session.send_admin(
        "PATCH /admin/v1/consumers/acme",
        &[],
        r#"{"group":null,"routes":["chat"]}"#,
    );
    session.send_admin("PATCH /admin/v1/consumers/acme", &[], r#"{"id":"other"}"#);
    session.send_admin("PATCH /admin/v1/consumers/app", &[], r#"{"group":"x"}"#);
    session.send_admin("GET /admin/v1/consumers?limit=1", &[], "");
    let issued = session.send_admin(
        "POST /admin/v1/consumers/acme/keys",
        &[],
        r#"{"note":"for the robot","expires_at":"2027-01-31T09:00:00Z"}"#,
    );
    let issued = json(&issued);
    session.send_admin("POST /admin/v1/consumers/acme/keys", &[], "");
    let adopted = session.send_admin(
        "POST /admin/v1/consumers/app/keys",
        &[],
        &format!(r#"{{"key":"{ADOPTED}"}}"#),
    );
    let adopted = json(&adopted);
    session.send_admin(
        "POST /admin/v1/consumers/app/keys",
        &[],
        &format!(r#"{{"key":"{ADOPTED}"}}"#),
    );
    session.send_admin("POST /admin/v1/consumers/acme/keys", &[], r#"{"expires_at":1}"#);
    session.send_admin("POST /admin/v1/consumers/nobody/keys", &[], "{}");
    let path = format!("/admin/v1/consumers/acme/keys/{}", text(&issued, "id"));
    session.send_admin(
        &format!("PATCH {path}"),
        &[],
        r#"{"note":"for another robot","expires_at":null}"#,
    );
    session.send_admin(&format!("PATCH {path}"), &[], r#"{"note":"x","nothing":1}"#);
    session.send_admin("PATCH /admin/v1/consumers/acme/keys/key_x", &[], "{}");
    session.send_admin("GET /admin/v1/consumers/acme/keys", &[], "");
    session.send_admin("GET /admin/v1/consumers/nobody/keys", &[], "");
    for key in [text(&issued, "key"), ADOPTED.to_owned()] {
        let headers = [("authorization", &*format!("Bearer {key}"))];
        let body = chat("gpt-4o", "Hello", "");
        session.send(
            "a caller with the key",
            request("POST", "/v1/chat/completions", &headers, &body),
        );
    }
    session.text.push_str(&crate::show::part("store", &session.host.entries()));
    session.text.push_str(&crate::show::part("books", &session.host.books("claim/")));
    let operations = session.host.take_operations(|text| text.starts_with("claim/"));
    session.text.push_str(&crate::show::part("operations", &operations));
    assert_golden("admin/consumers.txt", &std::mem::take(&mut session.text));

    session.send_admin(&format!("DELETE {path}"), &[], "");
    session.send_admin(&format!("DELETE {path}"), &[], "");
    session.send_admin(
        &format!("DELETE /admin/v1/consumers/app/keys/{}", text(&adopted, "id")),
        &[],
        "",
    );
    session.send_admin("DELETE /admin/v1/consumers/acme", &[], "");
    session.send_admin("DELETE /admin/v1/consumers/acme", &[], "");
    session.send_admin("DELETE /admin/v1/consumers/app", &[], "");
    session.send_admin("GET /admin/v1/audit?limit=3", &[], "");
    session.send_admin("GET /admin/v1/audit?target=consumer/app", &[], "");
    session.send_admin("GET /admin/v1/audit?limit=0", &[], "");
    session.host.set_ledger_available(false);
    session.send_admin("POST /admin/v1/consumers", &[], r#"{"id":"late"}"#);
    session.host.set_ledger_available(true);
    session.host.set_store_available(false);
    session.send_admin("GET /admin/v1/consumers", &[], "");
    session.text.push_str(&crate::show::part("store", &session.host.entries()));
    assert_golden("admin/consumers_deleted.txt", &session.text);
}

#[test]
fn operators_and_unknown_paths_match_golden() {
    let mut session = session();
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
        session.send_admin(line, &headers, "");
    }
    session.send_admin("POST /admin/v1/consumers", &[("content-type", "text/plain")], "{}");
    session.send_admin(
        "POST /admin/v1/consumers",
        &[],
        &format!("{{\"id\":\"{}\"}}", "x".repeat(70_000)),
    );
    assert_golden("admin/operators.txt", &session.text);
}

#[test]
fn configuration_versions_match_golden() {
    let mut session = session();
    let before = session.send_admin("GET /admin/v1/config?status=true", &[], "");
    let answer = String::from_utf8(before.body().to_vec()).expect("text");
    // The document stands in the answer as it was deployed.
    let (_, old) = answer.split_once(",\"document\":").expect("a document");
    let old = old.strip_suffix('}').expect("the answer ends").to_owned();
    let new = old.replacen("\"gpt-4o\"", "\"gpt-5\"", 1);
    assert_ne!(old, new);
    let tag_before = tag(&before);
    session.text = session.text.replacen(&old, "(document)", 1);
    session.send_admin("GET /admin/v1/config?x=1", &[], "");
    let path = "PUT /admin/v1/config";
    session.send_admin(path, &[], &new);
    session.send_admin(path, &[("if-match", "\"7-0000000000000000\"")], &new);
    session.send_admin("PUT /admin/v1/config?dry_run=true", &[], &new);
    session.send_admin("PUT /admin/v1/config?dry_run=x", &[], &new);
    session.send_admin(path, &[("if-match", &tag_before)], "{\"routes\":[]}");
    session.send_admin(path, &[("if-match", &tag_before)], "{\"routes\":[{\"id\":\"a\",\"models\":[],\"targets\":[{\"provider\":\"x\"}]}],\"nothing\":1}");
    session.send_admin(path, &[("if-match", &tag_before)], "{\"routes\":[{\"id\":\"a\",\"models\":[],\"targets\":[{\"provider\":\"x\"}]}],\"guards\":[{\"id\":\"g\",\"kind\":\"words\"}]}");
    session.send_admin(path, &[("if-match", &tag_before)], "[]");
    let done = session.send_admin(path, &[("if-match", &tag_before)], &new);
    session.send_admin(path, &[("if-match", &tag_before)], &old);
    session.send_admin(path, &[("if-match", &tag(&done))], &new);
    session.host.set_settings_available(false);
    session.send_admin("PUT /admin/v1/config?dry_run=true", &[], "{\"routes\":[{}]}");
    session.host.set_settings_available(true);
    session.send_admin("GET /admin/v1/config/versions", &[], "");
    session.send_admin(
        "POST /admin/v1/config/versions/0/restore",
        &[("if-match", &tag(&done))],
        "",
    );
    session.send_admin("POST /admin/v1/config/versions/9/restore", &[("if-match", "*")], "");
    session.send_admin("POST /admin/v1/config/versions/1/restore", &[], "");
    session.send_admin("GET /admin/v1/config/versions?limit=1", &[], "");
    session.send_admin("GET /admin/v1/config/versions?cursor=x", &[], "");
    session.send_admin("GET /admin/v1/config/versions/9", &[], "");
    session.send_admin("GET /admin/v1/config/versions/1", &[], "");
    session.text.push_str(&crate::show::part("store", &session.host.entries()));
    session.text.push_str(&crate::show::part("books", &session.host.books("config")));
    let operations = session.host.take_operations(|text| text.starts_with("config"));
    session.text.push_str(&crate::show::part("operations", &operations));
    assert_golden("admin/config.txt", &session.text);
}

#[test]
fn limits_match_golden() {
    let mut session = session();
    session.send_admin("GET /admin/v1/limits/rate/app", &[], "");
    session.send(
        "a request",
        request(
            "POST",
            "/v1/chat/completions",
            &[("authorization", "Bearer app-key"), ("x-team", "a/b")],
            &chat("metered", "Hello", r#","max_tokens":10"#),
        ),
    );
    session.host.take_lines();
    session.send_admin("GET /admin/v1/limits/rate/app", &[], "");
    session.send_admin("GET /admin/v1/limits/daily/gold", &[], "");
    session.send_admin("GET /admin/v1/limits/everybody/_", &[], "");
    session.send_admin("GET /admin/v1/limits/prepaid/a%2Fb", &[], "");
    session.send_admin("GET /admin/v1/limits/nothing/app", &[], "");
    session.send_admin("GET /admin/v1/limits/everybody/app", &[], "");
    session.send_admin("GET /admin/v1/limits/rate/guest", &[], "");
    session.send_admin("POST /admin/v1/limits/prepaid/a%2Fb/adjust", &[], r#"{"left":2.5}"#);
    session.send_admin(
        "POST /admin/v1/limits/rate/app/adjust",
        &[],
        r#"{"measure":"tokens","by":-100}"#,
    );
    session.send_admin("POST /admin/v1/limits/rate/app/adjust", &[], r#"{"by":1}"#);
    session.send_admin("POST /admin/v1/limits/rate/app/adjust", &[], r#"{"measure":"tokens"}"#);
    session.send_admin(
        "POST /admin/v1/limits/rate/app/adjust",
        &[],
        r#"{"measure":"tokens","by":1,"left":1}"#,
    );
    session.send_admin("POST /admin/v1/limits/nothing/app/adjust", &[], r#"{"by":1}"#);
    session.host.set_ledger_available(false);
    session.send_admin("GET /admin/v1/limits/rate/app", &[], "");
    session.send_admin(
        "POST /admin/v1/limits/rate/app/adjust",
        &[],
        r#"{"measure":"tokens","by":5}"#,
    );
    session.text.push_str(&crate::show::part("store", &session.host.entries()));
    assert_golden("admin/limits.txt", &session.text);
}

#[test]
fn usage_and_metrics_match_golden() {
    let mut session = session();
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
        session.send(title, request);
    }
    let operations = session
        .host
        .take_operations(|text| text.starts_with("usage/") || text.starts_with("metrics/"));
    assert_golden("observe/tallies.txt", &operations);
    let books = session.host.books("usage/") + &session.host.books("metrics/");
    assert_golden("observe/books.txt", &books);
    session.text.clear();
    session.send_admin("GET /metrics", &[], "");
    let metrics = mask_help(&std::mem::take(&mut session.text));
    assert_golden("observe/metrics.txt", &metrics);
    session.send_admin("GET /admin/v1/usage", &[], "");
    for step in ["minute", "hour", "day", "total"] {
        session.send_admin(
            &format!("GET /admin/v1/usage?step={step}&by=consumer,group,model,provider,route"),
            &[],
            "",
        );
    }
    session.send_admin(
        "GET /admin/v1/usage?step=hour&by=route&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z",
        &[],
        "",
    );
    session.send_admin("GET /admin/v1/usage?step=week", &[], "");
    session.send_admin("GET /admin/v1/usage?by=nothing", &[], "");
    session.host.set_ledger_available(false);
    session.send_admin("GET /admin/v1/usage", &[], "");
    session.send_admin("GET /metrics", &[], "");
    assert_golden("admin/usage.txt", &session.text);
}

/// Masks the help texts of a scrape. Names, types, labels and values stay.
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
fn cache_history_verdicts_and_words_match_golden() {
    let mut session = session();
    let headers = |name| [("authorization", "Bearer app-key"), ("x-session-id", name)];
    for (model, more) in [("kept", ""), ("kept", STREAM)] {
        session.send("a kept answer", question(model, "Hello", more));
        session.send("another kept answer", question(model, "Hello again", more));
    }
    session.send(
        "kept embeddings",
        request(
            "POST",
            "/v1/embeddings",
            &[("authorization", "Bearer app-key")],
            r#"{"model":"kept","input":"a"}"#,
        ),
    );
    for content in ["One?", "Two \\\"quoted\\\"?", "Three?"] {
        session.send(
            "a turn",
            request("POST", "/v1/chat/completions", &headers("s-1"), &chat("talk", content, "")),
        );
    }
    session.send(
        "a turn of another",
        request("POST", "/v1/chat/completions", &headers("s-2"), &chat("talk", "Four?", STREAM)),
    );
    session.send("blocked", question("guarded", "a forbidden phrase", ""));
    session.send("masked", question("guarded", "I am ann@example.com", ""));
    session.send("a guard that fails", question("moderated", "Hello", ""));
    session.text.clear();
    assert_golden("store/kept.txt", &session.host.entries());

    session.send_admin("GET /admin/v1/words/terms", &[], "");
    session.send_admin(
        "PUT /admin/v1/words/terms",
        &[],
        r#"{"words":["mind the","Größe","违禁词"]}"#,
    );
    session.send_admin("PUT /admin/v1/words/terms", &[], r#"{"words":["a\nb"]}"#);
    session.send_admin("PUT /admin/v1/words/Terms", &[], r#"{"words":[]}"#);
    session.send_admin("GET /admin/v1/words/terms", &[], "");
    session.host.wait(Duration::from_secs(61));
    session.send("blocked by the list", question("listed", "mind the gap", ""));
    session.send_admin("GET /admin/v1/history/app", &[], "");
    session.send_admin("GET /admin/v1/history/app/s-1", &[], "");
    session.send_admin("GET /admin/v1/history/app/s-9", &[], "");
    session.send_admin("GET /admin/v1/verdicts", &[], "");
    session.send_admin("GET /admin/v1/verdicts?guard=terms&limit=1", &[], "");
    session.send_admin(
        "GET /admin/v1/verdicts",
        &[("authorization", "Bearer the-token-of-eve")],
        "",
    );
    session.send_admin("GET /admin/v1/verdicts?from=x", &[], "");
    session.send_admin("DELETE /admin/v1/cache", &[], "");
    session.send_admin("DELETE /admin/v1/cache?route=kept&consumer=app", &[], "");
    session.send_admin("DELETE /admin/v1/cache?all=true", &[], "");
    session.send_admin("GET /admin/v1/history/app?limit=0", &[], "");
    session.send_admin("DELETE /admin/v1/history/app?x=1", &[], "");
    session.send_admin("DELETE /admin/v1/history/app/s-1?x=1", &[], "");
    session.send_admin("DELETE /admin/v1/history/app/s-1", &[], "");
    session.send_admin("DELETE /admin/v1/history/app", &[], "");
    session.send_admin("DELETE /admin/v1/words/terms", &[], "");
    session.send_admin("DELETE /admin/v1/words/terms", &[], "");
    session.text.push_str(&crate::show::part("store", &session.host.entries()));
    assert_golden("admin/kept.txt", &session.text);
}

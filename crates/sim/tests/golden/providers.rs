//! Upstream requests of each provider and guard kind, and the fields of the configuration.

use std::fmt::Write as _;

use config::author;
use serde_json::Value;

use crate::fixture::{self, STREAM, Session, chat, question, request, upstream};
use crate::golden::assert_golden;
use crate::show;

/// Provider kinds with a built-in address.
fn built_in() -> impl Iterator<Item = &'static str> {
    let addressed = ["azure", "vllm", "openai-compatible"];
    author::provider_kinds().filter(move |kind| !addressed.contains(kind))
}

/// Provider kinds without a built-in address; Azure in both of its forms.
const ADDRESSED: &str = r#"
[[providers]]
id = "azure"
base_url = "UPSTREAM/azure"
keys = ["secret:AZURE_KEY"]
[[providers]]
id = "versioned"
kind = "azure"
base_url = "UPSTREAM/azure"
api_version = "2024-10-21"
keys = ["secret:AZURE_KEY"]
[[providers]]
id = "vllm"
base_url = "UPSTREAM/vllm/v1"
[[providers]]
id = "own"
kind = "openai-compatible"
base_url = "UPSTREAM/own/v1"
stream_usage = false
[[consumers]]
id = "app"
keys = ["secret:APP_KEY"]
[[limits]]
id = "cap"
by = "consumer"
tokens = { per = "total", max = 100000 }
hard = true
default_output = 64
"#;

#[test]
fn requests_to_each_provider_kind_match_golden() {
    let mut document = ADDRESSED.to_owned();
    for kind in built_in() {
        let account = if kind == "cloudflare" { "account = \"acct\"\n" } else { "" };
        let keys = if kind == "ollama" { "" } else { "keys = [\"secret:OPENAI_A\"]\n" };
        let _ = write!(document, "[[providers]]\nid = \"{kind}\"\n{keys}{account}");
    }
    let addressed = ["azure", "versioned", "vllm", "own"];
    for id in built_in().chain(addressed) {
        let _ = write!(
            document,
            "[[routes]]\nid = \"to-{id}\"\nmodels = [\"{id}\"]\ntargets = [{{ provider = \"{id}\", \
             model = \"a model\" }}]\nretries = {{ attempts = 0 }}\nhealth = {{ failures = 100 }}\n"
        );
    }
    let host = fixture::host(&document, &[]);
    let key = [("authorization", "Bearer app-key")];
    let mut text = String::new();
    for id in built_in().chain(addressed) {
        let completion = format!(r#"{{"model":"{id}","prompt":"a"}}"#);
        let embeddings = format!(r#"{{"model":"{id}","input":"a"}}"#);
        for (title, request) in [
            ("chat", question(id, "Hello", "")),
            ("chat, streamed", question(id, "Hello", r#","stream":true"#)),
            ("completions", request("POST", "/v1/completions", &key, &completion)),
            ("embeddings", request("POST", "/v1/embeddings", &key, &embeddings)),
        ] {
            host.play(request, sim::world::HangUp::Never);
            let calls = host.take_calls();
            let calls = if calls.is_empty() { "(no call)\n".to_owned() } else { calls };
            text.push_str(&show::part(&format!("{id}: {title}"), &calls));
        }
    }
    assert_golden("upstream/providers.txt", &text);
}

const GUARDS: &str = r#"
[[providers]]
id = "own"
kind = "openai-compatible"
base_url = "UPSTREAM/own/v1"
[[providers]]
id = "judge"
kind = "openai-compatible"
base_url = "UPSTREAM/judge/v1"
[[routes]]
id = "judged"
models = ["judged"]
targets = [{ provider = "own" }]
[[routes]]
id = "hashed"
models = ["hashed"]
targets = [{ provider = "own" }]
[[routes]]
id = "restored"
models = ["restored"]
targets = [{ provider = "own" }]
[[routes]]
id = "refused"
models = ["refused"]
targets = [{ provider = "own" }]
[[consumers]]
id = "app"
keys = ["secret:APP_KEY"]
[[routes]]
id = "green"
models = ["green"]
targets = [{ provider = "own" }]
[[guards]]
id = "green"
kind = "aliyun"
routes = ["green"]
region = "cn-shanghai"
access_key_id = "secret:OPENAI_A"
access_key = "secret:OPENAI_B"
security_token = "secret:AZURE_KEY"
action = "MultiModalGuard"
services = { image = "img_query_security_check" }
[[guards]]
id = "qwen"
kind = "llm"
routes = ["judged"]
provider = "judge"
model = "qwen3guard"
format = "qwen3guard"
look_at = "all"
[[guards]]
id = "hashes"
kind = "pii"
routes = ["hashed"]
action = "hash"
custom = [{ name = "ticket", pattern = "T-[0-9]{4}" }]
[[guards]]
id = "restores"
kind = "pii"
routes = ["restored"]
action = "replace"
restore = true
custom = [{ name = "ticket", pattern = "T-[0-9]{4}", replace = "(a ticket)" }]
[[guards]]
id = "refuses"
kind = "pii"
routes = ["refused"]
action = "refuse"
detect = ["cn_id", "card"]
on_block = { message = "No.", format = "structured", status = 403 }
"#;

#[test]
fn judges_and_masks_match_golden() {
    let own = upstream(&["answer = 'mail [EMAIL_1] or [PHONE_1]'"]);
    let judge = upstream(&[
        "answer = \"Safety: Safe\\nCategories: None\"",
        "answer = \"Safety: Safe\\nCategories: None\"",
        "answer = \"Safety: Unsafe\\nCategories: Violent, PII\"",
    ]);
    let mut session = Session::new(fixture::host(GUARDS, &[("own", own), ("judge", judge)]));
    const PRIVATE: &str =
        "ann@example.com, 13800138000, 10.1.2.3, T-1234, sk-proj-abcdefghijklmnopqrstuvwxyz012345";
    session.send("a judge", question("judged", "Hello", ""));
    session.send("a judge that blocks", question("judged", "Hello", ""));
    let image = r#"[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]"#;
    let body = chat("green", "", "").replace("\"\"", image);
    let key = [("authorization", "Bearer app-key")];
    session.send("a temporary key", request("POST", "/v1/chat/completions", &key, &body));
    session.send("hashes", question("hashed", PRIVATE, ""));
    session.send("places, restored", question("restored", PRIVATE, ""));
    session.send("places, restored in a stream", question("restored", PRIVATE, STREAM));
    session.send("a card", question("refused", "4111 1111 1111 1111", ""));
    session.send("an identity card", question("refused", "11010519491231002X", ""));
    session.text.push_str(&show::part("store", &session.host.entries()));
    assert_golden("upstream/guards.txt", &session.text);
}

#[test]
fn configuration_fields_match_golden() {
    let schema: Value = serde_json::from_str(&author::schema()).expect("JSON");
    let mut text = String::new();
    fields("", &schema, &schema, &mut text);
    assert_golden("configuration.txt", &text);
}

/// Lists the path and the constraints of every field, without the names of Rust types.
fn fields(path: &str, schema: &Value, root: &Value, text: &mut String) {
    let schema = match schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(path) => root.pointer(path).expect("it is defined"),
        None => schema,
    };
    let mut rules = String::new();
    for name in ["type", "enum", "pattern", "minimum", "maximum", "default", "required"] {
        if !schema[name].is_null() {
            let _ = write!(rules, " {name}={}", schema[name]);
        }
    }
    if !rules.is_empty() {
        let _ = writeln!(text, "{path}:{rules}");
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        fields(&format!("{path}.{name}"), field, root, text);
    }
    for (name, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[name].is_object() {
            fields(&format!("{path}{mark}"), &schema[name], root, text);
        }
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        for one in schema[name].as_array().into_iter().flatten() {
            fields(path, one, root, text);
        }
    }
}

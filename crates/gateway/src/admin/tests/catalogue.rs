//! The schema, the kinds of providers, and the match of a model with what applies to it.

use config::{Config, Sticky};
use secret::Secret;
use serde_json::{Value, json};

use super::Fixture;

#[test]
fn schema_and_kinds_are_shown() {
    let fixture = Fixture::new();
    let schema = fixture.assert_status("GET config/schema", "", 200);
    assert!(schema["properties"]["routes"].is_object());
    let kinds = fixture.assert_status("GET kinds", "", 200);
    let kinds = kinds["data"].as_array().expect("kinds");
    assert_eq!(kinds.len(), 28);
    assert_eq!(
        kinds[3],
        json!({
            "name": "deepseek", "title": { "en": "DeepSeek", "zh": "深度求索 DeepSeek" },
            "base_url": "https://api.deepseek.com/v1", "endpoints": ["chat"],
            "needs_base_url": false, "needs_account": false, "takes_api_version": false,
            "keyless": false, "keys_url": "https://platform.deepseek.com/api_keys",
        })
    );
    let named = |name: &str| kinds.iter().find(|it| it["name"] == name).expect("it is listed");
    assert_eq!(named("azure")["takes_api_version"], true);
    assert_eq!(named("cloudflare")["needs_account"], true);
    assert_eq!(named("vllm")["needs_base_url"], true);
}

fn fixture() -> Fixture {
    let document = json!({
        "providers": [{ "id": "openai", "keys": ["secret:KEY"] }, { "id": "ollama" }],
        "routes": [
            { "id": "chat", "models": ["gpt-*"], "sticky": "user",
              "targets": [{ "provider": "openai", "weight": 90 }, { "provider": "ollama", "model": "qwen", "weight": 10 }],
              "fallback": [{ "provider": "ollama", "model": "spare" }] },
            { "id": "other", "models": ["*"], "targets": [{ "provider": "ollama" }] },
        ],
        "groups": [{ "id": "gold", "params": { "temperature": { "max": 1.0 } } }],
        "consumers": [
            { "id": "acme", "group": "gold", "keys": ["secret:ACME"], "routes": ["chat"] },
            { "id": "gone", "keys": ["secret:GONE"], "disabled": true },
        ],
        "limits": [
            { "id": "team", "by": "consumer", "tokens": { "max": 10, "per": "day", "timezone": "UTC" } },
            { "id": "group", "by": "group", "requests": { "max": 10, "per": "minute" }, "on": { "routes": ["other"] } },
            { "id": "user", "by": "header:x-user", "requests": { "max": 10, "per": "minute" } },
        ],
        "guards": [{ "id": "terms", "kind": "words", "words": ["bad"], "check": ["request", "response"], "overrides": [{ "groups": ["gold"], "off": true }] }],
    });
    let mut fixture = Fixture::new();
    let loaded = Config::from_json(&document.to_string(), &|name| Some(Secret::new(name)));
    fixture.config = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    fixture
}

#[test]
fn match_shows_route_targets_and_what_applies() {
    let fixture = fixture();
    let shown = fixture.assert_status("GET match?model=gpt-4o&consumer=acme&user=ann", "", 200);
    let first = json!({ "target": "openai/gpt-4o", "provider": "openai", "model": "gpt-4o", "weight": 90, "share": 0.9 });
    assert_eq!(shown["route"], "chat");
    assert_eq!((&shown["error"], &shown["group"]), (&Value::Null, &json!("gold")));
    assert_eq!(shown["targets"][0], first);
    assert_eq!(shown["targets"][1]["target"], "ollama/qwen");
    assert_eq!(shown["fallback"][0]["target"], "ollama/spare");
    assert_eq!(shown["parameters"], json!([{ "path": "temperature", "min": null, "max": 1.0 }]));
    let limits = json!([
        { "id": "team", "by": "consumer", "value": "acme" },
        { "id": "user", "by": "header:x-user", "value": null },
    ]);
    assert_eq!(shown["limits"], limits);
    let guards = json!([{ "id": "terms", "request": true, "response": true, "off": true }]);
    assert_eq!(shown["guards"], guards);
    // The target of a sticky caller is the one of its requests.
    assert_eq!(shown["sticky"], "user");
    assert!(matches!(fixture.config.routes[0].sticky, Sticky::User));
    let sides: std::collections::BTreeSet<String> = (0..50)
        .map(|number| {
            let line = format!("GET match?model=gpt-4o&user=u{number}");
            fixture.assert_status(&line, "", 200)["sticky_target"]["target"].to_string()
        })
        .collect();
    assert_eq!(sides.len(), 2, "{sides:?}");
    assert_eq!(fixture.fake.take_fetches(), 0);
}

#[test]
fn match_shows_the_error_that_the_caller_would_receive() {
    let fixture = fixture();
    for (query, route, error) in [
        ("model=gpt-4o", json!("chat"), Value::Null),
        ("model=x&consumer=acme", json!("other"), json!("model_not_allowed")),
        ("model=gpt-4o&consumer=gone", json!("chat"), json!("invalid_api_key")),
    ] {
        let shown = fixture.assert_status(&format!("GET match?{query}"), "", 200);
        assert_eq!((&shown["route"], &shown["error"]), (&route, &error), "{query}");
    }
    let group = fixture.assert_status("GET match?model=x&group=gold", "", 200);
    let has_group = |limit: &Value| limit["id"] == "group" && limit["value"] == "gold";
    assert!(group["limits"].as_array().expect("limits").iter().any(has_group), "{group}");
    fixture.assert_refused("GET match", "", 400, "invalid_request");
    fixture.assert_refused("GET match?model=x&consumer=nobody", "", 404, "consumer_not_found");
    fixture.assert_refused("GET match?model=x&consumer=a%20b", "", 404, "consumer_not_found");
    // A consumer of the admin API has its own routes.
    fixture.assert_status("POST consumers", r#"{"id":"made","routes":["other"]}"#, 201);
    let made = fixture.assert_status("GET match?model=gpt-4o&consumer=made", "", 200);
    assert_eq!(made["error"], "model_not_allowed");
}

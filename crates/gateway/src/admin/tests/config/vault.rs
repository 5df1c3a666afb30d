//! Keys of providers in the vault.

use std::time::Duration;

use serde_json::json;

use crate::testing::fake_host::block_on;

use super::super::Fixture;
use super::{Isolate, document};

fn with_vault_key(model: &str) -> String {
    document(model).replace("secret:KEY", "vault:openai")
}

impl Isolate {
    /// The key with which this isolate calls the provider.
    fn provider_key(&self) -> Option<String> {
        let body = r#"{"model":"new","messages":[{"role":"user","content":"Hi"}]}"#;
        self.fake.take_authorization();
        block_on(self.send("POST /v1/chat/completions", None, body));
        self.fake.take_authorization()
    }
}

#[test]
fn key_in_the_vault_is_sent_to_the_provider_by_every_isolate() {
    let one = Isolate::first();
    let other = Isolate::sharing(&one.fake);
    assert_eq!(other.model(), "deployed");
    let refused = one.assert_status("PUT config", Some("*"), &with_vault_key("new"), 422);
    let problem = &refused["error"]["problems"][0];
    assert_eq!(problem["path"], "providers[0].keys[0]");
    assert_eq!(problem["found"], "vault:openai, which is not in the vault");
    let body = r#"{"value":"sk-first-1234","note":"of the team"}"#;
    let put = one.assert_status("PUT vault/openai", None, body, 200);
    assert_eq!((&put["hint"], &put["used_by"]), (&json!("1234"), &json!([])));
    assert_eq!(one.versions().len(), 1, "nobody uses it yet");
    one.put(&with_vault_key("new"));
    assert_eq!(one.provider_key().as_deref(), Some("Bearer sk-first-1234"));
    let listed = one.assert_status("GET vault", None, "", 200);
    let row = &listed["data"][0];
    assert_eq!((&row["name"], &row["by"]), (&json!("openai"), &json!("admin")));
    assert_eq!(
        (&row["note"], &row["used_by"]),
        (&json!("of the team"), &json!(["providers.openai.keys[0]"]))
    );
    one.fake.advance(Duration::from_secs(60));
    assert_eq!(other.provider_key().as_deref(), Some("Bearer sk-first-1234"));
    // A new value is a new version of the same document.
    one.assert_status("PUT vault/openai", None, r#"{"value":"sk-second-5678"}"#, 200);
    assert_eq!(one.provider_key().as_deref(), Some("Bearer sk-second-5678"));
    assert_eq!(one.versions()[0]["note"], "vault: openai");
    one.fake.advance(Duration::from_secs(60));
    assert_eq!(other.provider_key().as_deref(), Some("Bearer sk-second-5678"));
    let stored = format!("{:?} {:?}", one.fake.entries(), one.fake.books());
    assert!(!stored.contains("sk-first") && !stored.contains("sk-second"), "{stored}");
}

#[test]
fn key_in_use_cannot_be_deleted() {
    let isolate = Isolate::first();
    isolate.assert_status("PUT vault/openai", None, r#"{"value":"sk-first-1234"}"#, 200);
    isolate.put(&with_vault_key("new"));
    let refused = isolate.assert_status("DELETE vault/openai", None, "", 409);
    assert_eq!(refused["error"]["code"], "vault_key_in_use");
    isolate.put(&document("new"));
    // The log is ordered by milliseconds.
    isolate.fake.advance(Duration::from_secs(1));
    isolate.assert_status("DELETE vault/openai", None, "", 204);
    isolate.assert_status("DELETE vault/openai", None, "", 404);
    let log = isolate.assert_status("GET audit?target=vault/openai", None, "", 200);
    let actions = log["data"].as_array().expect("a list").iter().map(|entry| &entry["action"]);
    assert_eq!(actions.collect::<Vec<_>>(), ["vault.delete", "vault.put"]);
}

#[test]
fn deployed_document_with_a_vault_key_keeps_following() {
    let isolate = Isolate::first();
    isolate.fake.deploy(&with_vault_key("new"));
    assert_eq!(isolate.model(), "new");
    assert_eq!(isolate.provider_key(), None, "the key is not there yet");
    isolate.assert_status("PUT vault/openai", None, r#"{"value":"sk-first-1234"}"#, 200);
    assert_eq!(isolate.provider_key().as_deref(), Some("Bearer sk-first-1234"));
    assert_eq!(isolate.versions()[0]["source"], "deployed");
}

#[test]
fn unsuitable_keys_and_low_roles_are_refused() {
    let mut fixture = Fixture::new();
    let long = json!({ "value": "x".repeat(8_193) }).to_string();
    for (name, body) in [
        ("UPPER", r#"{"value":"sk-12345678"}"#),
        ("a%2Fb", r#"{"value":"sk-12345678"}"#),
        ("x", r#"{"value":"short"}"#),
        ("x", r#"{"value":"with a space in it"}"#),
        ("x", r#"{"value":"sk-12345678","note":"it is sk-12345678"}"#),
        ("x", r#"{"value":"sk-12345678","key":1}"#),
        ("x", long.as_str()),
    ] {
        fixture.assert_refused(&format!("PUT vault/{name}"), body, 400, "invalid_request");
    }
    for (token, line) in
        [("viewer", "GET vault"), ("editor", "PUT vault/x"), ("editor", "DELETE vault/x")]
    {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let method = method.parse().expect("a method");
        let answer = block_on(fixture.request(token, method, path, r#"{"value":"sk-12345678"}"#));
        assert_eq!(answer.body["error"]["code"], "role_not_allowed", "{line}");
    }
    assert_eq!(fixture.assert_status("GET session", "", 200)["can"]["vault"], true);
    fixture.vault_key = None;
    for line in ["GET vault", "PUT vault/x", "DELETE vault/x"] {
        fixture.assert_refused(line, r#"{"value":"sk-12345678"}"#, 501, "vault_key_missing");
    }
    assert_eq!(fixture.assert_status("GET session", "", 200)["can"]["vault"], false);
}

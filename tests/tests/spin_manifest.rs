//! `spin.toml` against its sources: the table of providers and the configurations.

use std::fs;

use config::author;
use secret::Secret;
use tests::spin::{AllowedHosts, is_variable_name};
use tests::workerd::root;
use toml::{Table, Value};

fn manifest() -> Table {
    let text = fs::read_to_string(root().join("spin.toml")).expect("spin.toml is there");
    text.parse().expect("spin.toml is TOML")
}

fn component(manifest: &Table) -> &Table {
    manifest["component"]["serin"].as_table().expect("the component is a table")
}

/// The allowed hosts, without those that a variable names.
fn allowed_hosts(manifest: &Table) -> Vec<String> {
    let mut hosts = strings(&component(manifest)["allowed_outbound_hosts"]);
    hosts.retain(|host| !is_template(host));
    hosts
}

fn is_template(text: &str) -> bool {
    text.starts_with("{{")
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().expect("a list");
    items.iter().map(|item| item.as_str().expect("a list of strings").to_owned()).collect()
}

#[test]
fn every_provider_is_an_allowed_host() {
    let kinds: Vec<&str> =
        author::provider_kinds().filter(|kind| *kind != "openai-compatible").collect();
    let mut document = String::from("[auth]\nrequired = false\n");
    for kind in &kinds {
        let fields = match *kind {
            "azure" => "base_url = 'https://resource.openai.azure.com'",
            "vllm" => "base_url = 'http://127.0.0.1:8000/v1'",
            "cloudflare" => "account = 'account'",
            _ => "",
        };
        document += &format!("[[providers]]\nid = '{kind}'\nkeys = ['secret:KEY']\n{fields}\n");
    }
    document += "[[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{ provider = 'openai' }]\n";
    let config = author::from_toml(&document, &|_| Some(Secret::new("key")))
        .unwrap_or_else(|problems| panic!("invalid document: {problems}"));
    assert_eq!(config.providers.len(), kinds.len());
    let hosts = allowed_hosts(&manifest());
    let allowed = AllowedHosts::parse(&hosts).expect("the hosts are patterns");
    for provider in &config.providers {
        let url = provider.base_url.parse().expect("a parsed configuration has addresses");
        assert!(allowed.permits(&url), "{} ({url}) is not allowed", provider.id);
    }
}

#[test]
fn every_secret_of_a_configuration_is_a_variable_of_the_component() {
    let manifest = manifest();
    let declared = manifest["variables"].as_table().expect("variables are a table");
    let passed = component(&manifest)["variables"].as_table().expect("variables are a table");
    for file in ["gateway.toml", "crates/config/tests/fixtures/worked-example.toml"] {
        let text = fs::read_to_string(root().join(file)).expect("the configuration is there");
        let names = author::secret_names(&text);
        assert!(!names.is_empty(), "{file} names no secret");
        // Spin cannot have the other names; `check` and `up --on spin` name them with a remedy.
        let names = names.iter().map(|name| name.to_lowercase());
        for name in names.filter(|name| is_variable_name(name)) {
            let variable =
                declared.get(&name).unwrap_or_else(|| panic!("{file}: {name} is not declared"));
            assert_eq!(variable["secret"].as_bool(), Some(true), "{name} is a secret");
            // With a default, Spin starts without a value and the gateway's error names the missing
            // variable.
            assert_eq!(variable["default"].as_str(), Some(""), "{name} has an empty default");
        }
    }
    let hosts = strings(&component(&manifest)["allowed_outbound_hosts"]);
    for name in declared.keys() {
        let expected = format!("{{{{ {name} }}}}");
        let is_passed = passed.get(name).and_then(Value::as_str) == Some(expected.as_str());
        assert!(is_passed || hosts.contains(&expected), "{name} is not used");
    }
    let templates = hosts.iter().filter(|host| is_template(host)).count();
    assert_eq!(passed.len() + templates, declared.len());
}

#[test]
fn redis_on_this_machine_is_an_allowed_host() {
    let allowed = AllowedHosts::parse(&allowed_hosts(&manifest())).expect("they are patterns");
    for (url, is_allowed) in [
        ("redis://127.0.0.1:6379", true),
        ("redis://:password@localhost:6390/2", true),
        ("redis://10.0.0.5:6379", false),
    ] {
        assert_eq!(allowed.permits(&url.parse().expect("an address")), is_allowed, "{url}");
    }
}

#[test]
fn reserved_secrets_are_variables() {
    let manifest = manifest();
    for name in ["key_pepper", "admin_token", "vault_key"] {
        let variable = &manifest["variables"][name];
        assert_eq!(variable["secret"].as_bool(), Some(true), "{name} is a secret");
        assert_eq!(variable["default"].as_str(), Some(""), "{name} has an empty default");
    }
}

#[test]
fn component_may_open_the_default_store() {
    let manifest = manifest();
    assert_eq!(strings(&component(&manifest)["key_value_stores"]), ["default"]);
}

#[test]
fn source_is_the_artifact_of_the_build_command() {
    let manifest = manifest();
    let component = component(&manifest);
    assert_eq!(manifest["spin_manifest_version"].as_integer(), Some(2));
    let command = component["build"]["command"].as_str().expect("a command");
    assert_eq!(
        command,
        "node console/build.mjs && cargo build --locked --release --target wasm32-wasip2 -p edge-spin"
    );
    assert_eq!(component["source"].as_str(), Some("target/wasm32-wasip2/release/edge_spin.wasm"));
    let trigger = &manifest["trigger"]["http"].as_array().expect("a list of triggers")[0];
    assert_eq!(trigger["route"].as_str(), Some("/..."));
    assert_eq!(trigger["component"].as_str(), Some("serin"));
}

#[test]
fn variables_have_names_that_spin_allows() {
    let manifest = manifest();
    for name in manifest["variables"].as_table().expect("variables are a table").keys() {
        assert!(is_variable_name(name), "{name}");
    }
}

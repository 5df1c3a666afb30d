//! Tools for authors of a document: TOML, positions in a text, and the schema. No edge includes them.

mod bundle;
mod explain;
mod locate;
mod shape;
mod syntax;

pub use bundle::{check_file, run_build_script};
pub use explain::explain;
pub use locate::locate;

use secret::Secret;
use serde_json::Value;

use super::parse::MissingSecrets;
use super::problem::{Problem, Problems};
use super::provider_kind::ProviderKind;
use super::raw::{Document, SecretText};
use super::{Config, SecretLookup, parse};
use shape::Shaped;

/// Parses a TOML document. [`locate`] finds each of its problems in the text.
pub fn from_toml(text: &str, secrets: &SecretLookup<'_>) -> Result<Config, Problems> {
    parse_toml(text, secrets, MissingSecrets::Refuse)
}

/// Parses a TOML document that is to be deployed: it has at least one route, as the admin
/// API requires.
pub fn from_toml_to_deploy(text: &str, secrets: &SecretLookup<'_>) -> Result<Config, Problems> {
    let config = from_toml(text, secrets)?;
    if !config.routes.is_empty() {
        return Ok(config);
    }
    let (path, found) = ("routes".to_owned(), "none".to_owned());
    Err(Problems(vec![Problem { path, found, expected: "at least one route".to_owned() }]))
}

/// Parses a TOML document to serve it: a secret that is not set is a warning.
pub fn from_toml_to_serve(text: &str, secrets: &SecretLookup<'_>) -> Result<Config, Problems> {
    parse_toml(text, secrets, MissingSecrets::Disable)
}

fn parse_toml(
    text: &str,
    secrets: &SecretLookup<'_>,
    missing: MissingSecrets,
) -> Result<Config, Problems> {
    let shaped = parse_shape(text)?;
    if shaped.problems.is_empty() {
        return parse::parse_document(&shaped.document, secrets, missing);
    }
    Err(shaped.all_problems(secrets, missing))
}

/// Converts a TOML document to the JSON that edges read. Checks its shape only, since values need the
/// secrets.
pub fn to_json(text: &str) -> Result<String, Problems> {
    let problems = parse_shape(text)?.problems;
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let table = parse_table(text)?;
    Ok(serde_json::to_string(&table)
        .expect("a table has string keys, and finite numbers were asked for"))
}

/// The JSON schema of the document; the text is deterministic.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Document).to_value();
    let mut text =
        serde_json::to_string_pretty(&sort_members(schema)).expect("a JSON value is always JSON");
    text.push('\n');
    text
}

/// The names of all kinds of providers, in the order of the schema.
pub fn provider_kinds() -> impl Iterator<Item = &'static str> {
    ProviderKind::names()
}

/// A placeholder for an unavailable secret: distinct for each name, since no two keys may be equal, and long
/// enough for a secret that signs tokens, and the address of a Redis server.
pub fn placeholder_secret(name: &str) -> Secret {
    Secret::new(&format!("redis://:stand-in-for-the-value-of-the-secret-{name}@localhost:6379/0"))
}

/// The names of the secrets in a TOML document, each once: of issuers, providers, consumers, guards, a
/// collector, operators, and Redis servers. Empty if the text is not TOML, which `from_toml` reports.
pub fn secret_names(text: &str) -> Vec<String> {
    let Ok(Shaped { document, .. }) = parse_shape(text) else { return Vec::new() };
    let issuers = document.auth.jwt.iter().filter_map(|issuer| issuer.secret.as_ref());
    let providers = document.providers.iter().flat_map(|provider| &provider.keys);
    let consumers = document.consumers.iter().flat_map(|consumer| &consumer.keys);
    let guards = document
        .guards
        .iter()
        .flat_map(|guard| [&guard.access_key_id, &guard.access_key, &guard.security_token])
        .flatten();
    let collector = document.observe.otlp.iter().flat_map(|otlp| otlp.headers.values());
    let operators = document.admin.operators.iter().map(|operator| &operator.token);
    let texts = issuers.chain(providers).chain(consumers).chain(guards);
    let servers = [&document.ledger.redis, &document.store.redis].into_iter().flatten();
    let texts = texts.chain(collector).chain(operators).chain(servers);
    let mut names: Vec<String> = Vec::new();
    for name in texts.filter_map(|text| SecretText::name(text).ok()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn parse_shape(text: &str) -> Result<Shaped, Problems> {
    let table = parse_table(text)?;
    let document = toml::Deserializer::parse(text).and_then(json::from_objects);
    Ok(match document {
        Ok(document) => Shaped::right(document),
        Err(_) => shape::repair(table, text),
    })
}

fn parse_table(text: &str) -> Result<toml::Table, Problems> {
    text.parse().map_err(|error| syntax::problems(&error, text))
}

/// Sorts members by name, since other crates may enable serde_json's insertion order, and drops null
/// defaults.
fn sort_members(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let is_informative =
                |(name, value): &(String, Value)| name != "default" || !value.is_null();
            let mut members: Vec<_> = members.into_iter().filter(is_informative).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(
                members.into_iter().map(|(name, value)| (name, sort_members(value))).collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sort_members).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

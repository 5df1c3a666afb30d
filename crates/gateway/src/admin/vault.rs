//! `/vault`: keys of providers, set at run time. They can be replaced and deleted, never read.

use config::is_vault_name;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::Host;
use crate::live_config::VersionStore;
use crate::vault::{MAX_ENTRIES, Vault, VaultEntry, VaultKey};

use super::AdminRequest;
use super::config::{head_unavailable, load_document, parse_value, renew};
use super::key::validate_note;
use super::request_body::parse_object;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};
use super::secrets::find_places;

/// Length of a key, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 8..=8_192;

// No `Debug`: it holds a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEntry {
    value: String,
    note: Option<String>,
}

/// `GET /vault`
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    require_key(request)?;
    let vault = read(request).await?;
    let document = document_in_force(request).await?;
    let row = |(name, entry): (&String, &VaultEntry)| entry_json(name, entry, &document);
    let data: Vec<Value> = vault.entries.iter().map(row).collect();
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": null })))
}

/// `PUT /vault/{name}`: sets or replaces a key.
pub(super) async fn put<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let key = require_key(request)?;
    let name = request.path_argument(0);
    if !is_vault_name(name) {
        let expected = "1 to 64 lower-case letters, digits, \".\", \"_\", or \"-\"";
        return Err(AdminError::invalid("name", format!("{name:?}"), expected));
    }
    let wanted: NewEntry = parse_object(&request.body)?;
    let value = wanted.value.trim();
    // It is sent in a header.
    if !KEY_BYTES.contains(&value.len()) || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        let expected = "8 to 8192 visible ASCII characters without spaces";
        return Err(AdminError::invalid("value", format!("{} bytes", value.len()), expected));
    }
    let note = validate_note(wanted.note, Some(value))?;
    let mut vault = read(request).await?;
    if vault.entries.len() >= MAX_ENTRIES && !vault.entries.contains_key(name) {
        let message = format!("The vault holds {MAX_ENTRIES} keys at most: delete one.");
        return Err(AdminError::conflict("vault_full", message));
    }
    let entry = key.seal(request.host, name, (value, note), &request.operator.name);
    vault.entries.insert(name.to_owned(), entry.clone());
    request.run_audited("vault.put", target(name), Value::Null, write(request, &vault)).await?;
    let document = document_in_force(request).await?;
    let shown = entry_json(name, &entry, &document);
    // Isolates look for a new version only.
    if shown["used_by"] != json!([]) {
        renew(request, format!("vault: {name}")).await?;
    }
    Ok(AdminResponse::json(&shown))
}

/// `DELETE /vault/{name}`: refused while the document in force names the key.
pub(super) async fn delete<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    require_key(request)?;
    let name = request.path_argument(0);
    let mut vault = read(request).await?;
    let entry = vault.entries.remove(name).ok_or_else(|| {
        AdminError::not_found("vault_key_not_found", "The vault has no key of this name.")
    })?;
    let shown = entry_json(name, &entry, &document_in_force(request).await?);
    if let Some(place) = shown["used_by"][0].as_str() {
        let message = format!("The configuration in force uses this key: {place}.");
        return Err(AdminError::conflict("vault_key_in_use", message));
    }
    request.run_audited("vault.delete", target(name), Value::Null, write(request, &vault)).await?;
    Ok(AdminResponse::no_content())
}

fn require_key<'a, P: Host>(request: &AdminRequest<'a, P>) -> Result<&'a VaultKey, AdminError> {
    request.context.vault_key.ok_or_else(|| {
        let message = "The secret VAULT_KEY is not set: it is needed to keep keys of providers.";
        AdminError::new(StatusCode::NOT_IMPLEMENTED, "vault_key_missing", message)
    })
}

async fn read<P: Host>(request: &AdminRequest<'_, P>) -> Result<Vault, AdminError> {
    Vault::read(request.host).await.map_err(|_| AdminError::ledger_unavailable())
}

async fn write<P: Host>(request: &AdminRequest<'_, P>, vault: &Vault) -> Result<(), AdminError> {
    match vault.write(request.host).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(super::lock::locked_error("the vault")),
        Err(_) => Err(AdminError::ledger_unavailable()),
    }
}

async fn document_in_force<P: Host>(request: &AdminRequest<'_, P>) -> Result<Value, AdminError> {
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    parse_value(&load_document(&versions, &head).await?)
}

fn entry_json(name: &str, entry: &VaultEntry, document: &Value) -> Value {
    let mut places = Vec::new();
    find_places("", document, &format!("{}{name}", config::VAULT_PREFIX), &mut places);
    json!({
        "name": name,
        "hint": entry.hint,
        "note": entry.note,
        "at": rfc3339_json(entry.at),
        "by": entry.by,
        "used_by": places,
    })
}

/// Name of a key in the audit log.
fn target(name: &str) -> String {
    format!("vault/{name}")
}

//! `/secrets`: names that the document mentions, and whether the host has them. Values are never shown.

use config::{RESERVED_SECRETS, secret_names};
use serde_json::{Value, json};

use crate::host::Host;
use crate::live_config::VersionStore;

use super::AdminRequest;
use super::config::{head_unavailable, load_document, parse_value};
use super::response::{AdminError, AdminResponse, AdminResult};

/// Secrets read at most for one response.
const MAX_SECRETS: usize = 200;

/// Places of a secret that are shown at most.
const MAX_PLACES: usize = 20;

/// `GET /secrets`
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    let text = load_document(&versions, &head).await?;
    let document = parse_value(&text)?;
    let mut data = Vec::new();
    for name in secret_names(&text).into_iter().take(MAX_SECRETS) {
        let found = request.host.secret(&name).await.map_err(|_| {
            AdminError::unavailable("settings_unavailable", "Reading the host's secrets failed.")
        })?;
        let mut places = Vec::new();
        find_places("", &document, &format!("secret:{name}"), &mut places);
        data.push(json!({
            "name": name,
            "set": found.is_some_and(|secret| !secret.is_empty()),
            "reserved": RESERVED_SECRETS.contains(&name.as_str()),
            "used_by": places,
        }));
    }
    Ok(AdminResponse::json(&json!({ "data": data })))
}

/// Finds the paths of a text in a document. Items with an `id` are named by it.
pub(super) fn find_places(path: &str, value: &Value, wanted: &str, places: &mut Vec<String>) {
    match value {
        Value::String(text) if text == wanted && places.len() < MAX_PLACES => {
            places.push(path.to_owned());
        }
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                find_places(&path, value, wanted, places);
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                let path = match item["id"].as_str().or(item["name"].as_str()) {
                    Some(id) => format!("{path}.{id}"),
                    None => format!("{path}[{position}]"),
                };
                find_places(&path, item, wanted, places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

//! Configuration file that is compared with the gateway's document or replaces it.

use std::path::Path;

use config::author;
use serde_json::Value;

use crate::config_file::Document;

use super::refused::Refused;

/// Document on this machine.
pub(super) struct Local {
    pub(super) document: Document,
    pub(super) json: String,
    pub(super) value: Value,
}

impl Local {
    /// Reads a file: JSON if its name ends in `.json`, else TOML.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let document = Document::read(file, "config put FILE")?;
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        let json = if is_json {
            document.text.clone()
        } else {
            let converted = author::to_json(&document.text);
            converted.map_err(|problems| Refused(document.explain(&problems)))?
        };
        let value = serde_json::from_str(&json)
            .map_err(|error| Refused(format!("{}: {error}", file.display())))?;
        Ok(Self { document, json, value })
    }
}

//! `/config/schema` and `/config/versions/{version}/diff/{other}`.

use serde_json::json;

use crate::host::Host;
use crate::live_config::{VersionStore, diff_documents};

use super::AdminRequest;
use super::config::{find_version, head_unavailable, load_document, parse_value};
use super::config_json::version_json;
use super::response::{AdminResponse, AdminResult};

/// The published schema of the document.
const SCHEMA: &str = include_str!("../../../../schema/gateway.schema.json");

/// `GET /config/schema`
pub(super) fn schema<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    Ok(AdminResponse::from_json_text(SCHEMA.to_owned()))
}

/// `GET /config/versions/{version}/diff/{other}`: what changes from the first version to the second.
pub(super) async fn diff<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    let from = find_version(request, &head, 0).await?;
    let to = find_version(request, &head, 1).await?;
    let before = parse_value(&load_document(&versions, &from).await?)?;
    let after = parse_value(&load_document(&versions, &to).await?)?;
    let changes = diff_documents(&before, &after);
    Ok(AdminResponse::json(&json!({
        "from": version_json(&from),
        "to": version_json(&to),
        "changes": changes,
    })))
}

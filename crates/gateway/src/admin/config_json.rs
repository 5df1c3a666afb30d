//! Versions of the configuration in responses.

use config::{Problem, Problems};
use serde_json::{Value, json};

use crate::live_config::{DocumentChange, ReloadingGateway, VersionInfo};

use super::response::{AdminResponse, rfc3339_json};

/// Adds whether this isolate serves a version, and the problems for which it does not.
pub(super) fn add_served(
    shown: &mut Value,
    info: &VersionInfo,
    reloading_gateway: &ReloadingGateway,
) {
    let served = reloading_gateway.version();
    shown["served"] = served.as_ref().is_some_and(|served| served.etag() == info.etag()).into();
    shown["served_version"] = json!(served.map(|served| served.version));
    let problems = reloading_gateway.problems(info);
    shown["problems"] = problems.as_ref().map_or_else(|| json!([]), problems_json);
}

pub(super) fn problems_json(problems: &Problems) -> Value {
    let shown =
        |it: &Problem| json!({ "path": it.path, "found": it.found, "expected": it.expected });
    problems.iter().map(shown).collect()
}

pub(super) fn with_etag(reply: AdminResponse, info: &VersionInfo) -> AdminResponse {
    let reply = reply.with_header("etag", format!("\"{}\"", info.etag()));
    reply.with_header("x-serin-config-version", info.version.to_string())
}

pub(super) fn changes_json(
    info: &VersionInfo,
    changes: &[DocumentChange],
    warnings: &[String],
    dry_run: bool,
) -> Value {
    let mut body = version_json(info);
    // Only if there are any, so that scripts notice them.
    if !warnings.is_empty() {
        body["warnings"] = json!(warnings);
    }
    body["dry_run"] = dry_run.into();
    body["changes"] = json!(changes);
    body
}

/// A version in a response.
pub(super) fn version_json(info: &VersionInfo) -> Value {
    let deployed = info.version == 0;
    json!({
        "version": info.version,
        "etag": info.etag(),
        "source": if info.is_deployed() { "deployed" } else { "version" },
        "created_at": (!deployed).then(|| rfc3339_json(info.at)),
        "created_by": (!deployed).then_some(&info.by),
        "note": match &info.note {
            _ if deployed => Some("deployed with the gateway"),
            None if info.follows => Some("follows the deployed document"),
            note => note.as_deref(),
        },
    })
}

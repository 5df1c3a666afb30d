//! `/config`: the document in force, and all versions of it.
//!
//! The ledger decides between concurrent writers (`live_config/version_store.rs`): `If-Match` is
//! compared with its register, not with the store. A change is served by this isolate before the
//! response is sent.

use std::time::Duration;

use config::Problems;
use http::StatusCode;
use serde_json::{Value, json};

use crate::auth::keys::random_chars;
use crate::config_loader::{self, LoadPurpose, LoadedConfig};
use crate::host::Host;
use crate::host::error::HostError;
use crate::live_config::{
    CommitOutcome, DocumentChange, ReloadingGateway, VersionInfo, VersionStore, diff_documents,
};

use super::AdminRequest;
use super::response::{AdminError, AdminResponse, AdminResult};

/// Age after which a version must be in the polled copy, unless the isolate that put it crashed.
const PUBLISH_OVERDUE_AFTER: Duration = Duration::from_secs(10);

/// Changes listed at most in an audit entry.
const MAX_LOGGED_CHANGES: usize = 50;

/// `GET /config`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let reloading_gateway = require_reloading_gateway(request)?;
    let versions = VersionStore(request.host);
    let info = match versions.head().await {
        Ok(head) => head,
        // The version served here can be shown without the ledger; a change needs the ledger.
        Err(_) => reloading_gateway.version().ok_or_else(AdminError::ledger_unavailable)?,
    };
    let document = load_document(&versions, &info).await?;
    reloading_gateway.apply_if_newer(request.host, &info, &document).await;
    finish_publishing(request, reloading_gateway, &info, &document).await;
    Ok(with_etag(AdminResponse::from_json_text(document), &info))
}

/// `PUT /config`
pub(super) async fn put<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["dry_run"])?;
    let dry_run = match query.get("dry_run") {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(other) => {
            return Err(AdminError::invalid("dry_run", format!("{other:?}"), "true or false"));
        }
    };
    let reloading_gateway = require_reloading_gateway(request)?;
    let head = VersionStore(request.host).head().await.map_err(head_unavailable)?;
    // A dry run needs no `If-Match`.
    if !dry_run || request.if_match.is_some() {
        check_if_match(request.if_match, &head)?;
    }
    let text = str::from_utf8(&request.body);
    let text = text.map_err(|_| AdminError::invalid_json("The document must be UTF-8."))?;
    check_has_routes(&parse_value(text)?)?;
    let new_version = NewVersion { document: text, action: "config.put", note: None, dry_run };
    create_version(request, reloading_gateway, head, new_version).await
}

/// `POST /config/versions/{version}/restore`: commits an old document as a new version.
pub(super) async fn restore<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let reloading_gateway = require_reloading_gateway(request)?;
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    check_if_match(request.if_match, &head)?;
    let info = find_version(request, &head).await?;
    let document = load_document(&versions, &info).await?;
    let note = Some(format!("restored from {}", info.version));
    let new_version =
        NewVersion { document: &document, action: "config.restore", note, dry_run: false };
    create_version(request, reloading_gateway, head, new_version).await
}

/// `GET /config/versions`: newest first.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let limit = query.page_limit()?;
    let versions = VersionStore(request.host);
    let mut next = match query.get("cursor") {
        None => Some(versions.head().await.map_err(head_unavailable)?),
        Some(cursor) => {
            let wrong = || {
                AdminError::invalid(
                    "cursor",
                    format!("{cursor:?}"),
                    "a cursor from a previous response",
                )
            };
            let (version, nonce) = cursor.split_once('-').ok_or_else(wrong)?;
            let is_name = nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let version = version.parse().ok().filter(|_| is_name).ok_or_else(wrong)?;
            Some(versions.get_if_exists(version, nonce).await?.ok_or_else(wrong)?)
        }
    };
    let mut data = Vec::new();
    while let Some(info) = next.take_if(|_| data.len() < limit) {
        data.push(version_json(&info));
        next = versions.previous(&info).await?;
    }
    let cursor = next.map(|info| format!("{}-{}", info.version, info.nonce));
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": cursor })))
}

/// `GET /config/versions/{version}`
pub(super) async fn get_version<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    let info = find_version(request, &head).await?;
    let text = load_document(&versions, &info).await?;
    let mut answer = version_json(&info);
    answer["document"] = parse_value(&text)?;
    Ok(with_etag(AdminResponse::json(&answer), &info))
}

/// A document that may become the next version.
struct NewVersion<'a> {
    document: &'a str,
    action: &'static str,
    note: Option<String>,
    dry_run: bool,
}

async fn create_version<P: Host>(
    request: &AdminRequest<'_, P>,
    reloading_gateway: &ReloadingGateway,
    head: VersionInfo,
    new_version: NewVersion<'_>,
) -> AdminResult {
    let versions = VersionStore(request.host);
    let after = parse_value(new_version.document)?;
    let opened = validate(request, new_version.document).await?;
    let warnings: Vec<String> = opened.config.warnings.iter().map(ToString::to_string).collect();
    let before = load_document(&versions, &head).await?;
    let changes = diff_documents(&parse_value(&before)?, &after);
    let info = VersionInfo {
        version: head.version + 1,
        at: request.host.now(),
        by: request.operator.name.to_owned(),
        note: new_version.note,
        nonce: random_chars(request.host, 12),
        previous: head.nonce.clone(),
        ..VersionInfo::deployed(new_version.document)
    };
    if new_version.dry_run || info.hash == head.hash {
        return Ok(with_etag(
            AdminResponse::json(&changes_json(&head, &changes, &warnings, new_version.dry_run)),
            &head,
        ));
    }
    finish_publishing(request, reloading_gateway, &head, &before).await;
    let target = format!("config/version/{}", info.version);
    let paths: Vec<&str> =
        changes.iter().take(MAX_LOGGED_CHANGES).map(|change| change.path.as_str()).collect();
    let detail = json!({ "etag": info.etag(), "changed": paths, "note": info.note });
    let commit = async {
        versions.prepare(&info, new_version.document).await?;
        match versions.commit(&info).await {
            CommitOutcome::Committed => Ok(()),
            CommitOutcome::Conflict(other) => Err(conflict_error(&other)),
            CommitOutcome::Unknown => Err(AdminError::unavailable(
                "ledger_unavailable",
                "The ledger did not reply, so the document may or may not be in force. Read the \
                 configuration before you retry.",
            )),
        }
    };
    request.run_audited(new_version.action, target, detail, commit).await?;
    reloading_gateway.apply(&info, opened);
    versions.publish(&info, new_version.document).await;
    reloading_gateway.note_published(info.version);
    Ok(with_etag(AdminResponse::json(&changes_json(&info, &changes, &warnings, false)), &info))
}

/// Refuses a document without routes: an empty file would pass every other check.
fn check_has_routes(document: &Value) -> Result<(), AdminError> {
    let is_empty = match &document["routes"] {
        Value::Null => true,
        Value::Array(routes) => routes.is_empty(),
        // The full validation reports a wrong type.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => false,
    };
    if !is_empty {
        return Ok(());
    }
    let (path, found, expected) = ("routes", "none", "at least one route");
    let problems = json!([{ "path": path, "found": found, "expected": expected }]);
    let failure = AdminError::invalid(path, found, expected).with_member("problems", problems);
    Err(failure.with_status(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration"))
}

/// Loads a document, or returns all its problems.
async fn validate<P: Host>(
    request: &AdminRequest<'_, P>,
    document: &str,
) -> Result<LoadedConfig, AdminError> {
    let read = config_loader::load_config(request.host, document, LoadPurpose::Check)
        .await
        .map_err(|_| {
            AdminError::unavailable("settings_unavailable", "Reading the host's secrets failed.")
        })?;
    read.map_err(|problems| problems_error(&problems))
}

fn problems_error(problems: &Problems) -> AdminError {
    let listed: Vec<Value> = problems
        .iter()
        .map(|it| json!({ "path": it.path, "found": it.found, "expected": it.expected }))
        .collect();
    let failure = AdminError::problems(problems).with_member("problems", listed.into());
    failure.with_status(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration")
}

/// Writes the polled copy if the isolate that committed the version crashed before it could.
async fn finish_publishing<P: Host>(
    request: &AdminRequest<'_, P>,
    reloading_gateway: &ReloadingGateway,
    info: &VersionInfo,
    document: &str,
) {
    let is_young = request.host.now().since(info.at) < PUBLISH_OVERDUE_AFTER;
    if info.version == 0 || is_young || reloading_gateway.has_published(info.version) {
        return;
    }
    VersionStore(request.host).publish(info, document).await;
    reloading_gateway.note_published(info.version);
}

/// Refuses a request whose `If-Match` is not the version in force. A `W/` is ignored: a proxy that
/// compresses a response adds it, and the document is the same.
fn check_if_match(if_match: Option<&str>, head: &VersionInfo) -> Result<(), AdminError> {
    let Some(if_match) = if_match else {
        let message = "The header If-Match is missing: send the ETag of the document to replace.";
        let status = StatusCode::PRECONDITION_REQUIRED;
        return Err(AdminError::new(status, "precondition_required", message));
    };
    let tag = head.etag();
    let fits = |one: &str| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one).trim_matches('"') == tag
    };
    if if_match.split(',').any(fits) { Ok(()) } else { Err(conflict_error(head)) }
}

/// Another version is in force than `If-Match` names.
fn conflict_error(head: &VersionInfo) -> AdminError {
    let message = match head.version {
        0 => "If-Match does not match the document in force, which is the deployed one.".into(),
        version => format!(
            "If-Match does not match version {version}, which is in force (put by {}).",
            head.by
        ),
    };
    let failure = AdminError::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", message);
    failure.with_member("current", version_json(head))
}

async fn find_version<P: Host>(
    request: &AdminRequest<'_, P>,
    head: &VersionInfo,
) -> Result<VersionInfo, AdminError> {
    let version = request.path_argument(0).parse().ok().filter(|version| *version <= head.version);
    let version = version.ok_or_else(|| {
        AdminError::not_found(
            "version_not_found",
            "This version of the configuration does not exist.",
        )
    })?;
    Ok(VersionStore(request.host).get_by_number(version, head).await?)
}

async fn load_document<P: Host>(
    versions: &VersionStore<'_, P>,
    info: &VersionInfo,
) -> Result<String, AdminError> {
    let document = versions.document(info).await?;
    Ok(document.ok_or_else(|| HostError::new("the store does not show the document yet"))?)
}

fn parse_value(document: &str) -> Result<Value, AdminError> {
    let value: Value = json::from_text(document)
        .map_err(|error| AdminError::invalid_json(&Problems::from_json(error).to_string()))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(AdminError::invalid_json("The document must be a JSON object."))
}

fn head_unavailable(_: HostError) -> AdminError {
    AdminError::ledger_unavailable()
}

fn require_reloading_gateway<'a, P: Host>(
    request: &AdminRequest<'a, P>,
) -> Result<&'a ReloadingGateway, AdminError> {
    request.context.reloading_gateway.ok_or_else(|| {
        let message = "The configuration of this gateway cannot be changed.";
        AdminError::new(StatusCode::NOT_IMPLEMENTED, "configuration_fixed", message)
    })
}

fn with_etag(reply: AdminResponse, info: &VersionInfo) -> AdminResponse {
    let reply = reply.with_header("etag", format!("\"{}\"", info.etag()));
    reply.with_header("x-serin-config-version", info.version.to_string())
}

fn changes_json(
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
fn version_json(info: &VersionInfo) -> Value {
    let deployed = info.version == 0;
    json!({
        "version": info.version,
        "etag": info.etag(),
        "at": (!deployed).then(|| info.at.as_millis() / 1_000),
        "by": (!deployed).then_some(&info.by),
        "note": if deployed { Some("deployed with the gateway") } else { info.note.as_deref() },
    })
}

//! `/config`: the document in force, and every version of it.
//!
//! Who wins of two that change it is the ledger's word (`live_config/version_store.rs`): `If-Match` is judged by
//! it and not by what the store shows. A change is served here before it is answered.

use std::time::Duration;

use config::Problems;
use http::StatusCode;
use serde_json::{Value, json};

use crate::auth::keys::random_chars;
use crate::config_loader::{self, LoadedConfig};
use crate::host::Host;
use crate::host::error::HostError;
use crate::live_config::{
    CommitOutcome, DocumentChange, ReloadingGateway, VersionInfo, VersionStore, diff_documents,
};

use super::AdminRequest;
use super::response::{AdminError, AdminResponse, AdminResult};

/// A version that is in force for so long is shown to everybody, unless whoever put it died.
const PUBLISH_OVERDUE_AFTER: Duration = Duration::from_secs(10);

/// How many changes the audit log names.
const MAX_LOGGED_CHANGES: usize = 50;

/// `GET /config`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let station = reloading_gateway(request)?;
    let store = VersionStore(request.host);
    let version = match store.head().await {
        Ok(head) => head,
        // What is served here can be told without the ledger; whoever changes it needs that anyway.
        Err(_) => station.version().ok_or_else(AdminError::ledger_unavailable)?,
    };
    let document = load_document(&store, &version).await?;
    station.apply_if_newer(request.host, &version, &document).await;
    finish_publishing(request, station, &version, &document).await;
    Ok(with_etag(AdminResponse::from_json_text(document), &version))
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
    let station = reloading_gateway(request)?;
    let head = VersionStore(request.host).head().await.map_err(head_unavailable)?;
    // Who only tries need not have looked.
    if !dry_run || request.if_match.is_some() {
        check_if_match(request.if_match, &head)?;
    }
    let text = str::from_utf8(&request.body);
    let text = text.map_err(|_| AdminError::invalid_json("The document must be UTF-8."))?;
    check_has_routes(&parse_value(text)?)?;
    let draft = NewVersion { document: text, action: "config.put", note: None, dry_run };
    create_version(request, station, head, draft).await
}

/// `POST /config/versions/{version}/restore`: the same document as a new version.
pub(super) async fn restore<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let station = reloading_gateway(request)?;
    let store = VersionStore(request.host);
    let head = store.head().await.map_err(head_unavailable)?;
    check_if_match(request.if_match, &head)?;
    let version_info = find_version(request, &head).await?;
    let document = load_document(&store, &version_info).await?;
    let note = Some(format!("restored from {}", version_info.version));
    let draft = NewVersion { document: &document, action: "config.restore", note, dry_run: false };
    create_version(request, station, head, draft).await
}

/// `GET /config/versions`: the newest first.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let limit = query.page_limit()?;
    let store = VersionStore(request.host);
    let mut next = match query.get("cursor") {
        None => Some(store.head().await.map_err(head_unavailable)?),
        Some(cursor) => {
            let wrong =
                || AdminError::invalid("cursor", format!("{cursor:?}"), "a cursor from an answer");
            let (version, nonce) = cursor.split_once('-').ok_or_else(wrong)?;
            let is_name = nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let version = version.parse().ok().filter(|_| is_name).ok_or_else(wrong)?;
            Some(store.get_if_exists(version, nonce).await?.ok_or_else(wrong)?)
        }
    };
    let mut data = Vec::new();
    while let Some(version_info) = next.take_if(|_| data.len() < limit) {
        data.push(version_json(&version_info));
        next = store.previous(&version_info).await?;
    }
    let cursor =
        next.map(|version_info| format!("{}-{}", version_info.version, version_info.nonce));
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": cursor })))
}

/// `GET /config/versions/{version}`
pub(super) async fn get_version<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let store = VersionStore(request.host);
    let head = store.head().await.map_err(head_unavailable)?;
    let version_info = find_version(request, &head).await?;
    let text = load_document(&store, &version_info).await?;
    let mut answer = version_json(&version_info);
    answer["document"] = parse_value(&text)?;
    Ok(with_etag(AdminResponse::json(&answer), &version_info))
}

/// A document that is to be the next version.
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
    draft: NewVersion<'_>,
) -> AdminResult {
    let store = VersionStore(request.host);
    let after = parse_value(draft.document)?;
    let opened = validate(request, draft.document).await?;
    let before = load_document(&store, &head).await?;
    let changes = diff_documents(&parse_value(&before)?, &after);
    let version = VersionInfo {
        version: head.version + 1,
        at: request.host.now(),
        by: request.operator.name.to_owned(),
        note: draft.note,
        nonce: random_chars(request.host, 12),
        previous: head.nonce.clone(),
        ..VersionInfo::deployed(draft.document)
    };
    if draft.dry_run || version.hash == head.hash {
        return Ok(with_etag(
            AdminResponse::json(&changes_json(&head, &changes, draft.dry_run)),
            &head,
        ));
    }
    finish_publishing(request, reloading_gateway, &head, &before).await;
    let target = format!("config/version/{}", version.version);
    let paths: Vec<&str> =
        changes.iter().take(MAX_LOGGED_CHANGES).map(|change| change.path.as_str()).collect();
    let detail = json!({ "etag": version.etag(), "changed": paths, "note": version.note });
    let commit = async {
        store.prepare(&version, draft.document).await?;
        match store.commit(&version).await {
            CommitOutcome::Committed => Ok(()),
            CommitOutcome::Conflict(other) => Err(conflict_error(&other)),
            CommitOutcome::Unknown => Err(AdminError::unavailable(
                "ledger_unavailable",
                "The ledger did not answer. Nobody can say whether the document is in force: look at \
                 it before you try again.",
            )),
        }
    };
    request.run_audited(draft.action, target, detail, commit).await?;
    reloading_gateway.apply(&version, opened);
    store.publish(&version, draft.document).await;
    reloading_gateway.note_published(version.version);
    Ok(with_etag(AdminResponse::json(&changes_json(&version, &changes, false)), &version))
}

/// Refuses a document without a route: nobody means it, but an empty file looks like it.
fn check_has_routes(document: &Value) -> Result<(), AdminError> {
    let is_empty = match &document["routes"] {
        Value::Null => true,
        Value::Array(routes) => routes.is_empty(),
        // What else is wrong with it is told with everything else.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => false,
    };
    if !is_empty {
        return Ok(());
    }
    let (path, found, expected) = ("routes", "none", "one route at least");
    let problems = json!([{ "path": path, "found": found, "expected": expected }]);
    let failure = AdminError::invalid(path, found, expected).with_member("problems", problems);
    Err(failure.with_status(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration"))
}

/// Everything that is wrong with a document, or what a gateway is made of.
async fn validate<P: Host>(
    request: &AdminRequest<'_, P>,
    document: &str,
) -> Result<LoadedConfig, AdminError> {
    let read = config_loader::load_config(request.host, document).await.map_err(|_| {
        AdminError::unavailable("settings_unavailable", "The secrets of the host cannot be read.")
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

/// Does what somebody who died left undone: everybody follows what the store shows.
async fn finish_publishing<P: Host>(
    request: &AdminRequest<'_, P>,
    reloading_gateway: &ReloadingGateway,
    version: &VersionInfo,
    document: &str,
) {
    let is_young = request.host.now().since(version.at) < PUBLISH_OVERDUE_AFTER;
    if version.version == 0 || is_young || reloading_gateway.has_published(version.version) {
        return;
    }
    VersionStore(request.host).publish(version, document).await;
    reloading_gateway.note_published(version.version);
}

/// Refuses whoever does not know what is in force. A `W/` is passed over: proxies that compress an
/// answer put it there, and what is in force is the same document.
fn check_if_match(if_match: Option<&str>, head: &VersionInfo) -> Result<(), AdminError> {
    let Some(if_match) = if_match else {
        let message =
            "An If-Match header with the ETag of the document that is to be replaced is needed.";
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

/// Somebody else was first.
fn conflict_error(head: &VersionInfo) -> AdminError {
    let message = match head.version {
        0 => {
            "The document that was deployed is in force, and it is not the one of If-Match.".into()
        }
        version => format!("Version {version} is in force, which {} has put.", head.by),
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
        AdminError::not_found("version_not_found", "There is no such version of the configuration.")
    })?;
    Ok(VersionStore(request.host).get_by_number(version, head).await?)
}

async fn load_document<P: Host>(
    store: &VersionStore<'_, P>,
    version: &VersionInfo,
) -> Result<String, AdminError> {
    let document = store.document(version).await?;
    Ok(document.ok_or_else(|| HostError::new("the store does not show it yet"))?)
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

fn reloading_gateway<'a, P: Host>(
    request: &AdminRequest<'a, P>,
) -> Result<&'a ReloadingGateway, AdminError> {
    request.context.reloading_gateway.ok_or_else(|| {
        let message = "This gateway was opened with one document and serves no other.";
        AdminError::new(StatusCode::NOT_IMPLEMENTED, "configuration_fixed", message)
    })
}

fn with_etag(reply: AdminResponse, version: &VersionInfo) -> AdminResponse {
    let reply = reply.with_header("etag", format!("\"{}\"", version.etag()));
    reply.with_header("x-serin-config-version", version.version.to_string())
}

fn changes_json(version: &VersionInfo, changes: &[DocumentChange], dry_run: bool) -> Value {
    let mut told = version_json(version);
    told["dry_run"] = dry_run.into();
    told["changes"] = json!(changes);
    told
}

/// A version as operators see it.
fn version_json(version: &VersionInfo) -> Value {
    let deployed = version.version == 0;
    json!({
        "version": version.version,
        "etag": version.etag(),
        "at": (!deployed).then(|| version.at.as_millis() / 1_000),
        "by": (!deployed).then_some(&version.by),
        "note": if deployed { Some("deployed with the gateway") } else { version.note.as_deref() },
    })
}

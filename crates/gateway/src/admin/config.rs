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
    CommitOutcome, ReloadingGateway, VersionInfo, VersionStore, diff_documents,
};

use super::AdminRequest;
use super::config_json::{add_served, changes_json, problems_json, version_json, with_etag};
use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult};

/// Age after which a version must be in the polled copy, unless the isolate that put it crashed.
const PUBLISH_OVERDUE_AFTER: Duration = Duration::from_secs(10);

/// Changes listed at most in an audit entry.
const MAX_LOGGED_CHANGES: usize = 50;

const MAX_NOTE_CHARS: usize = 256;

/// Attempts to renew the version in force while others put documents.
const MAX_RENEWALS: u32 = 5;

/// `GET /config`: the document in force, or with `status=true` its version with the document in it.
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let with_status = request.parse_query(&["status"])?.flag("status")?;
    let reloading_gateway = require_reloading_gateway(request)?;
    let versions = VersionStore(request.host);
    let (info, in_force) = match versions.head().await {
        Ok(head) => (head, Some(true)),
        // The version served here can be shown without the ledger; a change needs the ledger.
        Err(_) => (reloading_gateway.version().ok_or_else(AdminError::ledger_unavailable)?, None),
    };
    let document = load_document(&versions, &info).await?;
    reloading_gateway.apply_if_newer(request.host, &info, &document).await;
    finish_publishing(request, reloading_gateway, &info, &document).await;
    if !with_status {
        return Ok(with_etag(AdminResponse::from_json_text(document), &info));
    }
    let mut status = version_json(&info);
    status["in_force"] = json!(in_force);
    add_served(&mut status, &info, reloading_gateway);
    // The document's bytes stay as they were put.
    let mut text = status.to_string();
    text.truncate(text.len() - 1);
    text.extend([",\"document\":", &document, "}"]);
    Ok(with_etag(AdminResponse::from_json_text(text), &info))
}

/// `PUT /config`
pub(super) async fn put<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["dry_run", "note"])?;
    let (dry_run, note) = (query.flag("dry_run")?, parse_note(&query)?);
    let reloading_gateway = require_reloading_gateway(request)?;
    let head = VersionStore(request.host).head().await.map_err(head_unavailable)?;
    // A dry run needs no `If-Match`.
    if !dry_run || request.if_match.is_some() {
        check_if_match(request, &head)?;
    }
    let text = str::from_utf8(&request.body);
    let text = text.map_err(|_| AdminError::invalid_json("The document must be UTF-8."))?;
    let action = "config.put";
    let new_version = NewVersion { document: text, action, note, dry_run, ..NewVersion::default() };
    create_version(request, reloading_gateway, head, new_version).await
}

/// `POST /config/versions/{version}/restore`: commits an old document as a new version.
pub(super) async fn restore<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let note = parse_note(&request.parse_query(&["note"])?)?;
    let reloading_gateway = require_reloading_gateway(request)?;
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    check_if_match(request, &head)?;
    let info = find_version(request, &head, 0).await?;
    let document = load_document(&versions, &info).await?;
    let source = format!("restored from {}", info.version);
    let note = Some(note.map_or(source.clone(), |note| format!("{source}: {note}")));
    let action = "config.restore";
    let new_version = NewVersion { document: &document, action, note, ..NewVersion::default() };
    create_version(request, reloading_gateway, head, new_version).await
}

/// `POST /config/follow`: returns to the deployed document, that of later deployments included.
pub(super) async fn follow<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let note = parse_note(&request.parse_query(&["note"])?)?;
    let reloading_gateway = require_reloading_gateway(request)?;
    let head = VersionStore(request.host).head().await.map_err(head_unavailable)?;
    check_if_match(request, &head)?;
    let document = request.host.document().await?;
    let action = "config.follow";
    let new_version =
        NewVersion { document: &document, action, note, follows: true, ..NewVersion::default() };
    create_version(request, reloading_gateway, head, new_version).await
}

/// Makes the document in force a new version, so that every isolate reads again what it refers to.
pub(super) async fn renew<P: Host>(request: &AdminRequest<'_, P>, note: String) -> AdminResult {
    let reloading_gateway = require_reloading_gateway(request)?;
    let versions = VersionStore(request.host);
    let mut tries = 0;
    loop {
        let head = versions.head().await.map_err(head_unavailable)?;
        let document = load_document(&versions, &head).await?;
        let new_version = NewVersion {
            document: &document,
            action: "config.put",
            note: Some(note.clone()),
            follows: head.is_deployed(),
            renews: true,
            ..NewVersion::default()
        };
        let done = create_version(request, reloading_gateway, head, new_version).await;
        tries += 1;
        // The version of a faster writer may have been read before the change.
        match done {
            Err(error) if error.code == "precondition_failed" && tries < MAX_RENEWALS => {}
            done => return done,
        }
    }
}

/// The note of a version, for example the commit that a pipeline deploys.
fn parse_note(query: &Query) -> Result<Option<String>, AdminError> {
    let Some(note) = query.get("note").filter(|note| !note.is_empty()) else { return Ok(None) };
    if note.chars().count() > MAX_NOTE_CHARS || note.chars().any(char::is_control) {
        let found = format!("{} characters", note.chars().count());
        let expected = format!("at most {MAX_NOTE_CHARS} in one line");
        return Err(AdminError::invalid("note", found, expected));
    }
    Ok(Some(note.to_owned()))
}

/// `GET /config/versions`: newest first.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let limit = query.page_limit()?;
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    let mut next = match query.get("cursor") {
        None => Some(head.clone()),
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
        let mut shown = version_json(&info);
        shown["in_force"] = (info.version == head.version).into();
        if let Some(reloading_gateway) = request.context.reloading_gateway {
            add_served(&mut shown, &info, reloading_gateway);
        }
        data.push(shown);
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
    let info = find_version(request, &head, 0).await?;
    let text = load_document(&versions, &info).await?;
    let mut answer = version_json(&info);
    answer["document"] = parse_value(&text)?;
    Ok(with_etag(AdminResponse::json(&answer), &info))
}

/// A document that may become the next version.
#[derive(Default)]
struct NewVersion<'a> {
    document: &'a str,
    action: &'static str,
    note: Option<String>,
    /// Whether it is the deployed document, of later deployments too.
    follows: bool,
    dry_run: bool,
    /// Whether an unchanged document is a version too, since what it refers to has changed.
    renews: bool,
}

async fn create_version<P: Host>(
    request: &AdminRequest<'_, P>,
    reloading_gateway: &ReloadingGateway,
    head: VersionInfo,
    new_version: NewVersion<'_>,
) -> AdminResult {
    let versions = VersionStore(request.host);
    let after = parse_value(new_version.document)?;
    let opened = validate(request, new_version.document, new_version.renews).await?;
    // An empty file would pass every other check.
    if opened.config.routes.is_empty() && new_version.action == "config.put" {
        return Err(no_routes_error());
    }
    let warnings: Vec<String> = opened.config.warnings.iter().map(ToString::to_string).collect();
    let before = load_document(&versions, &head).await?;
    let changes = diff_documents(&parse_value(&before)?, &after);
    let info = VersionInfo {
        version: head.version + 1,
        at: request.host.now(),
        by: request.operator.name.clone(),
        note: new_version.note,
        follows: new_version.follows,
        nonce: random_chars(request.host, 12),
        previous: head.nonce.clone(),
        ..VersionInfo::deployed(new_version.document)
    };
    // Nothing changes if the deployed document is followed already, or the same document is put again.
    let is_same = info.hash == head.hash && (!info.follows || head.is_deployed());
    if new_version.dry_run || (is_same && !new_version.renews) {
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

fn no_routes_error() -> AdminError {
    let (path, found, expected) = ("routes", "none", "at least one route");
    let problems = json!([{ "path": path, "found": found, "expected": expected }]);
    let failure = AdminError::invalid(path, found, expected).with_member("problems", problems);
    failure.with_status(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration")
}

/// Loads a document, or returns all its problems.
async fn validate<P: Host>(
    request: &AdminRequest<'_, P>,
    document: &str,
    is_served: bool,
) -> Result<LoadedConfig, AdminError> {
    let purpose = if is_served { LoadPurpose::Serve } else { LoadPurpose::Check };
    let read = config_loader::load_config(request.host, document, purpose).await.map_err(|_| {
        AdminError::unavailable("settings_unavailable", "Reading the host's secrets failed.")
    })?;
    read.map_err(|problems| problems_error(&problems))
}

fn problems_error(problems: &Problems) -> AdminError {
    let failure = AdminError::problems(problems).with_member("problems", problems_json(problems));
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

/// Refuses a request whose `If-Match` is not the version in force.
fn check_if_match<P: Host>(
    request: &AdminRequest<'_, P>,
    head: &VersionInfo,
) -> Result<(), AdminError> {
    if request.if_match_fits(&head.etag())? { Ok(()) } else { Err(conflict_error(head)) }
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

/// The version that a part of the path names.
pub(super) async fn find_version<P: Host>(
    request: &AdminRequest<'_, P>,
    head: &VersionInfo,
    position: usize,
) -> Result<VersionInfo, AdminError> {
    let version =
        request.path_argument(position).parse().ok().filter(|version| *version <= head.version);
    let version = version.ok_or_else(|| {
        AdminError::not_found(
            "version_not_found",
            format!(
                "There is no version {:?} of the configuration: GET /admin/v1/config/versions lists them.",
                request.path_argument(position)
            ),
        )
    })?;
    Ok(VersionStore(request.host).get_by_number(version, head).await?)
}

pub(super) async fn load_document<P: Host>(
    versions: &VersionStore<'_, P>,
    info: &VersionInfo,
) -> Result<String, AdminError> {
    let document = versions.document(info).await?;
    Ok(document.ok_or_else(|| HostError::new("the store does not show the document yet"))?)
}

pub(super) fn parse_value(document: &str) -> Result<Value, AdminError> {
    if !document.trim_start().starts_with('{') {
        return Err(AdminError::invalid_json(
            "The document must be a JSON object. For a TOML file use `cargo xtask config put FILE`.",
        ));
    }
    json::from_text(document)
        .map_err(|error| AdminError::invalid_json(&Problems::from_json(error).to_string()))
}

pub(super) fn head_unavailable(_: HostError) -> AdminError {
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

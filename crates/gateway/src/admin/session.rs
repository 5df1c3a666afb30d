//! `/session` and `/sessions`: sessions of operators at the console.

use std::time::Duration;

use civil_time::Timestamp;
use config::Role;
use http::StatusCode;
use http::header::USER_AGENT;
use json::percent::{self, UNRESERVED};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::auth::session::{Session, SessionKey};
use crate::host::error::HostError;
use crate::host::{Host, KvStore};

use super::AdminRequest;
use super::auth::role_name;
use super::pagination::read_page;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};
use super::session_cookie::SessionCookie;

/// Prefix of the entries in the list of sessions: `<operator>/<id>` follows.
const OPEN_SESSION_PREFIX: &str = "session/open/";

/// Each session of a page is a read. Workers allow 50 storage calls for a request on their free plan.
const MAX_SESSIONS_READ: usize = 40;

/// Names examined at most to find the operator of a session, and sessions deleted at most at once.
const MAX_NAMES_READ: usize = 2_000;
const MAX_DELETES: usize = 32;

/// Time after which a use of a session is written to its entry.
const LIST_AFTER: Duration = Duration::from_secs(10 * 60);

const MAX_AGENT_CHARS: usize = 200;

/// An entry in the list of sessions. Authentication does not read it.
#[derive(Debug, Serialize, Deserialize)]
struct OpenSession {
    operator: String,
    at: Timestamp,
    seen_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
}

/// `POST /session`: opens a session for the operator whose token was in the body.
pub(super) async fn open<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (context, operator) = (request.context, &request.operator);
    let key = context.pepper.map(SessionKey::new).ok_or_else(AdminError::key_pepper_missing)?;
    let session = Session::new(request.host, &key, &operator.name, operator.token);
    let agent = request.parts.headers.get(USER_AGENT).and_then(|it| it.to_str().ok());
    let entry = OpenSession {
        operator: operator.name.clone(),
        at: session.issued,
        seen_at: session.issued,
        address: context.client_ip.map(|address| address.to_string()),
        agent: agent.map(|it| it.chars().take(MAX_AGENT_CHARS).collect()),
    };
    let target = audit_target(&operator.name, &session.id);
    let change = async { Ok(write_entry(request, &session.id, &entry).await?) };
    request.run_audited("session.open", target, Value::Null, change).await?;
    let cookie = SessionCookie::for_request(request.parts).set(&key.sign(&session));
    Ok(session_response(request, Some(&session)).with_header("set-cookie", cookie))
}

/// `GET /session`: the operator and the possibilities of this gateway.
pub(super) fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    Ok(session_response(request, request.operator.session.as_ref()))
}

/// `DELETE /session`: ends the session of the cookie.
pub(super) async fn close<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let session = request.operator.session.as_ref().ok_or_else(not_found)?;
    let change = end_session(request, &session.operator, &session.id);
    let target = audit_target(&session.operator, &session.id);
    request.run_audited("session.close", target, Value::Null, change).await?;
    let cleared = SessionCookie::for_request(request.parts).clear();
    Ok(AdminResponse::no_content().with_header("set-cookie", cleared))
}

/// `GET /sessions`: one's own sessions; those of all operators for an owner.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let limit = query.page_limit_within(MAX_SESSIONS_READ, MAX_SESSIONS_READ)?;
    let prefix = match request.operator.role {
        Role::Owner => OPEN_SESSION_PREFIX.to_owned(),
        Role::Viewer | Role::Editor => operator_prefix(&request.operator.name),
    };
    let page = read_page(&request.key_store(), &prefix, query.get("cursor"), limit).await?;
    let current = request.operator.session.as_ref().map(|session| session.id.as_str());
    let mut data = Vec::new();
    for name in &page.names {
        let id = name.rsplit('/').next().unwrap_or(name);
        let Some(bytes) = request.host.get(&format!("{prefix}{name}")).await? else { continue };
        let Ok(entry) = json::from_bytes::<OpenSession>(&bytes) else { continue };
        data.push(json!({
            "id": id,
            "operator": entry.operator,
            "at": rfc3339_json(entry.at),
            "seen_at": rfc3339_json(entry.seen_at),
            "address": entry.address,
            "agent": entry.agent,
            "current": current == Some(id),
        }));
    }
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": page.cursor })))
}

/// `DELETE /sessions/{session}`: ends one session, that of another operator for an owner.
pub(super) async fn revoke<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let id = request.path_argument(0);
    let operator = find_operator(request, id).await?;
    let target = audit_target(&operator, id);
    let change = end_session(request, &operator, id);
    request.run_audited("session.revoke", target, Value::Null, change).await?;
    Ok(AdminResponse::no_content())
}

/// `DELETE /sessions?operator=NAME`: ends every session of an operator.
pub(super) async fn revoke_all<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["operator"])?;
    let operator = query.get("operator").unwrap_or(&request.operator.name);
    if operator != request.operator.name {
        request.operator.require_role(Role::Owner)?;
    }
    let context = request.context;
    let change = async {
        let total = context.config.sessions.total;
        let (cache, writes) = (context.session_cache, context.recent_writes);
        cache.revoke_all(request.host, writes, operator, total).await?;
        let prefix = operator_prefix(operator);
        let page = read_page(&request.key_store(), &prefix, None, MAX_DELETES).await?;
        for id in &page.names {
            request.host.delete(&format!("{prefix}{id}")).await?;
        }
        Ok(())
    };
    let target = format!("session/{operator}");
    request.run_audited("session.revoke", target, Value::Null, change).await?;
    Ok(AdminResponse::no_content())
}

/// The signed value of a renewed session. From time to time its use is written to its entry.
pub(super) fn renew<P: Host>(host: &P, key: &SessionKey, mut session: Session) -> String {
    if session.renewed.since(session.listed) >= LIST_AFTER {
        session.listed = session.renewed;
        let (task_host, name) = (host.clone(), entry_key(&session.operator, &session.id));
        let seen_at = session.renewed;
        host.defer(async move {
            // The list only informs: a failure is repeated with the next renewal.
            let Ok(Some(bytes)) = task_host.get(&name).await else { return };
            let Ok(entry) = json::from_bytes::<OpenSession>(&bytes) else { return };
            let seen_at = entry.seen_at.max(seen_at);
            let _ = put_entry(&task_host, &name, &OpenSession { seen_at, ..entry }).await;
        });
    }
    key.sign(&session)
}

async fn write_entry<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
    entry: &OpenSession,
) -> Result<(), HostError> {
    put_entry(request.host, &entry_key(&entry.operator, id), entry).await
}

async fn put_entry(host: &impl KvStore, name: &str, entry: &OpenSession) -> Result<(), HostError> {
    /// Longest session.
    const ENTRY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
    let value = serde_json::to_vec(entry).expect("entries have only plain members");
    host.put(name, value, Some(ENTRY_TTL)).await
}

async fn end_session<P: Host>(
    request: &AdminRequest<'_, P>,
    operator: &str,
    id: &str,
) -> Result<(), AdminError> {
    let context = request.context;
    let (cache, writes) = (context.session_cache, context.recent_writes);
    cache.revoke(request.host, writes, id, context.config.sessions.total).await?;
    Ok(request.host.delete(&entry_key(operator, id)).await?)
}

/// The operator of a session that the caller may end.
async fn find_operator<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
) -> Result<String, AdminError> {
    let is_id = id.len() <= 64 && id.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    if !is_id {
        return Err(not_found());
    }
    let own = &request.operator.name;
    if request.operator.role < Role::Owner {
        let entry = request.host.get(&entry_key(own, id)).await?;
        return entry.map(|_| own.clone()).ok_or_else(not_found);
    }
    let names = read_page(&request.key_store(), OPEN_SESSION_PREFIX, None, MAX_NAMES_READ).await?;
    let found = names.names.iter().find_map(|name| name.strip_suffix(id)?.strip_suffix('/'));
    let operator = found.and_then(percent::decode).ok_or_else(not_found)?;
    Ok(operator.into_owned())
}

fn session_response<P: Host>(
    request: &AdminRequest<'_, P>,
    session: Option<&Session>,
) -> AdminResponse {
    let (context, operator) = (request.context, &request.operator);
    let times = context.config.sessions;
    let version = context.reloading_gateway.and_then(|it| it.version());
    AdminResponse::json(&json!({
        "operator": operator.name,
        "role": role_name(operator.role),
        "session": session.map(|session| &session.id),
        "expires_at": session.map(|session| rfc3339_json(session.issued + times.total)),
        "idle_seconds": times.idle.as_secs(),
        "edge": P::EDGE,
        "version": env!("CARGO_PKG_VERSION"),
        "config_version": version.map(|version| version.version),
        "can": {
            "issue_keys": context.pepper.is_some(),
            "change_config": context.reloading_gateway.is_some(),
            "vault": context.vault_key.is_some(),
        },
    }))
}

fn not_found() -> AdminError {
    AdminError::new(StatusCode::NOT_FOUND, "session_not_found", "This session does not exist.")
}

fn operator_prefix(operator: &str) -> String {
    let mut prefix = OPEN_SESSION_PREFIX.to_owned();
    percent::encode(operator, &UNRESERVED, &mut prefix);
    prefix.push('/');
    prefix
}

fn entry_key(operator: &str, id: &str) -> String {
    format!("{}{id}", operator_prefix(operator))
}

/// Name of a session in the audit log.
fn audit_target(operator: &str, id: &str) -> String {
    format!("session/{operator}/{id}")
}

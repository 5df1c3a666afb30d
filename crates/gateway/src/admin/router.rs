//! Paths of the admin API, with the action and the role of each.

use config::Role;
use http::Method;
use http::request::Parts;
use json::percent;

use super::PREFIX;
use super::response::AdminError;

/// The operation of one path and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Document,
    OpenSession,
    ReadSession,
    CloseSession,
    ListSessions,
    RevokeSession,
    RevokeSessions,
    ListConsumers,
    CreateConsumer,
    ReadConsumer,
    ChangeConsumer,
    DeleteConsumer,
    ListKeys,
    ReadKey,
    IssueKey,
    ChangeKey,
    RevokeKey,
    ListLimits,
    ReadLimit,
    ReadBalance,
    AdjustLimit,
    ReadConfig,
    PutConfig,
    ListVersions,
    ReadVersion,
    RestoreVersion,
    FollowDeployed,
    ReadSchema,
    DiffVersions,
    ListKinds,
    MatchRoute,
    ListTargets,
    ListRequests,
    CountRequests,
    ReadRequest,
    RollKey,
    ListExpiringKeys,
    CheckGuard,
    TestProvider,
    TestUnsavedProvider,
    ListModels,
    Try,
    ReadHealth,
    ListSecrets,
    ListVault,
    PutVault,
    DeleteVault,
    Usage,
    Audit,
    Verdicts,
    SummarizeVerdicts,
    PurgeCache,
    ListConversations,
    ForgetConversations,
    ReadConversation,
    ForgetConversation,
    ReadWords,
    PutWords,
    DeleteWords,
    ReadRollout,
    ChangeRollout,
}

#[derive(Clone, Debug)]
pub(super) struct AdminRoute {
    pub(super) method: Method,
    /// Path after the prefix; a part in braces is variable.
    pub(super) path: &'static str,
    /// Lowest role that is permitted.
    pub(super) role: Role,
    pub(super) action: Action,
}

const fn route(method: Method, path: &'static str, role: Role, action: Action) -> AdminRoute {
    AdminRoute { method, path, role, action }
}

/// All paths and methods.
pub(super) const ROUTES: [AdminRoute; 61] = {
    use Action as A;
    use config::Role::{Editor, Owner, Viewer};
    [
        route(Method::GET, "openapi.json", Viewer, A::Document),
        // Signing in needs no role; the handlers refuse to end sessions of others.
        route(Method::POST, "session", Viewer, A::OpenSession),
        route(Method::GET, "session", Viewer, A::ReadSession),
        route(Method::DELETE, "session", Viewer, A::CloseSession),
        route(Method::GET, "sessions", Viewer, A::ListSessions),
        route(Method::DELETE, "sessions", Viewer, A::RevokeSessions),
        route(Method::DELETE, "sessions/{session}", Viewer, A::RevokeSession),
        route(Method::GET, "consumers", Viewer, A::ListConsumers),
        route(Method::POST, "consumers", Editor, A::CreateConsumer),
        route(Method::GET, "consumers/{consumer}", Viewer, A::ReadConsumer),
        route(Method::PATCH, "consumers/{consumer}", Editor, A::ChangeConsumer),
        route(Method::DELETE, "consumers/{consumer}", Editor, A::DeleteConsumer),
        route(Method::GET, "consumers/{consumer}/keys", Viewer, A::ListKeys),
        route(Method::POST, "consumers/{consumer}/keys", Editor, A::IssueKey),
        route(Method::GET, "consumers/{consumer}/keys/{key}", Viewer, A::ReadKey),
        route(Method::PATCH, "consumers/{consumer}/keys/{key}", Editor, A::ChangeKey),
        route(Method::DELETE, "consumers/{consumer}/keys/{key}", Editor, A::RevokeKey),
        route(Method::POST, "consumers/{consumer}/keys/{key}/roll", Editor, A::RollKey),
        route(Method::GET, "keys/expiring", Viewer, A::ListExpiringKeys),
        route(Method::GET, "limits", Viewer, A::ListLimits),
        route(Method::GET, "limits/{limit}", Viewer, A::ReadLimit),
        route(Method::GET, "limits/{limit}/{value}", Viewer, A::ReadBalance),
        route(Method::POST, "limits/{limit}/{value}/adjust", Editor, A::AdjustLimit),
        route(Method::GET, "config", Viewer, A::ReadConfig),
        route(Method::PUT, "config", Owner, A::PutConfig),
        route(Method::POST, "config/follow", Owner, A::FollowDeployed),
        route(Method::GET, "config/versions", Viewer, A::ListVersions),
        route(Method::GET, "config/versions/{version}", Viewer, A::ReadVersion),
        route(Method::POST, "config/versions/{version}/restore", Owner, A::RestoreVersion),
        route(Method::GET, "config/schema", Viewer, A::ReadSchema),
        route(Method::GET, "config/versions/{version}/diff/{other}", Viewer, A::DiffVersions),
        route(Method::GET, "kinds", Viewer, A::ListKinds),
        route(Method::GET, "match", Viewer, A::MatchRoute),
        route(Method::POST, "guards/{guard}/check", Editor, A::CheckGuard),
        route(Method::POST, "providers/test", Owner, A::TestUnsavedProvider),
        route(Method::POST, "providers/{provider}/test", Editor, A::TestProvider),
        route(Method::GET, "providers/{provider}/models", Viewer, A::ListModels),
        route(Method::POST, "try", Editor, A::Try),
        route(Method::GET, "health", Viewer, A::ReadHealth),
        // Owners only: names of secrets reveal other uses of the host.
        route(Method::GET, "secrets", Owner, A::ListSecrets),
        route(Method::GET, "vault", Editor, A::ListVault),
        route(Method::PUT, "vault/{name}", Owner, A::PutVault),
        route(Method::DELETE, "vault/{name}", Owner, A::DeleteVault),
        route(Method::GET, "targets", Viewer, A::ListTargets),
        route(Method::GET, "requests", Viewer, A::ListRequests),
        route(Method::GET, "requests/histogram", Viewer, A::CountRequests),
        route(Method::GET, "requests/{request}", Viewer, A::ReadRequest),
        route(Method::GET, "usage", Viewer, A::Usage),
        route(Method::GET, "audit", Viewer, A::Audit),
        route(Method::GET, "verdicts", Viewer, A::Verdicts),
        route(Method::GET, "verdicts/summary", Viewer, A::SummarizeVerdicts),
        route(Method::DELETE, "cache", Editor, A::PurgeCache),
        route(Method::GET, "history/{consumer}", Viewer, A::ListConversations),
        route(Method::DELETE, "history/{consumer}", Editor, A::ForgetConversations),
        // Conversations hold content of users, so they need a higher role than numbers.
        route(Method::GET, "history/{consumer}/{session}", Editor, A::ReadConversation),
        route(Method::DELETE, "history/{consumer}/{session}", Editor, A::ForgetConversation),
        route(Method::GET, "words/{list}", Viewer, A::ReadWords),
        route(Method::PUT, "words/{list}", Editor, A::PutWords),
        route(Method::DELETE, "words/{list}", Editor, A::DeleteWords),
        route(Method::GET, "rollouts/{route}", Viewer, A::ReadRollout),
        route(Method::POST, "rollouts/{route}/{command}", Editor, A::ChangeRollout),
    ]
};

/// Whether a request brings its token in the body.
pub(super) fn is_sign_in(parts: &Parts) -> bool {
    let found = match_route(&parts.method, parts.uri.path());
    found.is_ok_and(|(route, _)| route.action == Action::OpenSession)
}

/// Finds the route of a request and the values of the path's variable parts.
pub(super) fn match_route(
    method: &Method,
    path: &str,
) -> Result<(AdminRoute, Vec<String>), AdminError> {
    let rest = path.strip_prefix(PREFIX).ok_or_else(AdminError::unknown_url)?;
    let mut allow: Vec<&str> = Vec::new();
    for route in ROUTES {
        let Some(arguments) = match_path(route.path, rest) else { continue };
        if route.method == *method {
            return Ok((route, arguments));
        }
        allow.push(match route.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            _ => "DELETE",
        });
    }
    if allow.is_empty() {
        return Err(AdminError::unknown_url());
    }
    Err(AdminError::method_not_allowed(allow.join(", ")))
}

/// Returns the variable parts, decoded after the path was split: a value may contain a slash.
fn match_path(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut parts = path.split('/');
    let mut arguments = Vec::new();
    for expected in pattern.split('/') {
        let part = parts.next()?;
        if expected.starts_with('{') {
            arguments.push(percent::decode(part).filter(|value| !value.is_empty())?.into_owned());
        } else if part != expected {
            return None;
        }
    }
    parts.next().is_none().then_some(arguments)
}

//! Authentication of operators, and the check of their roles.

use config::Role;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use secret::KeyDigest;

use crate::auth::session::{Session, SessionKey};
use crate::host::Host;
use crate::request::headers::bearer_token;

use super::AdminContext;
use super::response::AdminError;
use super::session_cookie::{SessionCookie, check_same_origin};
use super::sign_in;

/// Name of the bearer of `ADMIN_TOKEN`.
const ADMIN_TOKEN_OPERATOR: &str = "admin";

/// Header of calls that a page makes by itself. They do not renew a session: else a forgotten page would
/// keep it for ever.
const POLL_HEADER: &str = "x-serin-poll";

/// Age at which a session is renewed.
const RENEW_AFTER: std::time::Duration = std::time::Duration::from_secs(60);

/// An operator whose token or session was accepted.
#[derive(Clone, Debug)]
pub(super) struct AuthenticatedOperator<'a> {
    /// Name in the audit log.
    pub(super) name: String,
    pub(super) role: Role,
    /// Digest of the operator's token.
    pub(super) token: &'a KeyDigest,
    /// The session, if a cookie was sent.
    pub(super) session: Option<Session>,
}

impl<'a> AuthenticatedOperator<'a> {
    /// Finds the operator of a request by its token or its session.
    pub(super) async fn authenticate<P: Host>(
        context: AdminContext<'a>,
        host: &P,
        parts: &Parts,
        request_id: &str,
    ) -> Result<Self, AdminError> {
        let headers = &parts.headers;
        let cookie = SessionCookie::for_request(parts).read(headers);
        // A cookie counts under the prefix of the admin API only.
        let cookie = cookie.filter(|_| parts.uri.path().starts_with(super::PREFIX));
        match (bearer_token(headers), cookie) {
            (None, None) => Err(AdminError::unauthorized(false)),
            (Some(token), None) => sign_in::check_bearer(context, host, token, request_id).await,
            (None, Some(value)) => {
                check_same_origin(parts, true)?;
                Self::from_session(context, host, value).await
            }
            (Some(_), Some(_)) => {
                let expected = "only one of them";
                Err(AdminError::invalid("authorization", "a token beside a session", expected))
            }
        }
    }

    /// Compares the token with every configured one in constant time, so that timing reveals nothing.
    pub(super) fn from_token(context: AdminContext<'a>, token: &str) -> Option<Self> {
        let digest = KeyDigest::new(token);
        let mut found = None;
        for (name, role, token) in operators(context) {
            if bool::from(token.matches(&digest)) {
                found = Some(Self { name: name.to_owned(), role, token, session: None });
            }
        }
        found
    }

    async fn from_session<P: Host>(
        context: AdminContext<'a>,
        host: &P,
        value: &str,
    ) -> Result<Self, AdminError> {
        let key = context.pepper.map(SessionKey::new).ok_or_else(AdminError::session_ended)?;
        let session = key.verify(value).ok_or_else(AdminError::session_ended)?;
        // The role is looked up now, so that a demotion counts at once.
        let mut all = operators(context);
        let found = all
            .find(|(name, _, token)| *name == session.operator && session.has_token(&key, token));
        let (name, role, token) = found.ok_or_else(AdminError::session_ended)?;
        if session.end(context.config.sessions) <= host.now() {
            return Err(AdminError::session_ended());
        }
        let revoked = context.session_cache.is_revoked(host, context.recent_writes, &session).await;
        match revoked {
            Ok(false) => {}
            Ok(true) => return Err(AdminError::session_ended()),
            Err(_) => return Err(AdminError::store_unavailable()),
        }
        Ok(Self { name: name.to_owned(), role, token, session: Some(session) })
    }

    /// The session with a later end, if the request renews it.
    pub(super) fn renewed_session<P: Host>(
        &self,
        host: &P,
        headers: &HeaderMap,
    ) -> Option<Session> {
        let (session, now) = (self.session.as_ref()?, host.now());
        let is_poll = headers.get(POLL_HEADER) == Some(&HeaderValue::from_static("1"));
        let is_due = now.since(session.renewed) >= RENEW_AFTER;
        (is_due && !is_poll).then(|| session.renew(now))
    }

    /// Refuses an operator whose role is lower than `least`.
    pub(super) fn require_role(&self, least: Role) -> Result<(), AdminError> {
        if self.role >= least {
            return Ok(());
        }
        let message = format!(
            "This request needs the role {}; the role of {} is {}.",
            role_name(least),
            self.name,
            role_name(self.role)
        );
        Err(AdminError::new(StatusCode::FORBIDDEN, "role_not_allowed", message))
    }
}

/// Name, role, and token of every operator; last the bearer of `ADMIN_TOKEN`.
fn operators<'a>(
    context: AdminContext<'a>,
) -> impl Iterator<Item = (&'a str, Role, &'a KeyDigest)> {
    let configured = context.config.operators.iter();
    let configured = configured.map(|it| (it.name.as_str(), it.role, &it.token));
    configured.chain(context.token.map(|token| (ADMIN_TOKEN_OPERATOR, Role::Owner, token)))
}

/// Name of a role in the configuration.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Editor => "editor",
        Role::Owner => "owner",
    }
}

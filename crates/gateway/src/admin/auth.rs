//! Authentication of operators, and the check of their roles.

use config::Role;
use http::{HeaderMap, StatusCode};
use secret::KeyDigest;

use crate::request::headers::bearer_token;

use super::AdminContext;
use super::response::AdminError;

/// An operator whose token was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuthenticatedOperator<'a> {
    /// Name in the audit log.
    pub(super) name: &'a str,
    pub(super) role: Role,
}

/// The bearer of `ADMIN_TOKEN`.
const ADMIN_TOKEN_OPERATOR: AuthenticatedOperator<'_> =
    AuthenticatedOperator { name: "admin", role: Role::Owner };

impl<'a> AuthenticatedOperator<'a> {
    /// Compares the token with every configured one in constant time, so that timing reveals nothing.
    pub(super) fn authenticate(
        context: AdminContext<'a>,
        headers: &HeaderMap,
    ) -> Result<Self, AdminError> {
        let Some(token) = bearer_token(headers) else {
            return Err(AdminError::unauthorized(false));
        };
        let digest = KeyDigest::new(token);
        let mut found = None;
        for operator in &context.config.operators {
            if bool::from(operator.token.matches(&digest)) {
                found = Some(Self { name: &operator.name, role: operator.role });
            }
        }
        if context.token.is_some_and(|token| token.matches(&digest).into()) {
            found = Some(ADMIN_TOKEN_OPERATOR);
        }
        found.ok_or(AdminError::unauthorized(true))
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

/// Name of a role in the configuration.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Editor => "editor",
        Role::Owner => "owner",
    }
}

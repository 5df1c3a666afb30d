//! Who may use the admin plane.

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use crate::config::Role;
use crate::secret::KeyDigest;

use super::Desk;
use super::reply::Failure;

/// Somebody whose token was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator<'a> {
    /// The name in the audit log.
    pub(super) name: &'a str,
    /// What may be done.
    pub(super) role: Role,
}

/// The one with `ADMIN_TOKEN`.
const ADMIN: Operator<'_> = Operator { name: "admin", role: Role::Owner };

impl<'a> Operator<'a> {
    /// Compares the token with every one there is, so that the time taken tells nothing.
    pub(super) fn authenticate(desk: Desk<'a>, headers: &HeaderMap) -> Result<Self, Failure> {
        let bearer = || {
            let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        };
        let Some(token) = bearer().filter(|token| !token.is_empty()) else {
            return Err(Failure::unauthorized(false));
        };
        let digest = KeyDigest::of(token);
        let mut found = None;
        for operator in &desk.config.operators {
            if bool::from(operator.token.matches(&digest)) {
                found = Some(Self { name: &operator.name, role: operator.role });
            }
        }
        if desk.token.is_some_and(|token| token.matches(&digest).into()) {
            found = Some(ADMIN);
        }
        found.ok_or(Failure::unauthorized(true))
    }

    /// Refuses what only a higher role may do.
    pub(super) fn must_be(&self, least: Role) -> Result<(), Failure> {
        if self.role >= least {
            return Ok(());
        }
        let message =
            format!("This takes the role {}; {} is {}.", name(least), self.name, name(self.role));
        Err(Failure::new(StatusCode::FORBIDDEN, "role_not_allowed", message))
    }
}

/// A role as the configuration writes it.
pub(super) fn name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Editor => "editor",
        Role::Owner => "owner",
    }
}

//! `[admin]`: operators of the admin API.

use std::time::Duration;

use secret::KeyDigest;

use super::super::auth::{Operator, Role, SessionTimes};
use super::super::consumer::Consumer;
use super::super::raw;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::ids::check_name;

/// The name of the owner of `ADMIN_TOKEN` in the audit log.
const RESERVED_OPERATOR_NAME: &str = "admin";

/// The shortest token of an operator or of `ADMIN_TOKEN` that is not easily guessed, in bytes.
pub const MIN_TOKEN_BYTES: usize = 24;

/// The shortest idle time of a session: a session is renewed at most once a minute.
const MIN_IDLE: Duration = Duration::from_secs(60);

/// Parses the times of sessions.
pub(super) fn session_times(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::AdminSession,
) -> SessionTimes {
    let default = SessionTimes::default();
    let total = path.field("total");
    let total = diagnostics.positive_duration(&total, raw.total.as_ref(), default.total);
    let idle_path = path.field("idle");
    let default_idle = default.idle.min(total);
    let idle = diagnostics.duration_or(&idle_path, raw.idle.as_ref(), default_idle);
    if idle < MIN_IDLE || idle > total {
        let found = raw.idle.as_ref().map_or_else(|| "the default".to_owned(), |it| quoted(&it.0));
        diagnostics.report(&idle_path, found, "a duration from 1m to `total`");
    }
    SessionTimes { idle, total }
}

/// Parses every operator.
pub(super) fn operators(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Operator],
    consumers: &[Consumer],
) -> Vec<Operator> {
    let mut read: Vec<Operator> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        read.extend(operator(diagnostics, &path.item(index), raw, &read, consumers));
    }
    read
}

fn operator(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Operator,
    before: &[Operator],
    consumers: &[Consumer],
) -> Option<Operator> {
    let name_path = path.field("name");
    check_name(diagnostics, &name_path, &raw.name);
    if raw.name == RESERVED_OPERATOR_NAME {
        let expected = "another name: \"admin\" is reserved for the owner of ADMIN_TOKEN";
        diagnostics.report(&name_path, quoted(RESERVED_OPERATOR_NAME), expected);
    } else if before.iter().any(|other| other.name == raw.name) {
        diagnostics.report(&name_path, quoted(&raw.name), "a name of its own for each operator");
    }
    let token_path = path.field("token");
    let token = diagnostics.secret(&token_path, &raw.token);
    if token.as_ref().is_some_and(|token| token.reveal().len() < MIN_TOKEN_BYTES) {
        let message = format!("a token of less than {MIN_TOKEN_BYTES} bytes can be guessed");
        diagnostics.warn(&token_path, message);
    }
    let token = token.map(|token| KeyDigest::new(token.reveal()));
    let has_token =
        |other: &&Operator| token.is_some_and(|token| other.token.matches(&token).into());
    if let Some(other) = before.iter().find(has_token) {
        let expected = format!("a token of its own for each of {} and {}", other.name, raw.name);
        diagnostics.report(&token_path, format!("the token of {}", other.name), expected);
    }
    // Else everyone with the application's key could use the admin API.
    let is_key = |consumer: &&Consumer| {
        token.is_some_and(|token| consumer.keys.iter().any(|key| key.matches(&token).into()))
    };
    if let Some(consumer) = consumers.iter().find(is_key) {
        let found = format!("a key of the consumer {}", consumer.id);
        diagnostics.report(&token_path, found, "a token that is not a consumer's key");
    }
    let role = match diagnostics.one_of(&path.field("role"), &raw.role, &raw::ROLES)? {
        0 => Role::Owner,
        1 => Role::Editor,
        _ => Role::Viewer,
    };
    Some(Operator { name: raw.name.clone(), token: token?, role })
}

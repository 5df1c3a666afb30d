//! Sign-in: an operator's token in exchange for a session. Wrong tokens are counted in the ledger.

use std::time::Duration;

use config::{By, to_canonical};
use http::StatusCode;
use http::request::Parts;
use ledger::{BookId, Denied, Rule, Window};
use serde::Deserialize;

use crate::host::Host;
use crate::host::body::Body;
use crate::limits::matching::{UNKNOWN_ADDRESS, stored_value};

use super::AdminContext;
use super::audit::log_refused_sign_in;
use super::auth::AuthenticatedOperator;
use super::ledger_unit::LedgerUnit;
use super::request_body::{parse_object, read_body};
use super::response::AdminError;
use super::session_cookie::check_same_origin;

const MAX_BODY_BYTES: usize = 4_096;

/// Wrong tokens from one address, and their window in milliseconds.
const MAX_WRONG_BY_ADDRESS: u64 = 10;
const ADDRESS_WINDOW: u64 = 15 * 60 * 1_000;

/// Wrong tokens in all, which also bound the entries in the audit log.
const MAX_WRONG_IN_TOTAL: u64 = 200;
const TOTAL_WINDOW: u64 = 60 * 60 * 1_000;

/// Time for one entry in the audit log for each address.
const LOG_WINDOW: u64 = 60 * 1_000;

/// Time after which an attempt counts as given up.
const ATTEMPT_TTL: Duration = Duration::from_secs(30);

// No `Debug`: it holds a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

/// Reads the token in the body and finds its operator.
pub(super) async fn authenticate<'a, P: Host>(
    context: AdminContext<'a>,
    host: &P,
    parts: &Parts,
    body: &mut Body,
    request_id: &str,
) -> Result<AuthenticatedOperator<'a>, AdminError> {
    // A page elsewhere must not sign somebody in as somebody else.
    check_same_origin(parts, false)?;
    let body = read_body(&parts.headers, body, MAX_BODY_BYTES).await?;
    let SignIn { token } = parse_object(&body)?;
    let address = context.client_ip.map(|address| to_canonical(address).to_string());
    let address = address.unwrap_or_else(|| UNKNOWN_ADDRESS.to_owned());
    // Of an IPv6 address the network counts.
    let book = format!("login/{}", stored_value(&By::Address, &address));
    let unit = |account, max, window| LedgerUnit {
        book: BookId::new(book.clone()),
        account,
        rule: Rule { max, window: Window::Sliding(window) },
    };
    // Reserved before the comparison, so that concurrent attempts count as well.
    let attempts = unit("wrong", MAX_WRONG_BY_ADDRESS, ADDRESS_WINDOW);
    let attempt = attempts.reserve(host, ATTEMPT_TTL).await?;
    let attempt = attempt.map_err(|denied| too_many_error(&denied))?;
    let found = AuthenticatedOperator::from_token(context, token.trim());
    attempts.settle(host, attempt, u64::from(found.is_none())).await;
    if let Some(operator) = found {
        return Ok(operator);
    }
    let total = LedgerUnit {
        book: BookId::new("login".to_owned()),
        account: "wrong",
        rule: Rule { max: MAX_WRONG_IN_TOTAL, window: Window::Sliding(TOTAL_WINDOW) },
    };
    total.spend(host).await?.map_err(|denied| too_many_error(&denied))?;
    if unit("logged", 1, LOG_WINDOW).spend(host).await?.is_ok() {
        host.warn(&format!("A sign-in to the console was refused: wrong token, from {address}."));
        log_refused_sign_in(host, address, request_id).await?;
    }
    Err(AdminError::unauthorized(true))
}

fn too_many_error(denied: &Denied) -> AdminError {
    let seconds = denied.wait.unwrap_or(ADDRESS_WINDOW).div_ceil(1_000).max(1);
    let message = format!("Too many wrong tokens. Try again in {seconds} s.");
    AdminError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sign_ins", message)
        .with_header("retry-after", seconds.to_string())
}

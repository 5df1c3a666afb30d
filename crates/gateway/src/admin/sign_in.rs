//! Tokens of operators: at a sign-in, in exchange for a session, and in `Authorization`. Wrong ones are
//! counted in the ledger.

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

/// Code of the refusal of too many wrong tokens.
const TOO_MANY: &str = "too_many_sign_ins";

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
    let address = source_address(context);
    // Reserved before the comparison, so that concurrent attempts count as well.
    let attempts = wrong_by_address(&address);
    let attempt = attempts.reserve(host, ATTEMPT_TTL).await?;
    let attempt = attempt.map_err(|denied| too_many_error(&denied))?;
    let found = AuthenticatedOperator::from_token(context, token.trim());
    attempts.settle(host, attempt, u64::from(found.is_none())).await;
    if let Some(operator) = found {
        return Ok(operator);
    }
    note_wrong_token(context, host, address, request_id).await?;
    Err(AdminError::unauthorized(true))
}

/// Finds the operator of a token in `Authorization`. A right one needs no call of the ledger; a wrong
/// one counts as at a sign-in. An address that has sent too many waits, also with a right token, in each
/// isolate that knows it.
pub(super) async fn check_bearer<'a, P: Host>(
    context: AdminContext<'a>,
    host: &P,
    token: &str,
    request_id: &str,
) -> Result<AuthenticatedOperator<'a>, AdminError> {
    let (address, wrong, now) = (source_address(context), context.wrong_tokens, host.now());
    let network = stored_value(&By::Address, &address);
    if let Some(wait) = wrong.wait_of_address(&network, now) {
        return Err(too_many_wait(wait));
    }
    if let Some(operator) = AuthenticatedOperator::from_token(context, token) {
        return Ok(operator);
    }
    // The same token again is an old one, and no guess.
    if wrong.is_counted(&network, token, now) {
        return Err(AdminError::unauthorized(true));
    }
    if let Some(wait) = wrong.wait_in_total(now) {
        return Err(too_many_wait(wait));
    }
    // Callers without an address would share one account, and could keep each other out.
    if context.client_ip.is_some() {
        match wrong_by_address(&address).spend(host).await {
            Ok(Ok(())) => {}
            Ok(Err(denied)) => {
                wrong.throttle_address(network, now + wait_of(&denied));
                return Err(too_many_error(&denied));
            }
            // Without the ledger nothing is counted.
            Err(_) => return Err(AdminError::unauthorized(true)),
        }
    }
    wrong.note_counted(&network, token, now);
    match note_wrong_token(context, host, address, request_id).await {
        Err(error) if error.code == TOO_MANY => Err(error),
        Ok(()) | Err(_) => Err(AdminError::unauthorized(true)),
    }
}

/// Counts a wrong token of any address, and logs the first one of an address in a minute.
async fn note_wrong_token<P: Host>(
    context: AdminContext<'_>,
    host: &P,
    address: String,
    request_id: &str,
) -> Result<(), AdminError> {
    let total = LedgerUnit {
        book: BookId::new("login".to_owned()),
        account: "wrong",
        rule: Rule { max: MAX_WRONG_IN_TOTAL, window: Window::Sliding(TOTAL_WINDOW) },
    };
    if let Err(denied) = total.spend(host).await? {
        context.wrong_tokens.throttle_in_total(host.now() + wait_of(&denied));
        return Err(too_many_error(&denied));
    }
    let logged = LedgerUnit {
        book: book_of(&address),
        account: "logged",
        rule: Rule { max: 1, window: Window::Sliding(LOG_WINDOW) },
    };
    if logged.spend(host).await?.is_ok() {
        host.warn(&format!("An operator was refused: wrong token, from {address}."));
        log_refused_sign_in(host, address, request_id).await?;
    }
    Ok(())
}

/// Address of a caller as it is counted.
fn source_address(context: AdminContext<'_>) -> String {
    let address = context.client_ip.map(|address| to_canonical(address).to_string());
    address.unwrap_or_else(|| UNKNOWN_ADDRESS.to_owned())
}

/// Book of an address. Of an IPv6 address the network counts.
fn book_of(address: &str) -> BookId {
    BookId::new(format!("login/{}", stored_value(&By::Address, address)))
}

fn wrong_by_address(address: &str) -> LedgerUnit {
    LedgerUnit {
        book: book_of(address),
        account: "wrong",
        rule: Rule { max: MAX_WRONG_BY_ADDRESS, window: Window::Sliding(ADDRESS_WINDOW) },
    }
}

fn wait_of(denied: &Denied) -> Duration {
    Duration::from_millis(denied.wait.unwrap_or(ADDRESS_WINDOW))
}

fn too_many_error(denied: &Denied) -> AdminError {
    too_many_wait(wait_of(denied))
}

fn too_many_wait(wait: Duration) -> AdminError {
    let seconds = wait.as_millis().div_ceil(1_000).max(1);
    let message = format!("Too many wrong tokens. Try again in {seconds} s.");
    AdminError::new(StatusCode::TOO_MANY_REQUESTS, TOO_MANY, message)
        .with_header("retry-after", seconds.to_string())
}

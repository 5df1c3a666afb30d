//! Errors of the gateway and its upstreams, as callers receive them.

use std::fmt::Write as _;

use http::StatusCode;

use crate::record::Attempt;

use super::limit_exceeded::format_wait;
use super::{ApiError, ErrorShape, Fault, SERVER_ERROR, UPSTREAM_ERROR};

impl Fault {
    /// The error that the caller receives. It names the attempts, without keys or bodies.
    pub(crate) fn to_api_error(&self, attempts: &[Attempt]) -> ApiError {
        let plain = |status, code, message| ApiError {
            status,
            code,
            kind: UPSTREAM_ERROR,
            param: None,
            message,
            headers: Vec::new(),
            shape: ErrorShape::default(),
        };
        match self {
            Self::Upstream => plain(
                StatusCode::BAD_GATEWAY,
                "upstream_error",
                format!("No upstream could answer: {}.", AttemptList(attempts)),
            ),
            Self::RateLimited { retry_after } => ApiError {
                headers: vec![("retry-after", retry_after.to_string())],
                ..plain(
                    StatusCode::TOO_MANY_REQUESTS,
                    "upstream_rate_limited",
                    format!(
                        "The rate limit of the upstream is reached: {}. Try again in {}.",
                        AttemptList(attempts),
                        format_wait(*retry_after)
                    ),
                )
            },
            Self::Timeout => ApiError {
                headers: no_retry(attempts),
                ..plain(
                    StatusCode::GATEWAY_TIMEOUT,
                    "upstream_timeout",
                    format!("No upstream answered in time: {}.", AttemptList(attempts)),
                )
            },
            Self::NotReplayed { max, is_late } => {
                let (status, code) = if *is_late {
                    (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout")
                } else {
                    (StatusCode::BAD_GATEWAY, "upstream_error")
                };
                let tried = AttemptList(attempts);
                let message = format!(
                    "No upstream could answer: {tried}. The request is longer than {max} bytes, so it is sent once."
                );
                plain(status, code, message)
            }
            Self::NoHealthyUpstream { retry_after } => ApiError {
                headers: vec![("retry-after", retry_after.to_string())],
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "no_healthy_upstream",
                    format!(
                        "All upstreams for this model are cooling down after failures. Try again in {}.",
                        format_wait(*retry_after)
                    ),
                )
            },
            Self::NoProviderKey => ApiError {
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "invalid_configuration",
                    "The providers of this model have no key: a secret of the gateway is not set. Its log names the secret.".to_owned(),
                )
            },
            Self::LedgerUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ledger_unavailable",
                    "A limit of this API key cannot be checked: the ledger is unavailable. Try again in 5 s.".to_owned(),
                )
            },
            Self::GuardUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "guard_unavailable",
                    "A guard that must check this request is unavailable. Try again in 5 s.".to_owned(),
                )
            },
            Self::Overloaded => ApiError {
                headers: vec![("retry-after", "2".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "overloaded",
                    "The gateway is busy with the bodies of other requests. Try again in 2 s.".to_owned(),
                )
            },
            Self::AuthenticationUnavailable => ApiError {
                headers: vec![("retry-after", "5".to_owned())],
                kind: SERVER_ERROR,
                ..plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "authentication_unavailable",
                    "The API key cannot be checked: the key store or the token issuer is unavailable. Try again in 5 s.".to_owned(),
                )
            },
        }
    }
}

/// Headers that keep a client from a retry after several attempts have timed out: each retry would repeat
/// all of them, for minutes.
fn no_retry(attempts: &[Attempt]) -> Vec<(&'static str, String)> {
    let has_tried_others = attempts.len() > 1;
    has_tried_others.then(|| ("x-should-retry", "false".to_owned())).into_iter().collect()
}

/// Target, result, and status of each attempt.
struct AttemptList<'a>(&'a [Attempt]);

impl std::fmt::Display for AttemptList<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no target was called");
        }
        for (index, attempt) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} ({}", attempt.target, attempt.result)?;
            if let Some(status) = attempt.status {
                write!(f, ", status {status}")?;
            }
            f.write_char(')')?;
        }
        Ok(())
    }
}

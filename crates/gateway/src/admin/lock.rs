//! Locks in the ledger for changes that must not run concurrently.
//!
//! The store has no transactions and may show older states; the ledger is exact. A lock is a reservation
//! of 1 of 1. If its holder crashes, the reservation expires.

use std::time::Duration;

use ledger::{BookId, Rule, Window};

use crate::auth::keys::{KeyHash, LockReservation};
use crate::host::{Clock, LedgerHost};

use super::ledger_unit::LedgerUnit;
use super::response::AdminError;

/// Longer than a store shows an older state: after it, the entry itself is visible.
const LONG_LOCK_TTL: Duration = Duration::from_secs(120);

const SHORT_LOCK_TTL: Duration = Duration::from_secs(30);

/// The change that a lock protects.
#[derive(Clone, Copy, Debug)]
pub(super) enum LockSubject<'a> {
    /// Creation of a consumer with this id.
    NewConsumer(&'a str),
    /// A change of this consumer.
    Consumer(&'a str),
    /// Adoption of the key with this hash.
    Import(&'a KeyHash),
    /// A change of this key.
    Key(&'a str),
    /// Revocation of this key, after which it must not be changed.
    Revocation(&'a str),
}

impl LockSubject<'_> {
    fn unit(self) -> LedgerUnit {
        let book = BookId::new(match self {
            Self::NewConsumer(id) | Self::Consumer(id) => format!("claim/consumer/{id}"),
            Self::Import(hash) => format!("claim/hash/{}", hash.to_hex()),
            Self::Key(id) | Self::Revocation(id) => format!("claim/key/{id}"),
        });
        let account = match self {
            Self::NewConsumer(_) => "create",
            Self::Import(_) => "adopt",
            Self::Consumer(_) | Self::Key(_) | Self::Revocation(_) => "change",
        };
        LedgerUnit { book, account, rule: Rule { max: 1, window: Window::Total } }
    }

    fn ttl(self) -> Duration {
        match self {
            Self::NewConsumer(_) | Self::Import(_) | Self::Revocation(_) => LONG_LOCK_TTL,
            Self::Consumer(_) | Self::Key(_) => SHORT_LOCK_TTL,
        }
    }
}

/// Acquires a lock; `None` if it is held.
pub(super) async fn acquire(
    host: &(impl Clock + LedgerHost),
    subject: LockSubject<'_>,
) -> Result<Option<LockReservation>, AdminError> {
    Ok(subject.unit().reserve(host, subject.ttl()).await?.ok())
}

/// Releases a lock. If that fails, the lock expires.
pub(super) async fn release(
    host: &impl LedgerHost,
    subject: LockSubject<'_>,
    lock: LockReservation,
) {
    subject.unit().settle(host, lock, 0).await;
}

pub(super) fn locked_error(what: &str) -> AdminError {
    AdminError::conflict(
        "conflict",
        format!("Another change of {what} is in progress. Retry later."),
    )
}

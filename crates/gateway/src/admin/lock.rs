//! Claims: what only one may do at a time.
//!
//! The store has no transactions and shows old states, the ledger is exact. So whoever creates,
//! takes over or changes something first reserves one of one there. A claim whose holder dies returns
//! by itself.

use std::time::Duration;

use ledger::{BookId, Charge, Hold, LedgerReply, Operation, Rule, Window};

use crate::auth::keys::{KeyHash, LockReservation};
use crate::host::{Clock, LedgerHost};

use super::response::AdminError;

/// Longer than any store shows what is no more: after it, the entry itself tells that it is there.
const LONG_LOCK_TTL: Duration = Duration::from_secs(120);

/// Longer than one change takes.
const SHORT_LOCK_TTL: Duration = Duration::from_secs(30);

/// What is claimed.
#[derive(Clone, Copy, Debug)]
pub(super) enum LockSubject<'a> {
    /// To create a consumer of this name.
    NewConsumer(&'a str),
    /// To change this consumer.
    Consumer(&'a str),
    /// To take over the key with this hash.
    Import(&'a KeyHash),
    /// To change this key.
    Key(&'a str),
    /// To revoke this key: nobody may change it afterwards.
    Revocation(&'a str),
}

impl LockSubject<'_> {
    fn book_id(self) -> BookId {
        BookId::new(match self {
            Self::NewConsumer(id) | Self::Consumer(id) => format!("claim/consumer/{id}"),
            Self::Import(hash) => format!("claim/hash/{}", hash.to_hex()),
            Self::Key(id) | Self::Revocation(id) => format!("claim/key/{id}"),
        })
    }

    fn account_name(self) -> &'static str {
        match self {
            Self::NewConsumer(_) => "create",
            Self::Import(_) => "adopt",
            Self::Consumer(_) | Self::Key(_) | Self::Revocation(_) => "change",
        }
    }

    fn ttl(self) -> Duration {
        match self {
            Self::NewConsumer(_) | Self::Import(_) | Self::Revocation(_) => LONG_LOCK_TTL,
            Self::Consumer(_) | Self::Key(_) => SHORT_LOCK_TTL,
        }
    }
}

/// Claims something; `None`: somebody else was first.
pub(super) async fn acquire(
    host: &(impl Clock + LedgerHost),
    subject: LockSubject<'_>,
) -> Result<Option<LockReservation>, AdminError> {
    let lock = LockReservation { id: host.entropy(), until: host.now() + subject.ttl() };
    let hold = Hold {
        account: subject.account_name().to_owned(),
        rule: Rule { max: 1, window: Window::Total },
        min: 1,
        want: 1,
        slice: None,
    };
    let operation = Operation::Reserve { id: lock.id, until: lock.until, holds: vec![hold] };
    match host.apply(&subject.book_id(), &operation).await {
        Ok(LedgerReply::Granted(_)) => Ok(Some(lock)),
        Ok(LedgerReply::Denied(_)) => Ok(None),
        Ok(
            LedgerReply::Done
            | LedgerReply::Balances(_)
            | LedgerReply::Usage(_)
            | LedgerReply::Register(_),
        )
        | Err(_) => Err(AdminError::ledger_unavailable()),
    }
}

/// Gives a claim back. Where that fails, it returns when its time is over.
pub(super) async fn release(
    host: &impl LedgerHost,
    subject: LockSubject<'_>,
    lock: LockReservation,
) {
    let account = subject.account_name().to_owned();
    let charges = vec![Charge { account, window: Window::Total, amount: 0 }];
    let operation = Operation::Settle { id: lock.id, until: lock.until, charges };
    let _ = host.apply(&subject.book_id(), &operation).await;
}

/// That somebody else was first.
pub(super) fn locked_error(what: &str) -> AdminError {
    AdminError::conflict("conflict", format!("Another change of {what} is under way. Try again."))
}

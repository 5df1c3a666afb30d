//! One unit of an account in the ledger: a lock, or an attempt that is counted.

use std::time::Duration;

use ledger::{BookId, Charge, Denied, Hold, LedgerReply, Operation, Rule};

use crate::auth::keys::LockReservation;
use crate::host::{Clock, LedgerHost};

use super::response::AdminError;

/// An account of which units are taken one by one.
#[derive(Clone, Debug)]
pub(super) struct LedgerUnit {
    pub(super) book: BookId,
    pub(super) account: &'static str,
    pub(super) rule: Rule,
}

impl LedgerUnit {
    /// Reserves a unit until it is settled, at most for `ttl`.
    pub(super) async fn reserve(
        &self,
        host: &(impl Clock + LedgerHost),
        ttl: Duration,
    ) -> Result<Result<LockReservation, Denied>, AdminError> {
        let reservation = LockReservation { id: host.entropy(), until: host.now() + ttl };
        let hold = Hold {
            account: self.account.to_owned(),
            rule: self.rule,
            min: 1,
            want: 1,
            slice: None,
        };
        let LockReservation { id, until } = reservation;
        let operation = Operation::Reserve { id, until, holds: vec![hold] };
        let reply = host.apply(&self.book, &operation).await.ok();
        let granted = reply.and_then(LedgerReply::into_grants);
        Ok(granted.ok_or_else(AdminError::ledger_unavailable)?.map(|_| reservation))
    }

    /// Ends a reservation: with 0 the unit returns, with 1 it is spent. If that fails, the reservation
    /// expires.
    pub(super) async fn settle(
        &self,
        host: &impl LedgerHost,
        reservation: LockReservation,
        amount: u64,
    ) {
        let charge = Charge { account: self.account.to_owned(), window: self.rule.window, amount };
        let LockReservation { id, until } = reservation;
        let operation = Operation::Settle { id, until, charges: vec![charge] };
        let _ = host.apply(&self.book, &operation).await;
    }

    /// Spends a unit. The inner error is the denial.
    pub(super) async fn spend(
        &self,
        host: &(impl Clock + LedgerHost),
    ) -> Result<Result<(), Denied>, AdminError> {
        /// Longer than a call of the ledger.
        const SPEND_TTL: Duration = Duration::from_secs(30);
        let reserved = self.reserve(host, SPEND_TTL).await?;
        let Ok(reservation) = reserved else { return Ok(reserved.map(|_| ())) };
        self.settle(host, reservation, 1).await;
        Ok(Ok(()))
    }
}

//! Settlement of a reservation: each part returns to, or is charged at, its source.

use std::collections::BTreeMap;

use ledger::{BookId, Charge, Operation};

use crate::host::Host;

use super::ledger_client;
use super::reservation::{Backing, Reservation, ReservationPart, SettledUsage};

impl<P: Host> Reservation<P> {
    /// Settles all parts in the background. A second call has no effect.
    pub(super) fn release(&mut self, spent: SettledUsage) {
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return;
        }
        let now = self.host.now();
        let (id, until) = (self.id, self.until);
        // Not the reservation's id: a lease that it acquired has that one too.
        let correction_id = self.host.entropy();
        let mut charges_by_book: BTreeMap<BookId, Vec<Charge>> = BTreeMap::new();
        let mut operations: Vec<(BookId, Operation)> = Vec::new();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let correct = |account, window, change| {
            let (id, began) = (correction_id, self.began);
            Operation::Correct { id, account, window, began, change }
        };
        for part in parts {
            let amount = spent.amount(part.measure);
            let ReservationPart { account, book_id, window, .. } = part;
            match part.backing {
                Backing::Ledger => {
                    let charge = Charge { account, window, amount };
                    charges_by_book.entry(book_id).or_default().push(charge);
                }
                Backing::Lease(lease) => {
                    let mut leases = self.limiter_state.leases.borrow_mut();
                    if !leases.settle(&account, lease, part.amount, amount) {
                        let change = signed(amount).saturating_sub(signed(part.amount));
                        operations.push((book_id, correct(account, window, change)));
                    }
                }
                Backing::None => {}
                Backing::Local => {
                    let charges = vec![Charge { account: account.clone(), window, amount }];
                    let operation = Operation::Settle { id, until, charges };
                    self.limiter_state.apply_locally(now, &operation);
                    if amount > 0 {
                        // The ledger may be available again.
                        operations.push((book_id, correct(account, window, signed(amount))));
                    }
                }
            }
        }
        let settle = |(book_id, charges)| (book_id, Operation::Settle { id, until, charges });
        operations.extend(charges_by_book.into_iter().map(settle));
        if !operations.is_empty() {
            ledger_client::call_in_background(&self.host, operations);
        }
    }
}

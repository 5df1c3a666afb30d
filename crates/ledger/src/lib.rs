//! Budgets: what was spent of them, what is reserved, and what may still be had.
//!
//! Everything here is a pure transition: [`Book::apply`] is the same code inside a Durable Object,
//! inside a compare-and-swap loop and in the simulator. It reads no clock and keeps nothing; a host
//! hands it the time and stores what was touched. It knows no configuration: an operation brings the
//! rule by which it is judged, so that a changed limit holds from the next request on.
//!
//! What always holds, and is tested as such:
//! - Of any account, what is spent and reserved is at most its rule's maximum when something is
//!   granted. Afterwards it may exceed it only by what a settlement charged beyond its reservation.
//! - All holds of an operation are granted, or none.
//! - Reserving and settling conserve: after it an account holds what was really spent, whatever came
//!   in between, and a reservation is settled once however often it is said.
//! - Leases are debited when they are granted; their sum is never above the maximum.
//! - A reservation or lease that nobody settles returns when its time is over.
//! - Of all who replace one text of a register, one does.

mod account;
mod book;
mod cardinality;
mod lease;
mod operation;
mod quantile_sketch;
mod sliding_window;
mod sparse_counts;
mod tally;
#[cfg(test)]
mod tests;

pub use book::Book;
pub use cardinality::CardinalityLimits;
pub use cardinality::labels;
pub use lease::{Drawn, Lease, Leases};
pub use operation::{
    AccountBalance, BalanceChange, BookId, Charge, Denied, Grant, Hold, LedgerReply, Operation,
    Register, Rule, UsageRow, Window,
};
pub use quantile_sketch::QuantileSketch;
pub use sparse_counts::SparseCounts;
pub use tally::UsageTotals;

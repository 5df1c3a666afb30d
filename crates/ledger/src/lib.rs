//! Budgets: the amounts that were spent, reserved, and are left.
//!
//! Everything here is a pure transition: [`Book::apply`] is the same code inside a Durable Object,
//! inside a compare-and-swap loop, and in the simulator. It reads no clock and stores nothing; a
//! host passes the time and stores the changed rows. It has no configuration: an operation
//! carries the rule by which it is judged, so a changed limit applies from the next request on.
//!
//! Invariants, each with a test:
//! - When an amount is granted, spent and reserved amounts of the account are at most its rule's
//!   maximum. Later they exceed it only by what a settlement charges beyond its reservation.
//! - All holds of an operation are granted, or none.
//! - After reserving and settling, an account holds exactly what was spent, in any order of events.
//!   A repeated settlement changes nothing.
//! - Leases are debited when they are granted; their sum is never above the maximum.
//! - A reservation or lease that is not settled returns when it expires.
//! - A rollout is a row of its book like any other; its rules are those of the `rollout` crate.
//! - Of all writers that replace the same text of a register, exactly one succeeds.

#![warn(missing_docs)]

mod account;
mod book;
mod book_row;
mod cardinality;
mod lease;
mod operation;
mod quantile_sketch;
mod sliding_window;
mod sparse_counts;
mod tally;
#[cfg(test)]
mod tests;
mod window_usage;

pub use book::Book;
pub use cardinality::CardinalityLimits;
pub use cardinality::labels;
pub use lease::{Drawn, Lease, Leases};
pub use operation::{
    AccountBalance, BalanceChange, BookId, Charge, Denied, Grant, Hold, LedgerReply, LogLine,
    LogQuery, NewLogLines, Operation, Register, Rule, UsageRow, Window,
};
pub use quantile_sketch::QuantileSketch;
pub use sparse_counts::SparseCounts;
pub use tally::UsageTotals;

//! Operations of the ledger and their replies.

use civil_time::Timestamp;
use rollout::{RolloutOperation, RolloutReply};
use serde::{Deserialize, Serialize};

use super::cardinality::CardinalityLimits;
use super::tally::UsageTotals;

/// Name of a book: the name of a Durable Object, the key of a compare-and-swap. At most 128 bytes
/// of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookId(String);

impl BookId {
    /// Wraps a name.
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An operation that a book applies in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Reserves the amounts of all holds, or none. The accounts of the holds are distinct.
    Reserve {
        /// Chosen by the sender; unique among reservations.
        id: u64,
        /// Expiry of the reservation.
        until: Timestamp,
        /// Requested amounts.
        holds: Vec<Hold>,
    },
    /// Ends a reservation: unspent amounts return, amounts beyond the reservation are charged.
    /// Repeating it has no effect.
    Settle {
        /// Id of the reservation.
        id: u64,
        /// Expiry of the reservation.
        until: Timestamp,
        /// Spent amounts, for each account of the reservation.
        charges: Vec<Charge>,
    },
    /// Reports the spent part of a lease. Repeating it has no effect.
    Report {
        /// Id of the lease.
        id: u64,
        /// Account of the lease.
        account: String,
        /// Window of the lease's rule.
        window: Window,
        /// Total amount spent from the lease.
        used: u64,
        /// The part of `used` that the ledger has confirmed.
        acknowledged: u64,
        /// Whether the lease ends and its rest returns.
        close: bool,
    },
    /// Changes the spent amount without a reservation. Repeating it within a minute has no effect.
    Correct {
        /// Chosen by the sender; unique.
        id: u64,
        /// Account to correct.
        account: String,
        /// Window of the account's rule.
        window: Window,
        /// Time at which it was spent: an amount that has left the window is not returned.
        began: Timestamp,
        /// Amount to charge (positive) or to return (negative).
        change: i64,
    },
    /// Reads balances.
    Read {
        /// Names and rules of the accounts.
        accounts: Vec<(String, Rule)>,
    },
    /// Raises or lowers an account's maximum, on top of its rule. The reply has the balance afterwards and
    /// the one before. Denied if the account has too many adjustments with different ends.
    Adjust {
        /// Account to adjust.
        account: String,
        /// Rule of the account.
        rule: Rule,
        /// The adjustment.
        change: BalanceChange,
        /// End of the adjustment; `None` if it stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Adds to the totals of past requests. Repeating it within a minute has no effect, if the host
    /// still has the book in memory.
    #[serde(rename = "tally")]
    AddUsage {
        /// Chosen by the sender; unique.
        id: u64,
        /// Limits on the label values in the rows' names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bounds: Option<CardinalityLimits>,
        /// Totals to add.
        rows: Vec<UsageRow>,
        /// Lines to append to the book's log.
        #[serde(default, skip_serializing_if = "NewLogLines::is_empty")]
        log: NewLogLines,
    },
    /// Reads the totals of past requests.
    #[serde(rename = "tallies")]
    ReadUsage,
    /// Reads lines of the book's log, the newest first.
    ReadLog(LogQuery),
    /// Replaces a register if its number is still `after`. The reply is the register afterwards:
    /// the write succeeded if it holds this text.
    Exchange {
        /// Name of the register.
        register: String,
        /// Number of the register that the writer has read.
        after: u64,
        /// New text. Writers that must recognize their own text make it unique.
        text: String,
    },
    /// Reads a register.
    #[serde(rename = "look")]
    ReadRegister {
        /// Name of the register.
        register: String,
    },
    /// Changes or reads the rollout of the book, which has only one.
    Rollout(Box<RolloutOperation>),
}

impl Operation {
    /// Whether the operation changes nothing.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Read { .. } | Self::ReadUsage | Self::ReadLog(_) | Self::ReadRegister { .. } => {
                true
            }
            Self::Rollout(operation) => match **operation {
                RolloutOperation::Read { .. } => true,
                RolloutOperation::Report { .. } | RolloutOperation::Command { .. } => false,
            },
            Self::Reserve { .. }
            | Self::Settle { .. }
            | Self::Report { .. }
            | Self::Correct { .. }
            | Self::Adjust { .. }
            | Self::AddUsage { .. }
            | Self::Exchange { .. } => false,
        }
    }
}

/// One account's part of a reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Account.
    pub account: String,
    /// Rule of the account.
    pub rule: Rule,
    /// Smallest amount to grant; below it the operation is denied.
    #[serde(rename = "least")]
    pub min: u64,
    /// Amount to grant if it is available.
    pub want: u64,
    /// Expiry of a lease, if a slice for further requests may be granted.
    pub slice: Option<Timestamp>,
}

/// Maximum amount in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Maximum.
    pub max: u64,
    /// Window.
    pub window: Window,
}

/// Period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Any period of this length, in milliseconds.
    Sliding(u64),
    /// From a start up to, excluding, an end: a calendar day.
    #[serde(rename = "stretch")]
    Fixed(Timestamp, Timestamp),
    /// Unlimited.
    Total,
}

/// Amount spent from one account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// Account.
    pub account: String,
    /// Window of the account's rule.
    pub window: Window,
    /// Spent amount.
    pub amount: u64,
}

/// Adjustment of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceChange {
    /// Sets the amount that is left.
    Left(u64),
    /// Raises or lowers the maximum.
    By(i64),
}

/// Reply of a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerReply {
    /// All holds were granted: one grant for each, in order.
    Granted(Vec<Grant>),
    /// Nothing was granted.
    #[serde(rename = "refused")]
    Denied(Denied),
    /// The operation was applied.
    Done,
    /// Balances of the accounts, in order.
    #[serde(rename = "levels")]
    Balances(Vec<AccountBalance>),
    /// Totals of past requests.
    #[serde(rename = "tallies")]
    Usage(Vec<UsageRow>),
    /// The current register.
    Register(Register),
    /// Reply of the rollout.
    Rollout(RolloutReply),
    /// Lines of the log, the newest first.
    Log(Vec<LogLine>),
}

impl LedgerReply {
    /// Grants of a reservation, or its denial. `None` if the reply is that to another operation.
    pub fn into_grants(self) -> Option<Result<Vec<Grant>, Denied>> {
        if let Self::Granted(grants) = self {
            return Some(Ok(grants));
        }
        self.into_denied().map(Err)
    }

    /// Balances of an adjustment, or its denial. `None` if the reply is that to another operation.
    pub fn into_balances(self) -> Option<Result<Vec<AccountBalance>, Denied>> {
        if let Self::Balances(balances) = self {
            return Some(Ok(balances));
        }
        self.into_denied().map(Err)
    }

    /// The register. `None` if the reply is that to another operation.
    pub fn into_register(self) -> Option<Register> {
        if let Self::Register(register) = self { Some(register) } else { None }
    }

    /// The rollout's reply. `None` if the reply is that to another operation.
    pub fn into_rollout(self) -> Option<RolloutReply> {
        if let Self::Rollout(reply) = self { Some(reply) } else { None }
    }

    fn into_denied(self) -> Option<Denied> {
        if let Self::Denied(denied) = self { Some(denied) } else { None }
    }
}

/// Lines to append to a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewLogLines {
    /// Lines that the book keeps; beyond it the oldest ones go.
    pub max: usize,
    /// The lines, in order.
    pub lines: Vec<LogLine>,
}

impl NewLogLines {
    /// Whether nothing is appended.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// A line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Position in the log, which the book assigns: microseconds of its host's clock, each used once.
    #[serde(default)]
    pub number: u64,
    /// Expiry of the line.
    pub until: Timestamp,
    /// A word to count the line by.
    pub label: String,
    /// The text; empty if it was not asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// The wanted lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// Only lines with a lower number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Only lines with a higher number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only lines whose text contains each of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Whether the texts are returned.
    pub texts: bool,
    /// Lines at most.
    pub limit: usize,
}

/// A short text that is replaced only by a writer that names its current number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Number of writes.
    pub number: u64,
    /// Text of the last write; empty if there was none.
    pub text: String,
}

/// The grant of one hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Granted amount.
    pub amount: u64,
    /// Whether it is a lease: a slice for further requests too.
    pub leased: bool,
    /// Balance afterwards.
    #[serde(rename = "level")]
    pub balance: AccountBalance,
}

/// A denied reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Index of the hold with the longest wait.
    pub hold: usize,
    /// Milliseconds until it may be granted if no other request takes any; `None` if never without
    /// an adjustment.
    pub wait: Option<u64>,
    /// Balances of the accounts of all holds, in order.
    #[serde(rename = "levels")]
    pub balances: Vec<AccountBalance>,
}

/// Balance of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBalance {
    /// Maximum, adjustments included.
    pub max: u64,
    /// Spent or reserved amount.
    pub used: u64,
    /// The part of `used` that is reserved or leased.
    pub held: u64,
    /// Milliseconds until nothing counts any more; `None` if the balance never resets.
    pub resets: Option<u64>,
}

impl AccountBalance {
    /// The amount that is left.
    pub fn left(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }
}

/// Totals of past requests of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Name of the row, with its labels.
    pub key: String,
    /// Expiry of the row.
    pub until: Timestamp,
    /// Totals.
    #[serde(rename = "tally")]
    pub totals: UsageTotals,
}

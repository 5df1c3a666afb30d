//! What a ledger is asked, and what it answers.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::cardinality::CardinalityLimits;
use super::tally::UsageTotals;

/// Where a book is kept: the name of a Durable Object, the key of a compare-and-swap. At most 128
/// bytes of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookId(String);

impl BookId {
    /// Names a place.
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something that a ledger does in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Takes what every hold asks for, or nothing at all. The holds' accounts are distinct.
    Reserve {
        /// Chosen by the one who reserves; no two reservations have the same.
        id: u64,
        /// When it returns if nobody settles it.
        until: Timestamp,
        /// What is asked for.
        holds: Vec<Hold>,
    },
    /// Ends a reservation: what was not spent returns, what was spent beyond it is charged. Said
    /// again, it does nothing.
    Settle {
        /// The reservation's.
        id: u64,
        /// The reservation's.
        until: Timestamp,
        /// What was really spent, for each account of the reservation.
        charges: Vec<Charge>,
    },
    /// Tells how much of a lease is spent so far. Said again, it does nothing.
    Report {
        /// The lease's.
        id: u64,
        /// The lease's.
        account: String,
        /// The window of the lease's rule.
        window: Window,
        /// Everything that was spent of it.
        used: u64,
        /// What of that the ledger has confirmed before.
        acknowledged: u64,
        /// Whether the rest returns.
        close: bool,
    },
    /// Changes what was spent where no reservation stands any more. Said again within a minute, it
    /// does nothing.
    Correct {
        /// Chosen by the one who corrects; nothing else has the same.
        id: u64,
        /// Whose.
        account: String,
        /// The window of its rule.
        window: Window,
        /// When it was spent: what has left the window is not given back.
        began: Timestamp,
        /// What is charged (above zero) or given back.
        change: i64,
    },
    /// Looks at accounts.
    Read {
        /// Their names and rules.
        accounts: Vec<(String, Rule)>,
    },
    /// Raises or lowers what an account may spend beside its rule.
    Adjust {
        /// Whose.
        account: String,
        /// Its rule.
        rule: Rule,
        /// How.
        change: BalanceChange,
    },
    /// Adds to what is known of past requests. Said again within a minute to a host that still has
    /// the book in memory, it does nothing.
    #[serde(rename = "tally")]
    AddUsage {
        /// Chosen by the one who adds; nothing else has the same.
        id: u64,
        /// Where the rows' names have labels: how many values each may have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bounds: Option<CardinalityLimits>,
        /// What to add.
        rows: Vec<UsageRow>,
    },
    /// Asks for everything that is known of past requests.
    #[serde(rename = "tallies")]
    ReadUsage,
    /// Writes a register if nobody was first. The reply is the register afterwards: it was written
    /// where the text is this one's.
    Exchange {
        /// Its name.
        register: String,
        /// Its number as the writer knows it; only where it still is this one it is written.
        after: u64,
        /// What is to stand in it. Writers who must tell their texts apart make them distinct.
        text: String,
    },
    /// Looks at a register.
    #[serde(rename = "look")]
    ReadRegister {
        /// Its name.
        register: String,
    },
}

/// One account's part of a reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose.
    pub account: String,
    /// By which rule.
    pub rule: Rule,
    /// With less than this nothing is granted.
    #[serde(rename = "least")]
    pub min: u64,
    /// What is granted where there is so much.
    pub want: u64,
    /// Where a slice for later requests is welcome: when it returns.
    pub slice: Option<Timestamp>,
}

/// How much may be spent in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The most.
    pub max: u64,
    /// In which time.
    pub window: Window,
}

/// A time that a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Any stretch of this length, in milliseconds.
    Sliding(u64),
    /// From a moment up to and without another: a day of somebody's calendar.
    #[serde(rename = "stretch")]
    Fixed(Timestamp, Timestamp),
    /// For ever.
    Total,
}

/// What was really spent of one account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// Whose.
    pub account: String,
    /// The window of its rule.
    pub window: Window,
    /// How much.
    pub amount: u64,
}

/// How an account is adjusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceChange {
    /// So much is left from now on.
    Left(u64),
    /// So much more, or less, may be spent.
    By(i64),
}

/// A ledger's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerReply {
    /// Everything was granted: one for each hold, in their order.
    Granted(Vec<Grant>),
    /// Nothing was granted.
    #[serde(rename = "refused")]
    Denied(Denied),
    /// It is done.
    Done,
    /// The accounts that were asked for, in their order.
    #[serde(rename = "levels")]
    Balances(Vec<AccountBalance>),
    /// Everything that is known of past requests.
    #[serde(rename = "tallies")]
    Usage(Vec<UsageRow>),
    /// A register as it is now.
    Register(Register),
}

/// A short text that is only ever replaced by whoever knows the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// How often it was written.
    pub number: u64,
    /// What was written last; empty where nothing was.
    pub text: String,
}

/// What a hold was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// How much.
    pub amount: u64,
    /// Whether it is a lease: a slice to admit other requests from too.
    pub leased: bool,
    /// The account afterwards.
    #[serde(rename = "level")]
    pub balance: AccountBalance,
}

/// Why nothing was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The position of the hold that has to wait longest.
    pub hold: usize,
    /// Milliseconds after which it may be granted if nobody else is; `None`: never by itself.
    pub wait: Option<u64>,
    /// The accounts of all holds, in their order.
    #[serde(rename = "levels")]
    pub balances: Vec<AccountBalance>,
}

/// How an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBalance {
    /// The most that may be spent, adjustments included.
    pub max: u64,
    /// What is spent or reserved.
    pub used: u64,
    /// What of that is only reserved or leased.
    pub held: u64,
    /// Milliseconds until nothing of it counts any more; `None`: it always will.
    pub resets: Option<u64>,
}

impl AccountBalance {
    /// What may still be had.
    pub fn left(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }
}

/// What is known of past requests of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Which kind.
    pub key: String,
    /// When it may be forgotten.
    pub until: Timestamp,
    /// What they add up to.
    #[serde(rename = "tally")]
    pub totals: UsageTotals,
}

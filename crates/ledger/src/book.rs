//! All accounts of a book, and the one step by which they change.

mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use civil_time::Timestamp;
use rollout::{Rollout, RolloutOperation, RolloutReply};

use super::account::Account;
use super::book_row::BookRow;
use super::cardinality::{CardinalityLimits, fold_key};
use super::operation::{Denied, Grant, Hold, LedgerReply, Operation, Register, UsageRow, Window};

/// A slice is at most this share of what is left, and of the maximum: slices shrink as the budget
/// runs low, down to the need of one request.
const SLICE_DIVISOR: u64 = 8;
/// A slice for fewer requests than this costs more reports than it saves calls.
const MIN_REQUESTS_PER_SLICE: u64 = 4;
/// Time for which the ids of added usage are remembered: longer than any sender retries.
const USAGE_DEDUP_TTL: Duration = Duration::from_secs(60);
const MAX_USAGE_DEDUP_IDS: usize = 4_096;

/// Accounts, usage totals, and registers that change in one step.
#[derive(Debug, Default)]
pub struct Book {
    rows: BTreeMap<String, BookRow>,
    dirty: BTreeSet<String>,
    /// Ids of usage added recently, with their times. They are not stored: rewriting one more row
    /// with every addition would cost more than counting twice what was added just before a host
    /// lost the book.
    pub(super) recent_usage_ids: Vec<(Timestamp, u64)>,
}

/// Prefix of usage rows: no account's name starts with it.
const USAGE_PREFIX: &str = "#";
/// Prefix of registers: no account's name starts with it.
const REGISTER_PREFIX: &str = "=";
/// Name of the rollout's row: no account has it.
const ROLLOUT_ROW: &str = "~";

impl Book {
    /// Opens a book from its stored rows. An unreadable row is an error, since dropping it would
    /// reset a budget.
    pub fn from_rows<'a>(
        rows: impl IntoIterator<Item = (String, &'a [u8])>,
    ) -> Result<Self, serde_json::Error> {
        let mut book = Self::default();
        for (name, bytes) in rows {
            book.rows.insert(name, json::from_bytes(bytes)?);
        }
        Ok(book)
    }

    /// Opens a book that [`Book::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self { rows: json::from_bytes(bytes)?, ..Self::default() })
    }

    /// Serializes the whole book.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.rows).expect("rows have text for keys and plain members")
    }

    /// Whether the book has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the names and values of the rows that changed since the last call. `None` if the row
    /// was removed.
    pub fn take_changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let touched = std::mem::take(&mut self.dirty);
        let bytes = |row| serde_json::to_vec(row).expect("a row has only plain members");
        touched
            .into_iter()
            .map(|name| {
                let row = self.rows.get(&name).map(bytes);
                (name, row)
            })
            .collect()
    }

    /// Applies an operation.
    pub fn apply(&mut self, now: Timestamp, operation: &Operation) -> LedgerReply {
        match operation {
            Operation::Reserve { id, until, holds } => self.reserve(now, *id, *until, holds),
            Operation::Settle { id, until, charges } => {
                for charge in charges {
                    let account = self.account_for_settlement(&charge.account, charge.window, now);
                    account.settle(*id, *until, charge.amount, now);
                    self.remove_if_default(&charge.account, now);
                }
                LedgerReply::Done
            }
            Operation::Report { id, account: name, window, used, acknowledged, close } => {
                let account = self.account_for_settlement(name, *window, now);
                account.report(*id, *used, *acknowledged, *close, now);
                self.remove_if_default(name, now);
                LedgerReply::Done
            }
            Operation::Correct { id, account: name, window, began, change } => {
                self.account_for_settlement(name, *window, now).correct(*id, *began, *change, now);
                self.remove_if_default(name, now);
                LedgerReply::Done
            }
            Operation::Read { accounts } => {
                let balance = |(name, rule): &(String, super::Rule)| {
                    let balance = self.account(name, rule.window, now).balance(*rule, now);
                    self.remove_if_default(name, now);
                    balance
                };
                LedgerReply::Balances(accounts.iter().map(balance).collect())
            }
            Operation::Adjust { account: name, rule, change, until } => {
                let account = self.account(name, rule.window, now);
                let before = account.balance(*rule, now);
                if !account.adjust(*rule, *change, *until, now) {
                    return LedgerReply::Denied(Denied {
                        hold: 0,
                        wait: None,
                        balances: vec![before],
                    });
                }
                let balance = account.balance(*rule, now);
                self.remove_if_default(name, now);
                LedgerReply::Balances(vec![balance, before])
            }
            Operation::AddUsage { id, bounds: limits, rows, log } => {
                self.recent_usage_ids.retain(|(at, _)| now.since(*at) < USAGE_DEDUP_TTL);
                if !self.recent_usage_ids.iter().any(|(_, other)| other == id) {
                    self.recent_usage_ids.push((now, *id));
                    let surplus = self.recent_usage_ids.len().saturating_sub(MAX_USAGE_DEDUP_IDS);
                    self.recent_usage_ids.drain(..surplus);
                    rows.iter().for_each(|row| self.add_usage(row, *limits));
                    self.append_log(log, now);
                }
                LedgerReply::Done
            }
            Operation::ReadUsage => LedgerReply::Usage(self.usage_rows()),
            Operation::ReadLog(query) => LedgerReply::Log(self.read_log(query, now)),
            Operation::Exchange { register, after, text } => {
                LedgerReply::Register(self.exchange_register(register, *after, text))
            }
            Operation::ReadRegister { register } => {
                LedgerReply::Register(self.read_register(register))
            }
            Operation::Rollout(operation) => LedgerReply::Rollout(self.roll_out(now, operation)),
        }
    }

    /// The time at which [`Book::sweep`] has work next.
    pub fn next_sweep(&self) -> Option<Timestamp> {
        self.rows.values().filter_map(BookRow::next_change).min()
    }

    /// The time from which the book is empty without further operations, at the latest. `None` if it may
    /// never be.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.rows
            .values()
            .map(BookRow::ends_at)
            .try_fold(Timestamp::default(), |last, end| Some(last.max(end?)))
    }

    /// Removes everything that no longer counts.
    pub fn sweep(&mut self, now: Timestamp) {
        let touched = &mut self.dirty;
        self.rows.retain(|name, row| {
            let keep = match row {
                BookRow::Account(account) => {
                    if account.next_change().is_none_or(|due| due > now) {
                        return true;
                    }
                    account.advance(now);
                    !account.is_default(now)
                }
                BookRow::Usage { until, .. } | BookRow::Log { until, .. } if *until > now => {
                    return true;
                }
                BookRow::Usage { .. } | BookRow::Log { .. } => false,
                BookRow::Register(_) | BookRow::Rollout(_) => return true,
            };
            touched.insert(name.clone());
            keep
        });
    }

    fn reserve(
        &mut self,
        now: Timestamp,
        id: u64,
        until: Timestamp,
        holds: &[Hold],
    ) -> LedgerReply {
        let mut refused: Option<(usize, Option<u64>)> = None;
        let mut balances = Vec::with_capacity(holds.len());
        for (position, hold) in holds.iter().enumerate() {
            let account = self.account(&hold.account, hold.rule.window, now);
            let balance = account.balance(hold.rule, now);
            balances.push(balance);
            if balance.left() < hold.min {
                let wait = account.wait_millis(hold.rule, hold.min, now);
                let longest = |wait: Option<u64>| wait.unwrap_or(u64::MAX);
                if refused.is_none_or(|(_, other)| longest(wait) > longest(other)) {
                    refused = Some((position, wait));
                }
            }
        }
        if let Some((hold, wait)) = refused {
            for hold in holds {
                self.remove_if_default(&hold.account, now);
            }
            return LedgerReply::Denied(Denied { hold, wait, balances });
        }
        let grant = |hold: &Hold| {
            let account = self.account(&hold.account, hold.rule.window, now);
            let balance = account.balance(hold.rule, now);
            let slice = (balance.left() / SLICE_DIVISOR).min(balance.max / SLICE_DIVISOR);
            let (amount, leased) = match hold.slice {
                Some(until) if slice >= hold.want.saturating_mul(MIN_REQUESTS_PER_SLICE) => {
                    account.lease(id, until, slice);
                    (slice, true)
                }
                Some(_) | None => {
                    let amount = hold.want.min(balance.left());
                    account.reserve(id, until, amount, now);
                    (amount, false)
                }
            };
            Grant { amount, leased, balance: account.balance(hold.rule, now) }
        };
        LedgerReply::Granted(holds.iter().map(grant).collect())
    }

    /// The account at `now` under a window; its row is marked as changed.
    fn account(&mut self, name: &str, window: Window, now: Timestamp) -> &mut Account {
        let account = self.account_row(name, window);
        account.advance_to_window(window, now);
        account
    }

    /// The account at `now`, for something that began under a window; its row is marked as changed.
    fn account_for_settlement(
        &mut self,
        name: &str,
        window: Window,
        now: Timestamp,
    ) -> &mut Account {
        let account = self.account_row(name, window);
        account.advance_within(window, now);
        account
    }

    fn account_row(&mut self, name: &str, window: Window) -> &mut Account {
        self.dirty.insert(name.to_owned());
        let row = self
            .rows
            .entry(name.to_owned())
            .or_insert_with(|| BookRow::Account(Account::new(window)));
        if !matches!(row, BookRow::Account(_)) {
            *row = BookRow::Account(Account::new(window));
        }
        let BookRow::Account(account) = row else {
            unreachable!("it was made an account just now")
        };
        account
    }

    fn remove_if_default(&mut self, name: &str, now: Timestamp) {
        if let Some(BookRow::Account(account)) = self.rows.get(name)
            && account.is_default(now)
        {
            self.rows.remove(name);
        }
    }

    fn add_usage(&mut self, row: &UsageRow, limits: Option<CardinalityLimits>) {
        let mut name = format!("{USAGE_PREFIX}{}", row.key);
        if !self.rows.contains_key(&name) {
            let key = match limits {
                Some(limits) => {
                    let known = self.rows.keys().filter_map(|name| name.strip_prefix(USAGE_PREFIX));
                    limits.limit_cardinality(known, &row.key)
                }
                None => fold_key(&row.key, self.count_rows_like(&row.key)),
            };
            name = format!("{USAGE_PREFIX}{key}");
        }
        match self.rows.get_mut(&name) {
            Some(BookRow::Usage { until, totals }) => {
                *totals += &row.totals;
                *until = row.until.max(*until);
            }
            Some(
                BookRow::Account(_)
                | BookRow::Register(_)
                | BookRow::Log { .. }
                | BookRow::Rollout(_),
            )
            | None => {
                let fresh = BookRow::Usage { until: row.until, totals: row.totals.clone() };
                self.rows.insert(name.clone(), fresh);
            }
        }
        self.dirty.insert(name);
    }

    /// Number of usage rows of the same kind: those of requests have a number as their first part, others a
    /// number and a letter. Each kind has its own bound.
    fn count_rows_like(&self, key: &str) -> usize {
        let is_plain = |key: &str| {
            let (first, _) = key.split_once('|').unwrap_or((key, ""));
            first.ends_with(|last: char| last.is_ascii_digit())
        };
        let wanted = is_plain(key);
        let keys = self.rows.keys().filter_map(|name| name.strip_prefix(USAGE_PREFIX));
        keys.filter(|other| is_plain(other) == wanted).count()
    }

    fn exchange_register(&mut self, name: &str, after: u64, text: &str) -> Register {
        let now = self.read_register(name);
        if now.number != after {
            return now;
        }
        let name = format!("{REGISTER_PREFIX}{name}");
        let written = Register { number: after + 1, text: text.to_owned() };
        self.rows.insert(name.clone(), BookRow::Register(written.clone()));
        self.dirty.insert(name);
        written
    }

    fn read_register(&self, name: &str) -> Register {
        match self.rows.get(&format!("{REGISTER_PREFIX}{name}")) {
            Some(BookRow::Register(register)) => register.clone(),
            Some(
                BookRow::Account(_)
                | BookRow::Usage { .. }
                | BookRow::Log { .. }
                | BookRow::Rollout(_),
            )
            | None => Register::default(),
        }
    }

    fn roll_out(&mut self, now: Timestamp, operation: &RolloutOperation) -> RolloutReply {
        let mut state = match self.rows.remove(ROLLOUT_ROW) {
            Some(BookRow::Rollout(state)) => Some(*state),
            Some(
                BookRow::Account(_)
                | BookRow::Usage { .. }
                | BookRow::Log { .. }
                | BookRow::Register(_),
            )
            | None => None,
        };
        let reply = Rollout::apply(&mut state, now, operation);
        if let Some(state) = state {
            self.rows.insert(ROLLOUT_ROW.to_owned(), BookRow::Rollout(Box::new(state)));
        }
        self.dirty.insert(ROLLOUT_ROW.to_owned());
        reply
    }

    fn usage_rows(&self) -> Vec<UsageRow> {
        let read = |(name, row): (&String, &BookRow)| match row {
            BookRow::Usage { until, totals } => {
                let key = name.strip_prefix(USAGE_PREFIX)?.to_owned();
                Some(UsageRow { key, until: *until, totals: totals.clone() })
            }
            BookRow::Account(_)
            | BookRow::Register(_)
            | BookRow::Log { .. }
            | BookRow::Rollout(_) => None,
        };
        self.rows.iter().filter_map(read).collect()
    }
}

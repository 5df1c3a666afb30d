//! All accounts of a place, and the one step by which they change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::json;
use crate::time::Timestamp;

use super::account::Account;
use super::fold::Bounds;
use super::operation::{Grant, Hold, Operation, Refused, Register, Reply, TallyRow, Window};
use super::tally::Tally;

/// A slice is at most this share of what is left, and of the maximum: it shrinks as the budget runs
/// low, down to what one request needs.
const SLICE: u64 = 8;
/// A slice for fewer requests than this is not worth its reports.
const FEWEST: u64 = 4;
/// For how long the names of added sums are remembered: longer than anybody tries again at once.
const REMEMBERED: Duration = Duration::from_secs(60);
/// And how many of them at most.
const MOST_REMEMBERED: usize = 4_096;

/// The accounts of one place.
#[derive(Debug, Default)]
pub struct Book {
    rows: BTreeMap<String, Row>,
    touched: BTreeSet<String>,
    /// Sums that were added lately, by when. They are not kept: one more row with every sum would
    /// cost more than counting twice what was added just before a host lost the book.
    pub(super) added: Vec<(Timestamp, u64)>,
}

/// What is kept under one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Row {
    Account(Account),
    Tally { until: Timestamp, tally: Tally },
    Register(Register),
}

/// What marks a row of tallies: no account's name begins so.
const TALLY: &str = "#";
/// What marks a register: no account's name begins so either.
const REGISTER: &str = "=";

impl Book {
    /// Opens a book with the rows that were kept of it. What cannot be read is told, since
    /// forgetting it would give a budget away.
    pub fn open<'a>(
        rows: impl IntoIterator<Item = (String, &'a [u8])>,
    ) -> Result<Self, serde_json::Error> {
        let mut book = Self::default();
        for (name, bytes) in rows {
            book.rows.insert(name, json::from_bytes(bytes)?);
        }
        Ok(book)
    }

    /// Opens a book that was kept whole, by [`Book::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self { rows: json::from_bytes(bytes)?, ..Self::default() })
    }

    /// The whole book.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.rows).expect("rows have text for keys and plain members")
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the names of the rows that have changed since the last time, with what to keep of each:
    /// `None` for one to be forgotten.
    pub fn take_changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let touched = std::mem::take(&mut self.touched);
        let bytes = |row| serde_json::to_vec(row).expect("a row has only plain members");
        touched
            .into_iter()
            .map(|name| {
                let row = self.rows.get(&name).map(bytes);
                (name, row)
            })
            .collect()
    }

    /// Does what an operation says.
    pub fn apply(&mut self, now: Timestamp, operation: &Operation) -> Reply {
        match operation {
            Operation::Reserve { id, until, holds } => self.reserve(now, *id, *until, holds),
            Operation::Settle { id, until, charges } => {
                for charge in charges {
                    let account = self.settled(&charge.account, charge.window, now);
                    account.settle(*id, *until, charge.amount, now);
                    self.forget_blank(&charge.account, now);
                }
                Reply::Done
            }
            Operation::Report { id, account: name, window, used, acknowledged, close } => {
                let account = self.settled(name, *window, now);
                account.report(*id, *used, *acknowledged, *close, now);
                self.forget_blank(name, now);
                Reply::Done
            }
            Operation::Correct { id, account: name, window, began, change } => {
                self.settled(name, *window, now).correct(*id, *began, *change, now);
                self.forget_blank(name, now);
                Reply::Done
            }
            Operation::Read { accounts } => {
                let level = |(name, rule): &(String, super::Rule)| {
                    let level = self.account(name, rule.window, now).level(*rule, now);
                    self.forget_blank(name, now);
                    level
                };
                Reply::Levels(accounts.iter().map(level).collect())
            }
            Operation::Adjust { account: name, rule, change } => {
                let account = self.account(name, rule.window, now);
                account.adjust(*rule, *change, now);
                let level = account.level(*rule, now);
                self.forget_blank(name, now);
                Reply::Levels(vec![level])
            }
            Operation::Tally { id, bounds, rows } => {
                self.added.retain(|(at, _)| now.since(*at) < REMEMBERED);
                if !self.added.iter().any(|(_, other)| other == id) {
                    self.added.push((now, *id));
                    let surplus = self.added.len().saturating_sub(MOST_REMEMBERED);
                    self.added.drain(..surplus);
                    rows.iter().for_each(|row| self.tally(row, *bounds));
                }
                Reply::Done
            }
            Operation::Tallies => Reply::Tallies(self.tallies()),
            Operation::Exchange { register, after, text } => {
                Reply::Register(self.exchange(register, *after, text))
            }
            Operation::Look { register } => Reply::Register(self.look(register)),
        }
    }

    /// When [`Book::sweep`] has something to do next.
    pub fn due(&self) -> Option<Timestamp> {
        let due = |row: &Row| match row {
            Row::Account(account) => account.due(),
            Row::Tally { until, .. } => Some(*until),
            Row::Register(_) => None,
        };
        self.rows.values().filter_map(due).min()
    }

    /// Forgets what no longer counts.
    pub fn sweep(&mut self, now: Timestamp) {
        let touched = &mut self.touched;
        self.rows.retain(|name, row| {
            let keep = match row {
                Row::Account(account) => {
                    if account.due().is_none_or(|due| due > now) {
                        return true;
                    }
                    account.turn(now);
                    !account.is_blank(now)
                }
                Row::Tally { until, .. } if *until > now => return true,
                Row::Tally { .. } => false,
                Row::Register(_) => return true,
            };
            touched.insert(name.clone());
            keep
        });
    }

    fn reserve(&mut self, now: Timestamp, id: u64, until: Timestamp, holds: &[Hold]) -> Reply {
        let mut refused: Option<(usize, Option<u64>)> = None;
        let mut levels = Vec::with_capacity(holds.len());
        for (position, hold) in holds.iter().enumerate() {
            let account = self.account(&hold.account, hold.rule.window, now);
            let level = account.level(hold.rule, now);
            levels.push(level);
            if level.left() < hold.least {
                let wait = account.wait(hold.rule, hold.least, now);
                let longest = |wait: Option<u64>| wait.unwrap_or(u64::MAX);
                if refused.is_none_or(|(_, other)| longest(wait) > longest(other)) {
                    refused = Some((position, wait));
                }
            }
        }
        if let Some((hold, wait)) = refused {
            for hold in holds {
                self.forget_blank(&hold.account, now);
            }
            return Reply::Refused(Refused { hold, wait, levels });
        }
        let grant = |hold: &Hold| {
            let account = self.account(&hold.account, hold.rule.window, now);
            let level = account.level(hold.rule, now);
            let slice = (level.left() / SLICE).min(level.max / SLICE);
            let (amount, leased) = match hold.slice {
                Some(until) if slice >= hold.want.saturating_mul(FEWEST) => {
                    account.lease(id, until, slice);
                    (slice, true)
                }
                Some(_) | None => {
                    let amount = hold.want.min(level.left());
                    account.reserve(id, until, amount, now);
                    (amount, false)
                }
            };
            Grant { amount, leased, level: account.level(hold.rule, now) }
        };
        Reply::Granted(holds.iter().map(grant).collect())
    }

    /// An account as it is now under a window, which counts as touched.
    fn account(&mut self, name: &str, window: Window, now: Timestamp) -> &mut Account {
        let account = self.row(name, window);
        account.turn_to(window, now);
        account
    }

    /// An account as it is now, for what began under a window; it counts as touched.
    fn settled(&mut self, name: &str, window: Window, now: Timestamp) -> &mut Account {
        let account = self.row(name, window);
        account.turn_within(window, now);
        account
    }

    fn row(&mut self, name: &str, window: Window) -> &mut Account {
        self.touched.insert(name.to_owned());
        let row =
            self.rows.entry(name.to_owned()).or_insert_with(|| Row::Account(Account::new(window)));
        if let Row::Tally { .. } | Row::Register(_) = row {
            *row = Row::Account(Account::new(window));
        }
        let Row::Account(account) = row else { unreachable!("it was made an account just now") };
        account
    }

    fn forget_blank(&mut self, name: &str, now: Timestamp) {
        if let Some(Row::Account(account)) = self.rows.get(name)
            && account.is_blank(now)
        {
            self.rows.remove(name);
        }
    }

    fn tally(&mut self, row: &TallyRow, bounds: Option<Bounds>) {
        let mut name = format!("{TALLY}{}", row.key);
        if let Some(bounds) = bounds
            && !self.rows.contains_key(&name)
        {
            let known = self.rows.keys().filter_map(|name| name.strip_prefix(TALLY));
            name = format!("{TALLY}{}", bounds.fold(known, &row.key));
        }
        match self.rows.get_mut(&name) {
            Some(Row::Tally { until, tally }) => {
                *tally += &row.tally;
                *until = row.until.max(*until);
            }
            Some(Row::Account(_) | Row::Register(_)) | None => {
                let fresh = Row::Tally { until: row.until, tally: row.tally.clone() };
                self.rows.insert(name.clone(), fresh);
            }
        }
        self.touched.insert(name);
    }

    fn exchange(&mut self, name: &str, after: u64, text: &str) -> Register {
        let now = self.look(name);
        if now.number != after {
            return now;
        }
        let name = format!("{REGISTER}{name}");
        let written = Register { number: after + 1, text: text.to_owned() };
        self.rows.insert(name.clone(), Row::Register(written.clone()));
        self.touched.insert(name);
        written
    }

    fn look(&self, name: &str) -> Register {
        match self.rows.get(&format!("{REGISTER}{name}")) {
            Some(Row::Register(register)) => register.clone(),
            Some(Row::Account(_) | Row::Tally { .. }) | None => Register::default(),
        }
    }

    fn tallies(&self) -> Vec<TallyRow> {
        let read = |(name, row): (&String, &Row)| match row {
            Row::Tally { until, tally } => {
                let key = name.strip_prefix(TALLY)?.to_owned();
                Some(TallyRow { key, until: *until, tally: tally.clone() })
            }
            Row::Account(_) | Row::Register(_) => None,
        };
        self.rows.iter().filter_map(read).collect()
    }
}

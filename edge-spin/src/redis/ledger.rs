//! The ledger in Redis: each book is one value, replaced by a script that compares it first.
//!
//! A value begins with a random token, and the script writes only if the token is still the expected one.
//! The instance keeps the last book that it sent, with its token. The next operation applies to that book
//! at once and expects that token, while the script of the operation before is still on its way: one
//! connection executes scripts in order, so a chain of operations costs one round trip. If another machine
//! writes in between, all scripts of the chain after that fail, and their operations start a new chain
//! from the value that the first failed script returned.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;
use gateway::host::Clock;
use gateway::host::error::HostError;
use ledger::{Book, BookId, LedgerReply, Operation};

use crate::commit::{corrupt_book, too_many_conflicts};
use crate::commit_queue::backoff;

/// Attempts before an operation fails. The gateway's own timeout usually comes first.
const MAX_TRIES: u32 = 64;
/// Attempts without a wait before them.
const MAX_IMMEDIATE_TRIES: u32 = 3;
/// Books that an instance remembers without an operation in flight.
const MAX_IDLE_HEADS: usize = 64;
/// Time for which Redis keeps a book after it has ended: the clocks of machines differ.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60 * 60);

/// The beginning of a stored book; unique to each write.
pub(crate) type Token = [u8; TOKEN_BYTES];
/// Bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 16;

/// A server that executes the script of [`crate::redis::connection`].
pub(crate) trait BookServer {
    /// Changes a value if it begins with a token, or if there is none and none is expected.
    async fn swap(
        &self,
        book_id: &BookId,
        expected: Option<Token>,
        change: Change,
    ) -> Result<Swapped, HostError>;
}

/// Change of a value.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    /// None: the script only compares.
    None,
    /// The value is deleted.
    Delete,
    /// The value is replaced, for ever or for a time.
    Set(Vec<u8>, Option<Duration>),
}

/// Result of a script.
#[derive(Debug, PartialEq)]
pub(crate) enum Swapped {
    /// The value was as expected and is changed.
    Done,
    /// The value was another one, which is not changed. `None`: there is none.
    Conflict(Option<Vec<u8>>),
}

/// The last state of each book that this instance has sent or read.
#[derive(Default)]
pub(crate) struct RedisLedger {
    heads: RefCell<BTreeMap<BookId, Head>>,
    last_chain: Cell<u64>,
}

struct Head {
    book: Book,
    /// The token with which `book` was sent or read. `None`: there is no value.
    token: Option<Token>,
    /// Number of the chain of scripts that expect each other's tokens.
    chain: u64,
    in_flight: usize,
}

/// An operation that was applied to the head of its book.
struct Step {
    reply: LedgerReply,
    expected: Option<Token>,
    change: Change,
    chain: u64,
}

impl RedisLedger {
    /// Applies an operation. After a failure it may or may not have been applied.
    pub(crate) async fn apply(
        &self,
        clock: &impl Clock,
        server: &impl BookServer,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        for attempt in 0..MAX_TRIES {
            if attempt >= MAX_IMMEDIATE_TRIES {
                let waits = attempt - MAX_IMMEDIATE_TRIES + 1;
                clock.sleep(backoff(waits, clock.entropy())).await;
            }
            // Nothing may wait between the step and its script: chains are executed in order.
            let in_flight = InFlight { ledger: self, book_id };
            let step = self.step(clock, book_id, operation);
            let swapped = server.swap(book_id, step.expected, step.change).await;
            drop(in_flight);
            match swapped {
                Ok(Swapped::Done) => return Ok(step.reply),
                Ok(Swapped::Conflict(stored)) => self.restart(book_id, step.chain, stored)?,
                Err(error) => {
                    self.heads.borrow_mut().remove(book_id);
                    return Err(error);
                }
            }
        }
        Err(too_many_conflicts(book_id))
    }

    /// Applies an operation to the head. A book that was never read counts as empty: if there is one,
    /// the script returns it.
    fn step(&self, clock: &impl Clock, book_id: &BookId, operation: &Operation) -> Step {
        let now = clock.now();
        let mut heads = self.heads.borrow_mut();
        let head = heads.entry(book_id.clone()).or_insert_with(|| Head {
            book: Book::default(),
            token: None,
            chain: self.next_chain(),
            in_flight: 0,
        });
        head.in_flight += 1;
        head.book.sweep(now);
        let reply = head.book.apply(now, operation);
        let expected = head.token;
        let change = if operation.is_read_only() || matches!(reply, LedgerReply::Denied(_)) {
            // Effects of sweeping need no write: the next reader computes them again.
            Change::None
        } else if head.book.is_empty() {
            head.token = None;
            if expected.is_some() { Change::Delete } else { Change::None }
        } else {
            let token = new_token(clock);
            head.token = Some(token);
            let ends_at = head.book.ends_at();
            let ttl = ends_at.map(|ends_at| time_until(ends_at, now) + EXPIRY_MARGIN);
            Change::Set([&token, head.book.to_bytes().as_slice()].concat(), ttl)
        };
        Step { reply, expected, change, chain: head.chain }
    }

    /// Starts a new chain from a stored value, unless an operation of the same chain did.
    fn restart(
        &self,
        book_id: &BookId,
        failed_chain: u64,
        stored: Option<Vec<u8>>,
    ) -> Result<(), HostError> {
        let mut heads = self.heads.borrow_mut();
        if heads.get(book_id).is_some_and(|head| head.chain != failed_chain) {
            return Ok(());
        }
        let (token, book) = match stored {
            None => (None, Book::default()),
            Some(stored) => {
                let (token, book) = parse_value(book_id, &stored)?;
                (Some(token), book)
            }
        };
        let in_flight = heads.get(book_id).map_or(0, |head| head.in_flight);
        let head = Head { book, token, chain: self.next_chain(), in_flight };
        heads.insert(book_id.clone(), head);
        Ok(())
    }

    fn next_chain(&self) -> u64 {
        self.last_chain.set(self.last_chain.get() + 1);
        self.last_chain.get()
    }
}

/// Marks the end of a script, also when its caller hangs up.
struct InFlight<'a> {
    ledger: &'a RedisLedger,
    book_id: &'a BookId,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut heads = self.ledger.heads.borrow_mut();
        if let Some(head) = heads.get_mut(self.book_id) {
            head.in_flight = head.in_flight.saturating_sub(1);
        }
        if heads.len() > MAX_IDLE_HEADS {
            heads.retain(|_, head| head.in_flight > 0);
        }
    }
}

/// Splits a stored value. An unreadable one is an error, never an empty book.
fn parse_value(book_id: &BookId, stored: &[u8]) -> Result<(Token, Book), HostError> {
    let (token, book) = stored
        .split_first_chunk()
        .ok_or_else(|| corrupt_book(book_id, "not written by this gateway"))?;
    let book = Book::from_bytes(book).map_err(|error| corrupt_book(book_id, error))?;
    Ok((*token, book))
}

fn new_token(clock: &impl Clock) -> Token {
    let mut token = Token::default();
    let (first, second) = token.split_at_mut(TOKEN_BYTES / 2);
    first.copy_from_slice(&clock.entropy().to_le_bytes());
    second.copy_from_slice(&clock.entropy().to_le_bytes());
    token
}

fn time_until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(at.as_millis().saturating_sub(now.as_millis()))
}

#[cfg(test)]
mod tests;

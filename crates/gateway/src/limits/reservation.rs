//! Reservation of budgets: acquired before a request costs anything, and settled after it.

use std::rc::Rc;

use civil_time::Timestamp;
use config::Measure;
use ledger::{BookId, Window};

use crate::host::Host;

use super::local_state::LimiterState;

/// The consumption that a reservation is settled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SettledUsage {
    /// Whether the request counts: it has an answer or a part of one, or a provider may bill it.
    pub served: bool,
    /// Tokens of prompt and answer.
    pub tokens: u64,
    /// Billionths of a USD.
    pub cost: u64,
}

impl SettledUsage {
    pub(super) const NONE: Self = Self { served: false, tokens: 0, cost: 0 };

    pub(super) fn amount(self, measure: Measure) -> u64 {
        match measure {
            _ if !self.served => 0,
            Measure::Tokens => self.tokens,
            Measure::Requests => 1,
            Measure::Cost => self.cost,
        }
    }
}

/// Amounts that are set aside for a request, in every matching limit.
///
/// It is settled with the real consumption. If it is dropped, all of it returns.
#[must_use]
pub(crate) struct Reservation<P: Host> {
    pub(super) limiter_state: Rc<LimiterState>,
    pub(super) host: P,
    pub(super) id: u64,
    pub(super) began: Timestamp,
    pub(super) until: Timestamp,
    pub(super) parts: Vec<ReservationPart>,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Limits of a day or longer that are near their end.
    pub(super) near_limits: Vec<String>,
    pub(super) ledger_unavailable: bool,
}

/// One account's part of a reservation.
#[derive(Debug)]
pub(super) struct ReservationPart {
    pub(super) account: String,
    pub(super) book_id: BookId,
    pub(super) window: Window,
    pub(super) measure: Measure,
    pub(super) amount: u64,
    pub(super) backing: Backing,
}

/// Source of a part's amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backing {
    /// Reserved in the ledger, or about to be.
    Ledger,
    /// Drawn from the lease with this id.
    Lease(u64),
    /// Counted by this gateway alone.
    Local,
    /// Denied: nothing to return.
    None,
}

impl<P: Host> Reservation<P> {
    /// Maximum number of tokens of one choice of the answer; `None` if hard limits do not lower it.
    pub(crate) fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    /// Takes OpenAI's six rate-limit headers, for the tightest limits.
    pub(crate) fn take_headers(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.headers)
    }

    /// Takes the ids of the limits of a day or longer that are near their end.
    pub(crate) fn take_near_limits(&mut self) -> Vec<String> {
        std::mem::take(&mut self.near_limits)
    }

    /// Whether the ledger was unavailable, so that this gateway counted alone.
    pub(crate) fn ledger_unavailable(&self) -> bool {
        self.ledger_unavailable
    }

    /// Ends the reservation: unspent amounts return, amounts beyond it are charged.
    pub(crate) fn settle(mut self, spent: SettledUsage) {
        self.release(spent);
    }
}

impl<P: Host> Drop for Reservation<P> {
    fn drop(&mut self) {
        self.release(SettledUsage::NONE);
    }
}

//! One account: spent and reserved amounts of one rule and one value.

mod adjustment;

use std::time::Duration;

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::operation::{AccountBalance, Rule, Window};
use super::window_usage::WindowUsage;
use adjustment::TemporaryExtra;

/// Time for which a processed report or correction is remembered. A sender that missed the reply
/// repeats the operation within this time.
const DEDUP_RETENTION: Duration = Duration::from_secs(60);
/// Maximum number of remembered operations; the oldest is dropped first.
const MAX_PROCESSED: usize = 64;
/// Time after which a request may ask again for an amount that is only reserved.
const RESERVATION_RETRY: Duration = Duration::from_secs(2);
/// A fixed window that starts later than this from now comes from a wrong clock.
const MAX_CLOCK_AHEAD: Duration = Duration::from_secs(60 * 60);

/// The balance of one rule for one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    spent: WindowUsage,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<HeldAmount>,
    /// Operations that may be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "said")]
    processed: Vec<ProcessedOperation>,
    /// Adjustment of the rule's maximum for good; negative if it is lowered.
    #[serde(default, skip_serializing_if = "is_zero")]
    extra: i64,
    /// Adjustments of the rule's maximum that end, at most one for each end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    temporary: Vec<TemporaryExtra>,
}

/// A processed report of a lease that is closed, or a processed correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ProcessedOperation {
    id: u64,
    until: Timestamp,
    /// The part of the lease that is in `spent`.
    used: u64,
}

/// An amount that may still be returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HeldAmount {
    id: u64,
    until: Timestamp,
    amount: u64,
    kind: HeldKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HeldKind {
    /// For one request; in `spent` since `at`.
    Reservation { at: Timestamp },
    /// For many requests; only the reported part is in `spent`.
    Lease { reported: u64 },
}

impl HeldAmount {
    /// The part that is not in `spent`.
    fn unreported(&self) -> u64 {
        match self.kind {
            HeldKind::Reservation { .. } => 0,
            HeldKind::Lease { reported } => self.amount.saturating_sub(reported),
        }
    }

    /// The amount of a reservation for one request.
    fn reserved(&self) -> u64 {
        match self.kind {
            HeldKind::Reservation { .. } => self.amount,
            HeldKind::Lease { .. } => 0,
        }
    }
}

/// The time at which amounts that return add up to `missing`; `None` if they never do.
fn first_with(
    mut missing: u64,
    returns: impl Iterator<Item = (Timestamp, u64)>,
) -> Option<Timestamp> {
    let mut returns: Vec<(Timestamp, u64)> = returns.collect();
    returns.sort_unstable();
    returns.into_iter().find_map(|(at, amount)| {
        missing = missing.saturating_sub(amount);
        (missing == 0).then_some(at)
    })
}

impl Account {
    pub(super) fn new(window: Window) -> Self {
        Self {
            spent: WindowUsage::new(window),
            held: Vec::new(),
            processed: Vec::new(),
            extra: 0,
            temporary: Vec::new(),
        }
    }

    /// Brings the account to `now`, for a window. A window of another kind starts empty;
    /// reservations stay, and count as spent now.
    pub(super) fn advance_to_window(&mut self, window: Window, now: Timestamp) {
        self.advance(now);
        match (&mut self.spent, window) {
            (WindowUsage::Sliding(slots), Window::Sliding(millis)) if slots.has_length(millis) => {}
            (WindowUsage::Total(_), Window::Total) => {}
            // The clock of an earlier gateway was ahead: its amounts must not wait for that day.
            (WindowUsage::Fixed { start, end, .. }, Window::Fixed(other, until))
                if other < *start && *start > now + MAX_CLOCK_AHEAD =>
            {
                (*start, *end) = (other, until);
            }
            // A gateway whose clock is behind still sends yesterday's window: the later one counts.
            (WindowUsage::Fixed { start, .. }, Window::Fixed(other, _)) if other <= *start => {}
            (spent @ WindowUsage::Fixed { .. }, window @ Window::Fixed(..)) => {
                *spent = WindowUsage::new(window);
            }
            (spent, window) => {
                *spent = WindowUsage::new(window);
                for held in &mut self.held {
                    if let HeldKind::Reservation { at } = &mut held.kind {
                        *at = now;
                        spent.spend(now, held.amount);
                    }
                }
            }
        }
    }

    /// Brings the account to `now`, for something that began under a window. If the account has
    /// another kind of window by now, that one stays: a settlement must not bring back an old rule.
    pub(super) fn advance_within(&mut self, window: Window, now: Timestamp) {
        match (&self.spent, window) {
            (WindowUsage::Fixed { .. }, Window::Fixed(..)) => self.advance_to_window(window, now),
            (WindowUsage::Fixed { .. } | WindowUsage::Sliding(_) | WindowUsage::Total(_), _) => {
                self.advance(now);
            }
        }
    }

    /// Removes amounts that left the window, and reservations and adjustments that expired.
    pub(super) fn advance(&mut self, now: Timestamp) {
        match &mut self.spent {
            WindowUsage::Sliding(slots) => slots.expire(now),
            WindowUsage::Fixed { .. } | WindowUsage::Total(_) => {}
        }
        self.processed.retain(|processed| processed.until > now);
        self.temporary.retain(|one| one.until > now);
        let (over, held) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.until <= now);
        self.held = held;
        for held in over {
            match held.kind {
                HeldKind::Reservation { at } => self.spent.give_back(at, held.amount, now),
                // The reported part is in `spent`, the rest is recorded nowhere else.
                HeldKind::Lease { .. } => {}
            }
        }
    }

    /// Whether the account equals a new one.
    pub(super) fn is_default(&self, now: Timestamp) -> bool {
        self.held.is_empty()
            && self.processed.is_empty()
            && self.extra == 0
            && self.temporary.is_empty()
            && match &self.spent {
                WindowUsage::Sliding(slots) => slots.sum() == 0,
                WindowUsage::Fixed { end, used, .. } => *used == 0 || *end <= now,
                WindowUsage::Total(used) => *used == 0,
            }
    }

    /// The next moment at which time alone changes the account.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        let spent = match &self.spent {
            WindowUsage::Sliding(slots) => slots.expirations().next_back().map(|(at, _)| at),
            WindowUsage::Fixed { end, .. } => Some(*end),
            WindowUsage::Total(_) => None,
        };
        self.held.iter().map(|held| held.until).chain(self.other_ends()).chain(spent).min()
    }

    /// The time from which the account equals a new one without further operations, at the latest. `None`
    /// if it may never.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        let spent = match &self.spent {
            WindowUsage::Sliding(slots) => slots.expirations().next_back().map(|(at, _)| at),
            WindowUsage::Fixed { end, .. } => Some(*end),
            WindowUsage::Total(0) => None,
            WindowUsage::Total(_) => return None,
        };
        if self.extra != 0 {
            return None;
        }
        self.held.iter().map(|held| held.until).chain(self.other_ends()).chain(spent).max()
    }

    /// Ends of remembered operations and of adjustments.
    fn other_ends(&self) -> impl Iterator<Item = Timestamp> {
        let processed = self.processed.iter().map(|processed| processed.until);
        processed.chain(self.temporary.iter().map(|one| one.until))
    }

    pub(super) fn balance(&self, rule: Rule, now: Timestamp) -> AccountBalance {
        let sum = |of: fn(&HeldAmount) -> u64| {
            self.held.iter().fold(0, |sum: u64, held| sum.saturating_add(of(held)))
        };
        let unreported = sum(HeldAmount::unreported);
        let reserved = sum(HeldAmount::reserved);
        let spent = self.spent.sum();
        let held_until =
            self.held.iter().filter(|held| held.unreported() > 0).map(|held| held.until);
        let resets = match &self.spent {
            WindowUsage::Sliding(slots) => {
                let last =
                    slots.expirations().next_back().map(|(at, _)| at).into_iter().chain(held_until);
                Some(last.max().map_or(0, |at| millis(at, now)))
            }
            WindowUsage::Fixed { end, .. } => Some(millis(*end, now)),
            WindowUsage::Total(_) => None,
        };
        AccountBalance {
            max: rule.max.saturating_add_signed(self.total_extra()),
            used: spent.saturating_add(unreported),
            held: unreported.saturating_add(reserved.min(spent)),
            resets,
        }
    }

    /// Milliseconds until `amount` may be available if no other request takes any; `None` if never
    /// without an adjustment.
    pub(super) fn wait_millis(&self, rule: Rule, amount: u64, now: Timestamp) -> Option<u64> {
        let balance = self.balance(rule, now);
        // A maximum that is lowered for a while rises again.
        let lowered = self.temporary.iter().filter(|one| one.extra < 0);
        let lowered = lowered.map(|one| (one.until, one.extra.unsigned_abs()));
        let raised_max =
            lowered.clone().fold(balance.max, |max, (_, less)| max.saturating_add(less));
        if amount > raised_max {
            return None;
        }
        // Not by `left`, which is zero at least: what is used beyond a lowered maximum is missing, too.
        let missing = amount.saturating_add(balance.used).saturating_sub(balance.max);
        if missing == 0 {
            return Some(0);
        }
        let leases = self.held.iter().map(|held| (held.until, held.unreported()));
        let leases = leases.chain(lowered);
        let mut spent: Vec<(Timestamp, u64)> = match &self.spent {
            WindowUsage::Sliding(slots) => slots.expirations().collect(),
            WindowUsage::Fixed { end, used, .. } => vec![(*end, *used)],
            WindowUsage::Total(_) => Vec::new(),
        };
        let if_all_is_spent = first_with(missing, spent.iter().copied().chain(leases.clone()));
        // A reservation is settled long before it expires, usually with less. It is in `spent`, too,
        // as a rule among the latest amounts.
        let mut reserved = self.held.iter().map(HeldAmount::reserved).fold(0, u64::saturating_add);
        let soon = now + RESERVATION_RETRY;
        let soon = self.held.iter().map(|held| (held.until.min(soon), held.reserved()));
        for (_, amount) in spent.iter_mut().rev() {
            let back = reserved.min(*amount);
            *amount -= back;
            reserved -= back;
        }
        let if_all_returns = first_with(missing, spent.into_iter().chain(leases).chain(soon));
        let waits = if_all_is_spent.into_iter().chain(if_all_returns);
        waits.min().map(|at| millis(at, now))
    }

    /// Reserves an amount for one request.
    pub(super) fn reserve(&mut self, id: u64, until: Timestamp, amount: u64, now: Timestamp) {
        self.spent.spend(now, amount);
        self.held.push(HeldAmount { id, until, amount, kind: HeldKind::Reservation { at: now } });
    }

    pub(super) fn lease(&mut self, id: u64, until: Timestamp, amount: u64) {
        self.held.push(HeldAmount { id, until, amount, kind: HeldKind::Lease { reported: 0 } });
    }

    /// Ends a reservation. One that is gone was settled before or expired: an expired one is
    /// charged now.
    pub(super) fn settle(&mut self, id: u64, until: Timestamp, amount: u64, now: Timestamp) {
        let Some(held) = self.remove_held(id) else {
            if until <= now {
                self.spent.spend(now, amount);
            }
            return;
        };
        match held.kind {
            HeldKind::Reservation { at } => match amount.checked_sub(held.amount) {
                Some(more) => self.spent.spend(now, more),
                None => self.spent.give_back(at, held.amount - amount, now),
            },
            HeldKind::Lease { reported } => self.spent.spend(now, amount.saturating_sub(reported)),
        }
    }

    /// Records how much of a lease is spent. Reports of a closed or expired lease are remembered
    /// for a while: if the reply was lost, the sender repeats them.
    pub(super) fn report(
        &mut self,
        id: u64,
        used: u64,
        acknowledged: u64,
        close: bool,
        now: Timestamp,
    ) {
        let found = self.held.iter_mut().find(|held| held.id == id);
        let before = match found {
            Some(HeldAmount { kind: HeldKind::Lease { reported }, .. }) => {
                std::mem::replace(reported, used)
            }
            Some(HeldAmount { kind: HeldKind::Reservation { .. }, .. }) | None => {
                let processed = self.processed.iter().find(|processed| processed.id == id);
                processed.map_or(acknowledged, |processed| processed.used.max(acknowledged))
            }
        };
        match used.checked_sub(before) {
            Some(more) => self.spent.spend(now, more),
            // Counted when it was reserved, returned when it was settled.
            None => self.spent.give_back(now, before - used, now),
        }
        if close {
            self.remove_held(id);
        }
        if !self.held.iter().any(|held| held.id == id) {
            self.mark_processed(id, used, now);
        }
    }

    /// Charges or returns an amount without a reservation, once for each `id`.
    pub(super) fn correct(&mut self, id: u64, began: Timestamp, change: i64, now: Timestamp) {
        if self.processed.iter().any(|processed| processed.id == id) {
            return;
        }
        self.mark_processed(id, 0, now);
        match u64::try_from(change) {
            Ok(more) => self.spent.spend(now, more),
            Err(_) => self.spent.give_back(began, change.unsigned_abs(), now),
        }
    }

    fn mark_processed(&mut self, id: u64, used: u64, now: Timestamp) {
        self.processed.retain(|processed| processed.id != id);
        if self.processed.len() >= MAX_PROCESSED {
            self.processed.remove(0);
        }
        self.processed.push(ProcessedOperation { id, until: now + DEDUP_RETENTION, used });
    }

    fn remove_held(&mut self, id: u64) -> Option<HeldAmount> {
        let at = self.held.iter().position(|held| held.id == id)?;
        Some(self.held.swap_remove(at))
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn millis(at: Timestamp, now: Timestamp) -> u64 {
    at.as_millis().saturating_sub(now.as_millis())
}

//! One account: what was spent of it, and what is reserved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

use super::operation::{Change, Level, Rule, Window};
use super::slots::Slots;

/// For so long it is remembered what was said of something that is no more: whoever did not hear the
/// answer says it again until then.
const MEMORY: Duration = Duration::from_secs(60);
/// At most so much is remembered; what was said before is the first to be forgotten.
const MOST_SAID: usize = 64;
/// A stretch that begins later than this from now was begun by a clock that is wrong.
const AHEAD: Duration = Duration::from_secs(60 * 60);

/// What one rule limits, for one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    spent: Spent,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<Held>,
    /// What may be said again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    said: Vec<Said>,
    /// What may be spent beside the rule, or below zero may not.
    #[serde(default, skip_serializing_if = "is_zero")]
    extra: i64,
}

/// What was spent, as far as it counts. What is reserved for one request counts as spent from the
/// moment of its reservation on, since a rate is one of requests that begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spent {
    Sliding(Slots),
    Stretch { start: Timestamp, end: Timestamp, used: u64 },
    Total(u64),
}

/// Something that was said of a lease that is closed, or in correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    id: u64,
    until: Timestamp,
    /// What of the lease is in `spent`.
    used: u64,
}

/// A part that somebody may still give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    id: u64,
    until: Timestamp,
    amount: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// For one request; it is in `spent` since then.
    Reservation { at: Timestamp },
    /// For many; only what was reported is in `spent`.
    Lease { reported: u64 },
}

impl Held {
    /// The part that is not in `spent`.
    fn beside(&self) -> u64 {
        match self.kind {
            Kind::Reservation { .. } => 0,
            Kind::Lease { reported } => self.amount.saturating_sub(reported),
        }
    }
}

impl Account {
    /// An account of which nothing was spent.
    pub(super) fn new(window: Window) -> Self {
        Self { spent: Spent::new(window), held: Vec::new(), said: Vec::new(), extra: 0 }
    }

    /// Makes it what it is at a moment, for a window. A window of another kind than before begins
    /// anew; what is reserved stays reserved, and counts as spent now.
    pub(super) fn turn_to(&mut self, window: Window, now: Timestamp) {
        self.turn(now);
        match (&mut self.spent, window) {
            (Spent::Sliding(slots), Window::Sliding(millis)) if slots.fits(millis) => {}
            (Spent::Total(_), Window::Total) => {}
            // Somebody's clock was ahead: what was spent by it must not wait for its day to come.
            (Spent::Stretch { start, end, .. }, Window::Stretch(other, until))
                if other < *start && *start > now + AHEAD =>
            {
                (*start, *end) = (other, until);
            }
            // Whose clock is behind still says yesterday: the later one counts.
            (Spent::Stretch { start, .. }, Window::Stretch(other, _)) if other <= *start => {}
            (spent @ Spent::Stretch { .. }, window @ Window::Stretch(..)) => {
                *spent = Spent::new(window);
            }
            (spent, window) => {
                *spent = Spent::new(window);
                for held in &mut self.held {
                    if let Kind::Reservation { at } = &mut held.kind {
                        *at = now;
                        spent.spend(now, held.amount);
                    }
                }
            }
        }
    }

    /// Makes it what it is at a moment, for something that began under a window. If the window is
    /// another one by now, that one stays: what ends must not bring back the rule that it began under.
    pub(super) fn turn_within(&mut self, window: Window, now: Timestamp) {
        match (&self.spent, window) {
            (Spent::Stretch { .. }, Window::Stretch(..)) => self.turn_to(window, now),
            (Spent::Stretch { .. } | Spent::Sliding(_) | Spent::Total(_), _) => self.turn(now),
        }
    }

    /// Forgets what no longer counts, and takes back what nobody settled in time.
    pub(super) fn turn(&mut self, now: Timestamp) {
        match &mut self.spent {
            Spent::Sliding(slots) => slots.turn(now),
            Spent::Stretch { .. } | Spent::Total(_) => {}
        }
        self.said.retain(|said| said.until > now);
        let (over, held) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.until <= now);
        self.held = held;
        for held in over {
            match held.kind {
                Kind::Reservation { at } => self.spent.give_back(at, held.amount, now),
                // What was reported is in `spent`, the rest is nowhere else.
                Kind::Lease { .. } => {}
            }
        }
    }

    /// Whether it says nothing that a new account would not.
    pub(super) fn is_blank(&self, now: Timestamp) -> bool {
        self.held.is_empty()
            && self.said.is_empty()
            && self.extra == 0
            && match &self.spent {
                Spent::Sliding(slots) => slots.sum() == 0,
                Spent::Stretch { end, used, .. } => *used == 0 || *end <= now,
                Spent::Total(used) => *used == 0,
            }
    }

    /// The next moment at which time alone changes it.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let spent = match &self.spent {
            Spent::Sliding(slots) => slots.leaving().next_back().map(|(at, _)| at),
            Spent::Stretch { end, .. } => Some(*end),
            Spent::Total(_) => None,
        };
        let said = self.said.iter().map(|said| said.until);
        self.held.iter().map(|held| held.until).chain(said).chain(spent).min()
    }

    /// How it stands under a rule.
    pub(super) fn level(&self, rule: Rule, now: Timestamp) -> Level {
        let sum = |of: fn(&Held) -> u64| {
            self.held.iter().fold(0, |sum: u64, held| sum.saturating_add(of(held)))
        };
        let beside = sum(Held::beside);
        let reserved = sum(|held| match held.kind {
            Kind::Reservation { .. } => held.amount,
            Kind::Lease { .. } => 0,
        });
        let spent = self.spent.sum();
        let held_until = self.held.iter().filter(|held| held.beside() > 0).map(|held| held.until);
        let resets = match &self.spent {
            Spent::Sliding(slots) => {
                let last =
                    slots.leaving().next_back().map(|(at, _)| at).into_iter().chain(held_until);
                Some(last.max().map_or(0, |at| millis(at, now)))
            }
            Spent::Stretch { end, .. } => Some(millis(*end, now)),
            Spent::Total(_) => None,
        };
        Level {
            max: rule.max.saturating_add_signed(self.extra),
            used: spent.saturating_add(beside),
            held: beside.saturating_add(reserved.min(spent)),
            resets,
        }
    }

    /// Milliseconds until so much may be had if nobody else takes any; `None`: never by itself.
    pub(super) fn wait(&self, rule: Rule, amount: u64, now: Timestamp) -> Option<u64> {
        let level = self.level(rule, now);
        if amount > level.max {
            return None;
        }
        let mut missing = amount.saturating_sub(level.left());
        if missing == 0 {
            return Some(0);
        }
        let leases = self.held.iter().map(|held| (held.until, held.beside()));
        let mut returns: Vec<(Timestamp, u64)> = match &self.spent {
            Spent::Sliding(slots) => slots.leaving().chain(leases).collect(),
            Spent::Stretch { end, used, .. } => leases.chain([(*end, *used)]).collect(),
            Spent::Total(_) => leases.collect(),
        };
        returns.sort_unstable();
        for (at, amount) in returns {
            missing = missing.saturating_sub(amount);
            if missing == 0 {
                return Some(millis(at, now));
            }
        }
        None
    }

    /// Reserves something for one request.
    pub(super) fn reserve(&mut self, id: u64, until: Timestamp, amount: u64, now: Timestamp) {
        self.spent.spend(now, amount);
        self.held.push(Held { id, until, amount, kind: Kind::Reservation { at: now } });
    }

    /// Leases something.
    pub(super) fn lease(&mut self, id: u64, until: Timestamp, amount: u64) {
        self.held.push(Held { id, until, amount, kind: Kind::Lease { reported: 0 } });
    }

    /// Ends a reservation. One that is not there any more was settled before, or its time was over:
    /// then what was spent is charged now.
    pub(super) fn settle(&mut self, id: u64, until: Timestamp, amount: u64, now: Timestamp) {
        let Some(held) = self.take(id) else {
            if until <= now {
                self.spent.spend(now, amount);
            }
            return;
        };
        match held.kind {
            Kind::Reservation { at } => match amount.checked_sub(held.amount) {
                Some(more) => self.spent.spend(now, more),
                None => self.spent.give_back(at, held.amount - amount, now),
            },
            Kind::Lease { reported } => self.spent.spend(now, amount.saturating_sub(reported)),
        }
    }

    /// Takes note of how much of a lease is spent. Of one that is closed or over, what was said before
    /// is remembered for a while: the answer may have been lost, and it is said again.
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
            Some(Held { kind: Kind::Lease { reported }, .. }) => std::mem::replace(reported, used),
            Some(Held { kind: Kind::Reservation { .. }, .. }) | None => {
                let said = self.said.iter().find(|said| said.id == id);
                said.map_or(acknowledged, |said| said.used.max(acknowledged))
            }
        };
        match used.checked_sub(before) {
            Some(more) => self.spent.spend(now, more),
            // Reported when it was reserved, given back when it was settled.
            None => self.spent.give_back(now, before - used, now),
        }
        if close {
            self.take(id);
        }
        if !self.held.iter().any(|held| held.id == id) {
            self.remember(id, used, now);
        }
    }

    /// Charges or gives back something that no reservation stands for, once.
    pub(super) fn correct(&mut self, id: u64, began: Timestamp, change: i64, now: Timestamp) {
        if self.said.iter().any(|said| said.id == id) {
            return;
        }
        self.remember(id, 0, now);
        match u64::try_from(change) {
            Ok(more) => self.spent.spend(now, more),
            Err(_) => self.spent.give_back(began, change.unsigned_abs(), now),
        }
    }

    /// Raises or lowers what may be spent.
    pub(super) fn adjust(&mut self, rule: Rule, change: Change, now: Timestamp) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.extra = match change {
            Change::By(more) => self.extra.saturating_add(more),
            Change::Left(left) => {
                let used = self.level(rule, now).used;
                signed(left.saturating_add(used)).saturating_sub(signed(rule.max))
            }
        };
    }

    fn remember(&mut self, id: u64, used: u64, now: Timestamp) {
        self.said.retain(|said| said.id != id);
        if self.said.len() >= MOST_SAID {
            self.said.remove(0);
        }
        self.said.push(Said { id, until: now + MEMORY, used });
    }

    fn take(&mut self, id: u64) -> Option<Held> {
        let at = self.held.iter().position(|held| held.id == id)?;
        Some(self.held.swap_remove(at))
    }
}

impl Spent {
    fn new(window: Window) -> Self {
        match window {
            Window::Sliding(millis) => Self::Sliding(Slots::new(millis)),
            Window::Stretch(start, end) => Self::Stretch { start, end, used: 0 },
            Window::Total => Self::Total(0),
        }
    }

    fn sum(&self) -> u64 {
        match self {
            Self::Sliding(slots) => slots.sum(),
            Self::Stretch { used, .. } | Self::Total(used) => *used,
        }
    }

    fn spend(&mut self, now: Timestamp, amount: u64) {
        match self {
            Self::Sliding(slots) => slots.spend(now, amount),
            Self::Stretch { used, .. } | Self::Total(used) => *used = used.saturating_add(amount),
        }
    }

    fn give_back(&mut self, at: Timestamp, amount: u64, now: Timestamp) {
        match self {
            Self::Sliding(slots) => slots.give_back(at, amount, now),
            // What was spent yesterday does not make today cheaper.
            Self::Stretch { start, .. } if at < *start => {}
            Self::Stretch { used, .. } | Self::Total(used) => *used = used.saturating_sub(amount),
        }
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn millis(at: Timestamp, now: Timestamp) -> u64 {
    at.as_millis().saturating_sub(now.as_millis())
}

//! Budgets: what a request may take of them, taken before it costs anything, and settled after.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use openai::Weight;

use crate::config::{Config, Measure, OnError, Period};
use crate::error::{Error, Fault, Limited, Refusal};
use crate::ledger::{Charge, Grant, Hold, Lease, Level, Operation, Place, Reply, Window};
use crate::platform::Platform;
use crate::policy::limits;
use crate::time::Timestamp;

use super::allowance;
use super::budgets::Budgets;
use super::futures;
use super::need::{Need, Wanted};
use super::notary;

/// A reservation outlives its request by so much: a settlement is made off the request's path, and
/// may have to be said more than once.
const AFTERWARDS: Duration = Duration::from_secs(60);
/// For how long a slice is leased, where its window is longer than a minute and where it is one.
const LEASE: Duration = Duration::from_secs(10);
const SHORT_LEASE: Duration = Duration::from_secs(5);

/// What was really spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Whether there was an answer, or a part of one.
    pub served: bool,
    /// Tokens of prompt and answer.
    pub tokens: u64,
    /// Billionths of a USD.
    pub cost: u64,
}

impl Spent {
    const NOTHING: Self = Self { served: false, tokens: 0, cost: 0 };

    fn of(self, measure: Measure) -> u64 {
        match measure {
            _ if !self.served => 0,
            Measure::Tokens => self.tokens,
            Measure::Requests => 1,
            Measure::Cost => self.cost,
        }
    }
}

/// What is set aside for a request, in every limit that it meets: proof that it may be answered.
///
/// It is settled with what was really spent; dropped, it returns whole.
#[must_use]
pub struct Reservation<P: Platform> {
    budgets: Rc<Budgets>,
    platform: P,
    id: u64,
    began: Timestamp,
    until: Timestamp,
    parts: Vec<Part>,
    prompt: Weight,
    most_output: Option<u64>,
    headers: Vec<(&'static str, String)>,
    ledger_away: bool,
}

/// One account's part of a reservation.
#[derive(Debug)]
struct Part {
    account: String,
    place: Place,
    window: Window,
    measure: Measure,
    amount: u64,
    source: Source,
}

/// Where a part is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Reserved in the ledger, or about to be.
    Ledger,
    /// Drawn from a lease with this name.
    Lease(u64),
    /// Counted by this gateway alone.
    Alone,
    /// Refused: there is nothing to give back.
    Nowhere,
}

impl<P: Platform> Reservation<P> {
    /// Reserves what a request needs, all of it or nothing. Without a limit there is nothing to do.
    pub async fn make(
        config: &Config,
        budgets: &Rc<Budgets>,
        platform: &P,
        need: Need<'_>,
    ) -> Result<Option<Self>, Error> {
        let met = limits::met(config, &need.subject);
        if met.is_empty() {
            return Ok(None);
        }
        let now = platform.now();
        let mut reservation = Self {
            budgets: Rc::clone(budgets),
            platform: platform.clone(),
            id: platform.entropy(),
            began: now,
            until: now + need.total + AFTERWARDS,
            parts: Vec::new(),
            prompt: need.ask.prompt(),
            most_output: None,
            headers: Vec::new(),
            ledger_away: false,
        };
        let mut wanted = Vec::new();
        for met in &met {
            let place = limits::place(met.limit, &met.value);
            for quota in &met.limit.quotas {
                let one = need.of(met.limit, quota, reservation.prompt, now);
                reservation.parts.push(Part {
                    account: limits::account(met.limit, quota.measure, &met.value),
                    place: place.clone(),
                    window: one.rule.window,
                    measure: quota.measure,
                    amount: one.want,
                    source: Source::Ledger,
                });
                wanted.push(one);
            }
        }
        // From here on, dropping the reservation gives back what there is of it.
        let levels = reservation.take(&wanted, now).await?;
        let granted = reservation.parts.iter().map(|part| part.amount);
        reservation.most_output = need.longest_choice(wanted.iter().zip(granted));
        let quotas = wanted.iter().map(|one| one.quota.measure).zip(levels);
        reservation.headers = allowance::headers(quotas);
        Ok(Some(reservation))
    }

    /// How much text the prompt holds.
    pub fn prompt(&self) -> Weight {
        self.prompt
    }

    /// The most tokens that one choice of the answer may have; `None`: as the request says.
    pub fn most_output(&self) -> Option<u64> {
        self.most_output
    }

    /// What tells the caller how it stands: OpenAI's six headers, for the tightest limits.
    pub fn take_headers(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.headers)
    }

    /// Whether the ledger was away, so that this gateway counted by itself.
    pub fn ledger_away(&self) -> bool {
        self.ledger_away
    }

    /// Ends the reservation: what was not spent returns, what was spent beyond it is charged.
    pub fn settle(mut self, spent: Spent) {
        self.end(spent);
    }

    /// Takes every part: from a lease where there is one, else from the ledger, places side by side.
    async fn take(&mut self, wanted: &[Wanted<'_>], now: Timestamp) -> Result<Vec<Level>, Error> {
        let mut levels: Vec<Option<Level>> = vec![None; wanted.len()];
        let mut calls: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (position, (part, one)) in self.parts.iter_mut().zip(wanted).enumerate() {
            let leases = &self.budgets.leases;
            let drawn = one
                .limit
                .lease
                .then(|| leases.borrow_mut().draw(&part.account, part.window, part.amount, now));
            match drawn.flatten() {
                Some(drawn) => {
                    part.source = Source::Lease(drawn.id);
                    levels[position] = Some(drawn.level);
                }
                None => calls.entry(part.place.clone()).or_default().push(position),
            }
        }
        let asked = calls.iter().map(|(place, positions)| {
            let holds = positions.iter().map(|at| self.hold(*at, &wanted[*at], now)).collect();
            let operation = Operation::Reserve { id: self.id, until: self.until, holds };
            let (budgets, platform) = (Rc::clone(&self.budgets), self.platform.clone());
            let place = place.clone();
            async move {
                let reply = budgets.ask(&platform, &place, &operation).await;
                reply.map_err(|_away| operation)
            }
        });
        let replies = futures::join(asked.collect()).await;
        let mut fault = None;
        let mut limited: Option<Box<Limited>> = None;
        let mut others = Vec::new();
        for (positions, reply) in calls.values().zip(replies) {
            let reply = match reply {
                Ok(reply) => Ok(reply),
                Err(operation) => self.alone(positions, wanted, operation, now),
            };
            match reply {
                Ok(Reply::Granted(grants)) => {
                    for (position, grant) in positions.iter().zip(grants) {
                        self.granted(*position, grant, &wanted[*position], now);
                        levels[*position] = Some(grant.level);
                    }
                }
                Ok(Reply::Refused(_)) if self.redraw(positions, wanted, &mut levels, now) => {}
                Ok(Reply::Refused(refused)) => {
                    // Nothing was taken there, so that nothing is given back.
                    for position in positions {
                        self.parts[*position].source = Source::Nowhere;
                    }
                    for (position, level) in positions.iter().zip(&refused.levels) {
                        others.push((wanted[*position].quota.measure, *level));
                    }
                    let found = positions.get(refused.hold).zip(refused.levels.get(refused.hold));
                    let Some((position, level)) = found else {
                        fault.get_or_insert(Fault::LedgerUnavailable);
                        continue;
                    };
                    // Of several places, the one that has to be waited for longest is told.
                    let longest = |wait: Option<u64>| wait.unwrap_or(u64::MAX);
                    if limited
                        .as_ref()
                        .is_none_or(|other| longest(refused.wait) > longest(other.wait))
                    {
                        limited = Some(wanted[*position].limited(*level, refused.wait));
                    }
                }
                Ok(Reply::Done | Reply::Levels(_) | Reply::Tallies(_) | Reply::Register(_)) => {
                    fault.get_or_insert(Fault::LedgerUnavailable);
                }
                Err(away) => {
                    fault.get_or_insert(away);
                }
            }
        }
        match (limited, fault) {
            (Some(limited), _) => {
                // The limit that refuses stands for its measure, whatever another one has left.
                let others = others.into_iter().filter(|(measure, _)| *measure != limited.measure);
                let levels: Vec<_> = others.chain([(limited.measure, limited.level)]).collect();
                let headers = allowance::headers(levels.into_iter());
                Err(Refusal::Limited(Box::new(Limited { headers, ..*limited })).into())
            }
            (None, Some(fault)) => Err(fault.into()),
            (None, None) => Ok(levels.into_iter().flatten().collect()),
        }
    }

    /// Draws again what the ledger has refused: a request that met this one may have brought a lease.
    fn redraw(
        &mut self,
        positions: &[usize],
        wanted: &[Wanted<'_>],
        levels: &mut [Option<Level>],
        now: Timestamp,
    ) -> bool {
        if !positions.iter().all(|at| wanted[*at].limit.lease) {
            return false;
        }
        let mut leases = self.budgets.leases.borrow_mut();
        let mut drawn = Vec::with_capacity(positions.len());
        for position in positions {
            let part = &self.parts[*position];
            match leases.draw(&part.account, part.window, part.amount, now) {
                Some(lease) => drawn.push((*position, lease)),
                None => {
                    for (position, lease) in drawn {
                        let Part { account, amount, .. } = &self.parts[position];
                        let stands = leases.settle(account, lease.id, *amount, 0);
                        debug_assert!(stands, "it was drawn from just now");
                    }
                    return false;
                }
            }
        }
        for (position, lease) in drawn {
            self.parts[position].source = Source::Lease(lease.id);
            levels[position] = Some(lease.level);
        }
        true
    }

    fn hold(&self, position: usize, wanted: &Wanted<'_>, now: Timestamp) -> Hold {
        let life = lease_life(wanted.quota.per).filter(|_| wanted.limit.lease);
        Hold {
            account: self.parts[position].account.clone(),
            rule: wanted.rule,
            least: wanted.least,
            want: wanted.want,
            slice: life.map(|life| now + life),
        }
    }

    /// What the ledger would have said, by this gateway's own count, where the limits allow that.
    fn alone(
        &mut self,
        positions: &[usize],
        wanted: &[Wanted<'_>],
        mut operation: Operation,
        now: Timestamp,
    ) -> Result<Reply, Fault> {
        if positions.iter().any(|at| wanted[*at].limit.on_error == OnError::Closed) {
            return Err(Fault::LedgerUnavailable);
        }
        self.ledger_away = true;
        if let Operation::Reserve { holds, .. } = &mut operation {
            // There is nobody to lease from.
            holds.iter_mut().for_each(|hold| hold.slice = None);
        }
        for position in positions {
            self.parts[*position].source = Source::Alone;
        }
        Ok(self.budgets.count_alone(now, &operation))
    }

    /// Notes what was granted; of a lease, only what this request wants is its own.
    fn granted(&mut self, position: usize, grant: Grant, wanted: &Wanted<'_>, now: Timestamp) {
        let part = &mut self.parts[position];
        part.amount = grant.amount;
        let Some(life) = lease_life(wanted.quota.per).filter(|_| grant.leased) else { return };
        part.amount = wanted.want;
        part.source = Source::Lease(self.id);
        let lease = Lease::new(
            self.id,
            part.place.clone(),
            part.window,
            now + (life - notary::MARGIN),
            grant.amount,
            grant.level,
        );
        let leases = &self.budgets.leases;
        let overdue = leases.borrow_mut().keep(part.account.clone(), lease, wanted.want, now);
        if !overdue.is_empty() {
            notary::tell(&self.platform, overdue);
        }
        self.budgets.watch(&self.platform, part.account.clone(), self.id);
    }

    fn end(&mut self, spent: Spent) {
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return;
        }
        let now = self.platform.now();
        let (id, until) = (self.id, self.until);
        // Another name than the reservation's, which a lease that it brought has too.
        let correction = self.platform.entropy();
        let mut settled: BTreeMap<Place, Vec<Charge>> = BTreeMap::new();
        let mut told: Vec<(Place, Operation)> = Vec::new();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let correct = |account, window, change| {
            let (id, began) = (correction, self.began);
            Operation::Correct { id, account, window, began, change }
        };
        for part in parts {
            let amount = spent.of(part.measure);
            let Part { account, place, window, .. } = part;
            match part.source {
                Source::Ledger => {
                    settled.entry(place).or_default().push(Charge { account, window, amount });
                }
                Source::Lease(lease) => {
                    let mut leases = self.budgets.leases.borrow_mut();
                    if !leases.settle(&account, lease, part.amount, amount) {
                        let change = signed(amount).saturating_sub(signed(part.amount));
                        told.push((place, correct(account, window, change)));
                    }
                }
                Source::Nowhere => {}
                Source::Alone => {
                    let charges = vec![Charge { account: account.clone(), window, amount }];
                    let operation = Operation::Settle { id, until, charges };
                    self.budgets.count_alone(now, &operation);
                    if amount > 0 {
                        // The ledger may be back by now.
                        told.push((place, correct(account, window, signed(amount))));
                    }
                }
            }
        }
        let settle = |(place, charges)| (place, Operation::Settle { id, until, charges });
        told.extend(settled.into_iter().map(settle));
        if !told.is_empty() {
            notary::tell(&self.platform, told);
        }
    }
}

impl<P: Platform> Drop for Reservation<P> {
    fn drop(&mut self) {
        self.end(Spent::NOTHING);
    }
}

/// How long a slice of a quota is leased; `None`: it would be gone before a second request could draw
/// from it.
fn lease_life(per: Period) -> Option<Duration> {
    match per {
        Period::Second => None,
        Period::Minute => Some(SHORT_LEASE),
        Period::Hour | Period::Day(_) | Period::Month(_) | Period::Total => Some(LEASE),
    }
}

//! Budgets: what a request may take of them, taken before it costs anything, and settled after.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::{Config, Measure, OnError, Period};
use ledger::{AccountBalance, BookId, Charge, Grant, Hold, Lease, LedgerReply, Operation, Window};
use openai::TextSize;

use crate::error::{Error, Fault, LimitExceeded, Refusal};
use crate::host::{Host, futures};
use crate::limits::matching;

use super::demand::{QuotaDemand, ReservationRequest};
use super::local_state::LimiterState;
use super::{headers, ledger_client};

/// A reservation outlives its request by so much: a settlement is made off the request's path, and
/// may have to be said more than once.
const SETTLEMENT_GRACE: Duration = Duration::from_secs(60);
/// For how long a slice is leased, where its window is longer than a minute and where it is one.
const LEASE_DURATION: Duration = Duration::from_secs(10);
const SHORT_LEASE_DURATION: Duration = Duration::from_secs(5);

/// What was really spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledUsage {
    /// Whether there was an answer, or a part of one.
    pub served: bool,
    /// Tokens of prompt and answer.
    pub tokens: u64,
    /// Billionths of a USD.
    pub cost: u64,
}

impl SettledUsage {
    const NONE: Self = Self { served: false, tokens: 0, cost: 0 };

    fn amount(self, measure: Measure) -> u64 {
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
pub struct Reservation<P: Host> {
    limiter_state: Rc<LimiterState>,
    host: P,
    id: u64,
    began: Timestamp,
    until: Timestamp,
    parts: Vec<ReservationPart>,
    prompt_size: TextSize,
    max_output_tokens: Option<u64>,
    headers: Vec<(&'static str, String)>,
    ledger_unavailable: bool,
}

/// One account's part of a reservation.
#[derive(Debug)]
struct ReservationPart {
    account: String,
    book_id: BookId,
    window: Window,
    measure: Measure,
    amount: u64,
    backing: Backing,
}

/// Where a part is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backing {
    /// Reserved in the ledger, or about to be.
    Ledger,
    /// Drawn from a lease with this name.
    Lease(u64),
    /// Counted by this gateway alone.
    Local,
    /// Refused: there is nothing to give back.
    None,
}

impl<P: Host> Reservation<P> {
    /// Reserves what a request needs, all of it or nothing. Without a limit there is nothing to do.
    pub async fn acquire(
        config: &Config,
        budgets: &Rc<LimiterState>,
        host: &P,
        request: ReservationRequest<'_>,
    ) -> Result<Option<Self>, Error> {
        let matched = matching::matching_limits(config, &request.subject);
        if matched.is_empty() {
            return Ok(None);
        }
        let now = host.now();
        let mut reservation = Self {
            limiter_state: Rc::clone(budgets),
            host: host.clone(),
            id: host.entropy(),
            began: now,
            until: now + request.total + SETTLEMENT_GRACE,
            parts: Vec::new(),
            prompt_size: request.request.prompt_size(),
            max_output_tokens: None,
            headers: Vec::new(),
            ledger_unavailable: false,
        };
        let mut demands = Vec::new();
        for matched in &matched {
            let book_id = matching::book_id(matched.limit, &matched.value);
            for quota in &matched.limit.quotas {
                let demand = request.demand_for(matched.limit, quota, reservation.prompt_size, now);
                reservation.parts.push(ReservationPart {
                    account: matching::account_name(matched.limit, quota.measure, &matched.value),
                    book_id: book_id.clone(),
                    window: demand.rule.window,
                    measure: quota.measure,
                    amount: demand.want,
                    backing: Backing::Ledger,
                });
                demands.push(demand);
            }
        }
        // From here on, dropping the reservation gives back what there is of it.
        let balances = reservation.acquire_parts(&demands, now).await?;
        let granted = reservation.parts.iter().map(|part| part.amount);
        reservation.max_output_tokens = request.max_choice_tokens(demands.iter().zip(granted));
        let quotas = demands.iter().map(|demand| demand.quota.measure).zip(balances);
        reservation.headers = headers::rate_limit_headers(quotas);
        Ok(Some(reservation))
    }

    /// How much text the prompt holds.
    pub fn prompt_size(&self) -> TextSize {
        self.prompt_size
    }

    /// The most tokens that one choice of the answer may have; `None`: as the request says.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    /// What tells the caller how it stands: OpenAI's six headers, for the tightest limits.
    pub fn take_headers(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.headers)
    }

    /// Whether the ledger was away, so that this gateway counted by itself.
    pub fn ledger_unavailable(&self) -> bool {
        self.ledger_unavailable
    }

    /// Ends the reservation: what was not spent returns, what was spent beyond it is charged.
    pub fn settle(mut self, spent: SettledUsage) {
        self.release(spent);
    }

    /// Takes every part: from a lease where there is one, else from the ledger, places side by side.
    async fn acquire_parts(
        &mut self,
        demands: &[QuotaDemand<'_>],
        now: Timestamp,
    ) -> Result<Vec<AccountBalance>, Error> {
        let mut balances: Vec<Option<AccountBalance>> = vec![None; demands.len()];
        let mut calls: BTreeMap<BookId, Vec<usize>> = BTreeMap::new();
        for (position, (part, demand)) in self.parts.iter_mut().zip(demands).enumerate() {
            let leases = &self.limiter_state.leases;
            let drawn = demand
                .limit
                .lease
                .then(|| leases.borrow_mut().draw(&part.account, part.window, part.amount, now));
            match drawn.flatten() {
                Some(drawn) => {
                    part.backing = Backing::Lease(drawn.id);
                    balances[position] = Some(drawn.balance);
                }
                None => calls.entry(part.book_id.clone()).or_default().push(position),
            }
        }
        let asked = calls.iter().map(|(book_id, positions)| {
            let holds = positions.iter().map(|at| self.hold_for(*at, &demands[*at], now)).collect();
            let operation = Operation::Reserve { id: self.id, until: self.until, holds };
            let (budgets, host) = (Rc::clone(&self.limiter_state), self.host.clone());
            let book_id = book_id.clone();
            async move {
                let reply = budgets.call_ledger(&host, &book_id, &operation).await;
                reply.map_err(|_away| operation)
            }
        });
        let replies = futures::join_all(asked.collect()).await;
        let mut fault = None;
        let mut limited: Option<Box<LimitExceeded>> = None;
        let mut others = Vec::new();
        for (positions, reply) in calls.values().zip(replies) {
            let reply = match reply {
                Ok(reply) => Ok(reply),
                Err(operation) => self.reserve_locally(positions, demands, operation, now),
            };
            match reply {
                Ok(LedgerReply::Granted(grants)) => {
                    for (position, grant) in positions.iter().zip(grants) {
                        self.apply_grant(*position, grant, &demands[*position], now);
                        balances[*position] = Some(grant.balance);
                    }
                }
                Ok(LedgerReply::Denied(_))
                    if self.retry_from_leases(positions, demands, &mut balances, now) => {}
                Ok(LedgerReply::Denied(refused)) => {
                    // Nothing was taken there, so that nothing is given back.
                    for position in positions {
                        self.parts[*position].backing = Backing::None;
                    }
                    for (position, balance) in positions.iter().zip(&refused.balances) {
                        others.push((demands[*position].quota.measure, *balance));
                    }
                    let found = positions.get(refused.hold).zip(refused.balances.get(refused.hold));
                    let Some((position, balance)) = found else {
                        fault.get_or_insert(Fault::LedgerUnavailable);
                        continue;
                    };
                    // Of several places, the one that has to be waited for longest is told.
                    let longest = |wait: Option<u64>| wait.unwrap_or(u64::MAX);
                    if limited
                        .as_ref()
                        .is_none_or(|other| longest(refused.wait) > longest(other.wait_millis))
                    {
                        limited = Some(demands[*position].limit_exceeded(*balance, refused.wait));
                    }
                }
                Ok(
                    LedgerReply::Done
                    | LedgerReply::Balances(_)
                    | LedgerReply::Usage(_)
                    | LedgerReply::Register(_),
                ) => {
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
                let balances: Vec<_> = others.chain([(limited.measure, limited.balance)]).collect();
                let headers = headers::rate_limit_headers(balances.into_iter());
                Err(Refusal::Limited(Box::new(LimitExceeded { headers, ..*limited })).into())
            }
            (None, Some(fault)) => Err(fault.into()),
            (None, None) => Ok(balances.into_iter().flatten().collect()),
        }
    }

    /// Draws again what the ledger has refused: a request that met this one may have brought a lease.
    fn retry_from_leases(
        &mut self,
        positions: &[usize],
        demands: &[QuotaDemand<'_>],
        balances: &mut [Option<AccountBalance>],
        now: Timestamp,
    ) -> bool {
        if !positions.iter().all(|at| demands[*at].limit.lease) {
            return false;
        }
        let mut leases = self.limiter_state.leases.borrow_mut();
        let mut drawn = Vec::with_capacity(positions.len());
        for position in positions {
            let part = &self.parts[*position];
            match leases.draw(&part.account, part.window, part.amount, now) {
                Some(lease) => drawn.push((*position, lease)),
                None => {
                    for (position, lease) in drawn {
                        let ReservationPart { account, amount, .. } = &self.parts[position];
                        let stands = leases.settle(account, lease.id, *amount, 0);
                        debug_assert!(stands, "it was drawn from just now");
                    }
                    return false;
                }
            }
        }
        for (position, lease) in drawn {
            self.parts[position].backing = Backing::Lease(lease.id);
            balances[position] = Some(lease.balance);
        }
        true
    }

    fn hold_for(&self, position: usize, demands: &QuotaDemand<'_>, now: Timestamp) -> Hold {
        let life = lease_duration(demands.quota.per).filter(|_| demands.limit.lease);
        Hold {
            account: self.parts[position].account.clone(),
            rule: demands.rule,
            min: demands.min,
            want: demands.want,
            slice: life.map(|life| now + life),
        }
    }

    /// What the ledger would have said, by this gateway's own count, where the limits allow that.
    fn reserve_locally(
        &mut self,
        positions: &[usize],
        demands: &[QuotaDemand<'_>],
        mut operation: Operation,
        now: Timestamp,
    ) -> Result<LedgerReply, Fault> {
        if positions.iter().any(|at| demands[*at].limit.on_error == OnError::Closed) {
            return Err(Fault::LedgerUnavailable);
        }
        self.ledger_unavailable = true;
        if let Operation::Reserve { holds, .. } = &mut operation {
            // There is nobody to lease from.
            holds.iter_mut().for_each(|hold| hold.slice = None);
        }
        for position in positions {
            self.parts[*position].backing = Backing::Local;
        }
        Ok(self.limiter_state.apply_locally(now, &operation))
    }

    /// Notes what was granted; of a lease, only what this request wants is its own.
    fn apply_grant(
        &mut self,
        position: usize,
        grant: Grant,
        demands: &QuotaDemand<'_>,
        now: Timestamp,
    ) {
        let part = &mut self.parts[position];
        part.amount = grant.amount;
        let Some(life) = lease_duration(demands.quota.per).filter(|_| grant.leased) else { return };
        part.amount = demands.want;
        part.backing = Backing::Lease(self.id);
        let lease = Lease::new(
            self.id,
            part.book_id.clone(),
            part.window,
            now + (life - ledger_client::LEASE_SAFETY_MARGIN),
            grant.amount,
            grant.balance,
        );
        let leases = &self.limiter_state.leases;
        let overdue = leases.borrow_mut().add(part.account.clone(), lease, demands.want, now);
        if !overdue.is_empty() {
            ledger_client::call_in_background(&self.host, overdue);
        }
        self.limiter_state.report_lease(&self.host, part.account.clone(), self.id);
    }

    fn release(&mut self, spent: SettledUsage) {
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return;
        }
        let now = self.host.now();
        let (id, until) = (self.id, self.until);
        // Another name than the reservation's, which a lease that it brought has too.
        let correction = self.host.entropy();
        let mut settled: BTreeMap<BookId, Vec<Charge>> = BTreeMap::new();
        let mut told: Vec<(BookId, Operation)> = Vec::new();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let correct = |account, window, change| {
            let (id, began) = (correction, self.began);
            Operation::Correct { id, account, window, began, change }
        };
        for part in parts {
            let amount = spent.amount(part.measure);
            let ReservationPart { account, book_id, window, .. } = part;
            match part.backing {
                Backing::Ledger => {
                    settled.entry(book_id).or_default().push(Charge { account, window, amount });
                }
                Backing::Lease(lease) => {
                    let mut leases = self.limiter_state.leases.borrow_mut();
                    if !leases.settle(&account, lease, part.amount, amount) {
                        let change = signed(amount).saturating_sub(signed(part.amount));
                        told.push((book_id, correct(account, window, change)));
                    }
                }
                Backing::None => {}
                Backing::Local => {
                    let charges = vec![Charge { account: account.clone(), window, amount }];
                    let operation = Operation::Settle { id, until, charges };
                    self.limiter_state.apply_locally(now, &operation);
                    if amount > 0 {
                        // The ledger may be back by now.
                        told.push((book_id, correct(account, window, signed(amount))));
                    }
                }
            }
        }
        let settle = |(book_id, charges)| (book_id, Operation::Settle { id, until, charges });
        told.extend(settled.into_iter().map(settle));
        if !told.is_empty() {
            ledger_client::call_in_background(&self.host, told);
        }
    }
}

impl<P: Host> Drop for Reservation<P> {
    fn drop(&mut self) {
        self.release(SettledUsage::NONE);
    }
}

/// How long a slice of a quota is leased; `None`: it would be gone before a second request could draw
/// from it.
fn lease_duration(per: Period) -> Option<Duration> {
    match per {
        Period::Second => None,
        Period::Minute => Some(SHORT_LEASE_DURATION),
        Period::Hour | Period::Day(_) | Period::Month(_) | Period::Total => Some(LEASE_DURATION),
    }
}

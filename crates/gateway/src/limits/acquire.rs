//! Acquisition of a reservation: from leases, from the ledger, or by this gateway's own count.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::{Config, Measure, OnError, Period};
use ledger::{AccountBalance, BookId, Denied, Grant, Hold, Lease, LedgerReply, Operation};
use protocol::model::Protocol;

use crate::error::{Error, Fault, LimitExceeded, Refusal};
use crate::host::{Host, futures};

use super::demand::{QuotaDemand, ReservationRequest};
use super::local_state::LimiterState;
use super::reservation::{Backing, Reservation, ReservationPart};
use super::{headers, ledger_client, matching};

/// Time by which a reservation outlives its request: a settlement is sent in the background, and may
/// need several attempts.
const SETTLEMENT_GRACE: Duration = Duration::from_secs(60);
/// Duration of a lease of a quota per hour or longer.
const LEASE_DURATION: Duration = Duration::from_secs(10);
/// Duration of a lease of a quota per minute.
const SHORT_LEASE_DURATION: Duration = Duration::from_secs(5);

/// Books to call, each with the positions of its parts.
type PartsByBook = BTreeMap<BookId, Vec<usize>>;

/// Denials and failures of the books of one reservation.
#[derive(Default)]
struct Failures {
    fault: Option<Fault>,
    limited: Option<Box<LimitExceeded>>,
    balances: Vec<(Measure, AccountBalance)>,
}

impl<P: Host> Reservation<P> {
    /// Reserves the amounts that a request needs, all or none. `None` if no limit matches.
    pub(crate) async fn acquire(
        config: &Config,
        limiter_state: &Rc<LimiterState>,
        host: &P,
        request: ReservationRequest<'_>,
    ) -> Result<Option<Self>, Error> {
        let mut matched = matching::matching_limits(config, &request.subject);
        if matched.is_empty() {
            return Ok(None);
        }
        let now = host.now();
        limiter_state.made_up_values.borrow_mut().bound(&mut matched, now);
        let mut reservation = Self {
            limiter_state: Rc::clone(limiter_state),
            host: host.clone(),
            id: host.entropy(),
            began: now,
            until: now + request.total + SETTLEMENT_GRACE,
            parts: Vec::new(),
            max_output_tokens: None,
            headers: Vec::new(),
            near_limits: Vec::new(),
            ledger_unavailable: false,
        };
        let prompt_size = request.request.prompt_size();
        let mut demands = Vec::new();
        for matched in &matched {
            let (limit, value) = (matched.limit, &matched.value);
            let book_id = matching::book_id(limit, value);
            for quota in &limit.quotas {
                let demand = request.demand_for(limit, quota, prompt_size, now);
                reservation.parts.push(ReservationPart {
                    account: matching::account_name(limit, quota.measure, value),
                    book_id: book_id.clone(),
                    window: demand.rule.window,
                    measure: quota.measure,
                    amount: demand.want,
                    backing: Backing::Ledger,
                });
                demands.push(demand);
            }
        }
        // From here on, dropping the reservation returns the parts that were acquired.
        let caller = request.request.protocol();
        let balances = reservation.acquire_parts(&demands, (caller, now)).await?;
        let granted = reservation.parts.iter().map(|part| part.amount);
        reservation.max_output_tokens = request.max_choice_tokens(demands.iter().zip(granted));
        for (demand, balance) in demands.iter().zip(&balances) {
            demand.note_near_end(balance, &mut reservation.near_limits);
        }
        let quotas = demands.iter().map(|demand| demand.quota.measure).zip(balances);
        reservation.headers = headers::rate_limit_headers((caller, now), quotas);
        Ok(Some(reservation))
    }

    /// Acquires every part: from a lease if there is one, else from the ledger, books concurrently.
    async fn acquire_parts(
        &mut self,
        demands: &[QuotaDemand<'_>],
        (caller, now): (Protocol, Timestamp),
    ) -> Result<Vec<AccountBalance>, Error> {
        let mut balances: Vec<Option<AccountBalance>> = vec![None; demands.len()];
        let calls = self.draw_from_leases(demands, &mut balances, now);
        let replies = self.call_books(&calls, demands, now).await;
        let mut failures = Failures::default();
        for (positions, reply) in calls.values().zip(replies) {
            let reply = match reply {
                Ok(reply) => Ok(reply),
                Err(operation) => self.reserve_locally(positions, demands, operation, now),
            };
            match reply.map(LedgerReply::into_grants) {
                Ok(Some(Ok(grants))) => {
                    for (position, grant) in positions.iter().zip(grants) {
                        self.apply_grant(*position, grant, &demands[*position], now);
                        balances[*position] = Some(grant.balance);
                    }
                }
                Ok(Some(Err(_)))
                    if self.retry_from_leases(positions, demands, &mut balances, now) => {}
                Ok(Some(Err(denied))) => {
                    // The book granted nothing, so nothing is returned to it.
                    for position in positions {
                        self.parts[*position].backing = Backing::None;
                    }
                    failures.add_denied(positions, demands, &denied);
                }
                Ok(None) => failures.add_fault(Fault::LedgerUnavailable),
                Err(fault) => failures.add_fault(fault),
            }
        }
        failures.into_result((caller, now))?;
        Ok(balances.into_iter().flatten().collect())
    }

    /// Draws parts from leases; returns the others by book.
    fn draw_from_leases(
        &mut self,
        demands: &[QuotaDemand<'_>],
        balances: &mut [Option<AccountBalance>],
        now: Timestamp,
    ) -> PartsByBook {
        let mut others = PartsByBook::new();
        let mut leases = self.limiter_state.leases.borrow_mut();
        for (position, (part, demand)) in self.parts.iter_mut().zip(demands).enumerate() {
            let drawn = match demand.limit.lease {
                true => leases.draw(&part.account, part.window, part.amount, now),
                false => None,
            };
            match drawn {
                Some(drawn) => {
                    part.backing = Backing::Lease(drawn.id);
                    balances[position] = Some(drawn.balance);
                }
                None => others.entry(part.book_id.clone()).or_default().push(position),
            }
        }
        others
    }

    /// Calls books concurrently. The operation is returned if its book is unavailable.
    async fn call_books(
        &self,
        calls: &PartsByBook,
        demands: &[QuotaDemand<'_>],
        now: Timestamp,
    ) -> Vec<Result<LedgerReply, Operation>> {
        let calls = calls.iter().map(|(book_id, positions)| {
            let holds: Vec<Hold> =
                positions.iter().map(|at| self.hold_for(*at, &demands[*at], now)).collect();
            let (limiter_state, host) = (Rc::clone(&self.limiter_state), self.host.clone());
            let (book_id, id, until) = (book_id.clone(), self.id, self.until);
            async move { limiter_state.reserve(&host, &book_id, (id, until), holds).await }
        });
        futures::join_all(calls.collect()).await
    }

    /// Draws denied parts from leases: a concurrent request may have acquired one meanwhile.
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
                        let is_open = leases.settle(account, lease.id, *amount, 0);
                        debug_assert!(is_open, "it was drawn from just now");
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

    fn hold_for(&self, position: usize, demand: &QuotaDemand<'_>, now: Timestamp) -> Hold {
        let duration = lease_duration(demand.quota.per).filter(|_| demand.limit.lease);
        Hold {
            account: self.parts[position].account.clone(),
            rule: demand.rule,
            min: demand.min,
            want: demand.want,
            slice: duration.map(|duration| now + duration),
        }
    }

    /// Reserves by this gateway's own count, if all limits allow that.
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
            // A local book grants no leases.
            holds.iter_mut().for_each(|hold| hold.slice = None);
        }
        for position in positions {
            self.parts[*position].backing = Backing::Local;
        }
        Ok(self.limiter_state.apply_locally(now, &operation))
    }

    /// Records a grant. Of a lease, this request draws only what it wants.
    fn apply_grant(
        &mut self,
        position: usize,
        grant: Grant,
        demand: &QuotaDemand<'_>,
        now: Timestamp,
    ) {
        let part = &mut self.parts[position];
        part.amount = grant.amount;
        let duration = lease_duration(demand.quota.per).filter(|_| grant.leased);
        let Some(duration) = duration else { return };
        part.amount = demand.want;
        part.backing = Backing::Lease(self.id);
        let lease = Lease::new(
            self.id,
            part.book_id.clone(),
            part.window,
            now + (duration - ledger_client::LEASE_SAFETY_MARGIN),
            grant.amount,
            grant.balance,
        );
        let leases = &self.limiter_state.leases;
        let overdue = leases.borrow_mut().add(part.account.clone(), lease, demand.want, now);
        if !overdue.is_empty() {
            ledger_client::call_in_background(&self.host, overdue);
        }
        self.limiter_state.report_lease(&self.host, part.account.clone(), self.id);
    }
}

impl Failures {
    fn add_fault(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Adds a denial. Of several, the one with the longest wait is returned to the caller.
    fn add_denied(&mut self, positions: &[usize], demands: &[QuotaDemand<'_>], denied: &Denied) {
        for (position, balance) in positions.iter().zip(&denied.balances) {
            self.balances.push((demands[*position].quota.measure, *balance));
        }
        let found = positions.get(denied.hold).zip(denied.balances.get(denied.hold));
        let Some((position, balance)) = found else {
            return self.add_fault(Fault::LedgerUnavailable);
        };
        let millis = |wait: Option<u64>| wait.unwrap_or(u64::MAX);
        let limited = self.limited.as_ref();
        if limited.is_none_or(|other| millis(denied.wait) > millis(other.wait_millis)) {
            self.limited = Some(demands[*position].limit_exceeded(*balance, denied.wait));
        }
    }

    fn into_result(self, caller: (Protocol, Timestamp)) -> Result<(), Error> {
        match (self.limited, self.fault) {
            (Some(limited), _) => {
                // The headers of a measure describe the limit that refuses, even if another limit
                // of that measure has less left.
                let others = self.balances.into_iter().filter(|(it, _)| *it != limited.measure);
                let balances: Vec<_> = others.chain([(limited.measure, limited.balance)]).collect();
                let headers = headers::rate_limit_headers(caller, balances.into_iter());
                Err(Refusal::Limited(Box::new(LimitExceeded { headers, ..*limited })).into())
            }
            (None, Some(fault)) => Err(fault.into()),
            (None, None) => Ok(()),
        }
    }
}

/// Duration of a lease of a quota; `None` if it would expire before a second request could draw.
fn lease_duration(per: Period) -> Option<Duration> {
    match per {
        Period::Second => None,
        Period::Minute => Some(SHORT_LEASE_DURATION),
        Period::Hour | Period::Day(_) | Period::Month(_) | Period::Total => Some(LEASE_DURATION),
    }
}

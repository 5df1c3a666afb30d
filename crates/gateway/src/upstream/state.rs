//! State of upstreams between requests: circuit breakers, cool-downs of keys, and budgets of
//! retries and hedges. It is kept in memory, per isolate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::{Balance, Config, Hedge, Provider, ProviderIndex, Retries, Route};

use crate::record::SkipReason;
use crate::routing::balance::TargetLoad;
use crate::telemetry::usage::details::{CoolingDown, CoolingDownPart};
use crate::upstream::additions::{KnownTargets, SentAdditions, TakenBack};
use crate::upstream::call_permit::{CallPermit, LatencyTimer};
use crate::upstream::caller_tag::CallerTag;
use crate::upstream::circuit_breaker::BreakerOpen;
use crate::upstream::classify::Failure;
use crate::upstream::health::HealthTable;
use crate::upstream::hedge_budget::{self, HedgeBudget};
use crate::upstream::key_pool::{AllKeysCoolingDown, KeyPool};
use crate::upstream::last_resort::{Access, LastResorts};
use crate::upstream::retry_budget::RetryBudget;
use crate::upstream::retry_policy::KeyOutcome;

/// State of the providers of a configuration.
#[derive(Debug)]
pub(crate) struct Upstreams {
    /// One key pool per provider, in the configuration's order.
    pub(super) key_pools: RefCell<Vec<KeyPool>>,
    /// One retry budget per provider, in the configuration's order.
    retry_budgets: RefCell<Vec<RetryBudget>>,
    /// Hedge budgets by the id of the route: they outlive a configuration, and another one may have
    /// other routes in other places.
    hedge_budgets: Rc<RefCell<BTreeMap<Box<str>, HedgeBudget>>>,
    health: Rc<RefCell<HealthTable>>,
    pub(super) last_resorts: RefCell<LastResorts>,
    /// Knowledge about targets, by provider, in the configuration's order.
    known_targets: Rc<RefCell<Vec<KnownTargets>>>,
}

impl Upstreams {
    /// Creates the state with every target healthy.
    pub(crate) fn new(config: &Config) -> Self {
        let key_pools = config.providers.iter().map(|provider| match provider.lacks_keys {
            true => KeyPool::unavailable(),
            false => KeyPool::new(provider.keys.len()),
        });
        let count = config.providers.len();
        Self {
            key_pools: RefCell::new(key_pools.collect()),
            retry_budgets: RefCell::new(vec![RetryBudget::default(); count]),
            hedge_budgets: Rc::default(),
            health: Rc::new(RefCell::new(HealthTable::new(count))),
            last_resorts: RefCell::new(LastResorts::new(count)),
            known_targets: Rc::new(RefCell::new(vec![KnownTargets::default(); count])),
        }
    }

    /// State for another configuration. It keeps the state of providers that are in both. If all
    /// are, it is the same value, including calls in flight.
    pub(crate) fn carry_over(before: &Rc<Self>, old: &Config, new: &Config) -> Rc<Self> {
        let same = |one: &Provider, other: &Provider| {
            let keys = |provider: &Provider| provider.keys.len();
            one.id == other.id
                && one.base_url == other.base_url
                && keys(one) == keys(other)
                && one.lacks_keys == other.lacks_keys
                && one.keys.iter().zip(&other.keys).all(|(a, b)| a.reveal() == b.reveal())
        };
        let find = |one: &Provider| old.providers.iter().position(|other| same(one, other));
        let from: Vec<Option<usize>> = new.providers.iter().map(find).collect();
        let is_same = |(at, found): (usize, &Option<usize>)| *found == Some(at);
        let is_kept = |id: &str| new.routes.iter().any(|route| route.id == id);
        before.hedge_budgets.borrow_mut().retain(|id, _| is_kept(id));
        if old.providers.len() == from.len() && from.iter().enumerate().all(is_same) {
            return Rc::clone(before);
        }
        let upstreams = Self { hedge_budgets: Rc::clone(&before.hedge_budgets), ..Self::new(new) };
        for (at, found) in from.iter().enumerate() {
            let Some(found) = *found else {
                upstreams.health.borrow_mut().mark_new(at);
                continue;
            };
            upstreams.key_pools.borrow_mut()[at] = before.key_pools.borrow()[found].clone();
            upstreams.retry_budgets.borrow_mut()[at] = before.retry_budgets.borrow()[found].clone();
            upstreams.known_targets.borrow_mut()[at] = before.known_targets.borrow()[found].clone();
            upstreams.health.borrow_mut().copy_breakers(at, &before.health.borrow(), found);
        }
        Rc::new(upstreams)
    }

    /// Reason for which a target may not be called now. `None` if neither it nor all keys of its provider
    /// cool down.
    pub(crate) fn skip_reason(
        &self,
        (provider, model): (ProviderIndex, &str),
        caller: CallerTag,
        now: Timestamp,
    ) -> Option<SkipReason> {
        if !self.health.borrow().is_available((provider, model), caller, now) {
            return Some(SkipReason::CircuitOpen);
        }
        let has_key = self.key_pools.borrow()[provider.position()].has_available(model, now);
        (!has_key).then_some(SkipReason::KeysCoolDown)
    }

    /// Whether a target's circuit breaker is open or half open for a caller.
    pub(crate) fn is_open_or_half_open(
        &self,
        target: (ProviderIndex, &str),
        caller: CallerTag,
    ) -> bool {
        self.health.borrow().is_open_or_half_open(target, caller)
    }

    /// Time since which a target is back from a cool-down for a caller, or new. `None` if it was always there.
    pub(crate) fn warm_since(
        &self,
        target: (ProviderIndex, &str),
        caller: CallerTag,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.health.borrow_mut().warm_since(target, caller, now)
    }

    /// Acquires a permit to call a target for a route. The error holds the time of the next
    /// possible call.
    pub(crate) fn acquire(
        &self,
        target: (ProviderIndex, &str),
        (caller, access): (CallerTag, Access),
        route: &Route,
        is_stream: bool,
        now: Timestamp,
    ) -> Result<CallPermit, Timestamp> {
        // A call without a signal until then has begun to answer, or is lost.
        let timeout = route.timeouts.until_first_byte(is_stream) + route.timeouts.idle;
        let permit = self.health.borrow_mut().acquire(target, (caller, access), now, timeout);
        let permit = permit.map_err(|BreakerOpen(until)| until)?;
        let (health_table, health) = (Rc::clone(&self.health), route.health);
        let latency_timer = match route.balance {
            Balance::Weight | Balance::Cost => LatencyTimer::Off,
            Balance::Latency | Balance::LeastBusy => LatencyTimer::Running,
        };
        let (provider, model) = target;
        if latency_timer == LatencyTimer::Running {
            health_table.borrow_mut().update_load(provider, model, TargetLoad::call_started);
        }
        let (model, latency_timer) = (model.into(), Cell::new(latency_timer));
        let records_latency = route.hedge.is_some_and(|hedge| hedge.after.is_none());
        Ok(CallPermit {
            health_table,
            known_targets: Rc::clone(&self.known_targets),
            provider,
            model,
            health,
            permit,
            caller,
            began: now,
            latency_timer,
            records_latency,
        })
    }

    /// Everything that cools down for everyone, in the order of the configuration.
    pub(crate) fn cooling_down(&self, config: &Config, now: Timestamp) -> Vec<CoolingDown> {
        let (health, key_pools) = (self.health.borrow(), self.key_pools.borrow());
        let mut found = Vec::new();
        for (position, provider) in config.providers.iter().enumerate() {
            let mut add = |what, until| {
                found.push(CoolingDown { provider: provider.id.clone(), what, until });
            };
            for (model, until) in health.cooling_down(position, now) {
                add(CoolingDownPart::Target(model.to_owned()), until);
            }
            for (key, until) in
                key_pools.get(position).into_iter().flat_map(|pool| pool.cooling_down(now))
            {
                add(CoolingDownPart::Key(key), until);
            }
        }
        found
    }

    /// Measured load of a target.
    pub(crate) fn load(&self, provider: ProviderIndex, model: &str) -> TargetLoad {
        self.health.borrow().load(provider, model)
    }

    /// The next key in turn; `None` if none is needed. The error holds the time at which one is
    /// available.
    pub(crate) fn next_key(
        &self,
        provider: ProviderIndex,
        model: &str,
        now: Timestamp,
    ) -> Result<Option<usize>, Timestamp> {
        let mut key_pools = self.key_pools.borrow_mut();
        key_pools[provider.position()]
            .next_key(model, now)
            .map_err(|AllKeysCoolingDown(until)| until)
    }

    /// Records that a provider accepted a key.
    pub(crate) fn key_accepted(
        &self,
        target: (ProviderIndex, &str),
        key: Option<usize>,
        access: Access,
    ) {
        self.last_resorts.borrow_mut().end(target);
        let (Some(key), (provider, model)) = (key, target) else { return };
        let pool = &mut self.key_pools.borrow_mut()[provider.position()];
        pool.record_success(key, model);
        if access == Access::LastResort {
            pool.end_cool_down(key, model);
        }
    }

    /// Applies a failure to the provider's key pool.
    pub(crate) fn apply_failure(
        &self,
        (provider, model): (ProviderIndex, &str),
        key: Option<usize>,
        failure: Failure,
        now: Timestamp,
        worth_waiting: Duration,
    ) -> KeyOutcome {
        let Some(key) = key else {
            return KeyOutcome::NotAtFault;
        };
        let pool = &mut self.key_pools.borrow_mut()[provider.position()];
        match pool.record_failure(key, model, failure, now, worth_waiting) {
            false => KeyOutcome::NotAtFault,
            true if pool.has_available(model, now) => {
                KeyOutcome::AnotherAvailable { of: pool.len() }
            }
            true => KeyOutcome::AllCoolingDown,
        }
    }

    /// Additions that a target does not get.
    pub(crate) fn taken_back(&self, (provider, model): (ProviderIndex, &str)) -> TakenBack {
        self.known_targets.borrow()[provider.position()].taken_back(model)
    }

    /// Whether a target is known to accept `stream_options`.
    pub(crate) fn accepts_usage(&self, (provider, model): (ProviderIndex, &str)) -> bool {
        self.known_targets.borrow()[provider.position()].accepts_usage(model)
    }

    /// Whether a target has reported thinking.
    pub(crate) fn thinks(&self, (provider, model): (ProviderIndex, &str)) -> bool {
        self.known_targets.borrow()[provider.position()].thinks(model)
    }

    /// Records that a target has answered a request with these additions.
    pub(crate) fn additions_accepted(
        &self,
        (provider, model): (ProviderIndex, &str),
        sent: SentAdditions,
    ) {
        self.known_targets.borrow_mut()[provider.position()].record_success(model, sent);
    }

    /// Records a request to a provider, which adds to the retry budget.
    pub(crate) fn record_request(&self, provider: ProviderIndex, retries: Retries, now: Timestamp) {
        self.retry_budgets.borrow_mut()[provider.position()].record_request(retries.budget, now);
    }

    /// Records a request of a route that hedges, which adds to the hedge budget.
    pub(crate) fn credit_hedge(&self, route: &Route, hedge: Hedge) {
        let mut budgets = self.hedge_budgets.borrow_mut();
        budgets.entry(route.id.as_str().into()).or_default().record_request(hedge.share);
    }

    /// Spends a hedge of a route; `false` if none is left.
    pub(crate) fn spend_hedge(&self, route: &Route) -> bool {
        self.hedge_budgets
            .borrow_mut()
            .get_mut(route.id.as_str())
            .is_some_and(HedgeBudget::spend_hedge)
    }

    /// Spends a retry at a provider; `false` if none is left for the caller.
    pub(crate) fn spend_retry(
        &self,
        provider: ProviderIndex,
        caller: CallerTag,
        now: Timestamp,
    ) -> bool {
        self.retry_budgets.borrow_mut()[provider.position()].spend_retry(caller, now)
    }

    /// Delay before a hedge of this target; `None` if too little was measured.
    pub(crate) fn hedge_delay(
        &self,
        hedge: Hedge,
        target: (ProviderIndex, &str),
        stream: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        hedge_budget::hedge_delay(hedge, || {
            self.health.borrow_mut().p95_latency(target, stream, now)
        })
    }
}

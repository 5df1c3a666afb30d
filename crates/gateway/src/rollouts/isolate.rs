//! Rollouts as one isolate knows them.
//!
//! The share in force comes with the reply to each report. An isolate that has none, or none that is
//! recent, reads it before a request, as it does with the configuration; no other request waits for
//! the ledger.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::{Config, Metric, Route};
use ledger::{BookId, Operation};
use rollout::{InForce, Plan, Rollout, RolloutOperation, Transition};

use crate::host::Host;
use crate::record::Record;
use crate::routing::matched_route::CanaryShare;

use super::batch::Batch;
use super::feedback::RatedUnit;
use super::sync;

/// Time between two reports of a host whose isolates live long.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two reports if the canary fails.
const URGENT_INTERVAL: Duration = Duration::from_millis(500);
/// Age of the share in force after which it is read in the background, where no report brings it.
const REFRESH_AFTER: Duration = Duration::from_secs(20);
/// Age of the share in force after which a request waits for a new one.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Time between two readings in the background.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Whether and how the share in force is read for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    None,
    InBackground,
    /// Before the request continues.
    Blocking,
}

/// Rollouts of all routes.
#[derive(Debug, Default)]
pub(crate) struct Rollouts(RefCell<BTreeMap<String, RouteRollout>>);

#[derive(Debug, Default)]
struct RouteRollout {
    /// Plan of the configuration under which the rest was learned.
    plan: Option<Plan>,
    in_force: InForce,
    /// Time at which the ledger confirmed the share; zero if it is unknown.
    confirmed_at: Timestamp,
    /// Time at which the ledger was unavailable.
    failed_at: Timestamp,
    /// Start of the last reading in the background.
    refreshed_at: Timestamp,
    reported_at: Timestamp,
    batch: Batch,
    /// Version up to which this isolate has written the audit log.
    audited: u64,
}

impl Rollouts {
    /// The share of a route's canary. `None` without a rollout, or if the share is unknown: then the
    /// weights of the configuration apply, and nothing is counted.
    pub(crate) async fn share<P: Host>(
        self: &Rc<Self>,
        host: &P,
        route: &Route,
    ) -> Option<CanaryShare> {
        let plan = &route.rollout.as_ref()?.plan;
        let now = host.now();
        match self.with(&route.id, plan, |state| state.refresh_due(now)) {
            Refresh::None => {}
            // Boxed to keep the request future small.
            Refresh::Blocking => Box::pin(sync::refresh(self, host, &route.id, plan)).await,
            Refresh::InBackground => {
                let (this, task_host) = (Rc::clone(self), host.clone());
                let (route, plan) = (route.id.clone(), plan.clone());
                host.defer(async move { sync::refresh(&this, &task_host, &route, &plan).await });
            }
        }
        self.with(&route.id, plan, |state| {
            let InForce { version, weight, .. } = state.in_force;
            state.is_known().then_some(CanaryShare { version, percent: weight })
        })
    }

    /// Adds a finished request to the next report. `cost` is in billionths of a USD.
    pub(crate) fn observe(&self, config: &Config, record: &Record, cost: u64) {
        let Some(unit) = &record.rollout else { return };
        let route = config.routes.iter().find(|route| Some(&route.id) == record.route.as_ref());
        let Some((route, rules)) = route.and_then(|route| Some((route, route.rollout.as_ref()?)))
        else {
            return;
        };
        let cost = record.cost_usd.is_some().then_some(cost);
        self.with(&route.id, &rules.plan, |state| {
            if state.in_force.version == unit.version {
                state.batch.add(rules, &state.in_force, unit, (record, cost));
            }
        });
    }

    /// Adds an event that became known after its request to the next report, if the request belongs to the
    /// state in force.
    pub(crate) fn add_event(&self, route: &Route, metric: Metric, unit: RatedUnit) {
        let Some(rules) = &route.rollout else { return };
        self.with(&route.id, &rules.plan, |state| {
            if state.in_force.version == unit.version {
                state.batch.add_event(rules, metric, unit);
            }
        });
    }

    /// Takes the reports that are due, of books without an earlier report under way.
    pub(crate) fn take_reports<P: Host>(
        &self,
        host: &P,
        is_free: impl Fn(&BookId) -> bool,
    ) -> Vec<(BookId, Operation)> {
        let now = host.now();
        let mut reports = Vec::new();
        for (route, state) in self.0.borrow_mut().iter_mut() {
            let book_id = sync::book_id(route);
            let is_due = state.is_due::<P>(now) && is_free(&book_id);
            let (true, Some(plan)) = (is_due, &state.plan) else { continue };
            state.reported_at = now;
            let report = state.batch.take(host.entropy(), state.in_force.version, state.audited);
            let report = RolloutOperation::Report { plan: plan.clone(), report };
            reports.push((book_id, Operation::Rollout(Box::new(report))));
        }
        reports
    }

    /// Time after which a report of a failing canary is due. `None` if there is none.
    pub(crate) fn urgent_wait(&self, now: Timestamp) -> Option<Duration> {
        let states = self.0.borrow();
        let urgent = states.values().filter(|state| state.batch.is_urgent());
        urgent.map(|state| URGENT_INTERVAL.saturating_sub(now.since(state.reported_at))).min()
    }

    /// Takes over the share in force. Returns the automatic transitions that the audit log may lack.
    pub(super) fn learn(
        &self,
        route: &str,
        plan: &Plan,
        in_force: InForce,
        now: Timestamp,
    ) -> Vec<Transition> {
        self.with(route, plan, |state| {
            let missing = in_force.unaudited.iter().filter(|one| one.version > state.audited);
            let missing = missing.cloned().collect();
            state.learn(in_force, now);
            missing
        })
    }

    /// Takes over the state that an operator's command made.
    pub(crate) fn adopt(&self, route: &Route, state: &Rollout, now: Timestamp) {
        if let Some(rules) = &route.rollout {
            let in_force = state.in_force(&rules.plan);
            self.with(&route.id, &rules.plan, |known| known.learn(in_force, now));
        }
    }

    /// Notes that the ledger is unavailable.
    pub(super) fn failed(&self, route: &str, plan: &Plan, now: Timestamp) {
        self.with(route, plan, |state| state.failed_at = now);
    }

    /// Notes that the audit log has the transitions of a route up to a version.
    pub(super) fn audited(&self, route: &str, version: u64) {
        if let Some(state) = self.0.borrow_mut().get_mut(route) {
            state.audited = state.audited.max(version);
        }
    }

    /// State of a route under the plan of the configuration.
    fn with<T>(&self, route: &str, plan: &Plan, action: impl FnOnce(&mut RouteRollout) -> T) -> T {
        let mut states = self.0.borrow_mut();
        if !states.contains_key(route) {
            states.insert(route.to_owned(), RouteRollout::default());
        }
        let state = states.get_mut(route).expect("it was inserted");
        if state.plan.as_ref() != Some(plan) {
            *state = RouteRollout { plan: Some(plan.clone()), ..RouteRollout::default() };
        }
        action(state)
    }
}

impl RouteRollout {
    fn is_known(&self) -> bool {
        self.confirmed_at > Timestamp::default()
    }

    /// Whether and how the share is read for a request that arrives now.
    fn refresh_due(&mut self, now: Timestamp) -> Refresh {
        let age = now.since(self.confirmed_at);
        if age < REFRESH_AFTER {
            return Refresh::None;
        }
        let is_unavailable = self.failed_at > self.confirmed_at;
        // Every request reads: on Workers a request cannot wait for I/O that another one began.
        if age >= MAX_AGE && !is_unavailable {
            return Refresh::Blocking;
        }
        if now.since(self.refreshed_at) < RETRY_INTERVAL {
            return Refresh::None;
        }
        self.refreshed_at = now;
        Refresh::InBackground
    }

    fn learn(&mut self, in_force: InForce, now: Timestamp) {
        if in_force.version != self.in_force.version {
            // Requests under another version count for nothing.
            self.batch = Batch::default();
        }
        self.in_force = in_force;
        self.confirmed_at = now;
    }

    fn is_due<P: Host>(&self, now: Timestamp) -> bool {
        // An isolate that lives for a few requests reports with every write.
        let is_short_lived = !P::MIN_BATCH_DELAY.is_zero();
        let interval = if is_short_lived { P::MIN_BATCH_DELAY } else { REPORT_INTERVAL };
        let interval = if self.batch.is_urgent() { URGENT_INTERVAL } else { interval };
        !self.batch.is_empty() && now.since(self.reported_at) >= interval
    }
}

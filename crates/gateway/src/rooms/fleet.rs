//! What a gateway remembers of its upstreams between requests: keys and targets that rest, and how many
//! second tries a provider is still given. All of it is in memory; nothing is shared with others.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{
    Balance, Config, Health, Hedge, Provider, ProviderIndex, Retries, Route, RouteIndex,
};
use crate::policy::balance::Gauge;
use crate::policy::breaker::{Pass, Resting, Sign};
use crate::policy::budget::Budget;
use crate::policy::classify::Failure;
use crate::policy::course::Keys;
use crate::policy::hedge::{self, Allowance};
use crate::policy::keyring::{AllRest, Keyring};
use crate::policy::ward::Ward;
use crate::time::Timestamp;

/// The providers of a configuration, as they have shown themselves.
#[derive(Debug)]
pub struct Fleet {
    /// One ring a provider, in the configuration's order.
    keyrings: RefCell<Vec<Keyring>>,
    /// One account a provider, in the configuration's order.
    budgets: RefCell<Vec<Budget>>,
    /// One account a route, in the configuration's order.
    hedges: RefCell<Vec<Allowance>>,
    ward: Rc<RefCell<Ward>>,
}

/// Leave to call a target. What comes of the call is noted on it; where nothing was, because the
/// caller left or a key was refused, its end makes way for another's probe.
pub struct Ticket {
    ward: Rc<RefCell<Ward>>,
    provider: ProviderIndex,
    model: Box<str>,
    health: Health,
    pass: Pass,
    began: Timestamp,
    /// What is still to be measured.
    clock: Cell<Clock>,
    /// Whether somebody wants to know from when on the target is late.
    is_timed: bool,
}

/// What a call shows of the time that its target takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Nobody wants to know.
    Off,
    /// It runs.
    Running,
    /// It was read.
    Read,
}

impl Fleet {
    /// All of them well.
    pub fn new(config: &Config) -> Self {
        let keyrings = config.providers.iter().map(|provider| Keyring::new(provider.keys.len()));
        let count = config.providers.len();
        Self {
            keyrings: RefCell::new(keyrings.collect()),
            budgets: RefCell::new(vec![Budget::default(); count]),
            hedges: RefCell::new(vec![Allowance::default(); config.routes.len()]),
            ward: Rc::new(RefCell::new(Ward::new(count))),
        }
    }

    /// The fleet of another configuration, with what is known of the providers that are in both. Where
    /// all are, it is the same fleet, calls under way included.
    pub fn succeed(before: &Rc<Self>, old: &Config, new: &Config) -> Rc<Self> {
        let same = |one: &Provider, other: &Provider| {
            let keys = |provider: &Provider| provider.keys.len();
            one.id == other.id
                && one.base_url == other.base_url
                && keys(one) == keys(other)
                && one.keys.iter().zip(&other.keys).all(|(a, b)| a.reveal() == b.reveal())
        };
        let find = |one: &Provider| old.providers.iter().position(|other| same(one, other));
        let from: Vec<Option<usize>> = new.providers.iter().map(find).collect();
        let is_same = |(at, found): (usize, &Option<usize>)| *found == Some(at);
        if old.providers.len() == from.len() && from.iter().enumerate().all(is_same) {
            return Rc::clone(before);
        }
        let fleet = Self::new(new);
        for (at, found) in from.iter().enumerate() {
            let Some(found) = *found else { continue };
            fleet.keyrings.borrow_mut()[at] = before.keyrings.borrow()[found].clone();
            fleet.budgets.borrow_mut()[at] = before.budgets.borrow()[found].clone();
            fleet.ward.borrow_mut().inherit(at, &before.ward.borrow(), found);
        }
        Rc::new(fleet)
    }

    /// Whether a target may be called now: neither it nor all keys of its provider rest.
    pub fn is_awake(&self, provider: ProviderIndex, model: &str, now: Timestamp) -> bool {
        self.ward.borrow().is_awake(provider, model, now)
            && self.keyrings.borrow()[provider.position()].has_awake(model, now)
    }

    /// Whether a target is known to be ill: it rests, or is on probation.
    pub fn is_ill(&self, provider: ProviderIndex, model: &str) -> bool {
        self.ward.borrow().is_ill(provider, model)
    }

    /// Asks to call a target for a route. The error says when to ask again.
    pub fn admit(
        &self,
        provider: ProviderIndex,
        model: &str,
        route: &Route,
        now: Timestamp,
    ) -> Result<Ticket, Timestamp> {
        // A call that is heard of later than this is one that has begun to answer.
        let patience = route.timeouts.first_byte + route.timeouts.idle;
        let pass = self.ward.borrow_mut().admit(provider, model, now, patience);
        let pass = pass.map_err(|Resting(until)| until)?;
        let (ward, health) = (Rc::clone(&self.ward), route.health);
        let clock = match route.balance {
            Balance::Weight | Balance::Cost => Clock::Off,
            Balance::Latency | Balance::LeastBusy => Clock::Running,
        };
        if clock == Clock::Running {
            ward.borrow_mut().measure(provider, model, Gauge::begin);
        }
        let (model, clock) = (model.into(), Cell::new(clock));
        let is_timed = route.hedge.is_some_and(|hedge| hedge.after.is_none());
        Ok(Ticket { ward, provider, model, health, pass, began: now, clock, is_timed })
    }

    /// What was measured of a target.
    pub fn gauge(&self, provider: ProviderIndex, model: &str) -> Gauge {
        self.ward.borrow().gauge(provider, model)
    }

    /// The next key in turn; `None` where none is needed. The error says when to ask again.
    pub fn key(
        &self,
        provider: ProviderIndex,
        model: &str,
        now: Timestamp,
    ) -> Result<Option<usize>, Timestamp> {
        let mut keyrings = self.keyrings.borrow_mut();
        keyrings[provider.position()].take(model, now).map_err(|AllRest(until)| until)
    }

    /// Notes that a provider has taken a key.
    pub fn took(&self, (provider, model): (ProviderIndex, &str), key: Option<usize>) {
        if let Some(key) = key {
            self.keyrings.borrow_mut()[provider.position()].well(key, model);
        }
    }

    /// Lets the provider's keyring draw its conclusions from a failure.
    pub fn judge(
        &self,
        (provider, model): (ProviderIndex, &str),
        key: Option<usize>,
        failure: Failure,
        now: Timestamp,
        worth_waiting: Duration,
    ) -> Keys {
        let Some(key) = key else {
            return Keys::NotAtFault;
        };
        let ring = &mut self.keyrings.borrow_mut()[provider.position()];
        match ring.note(key, model, failure, now, worth_waiting) {
            false => Keys::NotAtFault,
            true if ring.has_awake(model, now) => Keys::AnotherAwake { of: ring.len() },
            true => Keys::AllRest,
        }
    }

    /// Notes a request to a provider, which allows for a part of a second try.
    pub fn note_request(&self, provider: ProviderIndex, retries: Retries, now: Timestamp) {
        self.budgets.borrow_mut()[provider.position()].note_request(retries.budget, now);
    }

    /// Notes a request of a route that hedges, which allows for a part of a hedge.
    pub fn note_hedged(&self, route: RouteIndex, hedge: Hedge) {
        self.hedges.borrow_mut()[route.position()].note_request(hedge.share);
    }

    /// Takes a hedge of a route, if one is left.
    pub fn may_hedge(&self, route: RouteIndex) -> bool {
        self.hedges.borrow_mut()[route.position()].take()
    }

    /// How long a target has before another is called beside it; `None`: nobody knows.
    pub fn late_after(
        &self,
        hedge: Hedge,
        target: (ProviderIndex, &str),
        stream: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        hedge::wait(hedge, || self.ward.borrow_mut().late_after(target, stream, now))
    }

    /// Takes a second try at a provider, if one is left.
    pub fn may_retry(&self, provider: ProviderIndex, now: Timestamp) -> bool {
        self.budgets.borrow_mut()[provider.position()].take(now)
    }
}

impl Ticket {
    /// Notes what came of the call.
    pub fn note(&self, sign: Sign, now: Timestamp, entropy: u64) {
        let target = (self.provider, &*self.model);
        let stream = match sign {
            Sign::Alive => Some(true),
            Sign::Well => Some(false),
            Sign::Failed | Sign::Busy(_) | Sign::Nothing => None,
        };
        if let Some(stream) = stream.filter(|_| self.clock.get() == Clock::Running) {
            self.clock.set(Clock::Read);
            let took = now.since(self.began);
            let read = |gauge: &mut Gauge| gauge.answered(stream, took, now);
            self.ward.borrow_mut().measure(self.provider, &self.model, read);
        }
        self.ward.borrow_mut().note(target, (self.pass, sign), now, entropy, &self.health);
    }

    /// Notes how long the target took, or was waited for, where somebody wants to know.
    pub fn time(&self, stream: bool, now: Timestamp) {
        if self.is_timed {
            let target = (self.provider, &*self.model);
            self.ward.borrow_mut().time(target, stream, now.since(self.began), now);
        }
    }

    /// Whether the target is known to be ill.
    pub fn is_ill(&self) -> bool {
        self.ward.borrow().is_ill(self.provider, &self.model)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Neither time nor chance has a part in this.
        self.note(Sign::Nothing, Timestamp::default(), 0);
        if self.clock.get() != Clock::Off {
            self.ward.borrow_mut().measure(self.provider, &self.model, Gauge::end);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("model", &self.model).field("pass", &self.pass).finish()
    }
}

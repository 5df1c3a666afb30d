//! Request coalescing: identical concurrent requests share the first one's response.
//!
//! Only bytes are shared, and followers poll by a timer of their own: hosts do not let one request
//! use or wake the resources of another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;

use crate::host::Clock;

/// The longest wait for the first request. A host may end it without a signal.
const LEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// The first and the longest interval between two polls.
const INITIAL_POLL_INTERVAL: Duration = Duration::from_millis(4);
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Number of flights from which abandoned ones are removed.
const SWEEP_THRESHOLD: usize = 256;

/// Responses in flight in this isolate, by their cache key. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct SingleFlight(Rc<RefCell<BTreeMap<String, Flight>>>);

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    began: Timestamp,
    state: Rc<RefCell<FlightState>>,
}

#[derive(Clone, Debug)]
enum FlightState {
    InProgress,
    Published(Bytes),
    Abandoned,
}

/// Role of a request among identical ones.
#[derive(Debug)]
pub(crate) enum FlightRole {
    /// The first request.
    Leader(Leader),
    /// A request that waits for the first one.
    Follower(Flight),
}

/// Obligation of the first request to publish its result. Dropping it publishes that there is none.
#[derive(Debug)]
pub(crate) struct Leader {
    name: String,
    flight: Flight,
    single_flight: SingleFlight,
}

impl SingleFlight {
    /// Joins the flight of a cache key, or starts one.
    pub(crate) fn join(&self, name: &str, now: Timestamp) -> FlightRole {
        let mut all = self.0.borrow_mut();
        let is_young = |flight: &Flight| now < flight.began + LEADER_TIMEOUT;
        if let Some(flight) = all.get(name).filter(|flight| is_young(flight)) {
            return FlightRole::Follower(flight.clone());
        }
        if all.len() >= SWEEP_THRESHOLD {
            all.retain(|_, flight| is_young(flight));
        }
        let flight = Flight { began: now, state: Rc::new(RefCell::new(FlightState::InProgress)) };
        all.insert(name.to_owned(), flight.clone());
        FlightRole::Leader(Leader { name: name.to_owned(), flight, single_flight: self.clone() })
    }
}

impl Flight {
    /// Waits for the first request's response until `until` at most. `None` if it has none to
    /// share, or is late.
    pub(crate) async fn wait(&self, clock: &impl Clock, until: Timestamp) -> Option<Bytes> {
        let until = until.min(self.began + LEADER_TIMEOUT);
        let mut pause = INITIAL_POLL_INTERVAL;
        loop {
            // The borrow must not be held while waiting.
            let state = self.state.borrow().clone();
            match state {
                FlightState::Published(bytes) => return Some(bytes),
                FlightState::Abandoned => return None,
                FlightState::InProgress => {}
            }
            let now = clock.now();
            if now >= until {
                return None;
            }
            clock.sleep(pause.min(until.since(now))).await;
            pause = (pause * 3 / 2).min(MAX_POLL_INTERVAL);
        }
    }
}

impl Leader {
    /// Publishes the response to the followers.
    pub(crate) fn publish(self, bytes: Bytes) {
        self.flight.state.replace(FlightState::Published(bytes));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut state = self.flight.state.borrow_mut();
        if matches!(*state, FlightState::InProgress) {
            *state = FlightState::Abandoned;
        }
        let mut all = self.single_flight.0.borrow_mut();
        // A later flight may have replaced one that was given up.
        if all.get(&self.name).is_some_and(|other| Rc::ptr_eq(&other.state, &self.flight.state)) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use crate::host::Clock;
    use crate::testing::fake_host::{FakeHost, block_on};

    use super::{FlightRole, LEADER_TIMEOUT, SingleFlight};

    #[test]
    fn first_request_leads_and_others_follow() {
        let (fake_host, flights) = (FakeHost::new(), SingleFlight::default());
        let FlightRole::Leader(leader) = flights.join("a", fake_host.now()) else {
            panic!("the first request is the leader")
        };
        let FlightRole::Follower(flight) = flights.join("a", fake_host.now()) else {
            panic!("the second request is a follower")
        };
        assert!(matches!(flights.join("b", fake_host.now()), FlightRole::Leader(_)));
        leader.publish(Bytes::from_static(b"x"));
        let far = fake_host.now() + LEADER_TIMEOUT;
        assert_eq!(block_on(flight.wait(&fake_host, far)), Some(Bytes::from_static(b"x")));
        assert!(matches!(flights.join("a", fake_host.now()), FlightRole::Leader(_)), "it is over");
    }

    #[test]
    fn followers_stop_waiting_for_lost_or_late_leader() {
        let (fake_host, flights) = (FakeHost::new(), SingleFlight::default());
        let FlightRole::Leader(leader) = flights.join("a", fake_host.now()) else {
            panic!("the first request is the leader")
        };
        let FlightRole::Follower(flight) = flights.join("a", fake_host.now()) else {
            panic!("the second request is a follower")
        };
        let began = fake_host.now();
        assert_eq!(block_on(flight.wait(&fake_host, began + Duration::from_secs(2))), None);
        assert_eq!(fake_host.now().since(began), Duration::from_secs(2));
        assert_eq!(block_on(flight.wait(&fake_host, began + Duration::from_secs(60))), None);
        assert_eq!(fake_host.now().since(began), LEADER_TIMEOUT);
        // A host may end the leader's request without dropping the leader.
        let FlightRole::Leader(second) = flights.join("a", fake_host.now()) else {
            panic!("it was given up")
        };
        drop(leader);
        assert!(
            matches!(flights.join("a", fake_host.now()), FlightRole::Follower(_)),
            "the second one stays"
        );
        drop(second);
        assert_eq!(block_on(flight.wait(&fake_host, fake_host.now() + LEADER_TIMEOUT)), None);
        assert!(flights.0.borrow().is_empty());
    }
}

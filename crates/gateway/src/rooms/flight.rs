//! Answers that are under way, so that whoever asks for the same meanwhile waits for the first one's.
//!
//! Only bytes are shared, and whoever waits looks again by a timer of its own: hosts do not let one
//! request use, or wake, what belongs to another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::platform::Clock;
use crate::time::Timestamp;

/// How long the first one is waited for. A host may end a request without a word, so it is not for ever.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first and the longest pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// From so many on, those that nobody waits for any more are thrown out.
const MANY: usize = 256;

/// The answers under way in this isolate, by the name under which they will be kept. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Flights(Rc<RefCell<BTreeMap<String, Flight>>>);

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    began: Timestamp,
    state: Rc<RefCell<State>>,
}

#[derive(Clone, Debug)]
enum State {
    UnderWay,
    Landed(Bytes),
    Lost,
}

/// Who is the first, and who waits.
#[derive(Debug)]
pub(crate) enum Seat {
    /// Nobody asks for the same.
    First(Pilot),
    /// Somebody does.
    Next(Flight),
}

/// The first one's duty to say what came of it. Dropping it says that nothing did.
#[derive(Debug)]
pub(crate) struct Pilot {
    name: String,
    flight: Flight,
    flights: Flights,
}

impl Flights {
    /// Takes a seat.
    pub(crate) fn board(&self, name: &str, now: Timestamp) -> Seat {
        let mut all = self.0.borrow_mut();
        let is_young = |flight: &Flight| now < flight.began + PATIENCE;
        if let Some(flight) = all.get(name).filter(|flight| is_young(flight)) {
            return Seat::Next(flight.clone());
        }
        if all.len() >= MANY {
            all.retain(|_, flight| is_young(flight));
        }
        let flight = Flight { began: now, state: Rc::new(RefCell::new(State::UnderWay)) };
        all.insert(name.to_owned(), flight.clone());
        Seat::First(Pilot { name: name.to_owned(), flight, flights: self.clone() })
    }
}

impl Flight {
    /// Waits for the first one's answer, until then at most. `None`: it has none to share, or is late.
    pub(crate) async fn wait(&self, clock: &impl Clock, until: Timestamp) -> Option<Bytes> {
        let until = until.min(self.began + PATIENCE);
        let mut pause = FIRST_PAUSE;
        loop {
            // Not held while waiting.
            let state = self.state.borrow().clone();
            match state {
                State::Landed(bytes) => return Some(bytes),
                State::Lost => return None,
                State::UnderWay => {}
            }
            let now = clock.now();
            if now >= until {
                return None;
            }
            clock.sleep(pause.min(until.since(now))).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

impl Pilot {
    /// Shares the answer with those who wait.
    pub(crate) fn land(self, bytes: Bytes) {
        self.flight.state.replace(State::Landed(bytes));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let mut state = self.flight.state.borrow_mut();
        if matches!(*state, State::UnderWay) {
            *state = State::Lost;
        }
        let mut all = self.flights.0.borrow_mut();
        // A later one may have taken the place of one that was given up.
        if all.get(&self.name).is_some_and(|other| Rc::ptr_eq(&other.state, &self.flight.state)) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::{Flights, PATIENCE, Seat};
    use crate::keys::fake::{Fake, run};
    use crate::platform::Clock;

    #[test]
    fn one_is_first_and_the_others_wait() {
        let (fake, flights) = (Fake::new(), Flights::default());
        let Seat::First(pilot) = flights.board("a", fake.now()) else { panic!("nobody was there") };
        let Seat::Next(flight) = flights.board("a", fake.now()) else { panic!("somebody is") };
        assert!(matches!(flights.board("b", fake.now()), Seat::First(_)));
        pilot.land(Bytes::from_static(b"x"));
        let far = fake.now() + PATIENCE;
        assert_eq!(run(flight.wait(&fake, far)), Some(Bytes::from_static(b"x")));
        assert!(matches!(flights.board("a", fake.now()), Seat::First(_)), "it is over");
    }

    #[test]
    fn nobody_waits_for_one_that_is_lost_or_silent() {
        let (fake, flights) = (Fake::new(), Flights::default());
        let Seat::First(pilot) = flights.board("a", fake.now()) else { panic!("nobody was there") };
        let Seat::Next(flight) = flights.board("a", fake.now()) else { panic!("somebody is") };
        let began = fake.now();
        assert_eq!(run(flight.wait(&fake, began + Duration::from_secs(2))), None);
        assert_eq!(fake.now().since(began), Duration::from_secs(2));
        assert_eq!(run(flight.wait(&fake, began + Duration::from_secs(60))), None);
        assert_eq!(fake.now().since(began), PATIENCE);
        // A host that ended the first one's request told nobody.
        let Seat::First(second) = flights.board("a", fake.now()) else { panic!("it was given up") };
        drop(pilot);
        assert!(matches!(flights.board("a", fake.now()), Seat::Next(_)), "the second one stays");
        drop(second);
        assert_eq!(run(flight.wait(&fake, fake.now() + PATIENCE)), None);
        assert!(flights.0.borrow().is_empty());
    }
}

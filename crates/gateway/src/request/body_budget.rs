//! Budget of request bodies in flight: an isolate's memory is bounded, whatever its callers send at once.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes that an isolate holds at once for request bodies and their copies. An isolate of Workers has
/// 128 MB.
pub(crate) const MAX_BODY_BYTES_IN_FLIGHT: usize = 96 << 20;
/// Copies of a body at the same time: as received, as rewritten for a target, and as handed to the host.
pub(crate) const BODY_COPIES: usize = 3;

/// Counter of the bytes that an isolate holds for bodies.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    capacity: usize,
    in_flight: Cell<usize>,
}

/// Bytes of one body. Dropping it returns them.
#[derive(Debug)]
pub(crate) struct BodyPermit {
    budget: Rc<BodyBudget>,
    bytes: Cell<usize>,
}

/// Other bodies hold too many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetExhausted;

impl Default for BodyBudget {
    fn default() -> Self {
        Self::new(MAX_BODY_BYTES_IN_FLIGHT)
    }
}

impl BodyBudget {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, in_flight: Cell::new(0) }
    }

    /// A permit for a body of which nothing has arrived.
    pub(crate) fn permit(self: &Rc<Self>) -> BodyPermit {
        BodyPermit { budget: Rc::clone(self), bytes: Cell::new(0) }
    }
}

impl BodyPermit {
    /// Adds received bytes, with their later copies. A body that is alone may exceed the budget: its own
    /// limit applies.
    pub(crate) fn grow(&mut self, received: usize) -> Result<(), BudgetExhausted> {
        let in_flight = self.budget.in_flight.get();
        let is_alone = in_flight == self.bytes.get();
        if !is_alone && in_flight + BODY_COPIES * received > self.budget.capacity {
            return Err(BudgetExhausted);
        }
        self.add(BODY_COPIES * received);
        Ok(())
    }

    /// Adds a body in place of the received one, which stays. It has been admitted: later ones are refused
    /// instead.
    pub(crate) fn add_copy(&self, bytes: usize) {
        self.add(bytes);
    }

    fn add(&self, bytes: usize) {
        self.budget.in_flight.set(self.budget.in_flight.get() + bytes);
        self.bytes.set(self.bytes.get() + bytes);
    }
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        self.budget.in_flight.set(self.budget.in_flight.get() - self.bytes.get());
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{BODY_COPIES, BodyBudget, BudgetExhausted};

    #[test]
    fn permit_returns_its_bytes_when_it_is_dropped() {
        let budget = Rc::new(BodyBudget::new(10 * BODY_COPIES));
        let (mut one, mut other) = (budget.permit(), budget.permit());
        assert_eq!(one.grow(6), Ok(()));
        assert_eq!(other.grow(4), Ok(()));
        assert_eq!(one.grow(1), Err(BudgetExhausted));
        assert_eq!(other.grow(1), Err(BudgetExhausted));
        drop(other);
        assert_eq!(budget.in_flight.get(), 6 * BODY_COPIES);
        assert_eq!(budget.permit().grow(5), Err(BudgetExhausted));
        drop(one);
        assert_eq!(budget.in_flight.get(), 0);
    }

    #[test]
    fn copies_of_a_body_count() {
        let budget = Rc::new(BodyBudget::new(10 * BODY_COPIES));
        let mut one = budget.permit();
        assert_eq!(one.grow(8), Ok(()));
        one.add_copy(9);
        assert_eq!(budget.permit().grow(1), Err(BudgetExhausted));
        drop(one);
        assert_eq!(budget.in_flight.get(), 0);
    }

    #[test]
    fn body_that_is_alone_may_exceed_the_budget() {
        let budget = Rc::new(BodyBudget::new(10 * BODY_COPIES));
        let mut alone = budget.permit();
        assert_eq!((alone.grow(8), alone.grow(8)), (Ok(()), Ok(())));
        assert_eq!(budget.permit().grow(1), Err(BudgetExhausted));
        drop(alone);
        assert_eq!(budget.permit().grow(1), Ok(()));
    }
}

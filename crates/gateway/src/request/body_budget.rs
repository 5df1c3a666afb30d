//! Budget of request bodies in flight: an isolate's memory is bounded, whatever its callers send at once.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes of request bodies that an isolate holds at once. A body needs a multiple of its length on its way
/// to an upstream, and an isolate of Workers has 128 MB.
pub(crate) const MAX_BODY_BYTES_IN_FLIGHT: usize = 48 << 20;

/// Counter of the body bytes that an isolate holds.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    capacity: usize,
    in_flight: Cell<usize>,
}

/// Bytes of one body. Dropping it returns them.
#[derive(Debug)]
pub(crate) struct BodyPermit {
    budget: Rc<BodyBudget>,
    bytes: usize,
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
        BodyPermit { budget: Rc::clone(self), bytes: 0 }
    }
}

impl BodyPermit {
    /// Adds bytes. A body that is alone may exceed the budget: its own limit applies.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let in_flight = self.budget.in_flight.get();
        let is_alone = in_flight == self.bytes;
        if !is_alone && in_flight + bytes > self.budget.capacity {
            return Err(BudgetExhausted);
        }
        self.budget.in_flight.set(in_flight + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        self.budget.in_flight.set(self.budget.in_flight.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{BodyBudget, BudgetExhausted};

    #[test]
    fn permit_returns_its_bytes_when_it_is_dropped() {
        let budget = Rc::new(BodyBudget::new(10));
        let (mut one, mut other) = (budget.permit(), budget.permit());
        assert_eq!(one.grow(6), Ok(()));
        assert_eq!(other.grow(4), Ok(()));
        assert_eq!(one.grow(1), Err(BudgetExhausted));
        assert_eq!(other.grow(1), Err(BudgetExhausted));
        drop(other);
        assert_eq!(budget.in_flight.get(), 6);
        assert_eq!(budget.permit().grow(5), Err(BudgetExhausted));
        drop(one);
        assert_eq!(budget.in_flight.get(), 0);
    }

    #[test]
    fn body_that_is_alone_may_exceed_the_budget() {
        let budget = Rc::new(BodyBudget::new(10));
        let mut alone = budget.permit();
        assert_eq!((alone.grow(8), alone.grow(8)), (Ok(()), Ok(())));
        assert_eq!(budget.permit().grow(1), Err(BudgetExhausted));
        drop(alone);
        assert_eq!(budget.permit().grow(1), Ok(()));
    }
}

//! Single-threaded executor with virtual time: if no task can run, the clock jumps to the next timer.
//!
//! It reads no wall clock. A minute therefore costs no time, and every run is identical.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Most polls of a run. More polls are a sign of a task that wakes itself forever.
const MAX_POLLS: u64 = 50_000_000;
/// Number of the future that [`Executor::run`] waits for.
const MAIN_TASK: u64 = 0;

/// Executor with its clock. A clone shares both.
#[derive(Clone, Default)]
pub struct Executor(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<Duration>,
    /// Timers by due time, then by age.
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Mutex<VecDeque<u64>>>,
    numbers: Cell<u64>,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Reason for which a run cannot end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// No task can run and no timer is set.
    Deadlock {
        /// Time since the start.
        at: Duration,
        /// Number of waiting tasks, without the main future.
        tasks: usize,
    },
    /// Tasks wake each other forever.
    Livelock,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock { at, tasks } => {
                write!(
                    f,
                    "deadlock at {at:?}: no task is ready, no timer is set, {tasks} deferred tasks are waiting"
                )
            }
            Self::Livelock => write!(f, "livelock: more than {MAX_POLLS} polls"),
        }
    }
}

impl std::error::Error for Stuck {}

/// Waker that appends a task to the queue of ready tasks.
struct TaskWaker {
    number: u64,
    ready: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.number) {
            ready.push_back(self.number);
        }
    }
}

impl Executor {
    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// Completes after `duration` of virtual time. Dropping it removes the timer.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let due = self.now().saturating_add(duration);
        Sleep { executor: self.clone(), key: (due, self.next_number()), is_set: false }
    }

    /// Starts a task that runs concurrently, and in [`Executor::drain`].
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let number = self.next_number();
        self.0.tasks.borrow_mut().insert(number, Box::pin(task));
        self.waker(number).wake();
    }

    /// Runs a future to its end, and all tasks concurrently.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut future = pin!(future);
        let waker = self.waker(MAIN_TASK);
        waker.wake_by_ref();
        for _ in 0..MAX_POLLS {
            match self.next_task()? {
                // Only a wake leads here, so a missing wake shows as a deadlock.
                MAIN_TASK => {
                    if let Poll::Ready(value) =
                        future.as_mut().poll(&mut Context::from_waker(&waker))
                    {
                        return Ok(value);
                    }
                }
                number => self.poll_task(number),
            }
        }
        Err(Stuck::Livelock)
    }

    /// Runs every spawned task to its end.
    pub fn drain(&self) -> Result<(), Stuck> {
        for _ in 0..MAX_POLLS {
            if self.0.tasks.borrow().is_empty() {
                return Ok(());
            }
            let number = self.next_task()?;
            self.poll_task(number);
        }
        Err(Stuck::Livelock)
    }

    /// Returns the next ready task. The clock jumps if none is ready.
    fn next_task(&self) -> Result<u64, Stuck> {
        loop {
            let next = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            if let Some(number) = next {
                return Ok(number);
            }
            if !self.advance_clock() {
                return Err(Stuck::Deadlock { at: self.now(), tasks: self.0.tasks.borrow().len() });
            }
        }
    }

    fn poll_task(&self, number: u64) {
        // The task is removed while it runs, so that it can spawn others.
        let task = self.0.tasks.borrow_mut().remove(&number);
        let Some(mut task) = task else { return };
        let waker = self.waker(number);
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.0.tasks.borrow_mut().insert(number, task);
        }
    }

    /// Moves the clock to the next timer and wakes all timers that are due. Returns false if there is none.
    fn advance_clock(&self) -> bool {
        let mut timers = self.0.timers.borrow_mut();
        let Some((&(due, _), _)) = timers.first_key_value() else { return false };
        self.0.now.set(due.max(self.now()));
        let later = timers.split_off(&(due, u64::MAX));
        let woken = std::mem::replace(&mut *timers, later);
        drop(timers);
        woken.into_values().for_each(Waker::wake);
        true
    }

    fn next_number(&self) -> u64 {
        let number = self.0.numbers.get() + 1;
        self.0.numbers.set(number);
        number
    }

    fn waker(&self, number: u64) -> Waker {
        Arc::new(TaskWaker { number, ready: self.0.ready.clone() }).into()
    }
}

/// Timer in virtual time.
pub struct Sleep {
    executor: Executor,
    key: (Duration, u64),
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.key.0 {
            return Poll::Ready(());
        }
        self.executor.0.timers.borrow_mut().insert(self.key, cx.waker().clone());
        self.is_set = true;
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.is_set {
            self.executor.0.timers.borrow_mut().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::rc::Rc;
    use std::time::Duration;

    use super::{Executor, Stuck};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn run_without_ready_tasks_jumps_to_the_next_timer() {
        let executor = Executor::default();
        let order = Rc::new(RefCell::new(Vec::new()));
        for (name, wait) in [("late", 3), ("early", 1)] {
            let (order, sleep) = (order.clone(), executor.sleep(SECOND * wait));
            executor.spawn(async move {
                sleep.await;
                order.borrow_mut().push(name);
            });
        }
        executor.run(executor.sleep(SECOND * 2)).expect("it ends");
        assert_eq!((executor.now(), order.borrow().as_slice()), (SECOND * 2, ["early"].as_slice()));
        executor.drain().expect("it ends");
        assert_eq!(
            (executor.now(), order.borrow().as_slice()),
            (SECOND * 3, ["early", "late"].as_slice())
        );
    }

    #[test]
    fn dropped_sleep_removes_its_timer() {
        let executor = Executor::default();
        let mut long = Box::pin(executor.sleep(SECOND * 100));
        let result = executor.run(async {
            let polled =
                std::future::poll_fn(|cx| std::task::Poll::Ready(long.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
        });
        assert_eq!(result, Ok(()));
        drop(long);
        assert!(matches!(
            executor.run(pending::<()>()),
            Err(Stuck::Deadlock { at: Duration::ZERO, tasks: 0 })
        ));
    }

    #[test]
    fn drain_runs_a_task_that_another_task_spawned() {
        let executor = Executor::default();
        let inner = executor.clone();
        executor.spawn(async move {
            let sleep = inner.sleep(SECOND);
            inner.spawn(sleep);
        });
        assert_eq!(executor.drain(), Ok(()));
        assert_eq!(executor.now(), SECOND);
    }

    #[test]
    fn drain_of_a_task_without_a_waker_is_a_deadlock() {
        let executor = Executor::default();
        executor.spawn(pending());
        assert_eq!(executor.drain(), Err(Stuck::Deadlock { at: Duration::ZERO, tasks: 1 }));
    }
}

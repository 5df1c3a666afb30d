//! Runs tasks synchronously inside calls from JavaScript.
//!
//! The runner of wasm-bindgen schedules a microtask for every wake, which costs more on workerd than the
//! work that follows. Every wake here happens in a call from the host that has nothing else to do, so
//! the task is polled before that call returns.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

/// Starts a task and polls it once.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    EXECUTOR.with_borrow_mut(|tasks| tasks.add(Box::pin(work)));
    run();
}

/// Polls woken tasks. Every call from the host that may have woken a task ends with it.
pub(crate) fn run() {
    while let Some((id, mut work, waker)) = EXECUTOR.with_borrow_mut(Executor::take_next) {
        // No borrow is held here: the task may call into the host, and the host may call back.
        let done = work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if done {
            // Dropping the work may wake other tasks.
            drop(work);
            EXECUTOR.with_borrow_mut(|tasks| tasks.remove(id));
        } else {
            EXECUTOR.with_borrow_mut(|tasks| tasks.all[id].state = TaskState::Waiting(work, waker));
        }
    }
}

thread_local! {
    static EXECUTOR: RefCell<Executor> = const { RefCell::new(Executor::new()) };
}

type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    state: TaskState,
    woken: bool,
}

enum TaskState {
    /// Finished; the slot is free.
    Finished,
    /// Being polled by a call of [`run`] on the stack.
    Polled,
    /// Waiting to be woken.
    Waiting(TaskFuture, Waker),
}

struct Executor {
    all: Vec<Task>,
    free: Vec<usize>,
    ready: VecDeque<usize>,
}

impl Executor {
    const fn new() -> Self {
        Self { all: Vec::new(), free: Vec::new(), ready: VecDeque::new() }
    }

    fn add(&mut self, work: TaskFuture) {
        let id = self.free.pop().unwrap_or(self.all.len());
        let state = TaskState::Waiting(work, Waker::from(Arc::new(TaskWaker(id))));
        let task = Task { state, woken: true };
        if id == self.all.len() {
            self.all.push(task);
        } else {
            self.all[id] = task;
        }
        self.ready.push_back(id);
    }

    fn wake(&mut self, id: usize) {
        if !std::mem::replace(&mut self.all[id].woken, true) {
            self.ready.push_back(id);
        }
    }

    /// Takes the next ready task out of its slot. A task that is being polled further down the stack
    /// stays in the queue.
    fn take_next(&mut self) -> Option<(usize, TaskFuture, Waker)> {
        for _ in 0..self.ready.len() {
            let id = self.ready.pop_front()?;
            let task = &mut self.all[id];
            match std::mem::replace(&mut task.state, TaskState::Polled) {
                TaskState::Waiting(work, waker) => {
                    task.woken = false;
                    return Some((id, work, waker));
                }
                TaskState::Polled => self.ready.push_back(id),
                TaskState::Finished => {
                    task.woken = false;
                    task.state = TaskState::Finished;
                }
            }
        }
        None
    }

    fn remove(&mut self, id: usize) {
        // The queue may still hold a wake of this task, which `take_next` then discards.
        self.all[id].state = TaskState::Finished;
        self.free.push(id);
    }
}

/// Wakes a task by its slot: wakers may cross threads, and tasks cannot. If the slot holds another task
/// by then, that one is polled in vain.
struct TaskWaker(usize);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        EXECUTOR.with_borrow_mut(|tasks| tasks.wake(self.0));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::{Poll, Waker};

    use super::{run, spawn};

    #[test]
    fn task_runs_only_when_woken() {
        let polls = Rc::new(Cell::new(0));
        let waker = Rc::new(RefCell::new(None::<Waker>));
        spawn({
            let (polls, waker) = (Rc::clone(&polls), Rc::clone(&waker));
            poll_fn(move |context| {
                polls.set(polls.get() + 1);
                waker.replace(Some(context.waker().clone()));
                if polls.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
            })
        });
        assert_eq!(polls.get(), 1, "the first poll is at once");
        run();
        assert_eq!(polls.get(), 1, "it was not woken");
        for expected in [2, 3, 3] {
            let waker = waker.borrow().clone().expect("it was polled");
            waker.wake_by_ref();
            waker.wake();
            run();
            assert_eq!(polls.get(), expected);
        }
    }

    #[test]
    fn tasks_can_wake_each_other_and_themselves() {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let first = Rc::new(RefCell::new(None::<Waker>));
        let go = Rc::new(Cell::new(false));
        spawn({
            let (steps, first, go) = (Rc::clone(&steps), Rc::clone(&first), Rc::clone(&go));
            poll_fn(move |context| {
                first.replace(Some(context.waker().clone()));
                if go.get() {
                    steps.borrow_mut().push("first");
                    return Poll::Ready(());
                }
                Poll::Pending
            })
        });
        let mut polls = 0;
        spawn({
            let steps = Rc::clone(&steps);
            poll_fn(move |context| {
                polls += 1;
                if polls == 1 {
                    context.waker().wake_by_ref();
                    run();
                    return Poll::Pending;
                }
                go.set(true);
                first.take().expect("it waits").wake();
                steps.borrow_mut().push("second");
                Poll::Ready(())
            })
        });
        assert_eq!(*steps.borrow(), ["second", "first"]);
        let again = Rc::clone(&steps);
        spawn(async move { again.borrow_mut().push("third") });
        assert_eq!(steps.borrow().len(), 3, "the slot is reused");
    }
}

//! Timers of a request over one `setTimeout`.
//!
//! A stream sets a timer for every piece that it waits for and disarms it when the piece arrives. So the
//! host's timer is set only for the earliest time, and may fire in vain.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use js_sys::Date;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use worker::web_sys::WorkerGlobalScope;

use crate::executor;

/// The timers of one request.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: RefCell<Vec<Waiting>>,
    next_id: Cell<u64>,
    ring: RefCell<Option<Closure<dyn FnMut()>>>,
    armed: Cell<Option<Armed>>,
}

struct Waiting {
    id: u64,
    due: f64,
    waker: Waker,
}

#[derive(Clone, Copy)]
struct Armed {
    handle: i32,
    due: f64,
}

/// Longest timeout of the host; a longer timer is set again.
const MAX_TIMEOUT_MILLIS: f64 = 2_147_483_647.0;

impl Timers {
    fn wait(self: &Rc<Self>, due: f64, waker: Waker) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.waiting.borrow_mut().push(Waiting { id, due, waker });
        if self.armed.get().is_none_or(|armed| armed.due > due) {
            self.arm(due);
        }
        id
    }

    fn arm(self: &Rc<Self>, due: f64) {
        self.disarm();
        let mut ring = self.ring.borrow_mut();
        let ring = ring.get_or_insert_with(|| {
            let timers = Rc::downgrade(self);
            Closure::new(move || {
                if let Some(timers) = timers.upgrade() {
                    timers.fire();
                }
            })
        });
        let delay = (due - Date::now()).clamp(1.0, MAX_TIMEOUT_MILLIS) as i32;
        let handle = scope()
            .set_timeout_with_callback_and_timeout_and_arguments_0(
                ring.as_ref().unchecked_ref(),
                delay,
            )
            .expect("the host has timers");
        self.armed.set(Some(Armed { handle, due }));
    }

    fn fire(self: &Rc<Self>) {
        self.armed.set(None);
        let now = Date::now();
        let mut earliest = f64::INFINITY;
        for waiting in self.waiting.borrow().iter() {
            if waiting.due <= now {
                waiting.waker.wake_by_ref();
            } else {
                earliest = earliest.min(waiting.due);
            }
        }
        if earliest.is_finite() {
            self.arm(earliest);
        }
        executor::run();
    }

    fn disarm(&self) {
        if let Some(armed) = self.armed.take() {
            scope().clear_timeout_with_handle(armed.handle);
        }
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// Completes after a duration, counted from the first poll.
pub(crate) struct Sleep {
    timers: Rc<Timers>,
    duration: Duration,
    state: Option<(u64, f64)>,
}

impl Sleep {
    pub(crate) fn new(timers: Rc<Timers>, duration: Duration) -> Self {
        Self { timers, duration, state: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.state {
            None if self.duration.is_zero() => Poll::Ready(()),
            None => {
                // The duration counts from the first poll.
                let due = Date::now() + self.duration.as_secs_f64() * 1e3;
                let id = self.timers.wait(due, context.waker().clone());
                self.state = Some((id, due));
                Poll::Pending
            }
            Some((_, due)) if Date::now() >= due => Poll::Ready(()),
            Some((id, _)) => {
                let mut all = self.timers.waiting.borrow_mut();
                if let Some(waiting) = all.iter_mut().find(|waiting| waiting.id == id) {
                    waiting.waker.clone_from(context.waker());
                }
                drop(all);
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((id, _)) = self.state {
            self.timers.waiting.borrow_mut().retain(|waiting| waiting.id != id);
        }
    }
}

fn scope() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

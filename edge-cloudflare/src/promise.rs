//! Waits for JavaScript's promises.
//!
//! All of them are answered through one function that JavaScript is given once, with a number that
//! says which; wasm-bindgen's own future makes two functions for every promise.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::Closure;
use worker::web_sys::ReadableStreamDefaultReader;

use crate::{executor, js};

/// What a promise will come to.
pub(crate) struct PromiseFuture {
    slot: usize,
    taken: bool,
}

impl PromiseFuture {
    /// Waits for a promise.
    pub(crate) fn new(promise: &Promise) -> Self {
        let slot = open();
        js::settle(promise, slot as u32);
        Self { slot, taken: false }
    }

    /// Waits for the next piece of a stream; `undefined` is its end.
    pub(crate) fn read(reader: &ReadableStreamDefaultReader) -> Self {
        let slot = open();
        js::read(reader, slot as u32);
        Self { slot, taken: false }
    }
}

impl Future for PromiseFuture {
    type Output = Result<JsValue, JsValue>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        SLOTS.with_borrow_mut(|places| {
            let place = &mut places.all[self.slot];
            if let Slot::Settled(_) = place
                && let Slot::Settled(result) = std::mem::replace(place, Slot::Free)
            {
                places.free.push(self.slot);
                self.taken = true;
                return Poll::Ready(result);
            }
            *place = Slot::Awaited(Some(context.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for PromiseFuture {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        // What was there is dropped outside of the borrow: it may be anything.
        let _there = SLOTS.with_borrow_mut(|places| {
            let place = &mut places.all[self.slot];
            match place {
                Slot::Settled(_) => {
                    places.free.push(self.slot);
                    std::mem::replace(place, Slot::Free)
                }
                Slot::Free | Slot::Awaited(_) | Slot::Abandoned => {
                    std::mem::replace(place, Slot::Abandoned)
                }
            }
        });
    }
}

enum Slot {
    /// Nobody's.
    Free,
    /// The promise is open.
    Awaited(Option<Waker>),
    /// The promise is open, but nobody waits any longer.
    Abandoned,
    /// What the promise came to.
    Settled(Result<JsValue, JsValue>),
}

struct SlotTable {
    all: Vec<Slot>,
    free: Vec<usize>,
}

thread_local! {
    static SLOTS: RefCell<SlotTable> = {
        let answer = Closure::<dyn Fn(u32, JsValue, bool)>::new(settled);
        js::listen(&answer);
        // It is called for as long as this instance lives.
        answer.forget();
        RefCell::new(SlotTable { all: Vec::new(), free: Vec::new() })
    };
}

fn open() -> usize {
    SLOTS.with_borrow_mut(|places| match places.free.pop() {
        Some(slot) => {
            places.all[slot] = Slot::Awaited(None);
            slot
        }
        None => {
            places.all.push(Slot::Awaited(None));
            places.all.len() - 1
        }
    })
}

fn settled(place: u32, value: JsValue, kept: bool) {
    let waker = SLOTS.with_borrow_mut(|places| {
        let index = place as usize;
        let place = &mut places.all[index];
        if let Slot::Awaited(waker) = place {
            let waker = waker.take();
            *place = Slot::Settled(if kept { Ok(value) } else { Err(value) });
            return waker;
        }
        *place = Slot::Free;
        places.free.push(index);
        None
    });
    if let Some(waker) = waker {
        waker.wake();
        executor::run();
    }
}

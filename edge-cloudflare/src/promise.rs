//! Futures for JavaScript promises.
//!
//! All promises share one callback, which receives a slot number; the future of wasm-bindgen creates two
//! functions for every promise.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::Closure;
use worker::web_sys::ReadableStreamDefaultReader;

use crate::{executor, js};

/// The result of a promise.
pub(crate) struct PromiseFuture {
    slot: usize,
    taken: bool,
}

impl PromiseFuture {
    pub(crate) fn new(promise: &Promise) -> Self {
        let slot = open();
        js::settle(promise, slot as u32);
        Self { slot, taken: false }
    }

    /// Waits for the next piece of a stream; `undefined` marks its end.
    pub(crate) fn read(reader: &ReadableStreamDefaultReader) -> Self {
        let slot = open();
        js::read(reader, slot as u32);
        Self { slot, taken: false }
    }
}

impl Future for PromiseFuture {
    type Output = Result<JsValue, JsValue>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        SLOTS.with_borrow_mut(|table| {
            let slot = &mut table.all[self.slot];
            if let Slot::Settled(_) = slot
                && let Slot::Settled(result) = std::mem::replace(slot, Slot::Free)
            {
                table.free.push(self.slot);
                self.taken = true;
                return Poll::Ready(result);
            }
            *slot = Slot::Awaited(Some(context.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for PromiseFuture {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        // The old value is dropped after the borrow ends: dropping it may run arbitrary code.
        let _there = SLOTS.with_borrow_mut(|table| {
            let slot = &mut table.all[self.slot];
            match slot {
                Slot::Settled(_) => {
                    table.free.push(self.slot);
                    std::mem::replace(slot, Slot::Free)
                }
                Slot::Free | Slot::Awaited(_) | Slot::Abandoned => {
                    std::mem::replace(slot, Slot::Abandoned)
                }
            }
        });
    }
}

enum Slot {
    /// Unused.
    Free,
    /// The promise is pending.
    Awaited(Option<Waker>),
    /// The promise is pending and its future was dropped.
    Abandoned,
    /// The promise has this result.
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
        // The callback lives as long as the instance.
        answer.forget();
        RefCell::new(SlotTable { all: Vec::new(), free: Vec::new() })
    };
}

fn open() -> usize {
    SLOTS.with_borrow_mut(|table| match table.free.pop() {
        Some(slot) => {
            table.all[slot] = Slot::Awaited(None);
            slot
        }
        None => {
            table.all.push(Slot::Awaited(None));
            table.all.len() - 1
        }
    })
}

fn settled(slot: u32, value: JsValue, fulfilled: bool) {
    let waker = SLOTS.with_borrow_mut(|table| {
        let index = slot as usize;
        let slot = &mut table.all[index];
        if let Slot::Awaited(waker) = slot {
            let waker = waker.take();
            *slot = Slot::Settled(if fulfilled { Ok(value) } else { Err(value) });
            return waker;
        }
        *slot = Slot::Free;
        table.free.push(index);
        None
    });
    if let Some(waker) = waker {
        waker.wake();
        executor::run();
    }
}

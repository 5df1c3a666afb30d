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

use crate::{host, tasks};

/// What a promise will come to.
pub(crate) struct Promised {
    place: usize,
    taken: bool,
}

impl Promised {
    /// Waits for a promise.
    pub(crate) fn of(promise: &Promise) -> Self {
        let place = open();
        host::settle(promise, place as u32);
        Self { place, taken: false }
    }

    /// Waits for the next piece of a stream; `undefined` is its end.
    pub(crate) fn read(reader: &ReadableStreamDefaultReader) -> Self {
        let place = open();
        host::read(reader, place as u32);
        Self { place, taken: false }
    }
}

impl Future for Promised {
    type Output = Result<JsValue, JsValue>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        PLACES.with_borrow_mut(|places| {
            let place = &mut places.all[self.place];
            if let Place::Settled(_) = place
                && let Place::Settled(result) = std::mem::replace(place, Place::Free)
            {
                places.free.push(self.place);
                self.taken = true;
                return Poll::Ready(result);
            }
            *place = Place::Awaited(Some(context.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        // What was there is dropped outside of the borrow: it may be anything.
        let _there = PLACES.with_borrow_mut(|places| {
            let place = &mut places.all[self.place];
            match place {
                Place::Settled(_) => {
                    places.free.push(self.place);
                    std::mem::replace(place, Place::Free)
                }
                Place::Free | Place::Awaited(_) | Place::Abandoned => {
                    std::mem::replace(place, Place::Abandoned)
                }
            }
        });
    }
}

enum Place {
    /// Nobody's.
    Free,
    /// The promise is open.
    Awaited(Option<Waker>),
    /// The promise is open, but nobody waits any longer.
    Abandoned,
    /// What the promise came to.
    Settled(Result<JsValue, JsValue>),
}

struct Places {
    all: Vec<Place>,
    free: Vec<usize>,
}

thread_local! {
    static PLACES: RefCell<Places> = {
        let answer = Closure::<dyn Fn(u32, JsValue, bool)>::new(settled);
        host::listen(&answer);
        // It is called for as long as this instance lives.
        answer.forget();
        RefCell::new(Places { all: Vec::new(), free: Vec::new() })
    };
}

fn open() -> usize {
    PLACES.with_borrow_mut(|places| match places.free.pop() {
        Some(place) => {
            places.all[place] = Place::Awaited(None);
            place
        }
        None => {
            places.all.push(Place::Awaited(None));
            places.all.len() - 1
        }
    })
}

fn settled(place: u32, value: JsValue, kept: bool) {
    let waker = PLACES.with_borrow_mut(|places| {
        let index = place as usize;
        let place = &mut places.all[index];
        if let Place::Awaited(waker) = place {
            let waker = waker.take();
            *place = Place::Settled(if kept { Ok(value) } else { Err(value) });
            return waker;
        }
        *place = Place::Free;
        places.free.push(index);
        None
    });
    if let Some(waker) = waker {
        waker.wake();
        tasks::run();
    }
}

//! Allocator that counts the memory of each thread.
#![expect(unsafe_code, reason = "an allocator is an unsafe trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    // A thread that ends has no counters any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(live.get())));
        TOTAL.with(|total| total.set(total.get() + bytes));
    });
}

fn shrink(bytes: usize) {
    // Memory may come from another thread, or from before a measurement.
    let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(bytes)));
}

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // On WebAssembly the old memory is copied to the new one, and freed then.
        grow(size);
        shrink(layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Memory that a function used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Most bytes at one time.
    pub peak: usize,
    /// All bytes that were allocated: with each byte written at least once, a bound on steps.
    pub total: usize,
}

/// Measures a function on this thread.
pub(super) fn measure<T>(run: impl FnOnce() -> T) -> (T, Usage) {
    let live = LIVE.get();
    PEAK.set(live);
    let total = TOTAL.get();
    let result = run();
    (result, Usage { peak: PEAK.get() - live, total: TOTAL.get() - total })
}

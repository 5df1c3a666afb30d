//! A bound on bytes is a bound on memory and steps: for each reader of untrusted bytes, memory grows at most
//! linearly with its input, by a stated factor, also for the inputs that are made to be expensive.
//!
//! Steps are measured by the bytes that are allocated in total, which do not depend on the machine. Where the
//! steps allocate nothing, times are compared with each other, several times on a busy machine.

mod alloc;
mod gateway_rules;
mod guarded;
mod parsed;

use std::time::{Duration, Instant};

use alloc::{Usage, measure};

/// Memory that does not depend on the input, in bytes.
const BASE: usize = 1 << 20;

/// Lengths of the inputs, in bytes: each twice as long as the one before.
const LENGTHS: [usize; 3] = [32 << 10, 64 << 10, 128 << 10];

/// Factors of the length that memory may take.
#[derive(Clone, Copy)]
struct Factor {
    /// Most memory at one time.
    peak: usize,
    /// All allocations together.
    total: usize,
}

/// Makes inputs of growing length, and asserts that the memory of a function is within the factors, and
/// grows linearly.
#[track_caller]
fn assert_linear<I, T>(
    name: &str,
    factor: Factor,
    input: impl Fn(usize) -> I,
    length: impl Fn(&I) -> usize,
    run: impl Fn(I) -> T,
) {
    let mut before: Option<Usage> = None;
    for target in LENGTHS {
        let made = input(target);
        let bytes = length(&made);
        assert!(bytes >= target / 2, "{name}: an input of {bytes} bytes instead of {target}");
        let (result, usage) = measure(|| run(made));
        drop(result);
        let shown = format!("{name}: {usage:?} for {bytes} bytes");
        assert!(usage.peak <= factor.peak * bytes + BASE, "{shown}");
        assert!(usage.total <= factor.total * bytes + BASE, "{shown}");
        if let Some(before) = before {
            // Twice the input: at most twice the memory, and the rest of a doubled buffer.
            assert!(usage.peak <= 3 * before.peak + BASE, "{shown} after {before:?}");
            assert!(usage.total <= 3 * before.total + BASE, "{shown} after {before:?}");
        }
        before = Some(usage);
    }
}

/// Asserts that a function does not take the square of its input's length: for eight times the input, eight
/// times the time, and never 64 times.
#[track_caller]
fn assert_linear_time<I, T>(
    name: &str,
    length: usize,
    input: impl Fn(usize) -> I,
    run: impl Fn(I) -> T,
) {
    const TRIES: usize = 5;
    let fastest = |length| {
        let time = |_| {
            let made = input(length);
            let began = Instant::now();
            drop(run(made));
            began.elapsed()
        };
        let first = time(0);
        // A long run needs no repetition to be told from noise.
        let runs = if first > Duration::from_millis(200) { 0 } else { 2 };
        (0..runs).map(time).chain([first]).min().unwrap_or(first).max(Duration::from_micros(10))
    };
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let (short, long) = (fastest(length), fastest(8 * length));
        if long < 24 * short {
            return;
        }
        times.push((short, long));
    }
    panic!("{name}: {times:?} for {length} bytes and eight times as many");
}

/// Repeats a text up to a length.
fn fill(unit: &str, length: usize) -> String {
    unit.repeat(length / unit.len())
}

/// Numbers a text up to a length.
fn fill_numbered(length: usize, unit: impl Fn(usize) -> String) -> String {
    let mut out = String::new();
    for number in 0.. {
        if out.len() >= length {
            break;
        }
        out.push_str(&unit(number));
    }
    out
}

/// Puts items into a list.
fn list(items: &str) -> String {
    format!("[{}]", items.trim_end_matches(','))
}

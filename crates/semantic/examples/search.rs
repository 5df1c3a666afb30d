//! A search as a module that V8 runs, for `cargo xtask eval cache`.

#![allow(unsafe_code, reason = "exported functions have names without mangling")]

use std::cell::RefCell;

// Compiled by itself for V8: the dependencies of the crate's tests do not exist there.
#[allow(dead_code, unreachable_pub, reason = "only the search is measured")]
#[path = "../src/vector.rs"]
mod vector;

use vector::{Vector, VectorTable};

thread_local! {
    static TABLE: RefCell<(VectorTable, Option<Vector>)> = RefCell::default();
}

/// Fills the table with this many vectors.
#[unsafe(no_mangle)]
pub extern "C" fn fill(entries: u32, dimensions: u32) {
    let mut state = 1_u32;
    let mut component = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i8
    };
    let mut vector = || {
        let components = (0..dimensions).map(|_| component() | 1).collect();
        Vector::from_components(components).expect("no component is zero")
    };
    let mut table = VectorTable::new(dimensions as usize);
    for _ in 0..entries {
        table.push(&vector());
    }
    TABLE.set((table, Some(vector())));
}

/// Searches this many times. Returns the number of vectors found.
#[unsafe(no_mangle)]
pub extern "C" fn search(times: u32) -> u32 {
    TABLE.with_borrow(|(table, query)| {
        let query = query.as_ref().expect("the table is filled");
        (0..times).map(|_| table.nearest(query, -1.0, 4).len() as u32).sum()
    })
}

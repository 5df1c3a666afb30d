//! Sorting of lists by one compiled algorithm for all types.
//!
//! The standard library compiles its sort, 4 to 8 KiB of WebAssembly, once for each type and comparison.
//! Here only the comparison and the swap are compiled for a type. A sort takes memory for one number per
//! item, and compares through a pointer: the lists of a request are short.
//!
//! A `BTreeMap` or `BTreeSet` that is collected sorts a list first, too. One that is extended does not.

#![warn(missing_docs)]

use std::cmp::Ordering;

/// Sorts a list. Equal items keep their order.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let order = sorted_positions(items.len(), &|one, other| compare(&items[one], &items[other]));
    arrange(order, &mut |one, other| items.swap(one, other));
}

/// Sorts a list by a key of its items. Items of equal keys keep their order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Positions of a list's items in their sorted order.
fn sorted_positions(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|one, other| compare(*one, *other).then(one.cmp(other)));
    order
}

/// Swaps items until each place holds the one whose position `order` has there.
fn arrange(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        // One cycle of the permutation. The item that was at `start` moves along with `at`.
        let mut at = start;
        while order[at] != start {
            let next = std::mem::replace(&mut order[at], at);
            swap(at, next);
            at = next;
        }
        order[at] = at;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{sort_by, sort_by_key};

    proptest! {
        #[test]
        fn list_is_sorted_as_by_the_standard_library(numbers in proptest::collection::vec(0_u8..20, 0..200)) {
            let mut items: Vec<(u8, usize)> = numbers.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            let mut reversed = items.clone();
            expected.sort_by_key(|(number, _)| *number);
            sort_by_key(&mut items, |(number, _)| *number);
            prop_assert_eq!(&items, &expected);
            sort_by(&mut reversed, |one, other| other.0.cmp(&one.0));
            expected.sort_by_key(|(number, place)| (std::cmp::Reverse(*number), *place));
            prop_assert_eq!(reversed, expected);
        }
    }
}

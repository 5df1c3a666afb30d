//! Bounded cache that evicts the oldest entry. Expiry is up to the owner.

use std::borrow::Borrow;
use std::collections::{BTreeMap, VecDeque};

/// Holds at most `capacity` entries; the one inserted first is evicted first.
#[derive(Debug)]
pub(crate) struct FifoCache<K, V> {
    capacity: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// Names in insertion order. A name that was inserted again or removed leaves its old number
    /// behind, which belongs to no entry any more.
    order: VecDeque<(u64, K)>,
    next: u64,
}

impl<K: Ord + Clone, V> FifoCache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), order: VecDeque::new(), next: 0 }
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, name: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(name).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, name: K, value: V) {
        self.entries.insert(name.clone(), (self.next, value));
        self.order.push_back((self.next, name));
        self.next += 1;
        while self.entries.len() > self.capacity
            && let Some((number, name)) = self.order.pop_front()
        {
            if is_current(&self.entries, number, &name) {
                self.entries.remove(&name);
            }
        }
        // At least half of the numbers are stale, so this is rare.
        if self.order.len() > 2 * self.capacity {
            self.order.retain(|(number, name)| is_current(&self.entries, *number, name));
        }
    }

    pub(crate) fn remove(&mut self, name: &K) {
        self.entries.remove(name);
    }

    pub(crate) fn remove_if(&mut self, matches: impl Fn(&K) -> bool) {
        self.entries.retain(|name, _| !matches(name));
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, (_, value)| keep(value));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn is_current<K: Ord, V>(entries: &BTreeMap<K, (u64, V)>, number: u64, name: &K) -> bool {
    entries.get(name).is_some_and(|(current, _)| *current == number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::FifoCache;

    proptest! {
        /// The cache behaves like a list in insertion order.
        #[test]
        fn cache_matches_a_list_of_the_newest(steps in prop::collection::vec((0..8_u8, 0..4_u8), 0..200)) {
            const CAPACITY: usize = 4;
            let mut cache = FifoCache::new(CAPACITY);
            let mut list: Vec<(u8, usize)> = Vec::new();
            for (value, (name, step)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        cache.remove(&name);
                        list.retain(|(other, _)| *other != name);
                    }
                    1 if name == 0 => {
                        cache.retain(|value| value % 2 == 0);
                        list.retain(|(_, value)| value % 2 == 0);
                    }
                    _ => {
                        cache.insert(name, value);
                        list.retain(|(other, _)| *other != name);
                        list.push((name, value));
                        if list.len() > CAPACITY {
                            list.remove(0);
                        }
                    }
                }
                prop_assert_eq!(cache.len(), list.len());
                prop_assert!(cache.order.len() <= 2 * CAPACITY);
                for (name, mut value) in list.iter().copied() {
                    prop_assert_eq!(cache.get_mut(&name), Some(&mut value));
                }
            }
        }
    }

    #[test]
    fn oldest_entry_is_evicted_first() {
        let mut cache = FifoCache::new(2);
        cache.insert("a", 1);
        cache.insert("b", 2);
        cache.insert("a", 3);
        cache.insert("c", 4);
        assert_eq!(cache.get_mut(&"a"), Some(&mut 3));
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.get_mut(&"b"), None);
        cache.remove(&"a");
        cache.remove(&"a");
        cache.insert("d", 5);
        cache.retain(|value| *value > 4);
        assert_eq!(cache.get_mut(&"c"), None);
        assert_eq!(cache.get_mut(&"d"), Some(&mut 5));
        assert_eq!(cache.len(), 1);
    }
}

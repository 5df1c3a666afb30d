//! A bounded memory: the newest entries, by name. What is in it, and for how long it counts, is the
//! owner's business.

use std::collections::BTreeMap;

/// At most so many entries; the one that was put in longest ago leaves first.
#[derive(Debug)]
pub(crate) struct Memory<K, V> {
    most: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// The names by the order in which they came.
    order: BTreeMap<u64, K>,
    next: u64,
}

impl<K: Ord + Clone, V> Memory<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, entries: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn find(&mut self, name: &K) -> Option<&mut V> {
        self.entries.get_mut(name).map(|(_, value)| value)
    }

    pub(crate) fn put(&mut self, name: K, value: V) {
        if let Some((before, _)) = self.entries.insert(name.clone(), (self.next, value)) {
            self.order.remove(&before);
        }
        self.order.insert(self.next, name);
        self.next += 1;
        if self.entries.len() > self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(crate) fn forget(&mut self, name: &K) {
        if let Some((order, _)) = self.entries.remove(name) {
            self.order.remove(&order);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        let order = &mut self.order;
        self.entries.retain(|_, (number, value)| {
            let kept = keep(value);
            if !kept {
                order.remove(number);
            }
            kept
        });
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn the_oldest_leaves_first() {
        let mut memory = Memory::new(2);
        memory.put("a", 1);
        memory.put("b", 2);
        memory.put("a", 3);
        memory.put("c", 4);
        assert_eq!(memory.find(&"a"), Some(&mut 3));
        assert_eq!(memory.len(), 2);
        assert_eq!(memory.find(&"b"), None);
        memory.forget(&"a");
        memory.forget(&"a");
        memory.put("d", 5);
        memory.retain(|value| *value > 4);
        assert_eq!(memory.find(&"c"), None);
        assert_eq!(memory.find(&"d"), Some(&mut 5));
        assert_eq!(memory.len(), 1);
    }
}

//! Counts of a few small numbers.

use serde::{Deserialize, Serialize};

/// Small numbers and their counts, in order. Serialized as a flat list: number, count, number,
/// count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct SparseCounts(Vec<(u16, u64)>);

impl SparseCounts {
    /// Adds to the count of a number.
    pub fn add(&mut self, number: u16, count: u64) {
        match self.0.binary_search_by_key(&number, |(other, _)| *other) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(count),
            Err(at) => self.0.insert(at, (number, count)),
        }
    }

    /// Adds the counts of another value.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(number, count)| self.add(number, count));
    }

    /// Numbers and their counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.0.iter().copied()
    }

    /// Whether there are no counts.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Skips everything that is not a pair of a small number and a count: a broken row must not fail.
impl From<Vec<u64>> for SparseCounts {
    fn from(flat: Vec<u64>) -> Self {
        let mut counts = Self::default();
        for pair in flat.chunks_exact(2) {
            if let Ok(number) = u16::try_from(pair[0]) {
                counts.add(number, pair[1]);
            }
        }
        counts
    }
}

impl From<SparseCounts> for Vec<u64> {
    fn from(counts: SparseCounts) -> Self {
        counts.iter().flat_map(|(number, count)| [u64::from(number), count]).collect()
    }
}

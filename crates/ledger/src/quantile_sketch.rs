//! Distribution of durations in bins that grow by 10 %: a quantile is exact to within 5 %.
//!
//! Single durations are not stored. All sketches have the same bins, so merging loses nothing.

use serde::{Deserialize, Serialize};

use super::sparse_counts::SparseCounts;

/// Bins per decade. Neighboring bounds differ by 10^(1/24), so the middle of a bin differs by at
/// most 4.8 % from any value in it.
const BINS_PER_DECADE: u16 = 24;
/// The last bin ends at 3,831 s; longer durations count in it too.
const LAST_BIN: u16 = 158;
/// Longer durations count as this one.
const MAX_MILLIS: u64 = 3_600_000;

const MILLION: u64 = 1_000_000;
/// 10^(k/24), in millionths. A table gives the same bins on every machine and needs no logarithm in
/// the artifact.
const BIN_STEPS: [u64; BINS_PER_DECADE as usize] = [
    1_000_000, 1_100_694, 1_211_528, 1_333_521, 1_467_799, 1_615_598, 1_778_279, 1_957_342,
    2_154_435, 2_371_374, 2_610_157, 2_872_985, 3_162_278, 3_480_701, 3_831_187, 4_216_965,
    4_641_589, 5_108_970, 5_623_413, 6_189_658, 6_812_921, 7_498_942, 8_254_042, 9_085_176,
];

/// Durations from 1 ms to 1 h, counted in bins. Bin `n` ends at 10^(`n`/24) ms and begins where the
/// previous one ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuantileSketch(SparseCounts);

impl QuantileSketch {
    /// Counts a duration in milliseconds.
    pub fn record(&mut self, millis: u64) {
        self.0.add(bin_of(millis), 1);
    }

    /// Adds the counts of another sketch.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// Whether the sketch is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bins with durations in them, and their counts.
    pub fn bins(&self) -> impl Iterator<Item = (u16, u64)> {
        self.0.iter()
    }

    /// Number of durations.
    pub fn total(&self) -> u64 {
        self.count_up_to(u16::MAX)
    }

    /// Number of durations up to the end of bin `last`.
    pub fn count_up_to(&self, last: u16) -> u64 {
        let counted = self.0.iter().take_while(|(bin, _)| *bin <= last);
        counted.fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The quantile at `permille` thousandths, in milliseconds (nearest rank), exact to within 5 % and rounded
    /// to an integer. `None` if the sketch is empty.
    pub fn quantile(&self, permille: u64) -> Option<u64> {
        let total: u128 = self.0.iter().map(|(_, count)| u128::from(count)).sum();
        let mut reached = 0;
        let mut found = self.0.iter().filter(|(_, count)| {
            reached += u128::from(*count);
            reached * 1_000 >= total * u128::from(permille)
        });
        found.next().map(|(bin, _)| bin_middle(bin))
    }
}

fn bin_of(millis: u64) -> u16 {
    let millis = millis.clamp(1, MAX_MILLIS);
    let (mut decade, mut scale) = (0, 1);
    while millis > scale * 10 {
        decade += 1;
        scale *= 10;
    }
    let ends = |step: &u64| millis * MILLION <= step * scale;
    let step = BIN_STEPS.iter().position(ends).unwrap_or(BIN_STEPS.len());
    decade * BINS_PER_DECADE + u16::try_from(step).expect("there are few steps")
}

/// Geometric middle of a bin, in milliseconds.
fn bin_middle(bin: u16) -> u64 {
    let bin = bin.min(LAST_BIN);
    let end = BIN_STEPS[usize::from(bin % BINS_PER_DECADE)]
        * 10_u64.pow(u32::from(bin / BINS_PER_DECADE));
    let middle = u128::from(end) * 2 * u128::from(MILLION) / u128::from(MILLION + BIN_STEPS[1]);
    u64::try_from(middle).map_or(u64::MAX, |middle| (middle + MILLION / 2) / MILLION)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LAST_BIN, QuantileSketch, bin_of};

    fn sketch(durations: &[u64]) -> QuantileSketch {
        let mut sketch = QuantileSketch::default();
        durations.iter().for_each(|millis| sketch.record(*millis));
        sketch
    }

    fn merged(one: &QuantileSketch, other: &QuantileSketch) -> QuantileSketch {
        let mut sum = one.clone();
        sum.merge(other);
        sum
    }

    #[test]
    fn bin_of_covers_1_ms_to_1_h() {
        for (millis, expected) in
            [(0, 0), (1, 0), (2, 8), (10, 24), (11, 25), (1_000, 72), (1_001, 73), (100_000, 120)]
        {
            assert_eq!(bin_of(millis), expected, "{millis}");
        }
        assert_eq!((bin_of(3_600_000), bin_of(u64::MAX)), (LAST_BIN, LAST_BIN));
    }

    #[test]
    fn single_duration_serializes_to_a_few_bytes() {
        let text = serde_json::to_string(&sketch(&[740])).expect("numbers");
        assert_eq!(text, "[69,1]");
        // A broken row must not fail.
        let odd: QuantileSketch = serde_json::from_str("[69,1,3,2,999,1,7]").expect("numbers");
        assert_eq!((odd.total(), odd.count_up_to(3), odd.count_up_to(LAST_BIN)), (4, 2, 3));
        assert_eq!(QuantileSketch::default().quantile(500), None);
    }

    #[test]
    fn merge_saturates() {
        let full: QuantileSketch =
            serde_json::from_str("[1,18446744073709551615]").expect("numbers");
        let twice = merged(&full, &merged(&full, &sketch(&[9_000])));
        assert_eq!(twice.total(), u64::MAX);
        assert!(twice.quantile(990).is_some());
    }

    proptest! {
        #[test]
        fn merge_is_commutative_and_associative(
            a in prop::collection::vec(0_u64..5_000_000, 0..40),
            b in prop::collection::vec(0_u64..5_000_000, 0..40),
            c in prop::collection::vec(0_u64..5_000_000, 0..40),
        ) {
            let whole = sketch(&[a.clone(), b.clone(), c.clone()].concat());
            let (a, b, c) = (sketch(&a), sketch(&b), sketch(&c));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(&merged(&merged(&a, &b), &c), &whole);
            prop_assert_eq!(&merged(&a, &merged(&b, &c)), &whole);
            let text = serde_json::to_string(&whole).expect("numbers");
            prop_assert_eq!(serde_json::from_str::<QuantileSketch>(&text).expect("numbers"), whole);
        }

        #[test]
        fn quantile_is_exact_to_within_five_percent(
            mut durations in prop::collection::vec(
                (0_u32..22, 0_u64..=1_000).prop_map(|(bits, part)| {
                    ((1 << bits) + (1 << bits) * part / 1_000).min(3_600_000)
                }),
                1..200,
            ),
            permille in 1_u64..=1_000,
        ) {
            let shown = sketch(&durations).quantile(permille).expect("something was counted");
            durations.sort_unstable();
            let rank = (durations.len() as u64 * permille).div_ceil(1_000).max(1);
            let exact = durations[rank as usize - 1] as f64;
            let error = (shown as f64 - exact).abs();
            prop_assert!(error <= exact * 0.05 + 0.5, "{shown} for {exact}");
        }
    }
}

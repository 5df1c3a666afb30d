//! Thresholds of checks with a quantile: the control's quantile in each class of requests.
//!
//! Both sides are compared with the same threshold, so it need not be exact. It is frozen for a step:
//! a threshold that followed the control would count its own noise.

use serde::{Deserialize, Serialize};

/// Sizes of prompts, each up to four times as long as the one before.
const SIZES: u8 = 6;
/// Classes of requests: sizes, streams apart from whole answers.
const CLASSES: u8 = 2 * SIZES;
/// Prompt tokens of the smallest class.
const SMALLEST_PROMPT: u64 = 256;
/// Measurements that a threshold needs.
const MIN_SAMPLES: u64 = 30;
/// Measurements of a class in one step; further ones would change little.
const MAX_SAMPLES: u64 = 200;

/// Class of a request: its measurements are compared only with those of the same class.
pub fn class_of(is_stream: bool, prompt_tokens: u64) -> u8 {
    let mut bound = SMALLEST_PROMPT;
    let mut size = 0;
    while prompt_tokens > bound && size + 1 < SIZES {
        bound *= 4;
        size += 1;
    }
    size + if is_stream { SIZES } else { 0 }
}

/// Measurement of the control, rounded up to the end of its bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Position of the check in the plan.
    check: u8,
    class: u8,
    bin: u8,
}

impl Sample {
    /// Creates a sample for the check at a position of the plan.
    pub fn new(check: usize, class: u8, value: u64) -> Self {
        Self { check: u8::try_from(check).unwrap_or(u8::MAX), class, bin: bin_of(value) }
    }
}

/// Value above which a measurement is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// Position of the check in the plan.
    pub check: u8,
    /// Class of the request.
    pub class: u8,
    /// The largest value that is no event.
    pub value: u64,
}

/// Thresholds, and the measurements for the next ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    pub(crate) thresholds: Vec<Threshold>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sketches: Vec<Sketch>,
}

/// Measurements of one check and class, counted in bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sketch {
    check: u8,
    class: u8,
    bins: Vec<(u8, u32)>,
}

impl Calibration {
    /// Adds measurements, and freezes thresholds that are missing. `quantiles` are those of the plan's
    /// checks.
    pub(crate) fn add(&mut self, samples: &[Sample], quantiles: &[Option<u16>]) {
        for sample in samples {
            let has_quantile = quantiles.get(usize::from(sample.check)).copied().flatten();
            if has_quantile.is_some() && sample.class < CLASSES {
                self.add_one(*sample);
            }
        }
        self.freeze(quantiles, true);
    }

    /// Replaces all thresholds with enough measurements since the last step.
    pub(crate) fn begin_step(&mut self, quantiles: &[Option<u16>]) {
        self.freeze(quantiles, false);
    }

    fn add_one(&mut self, sample: Sample) {
        let key = (sample.check, sample.class);
        let at = match self.sketches.binary_search_by_key(&key, |one| (one.check, one.class)) {
            Ok(at) => at,
            Err(at) => {
                let bins = Vec::new();
                self.sketches.insert(at, Sketch { check: key.0, class: key.1, bins });
                at
            }
        };
        let sketch = &mut self.sketches[at];
        if sketch.total() >= MAX_SAMPLES {
            return;
        }
        match sketch.bins.binary_search_by_key(&sample.bin, |(bin, _)| *bin) {
            Ok(at) => sketch.bins[at].1 += 1,
            Err(at) => sketch.bins.insert(at, (sample.bin, 1)),
        }
    }

    /// Turns sketches with enough measurements into thresholds: all of them, or only missing ones.
    fn freeze(&mut self, quantiles: &[Option<u16>], only_missing: bool) {
        for sketch in std::mem::take(&mut self.sketches) {
            let is_missing = self.find(sketch.check, sketch.class).is_err();
            let may = sketch.total() >= MIN_SAMPLES && (is_missing || !only_missing);
            let quantile = quantiles.get(usize::from(sketch.check)).copied().flatten();
            let (true, Some(quantile)) = (may, quantile) else {
                self.sketches.push(sketch);
                continue;
            };
            let Sketch { check, class, .. } = sketch;
            let threshold = Threshold { check, class, value: sketch.quantile(quantile) };
            match self.find(check, class) {
                Ok(at) => self.thresholds[at] = threshold,
                Err(at) => self.thresholds.insert(at, threshold),
            }
        }
    }

    fn find(&self, check: u8, class: u8) -> Result<usize, usize> {
        self.thresholds.binary_search_by_key(&(check, class), |one| (one.check, one.class))
    }
}

impl Sketch {
    fn total(&self) -> u64 {
        self.bins.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// End of the bin that holds a quantile, in thousandths.
    fn quantile(&self, permille: u16) -> u64 {
        let rank = (self.total() * u64::from(permille)).div_ceil(1_000).max(1);
        let mut reached = 0;
        let found = self.bins.iter().find(|(_, count)| {
            reached += u64::from(*count);
            reached >= rank
        });
        found.map_or(u64::MAX, |(bin, _)| bin_end(*bin))
    }
}

/// Bins: small numbers exactly, then four for each doubling.
fn bin_of(value: u64) -> u8 {
    if value < 4 {
        return value as u8;
    }
    let exponent = value.ilog2();
    let quarter = (value >> (exponent - 2)) & 3;
    (4 * (exponent - 1)) as u8 + quarter as u8
}

/// The largest value of a bin.
fn bin_end(bin: u8) -> u64 {
    let (exponent, quarter) = (u32::from(bin / 4) + 1, u64::from(bin % 4));
    if exponent < 2 {
        return u64::from(bin);
    }
    // The last bin ends at the largest number.
    ((4 + quarter + 1) as u128).wrapping_shl(exponent - 2).wrapping_sub(1).min(u64::MAX.into())
        as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        CLASSES, Calibration, MAX_SAMPLES, MIN_SAMPLES, Sample, bin_end, bin_of, class_of,
    };

    proptest! {
        #[test]
        fn bin_holds_its_value_and_is_at_most_a_quarter_wide(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let bin = bin_of(value);
            prop_assert!(value <= bin_end(bin));
            prop_assert!(bin == 0 || value > bin_end(bin - 1));
            prop_assert!(bin_end(bin) - value <= value / 4 + 1);
        }
    }

    #[test]
    fn class_of_separates_streams_and_lengths() {
        let classes = [0, 256, 257, 1_024, 4_096, 16_384, 65_536, u64::MAX];
        assert_eq!(classes.map(|tokens| class_of(false, tokens)), [0, 0, 1, 1, 2, 3, 4, 5]);
        assert_eq!(class_of(true, 0), 6);
        assert!(class_of(true, u64::MAX) < CLASSES);
    }

    #[test]
    fn threshold_is_frozen_until_the_next_step() {
        let mut calibration = Calibration::default();
        let quantiles = [None, Some(900)];
        let values = |from: u64, count: u64| -> Vec<Sample> {
            (from..from + count).map(|value| Sample::new(1, 3, value)).collect()
        };
        calibration.add(&values(1_000, MIN_SAMPLES - 1), &quantiles);
        assert!(calibration.thresholds.is_empty());
        calibration.add(&values(1_000, 1), &quantiles);
        let first = calibration.thresholds.clone();
        assert!((1_020..1_300).contains(&first[0].value), "{first:?}");
        calibration.add(&values(5_000, 5 * MAX_SAMPLES), &quantiles);
        assert_eq!(calibration.thresholds, first);
        assert_eq!(calibration.sketches[0].total(), MAX_SAMPLES);
        calibration.begin_step(&quantiles);
        assert!(calibration.thresholds[0].value > 5_000);
        // Without enough measurements the old threshold stays.
        let second = calibration.thresholds.clone();
        calibration.add(&values(9_000, 3), &quantiles);
        calibration.begin_step(&quantiles);
        assert_eq!(calibration.thresholds, second);
    }

    #[test]
    fn sample_of_an_unknown_check_or_class_is_ignored() {
        let mut calibration = Calibration::default();
        let samples = [Sample::new(0, 0, 1), Sample::new(9, 0, 1), Sample::new(1, CLASSES, 1)];
        calibration.add(&samples, &[None, Some(900)]);
        assert_eq!(calibration, Calibration::default());
    }
}

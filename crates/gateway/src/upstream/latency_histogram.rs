//! Decaying latency histogram of a target; its 95th percentile is the hedging delay.
//!
//! The time is an argument.

use std::time::Duration;

use civil_time::Timestamp;

/// Buckets per octave of milliseconds, so that a bucket is at most an eighth of its lower edge
/// wide. Below this many milliseconds, each has its own bucket.
const BUCKETS_PER_OCTAVE: u64 = 8;
/// Longer latencies count as this one: about 17 minutes.
const MAX_MILLIS: u64 = (1 << 20) - 1;
const BUCKETS: usize =
    (BUCKETS_PER_OCTAVE + (20 - BUCKETS_PER_OCTAVE.ilog2() as u64) * BUCKETS_PER_OCTAVE) as usize;
/// Weight of one sample, so that it can be halved several times.
const SAMPLE_UNITS: u32 = 64;
/// Beyond this many samples all weights are halved.
const MAX_SAMPLES: u32 = 256;
/// Fewer samples give no 95th percentile.
const MIN_SAMPLES: u32 = 20;
/// Time in which a sample loses half of its weight.
const HALF_LIFE: Duration = Duration::from_secs(300);

/// Recent latencies of a target.
#[derive(Clone, Debug)]
pub(crate) struct LatencyHistogram {
    counts: Box<[u32; BUCKETS]>,
    sum: u32,
    halved_at: Timestamp,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), sum: 0, halved_at: Timestamp::default() }
    }
}

impl LatencyHistogram {
    /// Adds the latency of an answer, or the time after which waiting for it ended. Above the 95th
    /// percentile the difference does not matter.
    pub(crate) fn record(&mut self, took: Duration, now: Timestamp) {
        self.decay(now);
        if self.sum >= MAX_SAMPLES * SAMPLE_UNITS {
            self.halve(1);
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(MAX_MILLIS).min(MAX_MILLIS);
        self.counts[bucket(millis)] += SAMPLE_UNITS;
        self.sum += SAMPLE_UNITS;
    }

    /// The latency that 95 of 100 answers do not exceed, at most an eighth too long and never too
    /// short. `None` if there are too few samples.
    pub(crate) fn p95(&mut self, now: Timestamp) -> Option<Duration> {
        self.decay(now);
        if self.sum < MIN_SAMPLES * SAMPLE_UNITS {
            return None;
        }
        // More than a twentieth of the weight is above the previous bucket.
        let mut later = self.sum;
        let at = self.counts.iter().position(|count| {
            later -= count;
            later <= self.sum / 20
        });
        at.map(|at| Duration::from_millis(upper_edge(at)))
    }

    /// Time of the last decay, or of the start.
    pub(crate) fn last_decay(&self) -> Timestamp {
        self.halved_at
    }

    fn decay(&mut self, now: Timestamp) {
        let halves = now.since(self.halved_at).as_millis() / HALF_LIFE.as_millis();
        if halves > 0 {
            self.halve(u32::try_from(halves).unwrap_or(u32::MAX));
            self.halved_at = now;
        }
    }

    fn halve(&mut self, times: u32) {
        for count in self.counts.iter_mut() {
            *count = count.checked_shr(times).unwrap_or_default();
        }
        self.sum = self.counts.iter().sum();
    }
}

/// Bucket of a time in milliseconds.
fn bucket(millis: u64) -> usize {
    if millis < BUCKETS_PER_OCTAVE {
        return millis as usize;
    }
    let octave = u64::from(millis.ilog2() - BUCKETS_PER_OCTAVE.ilog2());
    (BUCKETS_PER_OCTAVE + octave * BUCKETS_PER_OCTAVE + (millis >> octave) - BUCKETS_PER_OCTAVE)
        as usize
}

/// The longest time in a bucket, in milliseconds.
fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < BUCKETS_PER_OCTAVE {
        return bucket;
    }
    let (octave, part) = (bucket / BUCKETS_PER_OCTAVE - 1, bucket % BUCKETS_PER_OCTAVE);
    ((BUCKETS_PER_OCTAVE + part + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use proptest::prelude::proptest;

    use super::{BUCKETS, LatencyHistogram, MAX_MILLIS, MIN_SAMPLES, bucket, upper_edge};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn pace(millis: impl IntoIterator<Item = u64>) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        millis.into_iter().for_each(|millis| histogram.record(Duration::from_millis(millis), NOW));
        histogram
    }

    fn late(histogram: &mut LatencyHistogram, now: Timestamp) -> u64 {
        histogram.p95(now).expect("there are enough samples").as_millis() as u64
    }

    /// Evenly spread numbers from 0 to 1, in a shuffled order.
    fn spread(count: u64) -> impl Iterator<Item = f64> {
        (1..=count).map(|at| (at as f64 * 0.618_033_988_749_895).fract())
    }

    /// Adds two thousand samples of a distribution by its inverse, and compares the result with it.
    #[track_caller]
    fn assert_p95_close(name: &str, quantile: impl Fn(f64) -> f64) {
        let mut histogram = pace(spread(2_000).map(|part| quantile(part) as u64));
        let found = late(&mut histogram, NOW) as f64;
        // Decayed weights act like a smaller sample, so the rank is right to within two in a
        // hundred.
        let (least, max) = (quantile(0.93), quantile(0.97) * 1.125 + 1.0);
        assert!((least.floor()..=max).contains(&found), "{name}: {found} not in {least}..={max}");
    }

    #[test]
    fn p95_is_close_for_many_distributions() {
        assert_p95_close("constant", |_| 700.0);
        assert_p95_close("uniform", |part| 100.0 + 900.0 * part);
        assert_p95_close("exponential", |part| -400.0 * (1.0 - part).ln());
        assert_p95_close("heavy tail", |part| 200.0 / (1.0 - part).powf(0.5));
        assert_p95_close(
            "quick or slow",
            |part| if part < 0.9 { 80.0 + part } else { 4_000.0 + part },
        );
        assert_p95_close("few slow ones", |part| if part < 0.98 { 80.0 + part } else { 30_000.0 });
        assert_p95_close("very quick", |part| 6.0 * part);
    }

    #[test]
    fn p95_is_none_for_few_samples() {
        let mut few = pace((1..MIN_SAMPLES).map(u64::from));
        assert_eq!(few.p95(NOW), None);
        few.record(Duration::from_millis(1), NOW);
        assert!(few.p95(NOW).is_some());
    }

    #[test]
    fn samples_decay_by_number_and_by_time() {
        let mut slow = pace((0..5_000).map(|_| 9_000));
        assert!(late(&mut slow, NOW) >= 9_000);
        (0..1_500).for_each(|_| slow.record(Duration::from_millis(100), NOW));
        assert!(late(&mut slow, NOW) < 115, "what comes now is what counts");
        let mut old = pace((0..100).map(|_| 100));
        assert!(old.p95(NOW + Duration::from_secs(600)).is_some());
        assert_eq!(old.p95(NOW + Duration::from_secs(1_300)), None);
    }

    #[test]
    fn latency_of_an_hour_is_clamped() {
        let mut endless = pace((0..40).map(|_| u64::MAX));
        assert_eq!(late(&mut endless, NOW), MAX_MILLIS);
        assert_eq!(bucket(MAX_MILLIS), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn bucket_is_at_most_an_eighth_wide(millis in 0..=MAX_MILLIS) {
            let edge = upper_edge(bucket(millis));
            assert!(millis <= edge && edge <= millis + millis / 8);
            assert!(edge == MAX_MILLIS || bucket(edge + 1) == bucket(edge) + 1);
        }

        /// Without decay, the rank is exact.
        #[test]
        fn p95_is_never_too_short(times in proptest::collection::vec(0u64..200_000, 20..250)) {
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let exact = sorted[sorted.len() - 1 - sorted.len() / 20];
            let found = late(&mut pace(times), NOW);
            assert!(exact <= found && found <= exact + exact / 8, "{exact} {found}");
        }
    }
}

//! Shares with their 95 % intervals (Wilson), and random numbers.

use std::fmt;

/// A number of cases among others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) cases: u32,
    pub(crate) all: u32,
}

impl Share {
    pub(crate) fn add(&mut self, is_case: bool) {
        self.cases += u32::from(is_case);
        self.all += 1;
    }

    fn interval(self) -> (f64, f64) {
        let (n, z) = (f64::from(self.all), 1.96_f64);
        let p = f64::from(self.cases) / n;
        let center = p + z * z / (2.0 * n);
        let width = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        ((center - width) / scale, (center + width) / scale)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all == 0 {
            return formatter.write_str("–");
        }
        let (low, high) = self.interval();
        let percent = 100.0 * f64::from(self.cases) / f64::from(self.all);
        write!(formatter, "{percent:.1} % [{:.1}, {:.1}]", 100.0 * low.max(0.0), 100.0 * high)
    }
}

/// Random numbers that are the same in every run (SplitMix64).
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn is_below(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}

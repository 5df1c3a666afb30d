//! Shares with their uncertainty: a bare percentage of a sample says more than is known.

use serde::Serialize;

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Estimated share of all requests, with its 95 % interval (Wilson 1927).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The share, from 0 to 1.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// Estimates from weights. `effective` is the number of equally weighted observations that tell as
    /// much (Kish 1965). `None` without observations.
    pub(crate) fn new(part: u64, whole: u64, effective: f64) -> Option<Self> {
        if whole == 0 || effective <= 0.0 {
            return None;
        }
        let share = (part as f64 / whole as f64).min(1.0);
        let spread = Z * Z / effective;
        let center = (share + spread / 2.0) / (1.0 + spread);
        let half = Z / (1.0 + spread)
            * (share * (1.0 - share) / effective + spread / (4.0 * effective)).sqrt();
        Some(Self {
            share,
            low: (center - half).clamp(0.0, share),
            high: (center + half).clamp(share, 1.0),
        })
    }
}

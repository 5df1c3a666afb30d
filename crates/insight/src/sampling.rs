//! Sampling: rare cases more often than common ones, each with the weight that keeps totals unbiased.

use serde::{Deserialize, Serialize};

/// Kind of request with a probability of its own. The first that applies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stratum {
    /// Its caller disliked the answer.
    Disliked,
    /// An attempt failed.
    Failed,
    /// The answer was cut off.
    Cut,
    /// Every other request.
    Common,
}

/// Probability of each stratum, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strata {
    common: u32,
    rare: u32,
}

/// One judged request of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The request's stratum.
    pub stratum: Stratum,
    /// Requests that this one stands for, in thousandths: the inverse of its probability.
    pub weight_milli: u64,
}

/// Probability 1.
const ONE: u32 = 1_000_000;
/// The smallest probability but 0, which bounds the weights.
const MIN: u32 = 100;

impl Strata {
    /// Probabilities of common and of rare requests, from 0 to 1; between 0 and 0.0001 they count as the
    /// latter. Rare requests are never less likely than common ones.
    pub fn new(common: f64, rare: f64) -> Self {
        let millionths = |share: f64| match (share.clamp(0.0, 1.0) * f64::from(ONE)).ceil() as u32 {
            0 => 0,
            probability => probability.max(MIN),
        };
        let common = millionths(common);
        Self { common, rare: millionths(rare).max(common) }
    }

    /// Decides by a hash of the request's id, evenly distributed over all of `u64`. A repeated decision is
    /// the same.
    pub fn draw(&self, stratum: Stratum, hash: u64) -> Option<Sample> {
        let probability = match stratum {
            Stratum::Common => self.common,
            Stratum::Disliked | Stratum::Failed | Stratum::Cut => self.rare,
        };
        // The upper half of the product is the hash scaled to millionths.
        let position = (u128::from(hash) * u128::from(ONE)) >> 64;
        let is_drawn = position < u128::from(probability);
        is_drawn.then(|| Sample {
            stratum,
            weight_milli: (u64::from(ONE) * 1_000 + u64::from(probability) / 2)
                / u64::from(probability),
        })
    }
}

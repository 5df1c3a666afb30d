//! Earned trust: which kinds of hits may be served, by the labels of a judge.
//!
//! Each band of hits has two statistics. Evidence against "at least `max_error` of these hits are wrong" is a
//! mixture of likelihood ratios: a nonnegative supermartingale with mean 1 at most as long as that is true, so
//! it reaches 1/α with probability α at most, however often it is looked at (Ville). The opposite, "more than
//! `max_error` are wrong since some label", is a sum over starts (Shiryaev and Roberts), which closes the band.

use crate::text::comparison::Wording;

/// Chance of a band that opens although too many of its hits are wrong, over all bands and all time.
const ALPHA: f64 = 0.05;
/// The part of the chance that a band's first opening takes; later ones share the rest.
const FIRST_OPENING: f64 = 0.8;
/// Shares of `max_error` that the evidence for a band assumes, each with its prior.
const ASSUMED: [(f64, f64); 3] = [(0.0, 0.5), (0.25, 0.25), (0.5, 0.25)];
/// Multiples of `max_error` that the evidence against an open band assumes.
const FEARED: [f64; 3] = [1.5, 2.5, 5.0];
/// The evidence that closes a band: on average a good band stays open for at least this many labels.
const CLOSES_AT: f64 = 2_000.0;
/// The largest evidence, so that sums stay finite.
const MAX_EVIDENCE: f64 = 1e12;

/// A kind of hits that are judged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// The same words of content.
    Same,
    /// Reworded, in the nearer half of the scores above the threshold.
    Near,
    /// Reworded.
    Reworded,
    /// More words on one side alone.
    Extended,
    /// One word in place of another one.
    Substituted,
}

impl Band {
    /// All bands.
    pub const ALL: [Self; 5] =
        [Self::Same, Self::Near, Self::Reworded, Self::Extended, Self::Substituted];

    /// The band of a hit. `None` if its score is too low: below the threshold, or for the same words below
    /// twice its distance from 1.
    pub fn of_hit(wording: Wording, score: f32, threshold: f32) -> Option<Self> {
        let distance = (1.0 - score).max(0.0);
        let allowed = 1.0 - threshold;
        let reach = if wording == Wording::Same { 2.0 } else { 1.0 };
        if distance > allowed * reach {
            return None;
        }
        Some(match wording {
            Wording::Same => Self::Same,
            Wording::Reworded if distance * 2.0 <= allowed => Self::Near,
            Wording::Reworded => Self::Reworded,
            Wording::Extended => Self::Extended,
            Wording::Substituted => Self::Substituted,
        })
    }

    /// Whether the text checks alone let it be served.
    pub fn is_trusted_unjudged(self) -> bool {
        match self {
            Self::Same | Self::Near | Self::Reworded => true,
            Self::Extended | Self::Substituted => false,
        }
    }

    /// Name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Near => "near",
            Self::Reworded => "reworded",
            Self::Extended => "extended",
            Self::Substituted => "substituted",
        }
    }

    /// The band's share of [`ALPHA`]; all shares together are one.
    fn share(self) -> f64 {
        match self {
            Self::Same => 0.4,
            Self::Near => 0.25,
            Self::Reworded => 0.15,
            Self::Extended | Self::Substituted => 0.1,
        }
    }
}

/// Labels of a band, and the evidence in them.
#[derive(Clone, Debug, PartialEq)]
pub struct BandEvidence {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    /// Times that the band was closed.
    pub(crate) closings: u32,
    pub(crate) is_open: bool,
    /// Evidence that fewer than `max_error` are wrong, one for each of [`ASSUMED`].
    pub(crate) good: [f64; ASSUMED.len()],
    /// Evidence that more are wrong since some label, one for each of [`FEARED`].
    pub(crate) bad: [f64; FEARED.len()],
}

impl Default for BandEvidence {
    fn default() -> Self {
        Self {
            right: 0,
            wrong: 0,
            closings: 0,
            is_open: false,
            good: ASSUMED.map(|(_, prior)| prior),
            bad: [0.0; FEARED.len()],
        }
    }
}

impl BandEvidence {
    /// Hits that the judge found right and wrong.
    pub fn labels(&self) -> (u64, u64) {
        (self.right, self.wrong)
    }

    /// Evidence that fewer than `max_error` are wrong: 1 at the beginning.
    pub fn evidence(&self) -> f64 {
        self.good.iter().sum()
    }

    /// Evidence at which the band opens. After each closing it needs more, so that all openings together keep
    /// to the band's chance of an error.
    pub fn opens_at(&self, band: Band) -> f64 {
        let part = match self.closings {
            0 => FIRST_OPENING,
            again => (1.0 - FIRST_OPENING) * 0.5_f64.powf(f64::from(again.min(30))),
        };
        1.0 / (ALPHA * band.share() * part)
    }

    fn add(&mut self, band: Band, max_error: f64, is_wrong: bool) {
        let ratio = |assumed: f64| {
            if is_wrong { assumed / max_error } else { (1.0 - assumed) / (1.0 - max_error) }
        };
        if is_wrong {
            self.wrong += 1;
        } else {
            self.right += 1;
        }
        for (evidence, (part, _)) in self.good.iter_mut().zip(ASSUMED) {
            *evidence = (*evidence * ratio(part * max_error)).min(MAX_EVIDENCE);
        }
        if !self.is_open {
            self.is_open = self.evidence() >= self.opens_at(band);
            return;
        }
        for (evidence, multiple) in self.bad.iter_mut().zip(FEARED) {
            let feared = (multiple * max_error).min(0.999);
            *evidence = ((*evidence + 1.0) * ratio(feared)).min(MAX_EVIDENCE);
        }
        if self.bad.iter().any(|evidence| *evidence >= CLOSES_AT * FEARED.len() as f64) {
            let (right, wrong, closings) =
                (self.right, self.wrong, self.closings.saturating_add(1));
            *self = Self { right, wrong, closings, ..Self::default() };
        }
    }
}

/// The evidence of all bands under one `max_error`.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    pub(crate) max_error: f64,
    pub(crate) bands: [BandEvidence; Band::ALL.len()],
}

impl Trust {
    /// Begins without labels. A `max_error` outside of 0.000 1 to 0.5 is taken as the nearer bound.
    pub fn new(max_error: f64) -> Self {
        let max_error = if max_error.is_nan() { 0.01 } else { max_error.clamp(0.000_1, 0.5) };
        Self { max_error, bands: std::array::from_fn(|_| BandEvidence::default()) }
    }

    /// The share of wrong hits that the evidence is about.
    pub fn max_error(&self) -> f64 {
        self.max_error
    }

    /// The evidence of a band.
    pub fn band(&self, band: Band) -> &BandEvidence {
        &self.bands[band as usize]
    }

    /// Whether hits of a band are served.
    pub fn is_open(&self, band: Band) -> bool {
        self.band(band).is_open
    }

    /// Adds a label of the judge.
    pub fn add_label(&mut self, band: Band, is_wrong: bool) {
        self.bands[band as usize].add(band, self.max_error, is_wrong);
    }
}

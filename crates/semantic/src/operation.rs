//! Changes of an index, and the results of its look-ups.

use civil_time::Timestamp;

use crate::text::comparison::Check;
use crate::text::question::Question;
use crate::trust::Band;
use crate::vector::Vector;

/// The longest name of an answer, in bytes.
pub const MAX_ANSWER_NAME: usize = 256;

/// Digest of everything but the question: only entries of one setting are compared.
pub type Setting = [u8; 32];

/// How far the index is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is served.
    Shadow,
    /// Served are hits of bands that judged samples have opened.
    Adaptive,
    /// Served are hits above the threshold that pass the text checks.
    Fixed,
}

/// Rules of a look-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LookUpRules {
    /// How far the index is trusted.
    pub mode: Mode,
    /// The smallest cosine.
    pub threshold: f32,
}

/// A change of the index.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Keeps an answer. It replaces that of the same words in the same setting.
    Insert {
        /// The setting.
        setting: Setting,
        /// The question.
        question: Box<Question>,
        /// Its embedding.
        vector: Vector,
        /// Name of the answer in the store.
        answer: String,
        /// Expiry of the answer.
        until: Timestamp,
        /// Entries that the index keeps.
        max_entries: usize,
    },
    /// Notes that an entry was served.
    Use {
        /// The entry.
        entry: u64,
    },
    /// Adds a label: whether the answer of an entry was wrong for a question with this score.
    Label {
        /// The entry.
        entry: u64,
        /// The band of the hit.
        band: Band,
        /// Its score.
        score: f32,
        /// Whether the answer was wrong.
        is_wrong: bool,
        /// The share of wrong hits that is tolerated. Another one than before starts the evidence anew.
        max_error: f64,
    },
    /// Adds look-ups to the account of what they save.
    Account {
        /// Time that each took and that its hit saved, in milliseconds.
        lookups: Vec<(u64, u64)>,
    },
    /// Removes an entry.
    Forget {
        /// The entry.
        entry: u64,
    },
    /// Removes all entries.
    Clear,
}

/// The best entry for a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// No entry is near enough.
    Nothing,
    /// Entries are near enough, but a check refuses each; the check of the nearest one.
    Rejected {
        /// The check.
        check: Check,
        /// The score of the nearest entry.
        score: f32,
    },
    /// An entry may stand in.
    Hit(Hit),
}

/// An entry that may stand in for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The entry.
    pub entry: u64,
    /// Name of its answer in the store.
    pub answer: String,
    /// The cosine of both questions; 1 for the same words.
    pub score: f32,
    /// The band by which it is judged. `None` for the same words in the same order.
    pub band: Option<Band>,
    /// Whether it is served; else it is only judged.
    pub is_served: bool,
}

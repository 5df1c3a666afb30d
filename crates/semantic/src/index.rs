//! The index of kept questions: pure operations, of bounded size.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use civil_time::Timestamp;

use crate::operation::{Found, Hit, LookUpRules, MAX_ANSWER_NAME, Mode, Operation, Setting};
use crate::payoff::Payoff;
use crate::text::comparison::{Check, compare};
use crate::text::question::Question;
use crate::trust::{Band, Trust};
use crate::vector::{Vector, VectorTable};

/// The nearest entries whose texts are compared.
const CANDIDATES: usize = 4;
/// The score by which an entry must be nearer than a question that it answered wrongly.
const FLOOR_MARGIN: f32 = 0.01;
/// A use younger than this does not count again, so that frequent hits change no row.
const USE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// A kept question.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) setting: Setting,
    /// The question as it was asked. Its reading would take ten times the memory.
    pub(crate) text: Box<str>,
    /// Its normal form.
    pub(crate) words: Box<str>,
    pub(crate) vector: Vector,
    pub(crate) answer: String,
    pub(crate) until: Timestamp,
    pub(crate) used: Timestamp,
    /// The smallest score for which the entry may stand in.
    pub(crate) floor: f32,
}

/// Entries of one setting.
#[derive(Clone, Debug, Default)]
struct Group {
    vectors: VectorTable,
    /// The entry of each row of `vectors`.
    entries: Vec<u64>,
    by_words: BTreeMap<Box<str>, u64>,
}

/// Kept questions of one place, the evidence of their hits, and the account of look-ups.
#[derive(Clone, Debug)]
pub struct Index {
    groups: BTreeMap<(Setting, usize), Group>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    by_use: BTreeSet<(Timestamp, u64)>,
    by_expiry: BTreeSet<(Timestamp, u64)>,
    pub(crate) next: u64,
    pub(crate) trust: Trust,
    pub(crate) payoff: Payoff,
    pub(crate) dirty: BTreeSet<u64>,
    pub(crate) is_state_dirty: bool,
}

impl Index {
    /// Makes an empty index.
    pub fn new(max_error: f64) -> Self {
        Self {
            groups: BTreeMap::new(),
            entries: BTreeMap::new(),
            by_use: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
            next: 1,
            trust: Trust::new(max_error),
            payoff: Payoff::default(),
            dirty: BTreeSet::new(),
            is_state_dirty: false,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The evidence of hits.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The account of look-ups.
    pub fn payoff(&self) -> &Payoff {
        &self.payoff
    }

    /// The question of an entry.
    pub fn text(&self, entry: u64) -> Option<&str> {
        self.entries.get(&entry).map(|entry| &*entry.text)
    }

    /// Finds the entry of the same words without an embedding.
    pub fn look_up_words(
        &self,
        now: Timestamp,
        setting: &Setting,
        question: &Question,
        mode: Mode,
    ) -> Found {
        let from = (*setting, 0);
        let mut groups = self.groups.range(from..).take_while(|((other, _), _)| other == setting);
        let entry = groups.find_map(|(_, group)| group.by_words.get(question.normal()));
        match entry.and_then(|id| self.entries.get(id).map(|entry| (*id, entry))) {
            Some((id, entry)) if entry.until > now && entry.floor <= 1.0 => Found::Hit(Hit {
                entry: id,
                answer: entry.answer.clone(),
                score: 1.0,
                band: None,
                is_served: mode != Mode::Shadow,
            }),
            Some(_) | None => Found::Nothing,
        }
    }

    /// Finds the best entry for a question: one of the same words, else the nearest one that the checks pass
    /// and that may be served, else the nearest one that may be judged.
    pub fn look_up(
        &self,
        now: Timestamp,
        setting: &Setting,
        question: &Question,
        vector: &Vector,
        rules: LookUpRules,
    ) -> Found {
        let by_words = self.look_up_words(now, setting, question, rules.mode);
        if by_words != Found::Nothing {
            return by_words;
        }
        let Some(group) = self.groups.get(&(*setting, vector.components().len())) else {
            return Found::Nothing;
        };
        let reach = 1.0 - 2.0 * (1.0 - rules.threshold);
        let mut best: Option<Hit> = None;
        let mut rejected: Option<(Check, f32)> = None;
        for (row, score) in group.vectors.nearest(vector, reach, CANDIDATES) {
            let id = group.entries[row];
            let Some(entry) = self.entries.get(&id).filter(|entry| entry.until > now) else {
                continue;
            };
            let Ok(kept) = Question::parse(&entry.text) else { continue };
            let wording = match compare(&kept, question) {
                Ok(wording) => wording,
                Err(check) => {
                    if score >= rules.threshold {
                        rejected.get_or_insert((check, score));
                    }
                    continue;
                }
            };
            let band =
                Band::of_hit(wording, score, rules.threshold).filter(|_| score >= entry.floor);
            let Some(band) =
                band.filter(|band| rules.mode != Mode::Fixed || band.is_trusted_unjudged())
            else {
                continue;
            };
            let is_served = match rules.mode {
                Mode::Shadow => false,
                Mode::Adaptive => self.trust.is_open(band),
                Mode::Fixed => true,
            };
            let is_better = match &best {
                None => true,
                Some(other) => match (is_served, other.is_served) {
                    (true, false) => true,
                    (false, true) => false,
                    // Of equal scores the earlier one stays: the nearer entry comes first.
                    (true, true) | (false, false) => other.band.is_some_and(|other| band < other),
                },
            };
            if is_better {
                let answer = entry.answer.clone();
                best = Some(Hit { entry: id, answer, score, band: Some(band), is_served });
            }
        }
        match (best, rejected) {
            (Some(hit), _) => Found::Hit(hit),
            (None, Some((check, score))) => Found::Rejected { check, score },
            (None, None) => Found::Nothing,
        }
    }

    /// Applies a change. Returns the number of the entry that an insertion made or replaced.
    pub fn apply(&mut self, now: Timestamp, operation: Operation) -> Option<u64> {
        match operation {
            Operation::Insert { setting, question, vector, answer, until, max_entries } => {
                let (text, words) = (question.text().into(), question.normal().into());
                let entry =
                    Entry { setting, text, words, vector, answer, until, used: now, floor: 0.0 };
                self.insert(now, entry, max_entries)
            }
            Operation::Use { entry } => {
                self.note_use(now, entry);
                None
            }
            Operation::Label { entry, band, score, is_wrong, max_error } => {
                self.add_label(entry, band, score, is_wrong, max_error);
                None
            }
            Operation::Account { lookups } => {
                lookups.into_iter().for_each(|(spent, saved)| self.payoff.add_lookup(spent, saved));
                self.is_state_dirty = true;
                None
            }
            Operation::Forget { entry } => {
                self.remove(entry);
                None
            }
            Operation::Clear => {
                let all: Vec<u64> = self.entries.keys().copied().collect();
                all.into_iter().for_each(|entry| self.remove(entry));
                None
            }
        }
    }

    fn insert(&mut self, now: Timestamp, mut entry: Entry, max_entries: usize) -> Option<u64> {
        if max_entries == 0 || entry.answer.len() > MAX_ANSWER_NAME || entry.until <= now {
            return None;
        }
        let dimensions = entry.vector.components().len();
        let group = self.groups.get(&(entry.setting, dimensions));
        let same = group.and_then(|group| group.by_words.get(&*entry.words).copied());
        let id = match same {
            Some(id) => {
                // Labels were about the question, which stays.
                entry.floor = self.entries.get(&id).map_or(0.0, |old| old.floor);
                self.remove(id);
                id
            }
            None => {
                let id = self.next;
                self.next += 1;
                self.is_state_dirty = true;
                id
            }
        };
        self.evict(now, max_entries - 1);
        self.restore(id, entry);
        self.dirty.insert(id);
        Some(id)
    }

    /// Adds an entry under its number.
    pub(crate) fn restore(&mut self, id: u64, entry: Entry) {
        let dimensions = entry.vector.components().len();
        let group = self
            .groups
            .entry((entry.setting, dimensions))
            .or_insert_with(|| Group { vectors: VectorTable::new(dimensions), ..Group::default() });
        group.vectors.push(&entry.vector);
        group.entries.push(id);
        group.by_words.insert(entry.words.clone(), id);
        self.by_use.insert((entry.used, id));
        self.by_expiry.insert((entry.until, id));
        self.entries.insert(id, entry);
    }

    /// Removes expired entries, and then those whose last use is the oldest.
    fn evict(&mut self, now: Timestamp, max: usize) {
        while let Some((_, id)) = self.by_expiry.first().copied().filter(|(until, _)| *until <= now)
        {
            self.remove(id);
        }
        while self.entries.len() > max {
            let Some((_, id)) = self.by_use.first().copied() else { break };
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.by_use.remove(&(entry.used, id));
        self.by_expiry.remove(&(entry.until, id));
        self.dirty.insert(id);
        let key = (entry.setting, entry.vector.components().len());
        let Some(group) = self.groups.get_mut(&key) else { return };
        if let Some(row) = group.entries.iter().position(|other| *other == id) {
            group.vectors.swap_remove(row);
            group.entries.swap_remove(row);
        }
        if group.by_words.get(&entry.words) == Some(&id) {
            group.by_words.remove(&entry.words);
        }
        if group.entries.is_empty() {
            self.groups.remove(&key);
        }
    }

    fn note_use(&mut self, now: Timestamp, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if now < entry.used + USE_INTERVAL {
            return;
        }
        self.by_use.remove(&(entry.used, id));
        entry.used = now;
        self.by_use.insert((now, id));
        self.dirty.insert(id);
    }

    fn add_label(&mut self, id: u64, band: Band, score: f32, is_wrong: bool, max_error: f64) {
        let fresh = Trust::new(max_error);
        if fresh.max_error() != self.trust.max_error() {
            self.trust = fresh;
        }
        self.trust.add_label(band, is_wrong);
        self.is_state_dirty = true;
        if let Some(entry) = self.entries.get_mut(&id).filter(|_| is_wrong && score.is_finite()) {
            entry.floor = entry.floor.max(score + FLOOR_MARGIN);
            self.dirty.insert(id);
        }
    }
}

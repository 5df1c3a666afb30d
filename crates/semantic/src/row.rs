//! Stored rows of an index: one for each entry, and one for its evidence.

use civil_time::Timestamp;

use crate::index::{Entry, Index};
use crate::operation::MAX_ANSWER_NAME;
use crate::payoff::{Payoff, Totals};
use crate::text::question::{MAX_CHARACTERS, Question};
use crate::trust::{Band, BandEvidence, Trust};
use crate::vector::{MAX_DIMENSIONS, Vector};

/// Version of the rows, their first byte.
const VERSION: u8 = 1;
/// Name of the row of evidence: no entry has it.
const STATE_ROW: &str = "state";

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Name of the row.
    pub name: String,
}

impl Index {
    /// Opens an index from its stored rows. `max_error` counts if there is no row of evidence, or one for
    /// another `max_error`.
    pub fn from_rows<'a>(
        max_error: f64,
        rows: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, BadRow> {
        let mut index = Self::new(max_error);
        let mut last = 0;
        for (name, bytes) in rows {
            let bad = || BadRow { name: name.to_owned() };
            let mut reader = Reader { bytes };
            if reader.take(1) != Some(&[VERSION]) {
                return Err(bad());
            }
            if name == STATE_ROW {
                let (next, trust, payoff) = reader.state().ok_or_else(bad)?;
                index.next = index.next.max(next);
                index.payoff = payoff;
                if trust.max_error() == index.trust.max_error() {
                    index.trust = trust;
                }
                continue;
            }
            let id = u64::from_str_radix(name, 16).map_err(|_| bad())?;
            let entry = reader.entry().ok_or_else(bad)?;
            last = last.max(id);
            index.restore(id, entry);
        }
        index.next = index.next.max(last.saturating_add(1));
        Ok(index)
    }

    /// Takes the names and bytes of the rows that changed since the last call. `None` if the row was removed.
    pub fn take_changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let touched = std::mem::take(&mut self.dirty);
        let row = |id: u64| (format!("{id:016x}"), self.entries.get(&id).map(entry_bytes));
        let mut changes: Vec<_> = touched.into_iter().map(row).collect();
        if std::mem::take(&mut self.is_state_dirty) {
            changes.push((STATE_ROW.to_owned(), Some(self.state_bytes())));
        }
        changes
    }

    fn state_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.next.to_le_bytes());
        for totals in [self.payoff.before, self.payoff.current] {
            bytes.extend(totals.lookups.to_le_bytes());
            bytes.extend(totals.spent_ms.to_le_bytes());
            bytes.extend(totals.saved_ms.to_le_bytes());
        }
        bytes.extend(self.trust.max_error.to_le_bytes());
        for band in &self.trust.bands {
            bytes.extend(band.right.to_le_bytes());
            bytes.extend(band.wrong.to_le_bytes());
            bytes.extend(band.closings.to_le_bytes());
            bytes.push(u8::from(band.is_open));
            let evidence = band.good.iter().chain(&band.bad);
            bytes.extend(evidence.flat_map(|number| number.to_le_bytes()));
        }
        bytes
    }
}

fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(entry.setting);
    bytes.extend(entry.until.as_millis().to_le_bytes());
    bytes.extend(entry.used.as_millis().to_le_bytes());
    bytes.extend(entry.floor.to_le_bytes());
    let components: Vec<u8> =
        entry.vector.components().iter().map(|c| c.to_le_bytes()[0]).collect();
    for part in [&components[..], entry.answer.as_bytes(), entry.text.as_bytes()] {
        // Each is far below 2³²: the bounds of vectors, names and questions hold.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_le_bytes());
        bytes.extend(part);
    }
    bytes
}

/// Bytes that have not been read yet.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number that evidence may be.
    fn evidence(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes).filter(|number| number.is_finite() && *number >= 0.0)
    }

    fn part(&mut self, max: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok().filter(|length| *length <= max)?;
        self.take(length)
    }

    fn entry(&mut self) -> Option<Entry> {
        let setting = self.array()?;
        let until = Timestamp::from_millis(self.array().map(u64::from_le_bytes)?);
        let used = Timestamp::from_millis(self.array().map(u64::from_le_bytes)?);
        let floor = self.array().map(f32::from_le_bytes).filter(|floor| floor.is_finite())?;
        let components = self.part(MAX_DIMENSIONS)?;
        let components = components.iter().map(|c| i8::from_le_bytes([*c])).collect();
        let vector = Vector::from_components(components).ok()?;
        let answer = std::str::from_utf8(self.part(MAX_ANSWER_NAME)?).ok()?.to_owned();
        let text = std::str::from_utf8(self.part(4 * MAX_CHARACTERS)?).ok()?;
        let question = Question::parse(text).ok()?;
        let (text, words) = (text.into(), question.normal().into());
        self.bytes.is_empty().then_some(Entry {
            setting,
            text,
            words,
            vector,
            answer,
            until,
            used,
            floor,
        })
    }

    fn state(&mut self) -> Option<(u64, Trust, Payoff)> {
        let next = self.u64()?;
        let mut totals =
            || Some(Totals { lookups: self.u32()?, spent_ms: self.u64()?, saved_ms: self.u64()? });
        let payoff = Payoff { before: totals()?, current: totals()? };
        let mut trust = Trust::new(self.evidence()?);
        for band in Band::ALL {
            let mut evidence = BandEvidence {
                right: self.u64()?,
                wrong: self.u64()?,
                closings: self.u32()?,
                is_open: self.array()? == [1_u8],
                ..BandEvidence::default()
            };
            for number in evidence.good.iter_mut().chain(&mut evidence.bad) {
                *number = self.evidence()?;
            }
            trust.bands[band as usize] = evidence;
        }
        self.bytes.is_empty().then_some((next, trust, payoff))
    }
}

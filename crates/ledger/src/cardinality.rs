//! Limits on the number of label values that a book keeps apart.
//!
//! A name is `family|label=value|label=value`. The book that holds the rows decides which values it
//! keeps apart, and the decision is final: a value with its own row never loses it. Sums therefore
//! only grow, and gateways need no agreement.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The value that replaces all values beyond the limit.
pub(crate) const OTHER: &str = "other";

/// The label of consumers, which has a limit of its own.
const CONSUMER: &str = "consumer";

/// Maximum number of label values in one book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardinalityLimits {
    /// Maximum number of consumers.
    pub consumers: usize,
    /// Maximum number of values of any other label.
    pub values: usize,
    /// Maximum number of rows. Beyond it every value of a new row is `other`, so each family adds
    /// at most one more.
    pub rows: usize,
}

impl Default for CardinalityLimits {
    fn default() -> Self {
        Self { consumers: 100, values: 200, rows: 2_000 }
    }
}

impl CardinalityLimits {
    /// The name for a row that is not among the known ones: values beyond the limits become
    /// `other`.
    pub(super) fn limit_cardinality<'a>(
        self,
        known: impl Iterator<Item = &'a str>,
        name: &str,
    ) -> String {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut rows = 0;
        for name in known {
            rows += 1;
            for (label, value) in labels(name) {
                values.entry(label).or_default().insert(value);
            }
        }
        let (family, _) = name.split_once('|').unwrap_or((name, ""));
        let mut folded = family.to_owned();
        for (label, value) in labels(name) {
            let max = if label == CONSUMER { self.consumers } else { self.values };
            let known = values.get(label);
            let is_known = known.is_some_and(|known| known.contains(value));
            let limited = |known: &BTreeSet<&str>| {
                known.len() - usize::from(known.contains(OTHER)) - usize::from(known.contains(""))
            };
            let is_full = known.map_or(0, limited) >= max;
            // An empty value is not limited: there is only one.
            let keeps = value.is_empty() || is_known || !is_full;
            let value = if keeps && rows < self.rows { value } else { OTHER };
            folded.extend(["|", label, "=", value]);
        }
        folded
    }
}

/// Rows of a book of usage totals that are kept as they are.
const MAX_DETAILED_ROWS: usize = 2_000;
/// Rows of a book of usage totals that are kept without their model.
const MAX_CONSUMER_ROWS: usize = 3_000;
/// Part of a key of usage totals that holds the model: `time|consumer|group|model|provider|route`.
const MODEL_PART: usize = 3;

/// The key for a new row of usage totals in a book of `rows` rows. Callers can make up models where
/// an upstream answers to any name, and consumers where an issuer does: beyond a bound a new row has
/// no model, and later only its time.
pub(super) fn fold_key(key: &str, rows: usize) -> String {
    let keeps = |part: usize| match part {
        0 => true,
        MODEL_PART => rows < MAX_DETAILED_ROWS,
        _ => rows < MAX_CONSUMER_ROWS,
    };
    let parts = key.split('|').enumerate().map(|(at, part)| if keeps(at) { part } else { "" });
    parts.collect::<Vec<_>>().join("|")
}

/// The labels of a name and their values, in order.
pub fn labels(name: &str) -> impl Iterator<Item = (&str, &str)> {
    name.split('|').skip(1).filter_map(|part| part.split_once('='))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use civil_time::Timestamp;
    use proptest::prelude::*;

    use crate::{Book, LedgerReply, NewLogLines, Operation, UsageRow, UsageTotals};

    use super::{CardinalityLimits, labels};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn add(book: &mut Book, id: u64, limits: CardinalityLimits, key: &str) {
        let until = Timestamp::from_millis(NOW.as_millis() + 1);
        let totals = UsageTotals { requests: 1, ..UsageTotals::default() };
        let rows = vec![UsageRow { key: key.to_owned(), until, totals }];
        book.apply(
            NOW,
            &Operation::AddUsage { id, bounds: Some(limits), rows, log: NewLogLines::default() },
        );
    }

    fn rows(book: &mut Book) -> BTreeMap<String, u64> {
        let LedgerReply::Usage(rows) = book.apply(NOW, &Operation::ReadUsage) else {
            panic!("rows")
        };
        rows.into_iter().map(|row| (row.key, row.totals.requests)).collect()
    }

    #[test]
    fn values_beyond_the_limit_become_other() {
        let limits = CardinalityLimits { consumers: 2, values: 3, rows: 100 };
        let mut book = Book::default();
        let keys = [
            "r|consumer=a|model=m",
            "r|consumer=|model=m",
            "r|consumer=b|model=m",
            "r|consumer=c|model=m",
            "r|consumer=a|model=n",
            "r|consumer=d|model=o",
            "r|consumer=b|model=p",
            "r|consumer=a|model=m",
            "l|limit=x|consumer=c",
        ];
        for (id, key) in (0..).zip(keys) {
            add(&mut book, id, limits, key);
            // The result is the same from stored bytes: a host may have lost its memory.
            book = Book::from_bytes(&book.to_bytes()).expect("a book");
        }
        let expected = [
            ("l|limit=x|consumer=other", 1),
            ("r|consumer=a|model=m", 2),
            ("r|consumer=a|model=n", 1),
            ("r|consumer=b|model=m", 1),
            ("r|consumer=b|model=other", 1),
            ("r|consumer=other|model=m", 1),
            ("r|consumer=other|model=o", 1),
            ("r|consumer=|model=m", 1),
        ];
        assert_eq!(rows(&mut book), expected.map(|(key, n)| (key.to_owned(), n)).into());
    }

    #[test]
    fn repeated_addition_counts_once() {
        let mut book = Book::default();
        for id in [1, 1, 2, 1] {
            add(&mut book, id, CardinalityLimits::default(), "r|consumer=a");
        }
        assert_eq!(rows(&mut book), [("r|consumer=a".to_owned(), 2)].into());
        let later = Timestamp::from_millis(NOW.as_millis() + 60_000);
        let rows = vec![];
        book.apply(
            later,
            &Operation::AddUsage { id: 3, bounds: None, rows, log: NewLogLines::default() },
        );
        assert_eq!(book.recent_usage_ids.len(), 1, "old ids are forgotten");
    }

    #[test]
    fn usage_rows_of_a_book_are_bounded() {
        let mut book = Book::default();
        let mut add = |id: u64, key: String| {
            let until = Timestamp::from_millis(NOW.as_millis() + 1);
            let totals = UsageTotals { requests: 1, ..UsageTotals::default() };
            let rows = vec![UsageRow { key, until, totals }];
            book.apply(
                NOW,
                &Operation::AddUsage { id, bounds: None, rows, log: NewLogLines::default() },
            );
        };
        for id in 0..5_000 {
            add(id, format!("07|acme|gold|local/{id}|local|chat"));
        }
        for id in 5_000..10_000 {
            add(id, format!("08|sub-{id}|gold|gpt|openai|chat"));
        }
        add(10_000, "07|acme|gold|local/3|local|chat".to_owned());
        let rows = rows(&mut book);
        assert_eq!(rows["07|acme|gold|local/3|local|chat"], 2);
        assert_eq!(rows["07|acme|gold||local|chat"], 3_000);
        assert_eq!(rows["08|sub-5000|gold||openai|chat"], 1);
        assert_eq!(rows["08|||||"], 5_000 - 999);
        assert_eq!(rows.len(), 3_001);
        assert_eq!(rows.values().sum::<u64>(), 10_001);
    }

    proptest! {
        #[test]
        fn labels_stay_within_limits_and_totals_never_shrink(
            labels_added in prop::collection::vec((0_u8..9, 0_u8..9, 0_u8..2), 1..120),
            consumers in 0_usize..5,
            values in 1_usize..5,
            max_rows in 1_usize..20,
        ) {
            let bounds = CardinalityLimits { consumers, values, rows: max_rows };
            let mut book = Book::default();
            let mut before = BTreeMap::new();
            for (id, (consumer, model, family)) in (0..).zip(&labels_added) {
                add(&mut book, id, bounds, &format!("f{family}|consumer=c{consumer}|model=m{model}"));
                let after = rows(&mut book);
                prop_assert!(before.iter().all(|(key, n)| after.get(key) >= Some(n)));
                before = after;
            }
            prop_assert_eq!(before.values().sum::<u64>(), labels_added.len() as u64);
            prop_assert!(before.len() <= max_rows + 2);
            for (label, bound) in [("consumer", consumers), ("model", values)] {
                let seen: BTreeSet<&str> = before
                    .keys()
                    .flat_map(|key| labels(key))
                    .filter(|(name, value)| *name == label && *value != "other")
                    .map(|(_, value)| value)
                    .collect();
                prop_assert!(seen.len() <= bound, "{label}: {seen:?}");
            }
        }
    }
}

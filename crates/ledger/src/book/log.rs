//! The log of a book: lines in the order of their arrival.

use civil_time::Timestamp;

use crate::operation::{LogLine, LogQuery, NewLogLines};

use super::{Book, BookRow};

/// Prefix of log lines: no account's name starts with it.
const LOG_PREFIX: &str = "!";
/// Follows [`LOG_PREFIX`] in the order of names.
const LOG_END: &str = "\"";

/// Numbers in a millisecond.
const NUMBERS_PER_MILLI: u64 = 1_000;
/// Digits of a number in a name.
const NUMBER_DIGITS: usize = 17;

impl Book {
    /// Appends lines and removes the oldest ones beyond the maximum.
    pub(super) fn append_log(&mut self, new: &NewLogLines, now: Timestamp) {
        if new.is_empty() {
            return;
        }
        // A clock that went back must not put a line before one that was read already.
        let last = self.log_names().next_back().and_then(|name| number_of(name));
        let first = now.as_millis().saturating_mul(NUMBERS_PER_MILLI);
        let first = last.map_or(first, |last| first.max(last + 1));
        for (number, line) in (first..).zip(&new.lines) {
            let name = name_of(number);
            let LogLine { number: _, until, label, text } = line.clone();
            self.rows.insert(name.clone(), BookRow::Log { until, label, text });
            self.dirty.insert(name);
        }
        let surplus = self.log_names().count().saturating_sub(new.max);
        let oldest: Vec<String> = self.log_names().take(surplus).cloned().collect();
        for name in oldest {
            self.rows.remove(&name);
            self.dirty.insert(name);
        }
    }

    /// The newest lines that a query selects.
    pub(super) fn read_log(&self, query: &LogQuery, now: Timestamp) -> Vec<LogLine> {
        let mut found = Vec::new();
        for name in self.log_names().rev() {
            let Some(number) = number_of(name) else { continue };
            if query.before.is_some_and(|before| number >= before) {
                continue;
            }
            if found.len() >= query.limit || query.after.is_some_and(|after| number <= after) {
                break;
            }
            let Some(BookRow::Log { until, label, text }) = self.rows.get(name) else { continue };
            if *until > now && query.parts.iter().all(|part| text.contains(part.as_str())) {
                let text = if query.texts { text.clone() } else { String::new() };
                found.push(LogLine { number, until: *until, label: label.clone(), text });
            }
        }
        found
    }

    /// The names of all lines, the oldest first.
    fn log_names(&self) -> impl DoubleEndedIterator<Item = &String> {
        self.rows.range(LOG_PREFIX.to_owned()..LOG_END.to_owned()).map(|(name, _)| name)
    }
}

fn name_of(number: u64) -> String {
    format!("{LOG_PREFIX}{number:0NUMBER_DIGITS$}")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(LOG_PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;

    use crate::{Book, LedgerReply, LogLine, LogQuery, NewLogLines, Operation};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const UNTIL: Timestamp = Timestamp::from_millis(1_800_000_060_000);

    fn append(book: &mut Book, now: Timestamp, id: u64, texts: &[&str]) {
        let line = |text: &&str| LogLine {
            until: UNTIL,
            label: "answered".to_owned(),
            text: (*text).to_owned(),
            ..LogLine::default()
        };
        let log = NewLogLines { max: 4, lines: texts.iter().map(line).collect() };
        let add = Operation::AddUsage { id, bounds: None, rows: Vec::new(), log };
        assert_eq!(book.apply(now, &add), LedgerReply::Done);
        // The same from stored rows: a host may have lost its memory.
        let ids = std::mem::take(&mut book.recent_usage_ids);
        *book = Book::from_bytes(&book.to_bytes()).expect("a book");
        book.recent_usage_ids = ids;
    }

    fn read(book: &mut Book, now: Timestamp, query: LogQuery) -> Vec<(u64, String)> {
        let query = LogQuery { texts: true, ..query };
        let LedgerReply::Log(lines) = book.apply(now, &Operation::ReadLog(query)) else {
            panic!("lines")
        };
        lines.into_iter().map(|line| (line.number % 1_000_000, line.text)).collect()
    }

    fn line(number: u64, text: &str) -> (u64, String) {
        (number, text.to_owned())
    }

    #[test]
    fn lines_are_read_newest_first_and_the_oldest_go() {
        let mut book = Book::default();
        append(&mut book, NOW, 1, &["a", "b"]);
        append(&mut book, NOW, 1, &["repeated"]);
        // A clock that went back changes no order.
        append(&mut book, Timestamp::from_millis(NOW.as_millis() - 5), 2, &["c"]);
        let all = || LogQuery { limit: 10, ..LogQuery::default() };
        assert_eq!(read(&mut book, NOW, all()), [line(2, "c"), line(1, "b"), line(0, "a")]);
        append(&mut book, Timestamp::from_millis(NOW.as_millis() + 1), 3, &["bd", "e"]);
        let newest = [line(1_001, "e"), line(1_000, "bd"), line(2, "c"), line(1, "b")];
        assert_eq!(read(&mut book, NOW, all()), newest);
        let number = |low| Some(NOW.as_millis() * 1_000 + low);
        assert_eq!(read(&mut book, NOW, LogQuery { limit: 2, ..all() }), newest[..2]);
        assert_eq!(read(&mut book, NOW, LogQuery { before: number(2), ..all() }), newest[3..]);
        assert_eq!(read(&mut book, NOW, LogQuery { after: number(2), ..all() }), newest[..2]);
        let parts = vec!["b".to_owned()];
        assert_eq!(
            read(&mut book, NOW, LogQuery { parts, ..all() }),
            [line(1_000, "bd"), line(1, "b")]
        );
        let query = Operation::ReadLog(LogQuery { limit: 1, ..LogQuery::default() });
        let LedgerReply::Log(lines) = book.apply(NOW, &query) else { panic!("lines") };
        assert_eq!((lines[0].label.as_str(), lines[0].text.as_str()), ("answered", ""));
        // Expired lines are not shown, and are swept.
        assert_eq!(read(&mut book, UNTIL, all()), []);
        assert_eq!(book.next_sweep(), Some(UNTIL));
        book.sweep(UNTIL);
        assert!(book.is_empty());
    }
}

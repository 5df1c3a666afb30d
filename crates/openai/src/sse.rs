//! Server-sent events (WHATWG HTML, section 9.2): borders and fields.
//!
//! The framer never changes a byte. It finds the borders of events for any line ending and any
//! split.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// Finds whole events in pieces of a stream.
#[derive(Debug)]
pub struct Framer {
    /// Bytes received; those before `start` belong to events that were returned.
    buffer: Bytes,
    /// Start of the current event.
    start: usize,
    /// Start of the current line.
    line_start: usize,
    /// Bytes before this position hold no unread line ending.
    scanned: usize,
    /// The last line ended with CR: a LF that follows belongs to it.
    after_cr: bool,
    /// The last line ended with CR and LF.
    crlf: bool,
    /// Maximum length of an event, in bytes.
    limit: usize,
}

/// Event that is longer than the limit of the framer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversized;

impl Framer {
    /// Creates a framer that fails once an unfinished event is longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: Bytes::new(),
            start: 0,
            line_start: 0,
            scanned: 0,
            after_cr: false,
            crlf: false,
            limit,
        }
    }

    /// Appends the next piece. Earlier ranges become invalid.
    ///
    /// A piece that begins with a new event is taken over without a copy. The pieces of a long
    /// event are gathered with amortized growth.
    pub fn push(&mut self, piece: Bytes) -> Result<(), Oversized> {
        let kept = self.buffer.split_off(self.start);
        if kept.len() > self.limit {
            return Err(Oversized);
        }
        self.buffer = if kept.is_empty() {
            piece
        } else {
            let mut joined =
                kept.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            joined.extend_from_slice(&piece);
            joined.freeze()
        };
        self.line_start -= self.start;
        self.scanned -= self.start;
        self.start = 0;
        Ok(())
    }

    /// Returns the next whole event with its blank line, as a range for [`Framer::slice`].
    ///
    /// A CR ends a line without waiting for a LF, unless the line before ended with both. Then a LF
    /// follows and belongs to this event.
    pub fn next_event(&mut self) -> Option<Range<usize>> {
        loop {
            if self.after_cr && self.scanned < self.buffer.len() {
                self.after_cr = false;
                if self.buffer[self.scanned] == b'\n' {
                    self.crlf = true;
                    self.scanned += 1;
                    self.line_start = self.scanned;
                }
            }
            let Some(found) = memchr2(b'\n', b'\r', &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                return None;
            };
            let end = self.scanned + found;
            let blank = end == self.line_start;
            let is_cr = self.buffer[end] == b'\r';
            let next = self.buffer.get(end + 1);
            if is_cr && next.is_none() && self.crlf {
                self.scanned = end;
                return None;
            }
            self.crlf = is_cr && next == Some(&b'\n');
            self.after_cr = is_cr && next.is_none();
            self.scanned = end + 1 + usize::from(self.crlf);
            self.line_start = self.scanned;
            if blank {
                let event = self.start..self.scanned;
                self.start = self.scanned;
                return Some(event);
            }
        }
    }

    /// Returns the bytes of one event or of neighboring events, without a copy.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        self.buffer.slice(range)
    }

    /// Borrows the bytes of a range.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Returns the bytes of the event that is not complete yet.
    pub fn unfinished(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

/// Fields of one event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `event:` field.
    pub name: Option<&'a [u8]>,
    /// `data:` fields joined by LF; `None` for a comment or a blank line.
    pub data: Option<Cow<'a, [u8]>>,
}

impl<'a> Event<'a> {
    /// Parses one whole event. A byte order mark at its start is skipped: the event may become the first
    /// one that passes, and readers skip it there (WHATWG HTML, 9.2.6). Before it may be the LF of a CRLF
    /// that was split.
    pub fn parse(event: &'a [u8]) -> Self {
        let mut read = Self { name: None, data: None };
        let start = event.iter().position(|byte| !matches!(byte, b'\n' | b'\r'));
        let event = &event[start.unwrap_or(event.len())..];
        let mut rest = event.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(event);
        while !rest.is_empty() {
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if let Some(value) = field_value(line, b"data") {
                read.data = Some(match read.data {
                    None => Cow::Borrowed(value),
                    Some(data) => {
                        let mut joined = data.into_owned();
                        joined.push(b'\n');
                        joined.extend_from_slice(value);
                        Cow::Owned(joined)
                    }
                });
            } else if let Some(value) = field_value(line, b"event") {
                read.name = Some(value);
            }
        }
        read
    }
}

fn field_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{Just, any, proptest};
    use proptest::prop_oneof;

    use super::{Event, Framer};

    /// Pushes the pieces and returns the data of every event, and the unfinished rest.
    fn run<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<Option<String>>, Vec<u8>, Vec<u8>) {
        let mut framer = Framer::new(1 << 20);
        let (mut events, mut bytes) = (Vec::new(), Vec::new());
        for piece in pieces {
            framer.push(Bytes::copy_from_slice(piece)).expect("the pieces are small");
            while let Some(range) = framer.next_event() {
                bytes.extend_from_slice(framer.bytes(range.clone()));
                let event = framer.slice(range);
                let data = Event::parse(&event).data;
                events.push(data.map(|data| String::from_utf8_lossy(&data).into_owned()));
            }
        }
        (events, bytes, framer.unfinished().to_vec())
    }

    fn data(events: Vec<Option<String>>) -> Vec<String> {
        events.into_iter().flatten().collect()
    }

    #[test]
    fn events_with_any_line_ending_are_parsed() {
        let cases: [(&str, &[&str]); 9] = [
            ("data: a\n\ndata:b\n\n", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("data: a\r\n\rdata: b\n\r\n", &["a", "b"]),
            (": comment\n\nevent: error\ndata: x\nid: 3\n\n", &["x"]),
            ("data: one\ndata: two\n\n", &["one\ntwo"]),
            ("data\n\ndata:\n\n", &["", ""]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("datax: no\ndata: yes\n\ndata: unfinished\n", &["yes"]),
        ];
        for (text, expected) in cases {
            assert_eq!(data(run([text.as_bytes()]).0), expected, "{text:?}");
        }
    }

    #[test]
    fn event_that_ends_with_cr_is_returned_at_once() {
        let (events, _, rest) = run([b"data: a\r\r".as_slice()]);
        assert_eq!((data(events), rest.len()), (vec!["a".to_owned()], 0));
    }

    #[test]
    fn crlf_across_pieces_belongs_to_its_event() {
        let mut framer = Framer::new(64);
        framer.push(Bytes::from_static(b"data: a\r\n\r")).expect("it is short");
        assert_eq!(framer.next_event(), None);
        framer.push(Bytes::from_static(b"\ndata: b\r\n")).expect("it is short");
        let event = framer.next_event().expect("it is whole now");
        assert_eq!(framer.bytes(event), b"data: a\r\n\r\n");
        assert_eq!(framer.next_event(), None);
    }

    #[test]
    fn event_above_limit_is_refused() {
        let mut framer = Framer::new(16);
        for _ in 0..2 {
            framer.push(Bytes::from_static(b"data: 0123\n")).expect("still in bounds");
            assert_eq!(framer.next_event(), None);
        }
        assert!(framer.push(Bytes::from_static(b"0123456789")).is_err());
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_split(
            lines in proptest::collection::vec(
                (prop_oneof![Just("data: x"), Just("data: y"), Just(": c"), Just(""), Just("event: e")],
                 prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]), 0..24),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let text: String = lines.iter().flat_map(|(line, end)| [*line, *end]).collect();
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let whole = run([bytes]);
            let split = run(at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]));
            let single = run(bytes.chunks(1));
            assert_eq!(data(whole.0.clone()), data(split.0));
            assert_eq!(data(whole.0), data(single.0));
            for (bytes_seen, rest) in [(whole.1, whole.2), (split.1, split.2), (single.1, single.2)] {
                assert_eq!([bytes_seen, rest].concat(), bytes);
            }
        }
    }
}

//! Finds the usage of an answer that is too long to hold, in bounded memory and wherever it stands.

use memchr::memchr2;

use crate::Usage;
use crate::usage_dialects::{Container, container};

/// The longest usage object that is read, in bytes.
const MAX_USAGE_BYTES: usize = 64 << 10;
/// The longest member name that is compared, in bytes.
const MAX_NAME_BYTES: usize = 24;
/// Depth of the members of a choice: object, list of choices, choice.
const CHOICE_DEPTH: usize = 3;

/// Scanner of a JSON document that arrives in pieces. It keeps only the usage.
#[derive(Debug, Default)]
pub struct UsageScanner {
    usage: Option<Usage>,
    depth: usize,
    /// Whether the containers of the first levels are objects.
    is_object: [bool; CHOICE_DEPTH],
    /// Whether the next string of a level is a name.
    expects_name: [bool; CHOICE_DEPTH],
    in_string: bool,
    is_escaped: bool,
    /// Name that is being read; `None` in other strings.
    name: Option<Vec<u8>>,
    is_in_choices: bool,
    /// Container whose name was read just now.
    named: Option<Container>,
    capture: Option<Capture>,
}

/// A usage that is being read.
#[derive(Debug)]
struct Capture {
    container: Container,
    /// Depth of the member.
    depth: usize,
    bytes: Vec<u8>,
}

/// Finds the usage of a document whose other members are not understood.
pub(crate) fn find_usage(document: &[u8]) -> Option<Usage> {
    let mut scanner = UsageScanner::default();
    scanner.push(document);
    scanner.usage()
}

impl UsageScanner {
    /// The usage so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Reads the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let used = match self.in_string {
                true => self.read_string(piece),
                false => self.read_structure(piece),
            };
            piece = &piece[used..];
        }
    }

    /// Reads a string until its end, or that of the piece. Returns the number of bytes.
    fn read_string(&mut self, piece: &[u8]) -> usize {
        let mut at = 0;
        loop {
            if std::mem::take(&mut self.is_escaped) {
                at += 1;
            }
            let Some(found) = piece.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) else {
                self.add_text(piece);
                return piece.len();
            };
            at += found + 1;
            if piece[at - 1] == b'"' {
                break;
            }
            self.is_escaped = true;
            if at == piece.len() {
                self.add_text(piece);
                return at;
            }
        }
        self.in_string = false;
        self.add_text(&piece[..at - 1]);
        self.add_captured(&piece[at - 1..at]);
        if let Some(name) = self.name.take() {
            self.read_name(&name);
        }
        at
    }

    fn add_text(&mut self, text: &[u8]) {
        if let Some(name) = &mut self.name {
            let room = MAX_NAME_BYTES.saturating_sub(name.len());
            name.extend_from_slice(&text[..text.len().min(room)]);
        }
        self.add_captured(text);
    }

    fn add_captured(&mut self, bytes: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.bytes.extend_from_slice(bytes);
            if capture.bytes.len() > MAX_USAGE_BYTES {
                self.capture = None;
            }
        }
    }

    /// Decides about the member with this name.
    fn read_name(&mut self, name: &[u8]) {
        let name = str::from_utf8(name).unwrap_or_default();
        self.expects_name[self.depth - 1] = false;
        if self.depth == 1 {
            self.is_in_choices = name == "choices";
            self.named = container(name);
        } else if self.depth == CHOICE_DEPTH
            && self.is_in_choices
            && self.is_object == [true, false, true]
        {
            self.named = (name == "usage").then_some(Container::Usage);
        }
    }

    /// Reads until the next structural character, and that one. Returns the number of bytes.
    fn read_structure(&mut self, piece: &[u8]) -> usize {
        let is_structural =
            |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':');
        let Some(at) = piece.iter().position(is_structural) else {
            self.add_captured(piece);
            return piece.len();
        };
        self.add_captured(&piece[..at]);
        let byte = piece[at];
        if matches!(byte, b'}' | b']' | b',') {
            self.end_capture();
        }
        self.add_captured(&[byte]);
        let level = self.depth.wrapping_sub(1);
        match byte {
            b'"' => {
                self.in_string = true;
                let is_name = self.expects_name.get(level).is_some_and(|expects| *expects);
                self.name = is_name.then(Vec::new);
            }
            b'{' | b'[' => {
                if let Some(is_object) = self.is_object.get_mut(self.depth) {
                    *is_object = byte == b'{';
                    self.expects_name[self.depth] = byte == b'{';
                }
                self.depth += 1;
                self.named = None;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' => {
                self.named = None;
                if let Some(expects) = self.expects_name.get_mut(level) {
                    *expects = self.is_object[level];
                }
            }
            _ => {
                if let Some(container) = self.named.take().filter(|_| self.capture.is_none()) {
                    self.capture =
                        Some(Capture { container, depth: self.depth, bytes: Vec::new() });
                }
            }
        }
        at + 1
    }

    /// Ends the usage that is being read, if its member ends here.
    fn end_capture(&mut self) {
        let Some(capture) = self.capture.take_if(|capture| capture.depth == self.depth) else {
            return;
        };
        let text = str::from_utf8(&capture.bytes).unwrap_or_default();
        let found = Usage::parse_in(capture.container, text.trim());
        self.usage = Usage::merge_options(self.usage, found);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{MAX_USAGE_BYTES, UsageScanner};

    /// Output tokens found in a document that arrives in pieces of this length.
    fn scan(document: &[u8], length: usize) -> Option<u64> {
        let mut scanner = UsageScanner::default();
        document.chunks(length).for_each(|piece| scanner.push(piece));
        scanner.usage().map(|usage| usage.output)
    }

    #[track_caller]
    fn assert_found(document: &str, expected: Option<u64>) {
        for length in [1, 2, 3, 7, document.len().max(1)] {
            assert_eq!(scan(document.as_bytes(), length), expected, "{length}: {document}");
        }
    }

    const USAGE: &str = r#""usage" : {"prompt_tokens":1,"completion_tokens":2}"#;

    #[test]
    fn usage_is_found_wherever_it_stands() {
        let data = r#""data":[{"embedding":[0.5,-1e3]},{"text":"a\\\"}]{,:é"}]"#;
        for document in [
            format!("{{{USAGE},{data}}}"),
            format!("{{{data},{USAGE}}}"),
            format!("{{{data},\n {USAGE} ,\"id\":1}}\n"),
            format!("{{\"x_groq\":{{\"id\":\"usage\",{USAGE}}},{data}}}"),
            format!(r#"{{"choices":[{{"text":"a"}},{{"text":"b",{USAGE}}}],"id":"x"}}"#),
            r#"{"usageMetadata":{"candidatesTokenCount":2},"x":[]}"#.to_owned(),
        ] {
            assert_found(&document, Some(2));
        }
    }

    #[test]
    fn other_members_of_that_name_are_no_usage() {
        let quoted = USAGE.replace('"', "\\\"");
        for document in [
            format!(r#"{{"text":"{quoted}"}}"#),
            format!(r#"{{"text":"\\","more":"{quoted}"}}"#),
            format!(r#"{{"data":[{{{USAGE}}}]}}"#),
            format!(r#"{{"choices":[{{"message":{{{USAGE}}}}}]}}"#),
            r#"{"x":"usage","y":{"completion_tokens":2}}"#.to_owned(),
            r#"{"usage":null}"#.to_owned(),
            r#"{"usage":["completion_tokens",2]}"#.to_owned(),
            // Cut in the middle.
            r#"{"usage":{"completion_tokens":2"#.to_owned(),
            String::new(),
        ] {
            assert_found(&document, None);
        }
    }

    #[test]
    fn scanner_keeps_a_bounded_part() {
        let mut scanner = UsageScanner::default();
        scanner.push(br#"{"usage":{"text":""#);
        for _ in 0..100 {
            scanner.push(&[b'a'; 4 << 10]);
            let kept = scanner.capture.as_ref().map_or(0, |capture| capture.bytes.len());
            assert!(kept <= MAX_USAGE_BYTES);
        }
        scanner.push(format!("\"}},{USAGE}}}").as_bytes());
        assert_eq!(scanner.usage().map(|usage| usage.output), Some(2));
    }

    proptest! {
        #[test]
        fn any_bytes_do_not_panic(document in any::<Vec<u8>>(), length in 1_usize..9) {
            scan(&document, length);
        }

        #[test]
        fn odd_structure_does_not_panic(document in r#"[\[\]{}",:\\au]{0,60}"#, length in 1_usize..9) {
            scan(document.as_bytes(), length);
        }
    }
}

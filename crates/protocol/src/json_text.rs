//! Writing of JSON text without a tree.

/// Writer of JSON text. Commas are set by the last byte: one that can end a value needs a comma
/// before the next value or name.
#[derive(Debug, Default)]
pub(crate) struct JsonText {
    out: Vec<u8>,
}

impl JsonText {
    /// Writer with room for a text.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    /// Begins an object as a value.
    pub(crate) fn begin_object(&mut self) {
        self.separate();
        self.out.push(b'{');
    }

    pub(crate) fn end_object(&mut self) {
        self.out.push(b'}');
    }

    /// Begins an array as a value.
    pub(crate) fn begin_array(&mut self) {
        self.separate();
        self.out.push(b'[');
    }

    pub(crate) fn end_array(&mut self) {
        self.out.push(b']');
    }

    /// Writes a member's name. The next value is the member's.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        self.string(name);
        self.out.push(b':');
        self
    }

    /// Begins a member that is an object.
    pub(crate) fn object(&mut self, name: &str) {
        self.name(name).begin_object();
    }

    /// Begins a member that is an array.
    pub(crate) fn array(&mut self, name: &str) {
        self.name(name).begin_array();
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.separate();
        self.out.push(b'"');
        escape_into(text, &mut self.out);
        self.out.push(b'"');
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.separate();
        self.out.extend_from_slice(number.to_string().as_bytes());
    }

    /// Writes JSON text as it is.
    pub(crate) fn raw(&mut self, json: &str) {
        self.raw_bytes(json.as_bytes());
    }

    /// Writes JSON text as it is.
    pub(crate) fn raw_bytes(&mut self, json: &[u8]) {
        self.separate();
        self.out.extend_from_slice(json);
    }

    /// Writes a member that is a text.
    pub(crate) fn text_member(&mut self, name: &str, text: &str) {
        self.name(name).string(text);
    }

    /// Writes a member that is a text, or null.
    pub(crate) fn optional_text_member(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text_member(name, text),
            None => self.raw_member(name, "null"),
        }
    }

    /// Writes a member that is a number.
    pub(crate) fn number_member(&mut self, name: &str, number: u64) {
        self.name(name).number(number);
    }

    /// Writes a member that is JSON text.
    pub(crate) fn raw_member(&mut self, name: &str, json: &str) {
        self.name(name).raw(json);
    }
}

/// Escapes a text as the content of a JSON string, without quotation marks.
pub(crate) fn escape_into(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = find_escaped(rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Finds the first byte that a JSON string cannot hold as it is. Reads eight bytes at once: most of a
/// body is text.
fn find_escaped(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH_BITS: u64 = ONES << 7;
    // A byte's high bit is set if the byte is below `bound`. Bits above the first such one are arbitrary.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = (below(word, 0x20) | equal(word, b'"') | equal(word, b'\\')) & HIGH_BITS;
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let is_escaped = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    rest.iter().position(is_escaped).map(|at| words.len() * 8 + at)
}

/// Joins JSON arrays into one.
pub(crate) fn join_arrays(joined: &mut String, array: &str) {
    let inner = array.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inner = inner.unwrap_or_default().trim();
    if inner.is_empty() {
        return;
    }
    if joined.is_empty() {
        joined.push('[');
    } else {
        joined.pop();
        joined.push(',');
    }
    joined.push_str(inner);
    joined.push(']');
}

#[cfg(test)]
mod tests {
    use super::{JsonText, escape_into, join_arrays};

    #[test]
    fn commas_are_set_between_values() {
        let mut json = JsonText::default();
        json.begin_object();
        json.text_member("a", "x\"\n{");
        json.array("b");
        json.number(1);
        json.begin_object();
        json.end_object();
        json.raw("[ ]");
        json.string("");
        json.end_array();
        json.optional_text_member("c", None);
        json.end_object();
        let text = String::from_utf8(json.into_bytes()).expect("UTF-8");
        assert_eq!(text, r#"{"a":"x\"\n{","b":[1,{},[ ],""],"c":null}"#);
    }

    #[test]
    fn text_is_escaped_at_each_place() {
        for byte in (0..0x80).map(char::from) {
            for place in 0..20 {
                let text = format!("{}{byte}é{byte}", "x".repeat(place));
                let mut escaped = vec![b'"'];
                escape_into(&text, &mut escaped);
                escaped.push(b'"');
                let read: String = serde_json::from_slice(&escaped).expect("a string");
                assert_eq!(read, text);
            }
        }
    }

    #[test]
    fn arrays_are_joined() {
        let mut joined = String::new();
        for array in ["[]", "[1, 2]", " [ 3 ]", "x", "[]"] {
            join_arrays(&mut joined, array);
        }
        assert_eq!(joined, "[1, 2,3]");
    }
}

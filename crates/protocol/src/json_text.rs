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
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        from = at + 1;
        if short == 0 {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
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
    use super::{JsonText, join_arrays};

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
    fn arrays_are_joined() {
        let mut joined = String::new();
        for array in ["[]", "[1, 2]", " [ 3 ]", "x", "[]"] {
            join_arrays(&mut joined, array);
        }
        assert_eq!(joined, "[1, 2,3]");
    }
}

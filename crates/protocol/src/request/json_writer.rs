//! Writer of JSON text.

use crate::json_text::escape_into;

/// JSON text under construction. It adds the commas.
#[derive(Default)]
pub(super) struct JsonWriter {
    text: Vec<u8>,
    needs_comma: bool,
}

impl JsonWriter {
    pub(super) fn finish(self) -> Vec<u8> {
        self.text
    }

    pub(super) fn begin_object(&mut self) {
        self.open(b'{');
    }

    pub(super) fn end_object(&mut self) {
        self.close(b'}');
    }

    pub(super) fn begin_list(&mut self) {
        self.open(b'[');
    }

    pub(super) fn end_list(&mut self) {
        self.close(b']');
    }

    /// Begins a member; its value follows.
    pub(super) fn name(&mut self, name: &str) {
        self.string(name);
        self.text.push(b':');
        self.needs_comma = false;
    }

    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        self.text.push(b'"');
        escape_into(text, &mut self.text);
        self.text.push(b'"');
    }

    /// Writes one string of several pieces.
    pub(super) fn joined(&mut self, pieces: &[&str]) {
        match pieces {
            [text] => self.string(text),
            _ => self.string(&pieces.concat()),
        }
    }

    /// Writes a value that is JSON already.
    pub(super) fn raw(&mut self, raw: &str) {
        self.separate();
        self.text.extend_from_slice(raw.as_bytes());
    }

    pub(super) fn member(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    pub(super) fn raw_member(&mut self, name: &str, raw: &str) {
        self.name(name);
        self.raw(raw);
    }

    pub(super) fn flag_member(&mut self, name: &str, value: bool) {
        self.raw_member(name, if value { "true" } else { "false" });
    }

    pub(super) fn integer_member(&mut self, name: &str, value: u64) {
        self.raw_member(name, &value.to_string());
    }

    /// Begins an object with a type.
    pub(super) fn begin_typed(&mut self, name: &str) {
        self.begin_object();
        self.member("type", name);
    }

    fn open(&mut self, bracket: u8) {
        self.separate();
        self.text.push(bracket);
        self.needs_comma = false;
    }

    fn close(&mut self, bracket: u8) {
        self.text.push(bracket);
        self.needs_comma = true;
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.needs_comma, true) {
            self.text.push(b',');
        }
    }
}

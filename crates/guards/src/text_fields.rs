//! Texts of a JSON body, for checks as plain text and edits in place.

use std::ops::Range;

use bytes::Bytes;
use json::Edits;
use openai::{AnswerTexts, TextField};

use super::Edit;
use super::lenient_json::to_json_string;

/// Source of texts for guards.
pub trait GuardInput {
    /// Texts to check.
    fn texts(&self) -> Vec<GuardText>;
    /// Applies edits to a text. They are in order and apart from each other.
    fn apply_edits(&mut self, number: usize, edits: &[Edit]);
    /// Holds back `bytes` bytes at the end of a text until the following text is known.
    fn hold_back(&mut self, number: usize, bytes: usize);
}

/// Text to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardText {
    /// Number of the text within its input.
    pub number: usize,
    /// Text without escapes: its context, then the unchecked part.
    pub text: String,
    /// Start of the unchecked part. The bytes before it were released and serve as context.
    pub unchecked_from: usize,
    /// Whether text may follow.
    pub goes_on: bool,
}

/// Texts of one body. They are checked together, joined by line feeds.
#[derive(Debug)]
pub struct TextFields {
    parts: Vec<EditableText>,
    /// Ranges of `logprobs`, which repeat the texts: changed text must not remain there.
    echoes: Vec<Range<usize>>,
}

/// Text that may be changed.
#[derive(Debug)]
pub(super) struct EditableText {
    pub(super) field: TextField<'static>,
    pub(super) changed: bool,
}

impl EditableText {
    pub(super) fn new(field: TextField<'_>) -> Self {
        Self { field: field.into_owned(), changed: false }
    }

    pub(super) fn text(&self) -> &str {
        &self.field.text
    }
}

impl TextFields {
    /// Collects texts in the order of their body.
    pub fn new<'a>(texts: impl IntoIterator<Item = TextField<'a>>) -> Self {
        let mut parts: Vec<EditableText> = texts.into_iter().map(EditableText::new).collect();
        parts.retain(|part| !part.text().trim().is_empty());
        Self { parts, echoes: Vec::new() }
    }

    /// Collects the texts of an answer.
    pub fn from_answer(answer_texts: AnswerTexts<'_>) -> Self {
        Self { echoes: answer_texts.logprobs, ..Self::new(answer_texts.texts) }
    }

    /// All texts joined by line feeds.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.parts.iter().map(EditableText::text).collect();
        texts.join("\n")
    }

    /// Returns the body with the changed texts. `None` if nothing changed.
    pub fn write_body(&self, body: &[u8]) -> Option<Bytes> {
        write_changed(body, &self.parts, &self.echoes)
    }
}

impl GuardInput for TextFields {
    fn texts(&self) -> Vec<GuardText> {
        vec![GuardText { number: 0, text: self.text(), unchecked_from: 0, goes_on: false }]
    }

    fn apply_edits(&mut self, _: usize, edits: &[Edit]) {
        let mut start = 0;
        let mut parts: Vec<(usize, &mut EditableText)> = Vec::with_capacity(self.parts.len());
        for part in &mut self.parts {
            let length = part.text().len();
            parts.push((start, part));
            start += length + "\n".len();
        }
        edit_parts(parts, edits);
    }

    fn hold_back(&mut self, _: usize, bytes: usize) {
        debug_assert_eq!(bytes, 0, "a body is complete");
    }
}

/// Applies edits to the parts of a text, each with the byte at which it begins. The first part of
/// an edit that spans several parts takes the replacement.
pub(super) fn edit_parts<'a>(
    parts: impl IntoIterator<Item = (usize, &'a mut EditableText)>,
    edits: &[Edit],
) {
    // The first edit that does not end before the part, and whether its replacement was placed. Parts
    // and edits are in order, so each is visited once, except for edits that span parts.
    let (mut next, mut is_placed) = (0, false);
    for (start, part) in parts {
        let end = start + part.text().len();
        let mut own = Edits::default();
        while let Some(edit) = edits.get(next).filter(|edit| edit.at.start < end) {
            let (from, to) = (edit.at.start.max(start), edit.at.end.min(end));
            // An empty edit belongs to the part that contains it.
            if from < to || (edit.at.is_empty() && edit.at.start >= start) {
                let text = if is_placed { "" } else { edit.text.as_str() };
                own.replace(from - start..to - start, text);
                is_placed = true;
            }
            if edit.at.end > end {
                break;
            }
            (next, is_placed) = (next + 1, false);
        }
        if !own.is_empty() {
            part.field.text = own.apply_to_text(part.text()).into();
            part.changed = true;
        }
    }
}

/// Returns a body with its changed texts and without their repetitions. `None` if nothing changed.
pub(super) fn write_changed(
    body: &[u8],
    parts: &[EditableText],
    echoes: &[Range<usize>],
) -> Option<Bytes> {
    if !parts.iter().any(|part| part.changed) {
        return None;
    }
    let changed = parts.iter().filter(|part| part.changed);
    let changed = changed.map(|part| (&part.field.at, to_json_string(part.text())));
    // A repetition becomes `null`.
    let repeated = echoes.iter().map(|at| (at, String::from("null")));
    let mut replaced: Vec<_> = changed.chain(repeated).collect();
    sorting::sort_by_key(&mut replaced, |(range, _)| range.start);
    let mut edits = Edits::default();
    for (range, text) in replaced {
        edits.replace(range.clone(), text);
    }
    Some(edits.apply(body).into())
}

#[cfg(test)]
mod tests {
    use openai::{MessageRole, TextField, answer_texts, texts_in_answer};
    use proptest::prelude::*;

    use crate::Edit;

    use super::{GuardInput, TextFields};

    fn edit(text: &str, what: &str, by: &str) -> Edit {
        let start = text.find(what).expect("it is there");
        Edit { at: start..start + what.len(), text: by.to_owned() }
    }

    #[test]
    fn edited_texts_change_only_their_bytes() {
        let body = r#"{"x":1.50,"choices":[{"message":{"content":"call \u0031 now","refusal":null},"logprobs" :null},{"index":1,"message":{"content":"or 2, \"3\""}}]}"#;
        let mut text_fields = TextFields::new(texts_in_answer(body).expect("an answer"));
        let text = text_fields.text();
        assert_eq!(text, "call 1 now\nor 2, \"3\"");
        assert_eq!(text_fields.write_body(body.as_bytes()), None);
        text_fields.apply_edits(
            0,
            &[edit(&text, "1", "[A]"), edit(&text, "2", ""), edit(&text, "\"3\"", "\n")],
        );
        let written = text_fields.write_body(body.as_bytes()).expect("it was changed");
        let expected =
            body.replace(r"call \u0031 now", "call [A] now").replace(r#"or 2, \"3\""#, r"or , \n");
        assert_eq!(written, expected);
    }

    #[test]
    fn masked_answer_loses_logprobs_and_keeps_order() {
        let body = r#"{"choices":[{"logprobs":{"content":[{"token":"13"}]},"text":"b 13","message":{"content":"a 13"}}]}"#;
        let mut text_fields = TextFields::from_answer(answer_texts(body).expect("an answer"));
        let text = text_fields.text();
        assert_eq!(text, "b 13\na 13");
        text_fields
            .apply_edits(0, &[edit(&text, "13", "[N]"), Edit { at: 7..9, text: "[N]".to_owned() }]);
        let written = text_fields.write_body(body.as_bytes()).expect("it was changed");
        let expected =
            r#"{"choices":[{"logprobs":null,"text":"b [N]","message":{"content":"a [N]"}}]}"#;
        assert_eq!(written, expected);
    }

    #[test]
    fn edit_across_texts_is_applied_once() {
        let body = r#"{"choices":[{"delta":{"a":"one","b":"two"}}]}"#;
        let mut text_fields = TextFields::new(texts_in_answer(body).expect("an answer"));
        let text = text_fields.text();
        text_fields.apply_edits(0, &[edit(&text, "ne\nt", "X")]);
        let written = text_fields.write_body(body.as_bytes()).expect("it was changed");
        assert_eq!(written, r#"{"choices":[{"delta":{"a":"oX","b":"wo"}}]}"#);
    }

    /// Texts of a body that is not JSON.
    fn fields(texts: &[String]) -> TextFields {
        let field = |(at, text): (usize, &String)| TextField {
            role: MessageRole::User,
            channel: String::new(),
            text: text.clone().into(),
            at: at..at,
        };
        TextFields::new(texts.iter().enumerate().map(field))
    }

    proptest! {
        /// The texts change as if they were one text, except that an edit over several of them leaves
        /// the line feeds between them.
        #[test]
        fn edits_of_texts_are_those_of_the_joined_text(
            texts in prop::collection::vec("[aé]{1,4}", 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut text_fields = fields(&texts);
            let joined = text_fields.text();
            let borders: Vec<usize> =
                joined.char_indices().map(|(at, _)| at).chain([joined.len()]).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| borders[cut.index(borders.len())]).collect();
            cuts.sort_unstable();
            let edits: Vec<Edit> = cuts
                .chunks_exact(2)
                .filter(|pair| pair[0] < pair[1])
                .map(|pair| Edit { at: pair[0]..pair[1], text: "X".to_owned() })
                .collect();
            text_fields.apply_edits(0, &edits);
            let (mut expected, mut end) = (String::new(), 0);
            for edit in &edits {
                expected.push_str(&joined[end..edit.at.start]);
                let (cut, mut is_placed) = (&joined[edit.at.clone()], false);
                // The replacement is in the first text that loses a part.
                for letter in cut.chars() {
                    match letter {
                        '\n' => expected.push('\n'),
                        _ if !std::mem::replace(&mut is_placed, true) => expected.push('X'),
                        _ => {}
                    }
                }
                end = edit.at.end;
            }
            expected.push_str(&joined[end..]);
            prop_assert_eq!(text_fields.text(), expected);
        }
    }
}

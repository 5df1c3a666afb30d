//! Texts of answers, chunks, and errors.

use std::fmt::Write as _;
use std::ops::Range;

use json::range_in;
use serde_json::value::RawValue;

use crate::choices::{Choice, ContentSink, Part};
use crate::chunk::Chunk;

use super::field::{MessageRole, TextField, Unreadable};
use super::other_json;
use super::walk::{MAX_DEPTH, MAX_TEXTS, decode_text, visit_member, visit_texts};

/// Texts of an answer, or of the data of one event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AnswerTexts<'a> {
    /// Texts of all choices in the order of the bytes.
    pub texts: Vec<TextField<'a>>,
    /// Indices of the choices that finish here.
    pub finished_choices: Vec<u32>,
    /// Ranges of `logprobs`, which repeat the texts.
    pub logprobs: Vec<Range<usize>>,
}

impl AnswerTexts<'_> {
    /// Copies the borrowed texts, and moves all ranges by `offset` bytes.
    pub(crate) fn into_owned(self, offset: usize) -> AnswerTexts<'static> {
        let moved = |at: Range<usize>| at.start + offset..at.end + offset;
        let own =
            |field: TextField<'_>| TextField { at: moved(field.at.clone()), ..field.into_owned() };
        AnswerTexts {
            texts: self.texts.into_iter().map(own).collect(),
            finished_choices: self.finished_choices,
            logprobs: self.logprobs.into_iter().map(moved).collect(),
        }
    }
}

/// Returns the texts of [`answer_texts`].
pub fn texts_in_answer(body: &str) -> Result<Vec<TextField<'_>>, Unreadable> {
    answer_texts(body).map(|answer| answer.texts)
}

/// Returns every text of an error body.
pub fn texts_in_error(body: &str) -> Result<Vec<TextField<'_>>, Unreadable> {
    let whole: &RawValue = serde_json::from_str(body).map_err(|_| Unreadable)?;
    let mut collector = TextCollector::new(body);
    collector.add(None, whole.get());
    collector.finish().map(|error| error.texts)
}

/// Returns the texts of all choices of an answer, or of the data of one event of a stream. JSON of
/// another shape has all its strings for texts: a caller may understand it.
pub fn answer_texts(body: &str) -> Result<AnswerTexts<'_>, Unreadable> {
    let mut collector = TextCollector::new(body);
    match Chunk::parse_object(body, Some(&mut collector)) {
        Ok(_) => collector.finish(),
        Err(_) => texts_in_other_json(body),
    }
}

/// Returns the texts of JSON that is no answer and no chunk.
pub(crate) fn texts_in_other_json(body: &str) -> Result<AnswerTexts<'_>, Unreadable> {
    let mut collector = TextCollector::new(body);
    let whole: &RawValue = serde_json::from_str(body).map_err(|_| Unreadable)?;
    other_json::collect(whole.get(), &mut collector)?;
    collector.finish()
}

/// Collects the texts of choices while they are parsed.
pub(crate) struct TextCollector<'a> {
    body: &'a str,
    found: AnswerTexts<'a>,
    /// Index of the current choice, with which the paths of its texts begin.
    path: String,
    /// Bytes left for copies of paths.
    path_bytes_left: usize,
    is_unreadable: bool,
}

/// Bytes of paths in the texts of an answer, and more for each byte of the answer. Each text has a
/// path of its own, and a long name with many texts would take the square of its length.
const MAX_PATH_BYTES: usize = 256 << 10;
const MAX_PATH_BYTES_PER_BYTE: usize = 8;

impl<'a> TextCollector<'a> {
    pub(crate) fn new(body: &'a str) -> Self {
        Self {
            body,
            found: AnswerTexts::default(),
            path: String::new(),
            path_bytes_left: MAX_PATH_BYTES + MAX_PATH_BYTES_PER_BYTE * body.len(),
            is_unreadable: false,
        }
    }

    pub(crate) fn finish(self) -> Result<AnswerTexts<'a>, Unreadable> {
        if self.is_unreadable {
            return Err(Unreadable);
        }
        let mut found = self.found;
        // A choice may have its text before or after its message.
        sorting::sort_by_key(&mut found.texts, |field| field.at.start);
        Ok(found)
    }

    /// Begins the choice of this name.
    pub(super) fn begin_choice(&mut self, index: &dyn std::fmt::Display) {
        self.path.clear();
        write!(self.path, "{index}").expect("a string accepts any write");
    }

    /// Adds the choice of this index to those that finish.
    pub(super) fn finish_choice(&mut self, index: u32) {
        self.found.finished_choices.push(index);
    }

    /// Adds a repetition of the texts.
    pub(super) fn add_logprobs(&mut self, raw: &'a RawValue) {
        self.found.logprobs.push(range_in(self.body, raw.get()));
    }

    /// Adds the texts of a value, or of a member of the current choice.
    pub(super) fn add(&mut self, name: Option<&str>, value: &'a str) {
        if self.is_unreadable {
            return;
        }
        let (body, all) = (self.body, &mut self.found.texts);
        let length = self.path.len();
        let left = &mut self.path_bytes_left;
        let mut add_text = |path: &str, raw: &'a str| {
            let (at, text) = (range_in(body, raw), decode_text(raw)?);
            if text.is_empty() {
                return Ok(());
            }
            *left = left.checked_sub(path.len()).ok_or(Unreadable)?;
            if all.len() == MAX_TEXTS {
                return Err(Unreadable);
            }
            let channel = path.to_owned();
            all.push(TextField { role: MessageRole::Assistant, channel, text, at });
            Ok(())
        };
        let result = match name {
            Some(name) => visit_member(name, value, &mut self.path, MAX_DEPTH - 1, &mut add_text),
            None => visit_texts(value, &mut self.path, MAX_DEPTH, &mut add_text),
        };
        self.path.truncate(length);
        self.is_unreadable |= result.is_err();
    }
}

impl<'a> ContentSink<'a> for TextCollector<'a> {
    fn choice(&mut self, choice: &Choice<'a>) {
        self.begin_choice(&choice.index.0);
        if let Some(raw) = choice.logprobs {
            self.add_logprobs(raw);
        }
        if choice.is_finished() {
            self.finish_choice(choice.index.0);
        }
    }

    fn member(&mut self, _: &Choice<'a>, _: Part, name: &str, value: &'a RawValue) {
        self.add(Some(name), value.get());
    }

    fn value(&mut self, _: &Choice<'a>, _: Part, value: &'a RawValue) {
        self.add(None, value.get());
    }
}

#[cfg(test)]
mod tests {
    use super::{Unreadable, answer_texts, texts_in_answer, texts_in_error};

    /// Returns `channel=text` for each text, and asserts that its range holds it.
    fn channel_texts(body: &str) -> Vec<String> {
        let all = texts_in_answer(body).expect("an answer");
        for field in &all {
            let there: String = serde_json::from_str(&body[field.at.clone()]).expect("a string");
            assert_eq!(there, field.text);
        }
        all.iter().map(|field| format!("{}={}", field.channel, field.text)).collect()
    }

    #[test]
    fn texts_of_answers_and_chunks_are_found() {
        let chunk = r#"{"id":"x","choices":[
            {"index":1,"delta":{"role":"assistant","content":"a\nb","reasoning_content":"hm"}},
            {"index":0,"delta":{"tool_calls":[{"index":2,"id":"call","type":"function",
             "function":{"name":"f","arguments":"{\"q\":1}"}}]},"finish_reason":"stop"}]}"#;
        assert_eq!(
            channel_texts(chunk),
            [
                "1.content=a\nb",
                "1.reasoning_content=hm",
                "0.tool_calls.2.function.arguments={\"q\":1}"
            ]
        );
        let answer = r#"{"choices":[{"message":{"role":"assistant","content":[{"type":"text","text":"hi"}],"refusal":null}}]}"#;
        assert_eq!(channel_texts(answer), ["0.content.0.text=hi"]);
        assert_eq!(channel_texts(r#"{"choices":[{"index":3,"text":"once"}]}"#), ["3=once"]);
        assert_eq!(channel_texts(r#"{"choices":[],"usage":{}}"#), Vec::<String>::new());
        assert_eq!(channel_texts(r#"{"object":"x"}"#), Vec::<String>::new());
    }

    #[test]
    fn texts_of_unknown_members_are_found() {
        let odd = r#"{"choices":[{"delta":{"thinking":{"blocks":["secret"]},"content":"a","content":"b"}}]}"#;
        assert_eq!(
            channel_texts(odd),
            ["0.thinking.blocks.0=secret", "0.content=a", "0.content=b"]
        );
        assert_eq!(channel_texts(r#"{"choices":["text"]}"#), ["0=text"]);
        let deep = format!(r#"{{"choices":[{{"delta":{}{}}}]}}"#, "[".repeat(40), "]".repeat(40));
        assert_eq!(texts_in_answer(&deep), Err(Unreadable));
    }

    #[test]
    fn texts_beside_a_repeated_usage_are_found() {
        let twice = r#"{"usage":{},"choices":[{"delta":{"content":"x"}}],"usage":{}}"#;
        assert_eq!(channel_texts(twice), ["0.content=x"]);
        let choices = r#"{"choices":[],"choices":[{"delta":{"content":"x"}}]}"#;
        assert_eq!(channel_texts(choices), ["0.content=x"]);
    }

    #[test]
    fn paths_are_bounded_by_the_length_of_the_answer() {
        let (name, texts) = ("n".repeat(20_000), vec!["\"x\""; 5_000].join(","));
        let answer = |name: &str| format!(r#"{{"choices":[{{"delta":{{"{name}":[{texts}]}}}}]}}"#);
        assert_eq!(texts_in_answer(&answer(&name)), Err(Unreadable));
        assert_eq!(texts_in_answer(&answer("n")).expect("readable").len(), 5_000);
    }

    #[test]
    fn choices_with_an_odd_index_are_read() {
        let choice = |index: &str| {
            format!(
                r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}},"finish_reason":"stop"}}]}}"#
            )
        };
        for (index, expected) in [
            ("0", "0.content=x"),
            ("\"0\"", "0.content=x"),
            ("0.0", "0.content=x"),
            ("1e0", "1.content=x"),
            ("\" 2 \"", "2.content=x"),
            ("-1", "-1.content=x"),
            ("0.5", "0.5.content=x"),
            ("4294967296", "4294967296.content=x"),
            ("[0]", "[0].content=x"),
            ("true", "true.content=x"),
        ] {
            assert_eq!(channel_texts(&choice(index)), [expected], "{index}");
        }
        let finished =
            |index| answer_texts(&choice(index)).expect("readable").finished_choices.len();
        assert_eq!((finished("\"0\""), finished("0.0"), finished("-1")), (1, 1, 0));
    }

    #[test]
    fn json_of_another_shape_has_all_its_strings_for_texts() {
        for (body, expected) in [
            (r#"["a",{"b":["c"]}]"#, vec![".0=a", ".1.b.0=c"]),
            (r#""a""#, vec!["=a"]),
            ("7", vec![]),
            (r#"{"choices":{"text":"a"}}"#, vec![".choices.text=a"]),
            (r#"{"choices":[{"delta":"a","index":[]}],"note":"b"}"#, vec!["[]=a", ".note=b"]),
            (r#"{"choices":[[{"text":"a"}]]}"#, vec!["0.0.text=a"]),
            (
                r#"{"choices":[{"index":7.5,"text":"a","new":"b","message":{"content":"c"}}]}"#,
                vec!["7.5=a", "7.5.new=b", "7.5.content=c"],
            ),
        ] {
            assert_eq!(channel_texts(body), expected, "{body}");
        }
        assert_eq!(texts_in_answer("<html>"), Err(Unreadable));
    }

    #[test]
    fn texts_are_bounded_in_number() {
        let answer = |count: usize, text: &str| {
            let texts = vec![text; count].join(",");
            texts_in_answer(&format!(r#"{{"choices":[{{"delta":{{"content":[{texts}]}}}}]}}"#))
                .map(|texts| texts.len())
        };
        assert_eq!(answer(20_000, "\"x\""), Ok(20_000));
        assert_eq!(answer(20_001, "\"x\""), Err(Unreadable));
        assert_eq!(answer(100_000, "\"\""), Ok(0));
    }

    #[test]
    fn finish_reasons_and_logprobs_are_found() {
        let chunk = r#"{"choices":[{"text":"b","message":{"content":"a"},"index":3,"finish_reason":"stop","logprobs":{"content":[]}},{"index":1,"finish_reason":null,"logprobs":null}]}"#;
        let answer = answer_texts(chunk).expect("an answer");
        let texts: Vec<&str> = answer.texts.iter().map(|field| &*field.text).collect();
        assert_eq!((texts, answer.finished_choices), (vec!["b", "a"], vec![3]));
        let logprobs: Vec<&str> = answer.logprobs.iter().map(|at| &chunk[at.clone()]).collect();
        assert_eq!(logprobs, [r#"{"content":[]}"#]);
        let empty = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":""}]}"#;
        assert!(answer_texts(empty).expect("an answer").finished_choices.is_empty());
        let error = r#"{"error":{"message":"no","type":"x","more":["so"]}}"#;
        let texts = texts_in_error(error).expect("JSON");
        let texts: Vec<&str> = texts.iter().map(|field| &*field.text).collect();
        assert_eq!(texts, ["no", "so"]);
        assert_eq!(texts_in_error("<html>"), Err(Unreadable));
    }

    #[test]
    fn texts_are_in_order_of_body() {
        let odd = r#"{"choices":[{"text":"a","message":{"content":"b"},"delta":{"content":"c"}}]}"#;
        assert_eq!(channel_texts(odd), ["0=a", "0.content=b", "0.content=c"]);
    }

    #[test]
    fn lone_surrogate_is_replaced() {
        let all =
            texts_in_answer(r#"{"choices":[{"delta":{"content":"a\ud83dz"}}]}"#).expect("read");
        assert!(all[0].text.starts_with('a') && all[0].text.ends_with('z'), "{:?}", all[0].text);
    }
}

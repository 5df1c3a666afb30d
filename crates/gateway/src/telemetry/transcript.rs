//! Transcript of prompt and answer for routes that log content: truncated, and without personal
//! data.
//!
//! It masks the data that local guards can find, whether or not a guard applies to the route. The
//! masked originals are not kept.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use guards::settings::{Pii, PiiAction, PiiKind};
use guards::{Masks, Verdict, pii};
use json::Edits;
use openai::{
    Endpoint, EventContent, MessageRole, Prompt, StreamEvent, TextField, texts_in_answer,
};

use crate::request::parse::ParsedRequest;

/// All kinds that guards find without a service.
const MASKED_KINDS: [PiiKind; 6] = [
    PiiKind::Email,
    PiiKind::Phone,
    PiiKind::ChineseId,
    PiiKind::Card,
    PiiKind::Address,
    PiiKind::ApiKey,
];
/// Marks omitted text.
const ELLIPSIS: char = '…';

/// Prompt and answer of one request.
pub(crate) struct Transcript {
    request: ParsedRequest,
    /// Maximum characters of the prompt, and of the answer.
    max_chars: usize,
    answer: RefCell<AnswerTranscript>,
}

/// The answer so far: each text field (a choice's text, its reasoning, a tool call's arguments) is
/// a text.
struct AnswerTranscript {
    texts: Vec<String>,
    /// Number of the text of each channel.
    numbers: BTreeMap<String, usize>,
    chars_left: usize,
    is_truncated: bool,
}

impl Transcript {
    /// Starts with the prompt.
    pub(crate) fn new(request: &ParsedRequest, max_chars: usize) -> Self {
        let answer_so_far = AnswerTranscript {
            texts: Vec::new(),
            numbers: BTreeMap::new(),
            chars_left: max_chars,
            is_truncated: false,
        };
        Self { request: request.clone(), max_chars, answer: RefCell::new(answer_so_far) }
    }

    /// Adds an event that the caller is shown.
    pub(crate) fn add_event(&self, event: &StreamEvent) {
        if let EventContent::Chunk(content) = event.content()
            && let Some(Ok(found)) = &content.texts
        {
            self.answer.borrow_mut().add_texts(&found.texts);
        }
    }

    /// Adds a whole answer that the caller is shown.
    pub(crate) fn add_answer(&self, answer: &Bytes) {
        if let Some(Ok(texts)) = str::from_utf8(answer).ok().map(texts_in_answer) {
            self.answer.borrow_mut().add_texts(&texts);
        }
    }

    /// The prompt, truncated: of many messages the last ones, each from its beginning.
    pub(crate) fn question(&self) -> Option<String> {
        let content = self.request.fields().content.clone();
        let prompt =
            Prompt::parse(self.request.endpoint(), self.request.body_text(), content).ok()?;
        let has_roles = self.request.endpoint() == Endpoint::ChatCompletions;
        let mut masks = Masks::default();
        masks.reserve_placeholders(self.request.body_text());
        let (mut left, mut lines) = (self.max_chars, Vec::new());
        for (_, field) in prompt.texts.iter().rev() {
            if left == 0 {
                lines.push(ELLIPSIS.to_string());
                break;
            }
            let (text, is_cut) = truncate_chars(&field.text, left);
            left = if is_cut { 0 } else { left - text.chars().count() };
            let text = mask_text(&mut masks, text, is_cut, self.max_chars);
            lines.push(match has_roles {
                true => format!("{}: {text}", role_name(field.role)),
                false => text,
            });
        }
        lines.reverse();
        Some(lines.join("\n")).filter(|text| !text.is_empty())
    }

    /// The answer, truncated.
    pub(crate) fn answer(&self) -> Option<String> {
        let answer_so_far = self.answer.borrow();
        let mut masks = Masks::default();
        answer_so_far.texts.iter().for_each(|text| masks.reserve_placeholders(text));
        let is_cut = answer_so_far.is_truncated;
        let lines = answer_so_far
            .texts
            .iter()
            .map(|text| mask_text(&mut masks, text, is_cut, self.max_chars));
        Some(lines.collect::<Vec<_>>().join("\n")).filter(|text| !text.is_empty())
    }
}

impl AnswerTranscript {
    fn add_texts(&mut self, texts: &[TextField<'_>]) {
        for field in texts {
            if self.is_truncated {
                return;
            }
            let (text, is_cut) = truncate_chars(&field.text, self.chars_left);
            self.chars_left -= text.chars().count();
            self.is_truncated = is_cut;
            match self.numbers.get(&field.channel) {
                Some(number) => self.texts[*number].push_str(text),
                None => {
                    self.numbers.insert(field.channel.clone(), self.texts.len());
                    self.texts.push(text.to_owned());
                }
            }
        }
    }
}

/// The first characters of a text, and whether more follow.
fn truncate_chars(text: &str, max: usize) -> (&str, bool) {
    text.char_indices().nth(max).map_or((text, false), |(at, _)| (&text[..at], true))
}

/// Masks personal data in a text. If the text is cut, its end is removed too where that may be a
/// part of a datum: half of a card's number is not detected as one.
fn mask_text(masks: &mut Masks, text: &str, is_cut: bool, max: usize) -> String {
    let detect = MASKED_KINDS.to_vec();
    let pii = Pii { detect, custom: Vec::new(), action: PiiAction::Replace, restore: false };
    let shown = if is_cut { &text[..text.len() - pii::undecided_bytes(text)] } else { text };
    let mut masked = match masks.mask(&pii, shown) {
        Verdict::Mask(found, _) => {
            let mut edits = Edits::default();
            found.into_iter().for_each(|edit| edits.replace(edit.at, edit.text));
            edits.apply_to_text(shown)
        }
        Verdict::Pass | Verdict::Block(_) => shown.to_owned(),
        Verdict::TooMany => String::new(),
    };
    // A mask may be longer than the text that it replaces.
    let (short, is_longer) = truncate_chars(&masked, max);
    masked.truncate(short.len());
    if is_cut || is_longer {
        masked.push(ELLIPSIS);
    }
    masked
}

fn role_name(role: MessageRole) -> &'static str {
    match role {
        MessageRole::System => "system",
        MessageRole::User => "user",
        MessageRole::Assistant => "assistant",
        MessageRole::Tool => "tool",
    }
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").field("max_chars", &self.max_chars).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use bytes::Bytes;
    use http::HeaderMap;
    use openai::{ContentParts, Endpoint, StreamEvent};
    use protocol::model::Protocol;

    use crate::request::body_budget::BodyBudget;
    use crate::request::endpoint::InferenceCall;
    use crate::request::parse::ParsedRequest;
    use crate::request::read_body::ReceivedBody;

    use super::Transcript;

    fn transcript(messages: &str, max: usize) -> Transcript {
        let body = Bytes::from(format!(r#"{{"model":"m","messages":{messages}}}"#));
        let permit = Rc::new(BodyBudget::default()).permit();
        let body = ReceivedBody { bytes: body, permit };
        let (endpoint, protocol) = (Endpoint::ChatCompletions, Protocol::Chat);
        let call = InferenceCall { endpoint, protocol, deployment: None };
        let request = ParsedRequest::parse(&call, &HeaderMap::new(), body);
        Transcript::new(&request.expect("a request"), max)
    }

    #[track_caller]
    fn assert_question(messages: &str, max: usize, expected: &str) {
        assert_eq!(transcript(messages, max).question().as_deref(), Some(expected));
    }

    #[test]
    fn prompt_keeps_the_last_messages() {
        let messages = r#"[{"role":"system","content":"be short"},
            {"role":"user","content":[{"type":"text","text":"你好 world"},
             {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]"#;
        assert_question(messages, 100, "system: be short\nuser: 你好 world");
        assert_question(messages, 10, "system: …\nuser: 你好 world");
        assert_question(messages, 8, "…\nuser: 你好 world");
        assert_eq!(transcript("[]", 5).question(), None);
    }

    #[test]
    fn personal_data_is_masked_and_never_cut() {
        let messages = r#"[{"role":"user","content":"I am ann@example.com, card 4111 1111 1111 1111"},
            {"role":"user","content":"write to ann@example.com"}]"#;
        assert_question(
            messages,
            100,
            "user: I am [EMAIL_1], card [CARD_1]\nuser: write to [EMAIL_1]",
        );
        let card = r#"[{"role":"user","content":"card 4111 1111 1111 1111"}]"#;
        for max in 6..23 {
            let question = transcript(card, max).question().expect("a question");
            assert!(!question.contains("41"), "{max}: {question}");
        }
        let mail = r#"[{"role":"user","content":"mail ann@example.com"}]"#;
        for max in 6..19 {
            let question = transcript(mail, max).question().expect("a question");
            assert!(!question.contains("ann"), "{max}: {question}");
        }
    }

    #[test]
    fn answer_is_captured_whole_or_streamed() {
        let events = [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"hm"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"ask ann@exa"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"mple.com now"}}]}"#,
            "[DONE]",
        ];
        let streamed = transcript("[]", 100);
        for data in events {
            let parts = ContentParts { texts: true, delta: false };
            let event = Bytes::from(format!("data: {data}\n\n"));
            streamed.add_event(&StreamEvent::parse(event, parts).1);
        }
        assert_eq!(streamed.answer().as_deref(), Some("hm\nask [EMAIL_1] now"));
        let whole = r#"{"choices":[{"message":{"role":"assistant","content":"one two three"}}]}"#;
        for (max, expected) in [(13, "one two three"), (8, "one two …"), (6, "one …")] {
            let transcript = transcript("[]", max);
            transcript.add_answer(&Bytes::from(whole));
            assert_eq!(transcript.answer().as_deref(), Some(expected));
        }
        assert_eq!(transcript("[]", 9).answer(), None);
    }
}

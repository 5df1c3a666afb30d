//! Finds texts in requests, answers, and chunks, with their ranges in the bytes.
//!
//! It reads every string of a message under any member name, so that text in a new member (as
//! `reasoning_content` once was) is found too. It skips strings that are no text: roles, ids,
//! types, names of functions, and embedded files.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use json::Members;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};
use serde_json::value::RawValue;

use crate::Endpoint;

/// Text and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextField<'a> {
    /// Role of its message; in an answer the assistant.
    pub role: MessageRole,
    /// Path of the text: texts with the same path in successive chunks form one text. It has the
    /// number of the choice or message and the member names: `0.content`,
    /// `0.tool_calls.1.function.arguments`.
    pub channel: String,
    pub text: Cow<'a, str>,
    /// Range of the JSON string with its quotes.
    pub at: Range<usize>,
}

/// Author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRole {
    /// `system` or `developer`: the application.
    System,
    /// `user`, and every unknown role.
    User,
    /// `assistant`: the model.
    Assistant,
    /// `tool` or `function`: result of a call.
    Tool,
}

/// Image in a request: its URL, or a `data:` URL that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Number of its message.
    pub message: usize,
    /// Role of its message.
    pub role: MessageRole,
    pub url: Cow<'a, str>,
}

/// Texts and images of a request in their order, and the roles of its messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// Texts, each with the number of its message.
    pub texts: Vec<(usize, TextField<'a>)>,
    /// Images.
    pub images: Vec<Image<'a>>,
    /// Role of each message.
    pub roles: Vec<MessageRole>,
    /// Whether some input is given as token numbers, which the gateway cannot read.
    pub has_tokens: bool,
}

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

/// JSON that is nested deeper than messages are, or that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Members whose strings are no text.
const NON_TEXT_MEMBERS: [&str; 12] = [
    "role",
    "id",
    "type",
    "name",
    "index",
    "object",
    "finish_reason",
    "detail",
    "format",
    "data",
    "file_data",
    "tool_call_id",
];
/// Maximum nesting of messages.
const MAX_DEPTH: usize = 17;
/// Maximum nesting of schemas: each level of a schema takes two or three levels of JSON.
const MAX_SCHEMA_DEPTH: usize = 64;

impl<'a> Prompt<'a> {
    /// Parses the content of a request (messages, a prompt, or an input) in the range `at` of
    /// `body`.
    pub fn parse(endpoint: Endpoint, body: &'a str, at: Range<usize>) -> Result<Self, Unreadable> {
        let content = body.get(at).ok_or(Unreadable)?;
        let messages: Vec<&RawValue> = match content.starts_with('[') {
            true => serde_json::from_str(content).map_err(|_| Unreadable)?,
            false => vec![serde_json::from_str(content).map_err(|_| Unreadable)?],
        };
        let mut prompt = Self::default();
        for (number, message) in messages.into_iter().enumerate() {
            let message = message.get();
            let role = match endpoint {
                Endpoint::ChatCompletions => parse_role(message)?,
                Endpoint::Completions | Endpoint::Embeddings => MessageRole::User,
            };
            prompt.roles.push(role);
            prompt.has_tokens |=
                message.starts_with(|first: char| first == '[' || first.is_ascii_digit());
            let mut path = number.to_string();
            visit_texts(message, &mut path, MAX_DEPTH, &mut |path, raw| {
                let text = decode_text(raw)?;
                if path.ends_with("url") {
                    prompt.images.push(Image { message: number, role, url: text });
                } else {
                    let field =
                        TextField { role, channel: path.to_owned(), text, at: range_in(body, raw) };
                    prompt.texts.push((number, field));
                }
                Ok(())
            })?;
        }
        Ok(prompt)
    }

    /// Adds texts outside the content that the model reads: tools and schemas, each in a range of
    /// `body`. They count as the application's and belong to no message.
    pub fn read_tools_and_schema(
        &mut self,
        body: &'a str,
        parts: &[Range<usize>],
    ) -> Result<(), Unreadable> {
        for at in parts {
            let part = body.get(at.clone()).ok_or(Unreadable)?;
            visit_texts(part, &mut String::from("beside"), MAX_SCHEMA_DEPTH, &mut |path, raw| {
                let (strand, at, text) = (path.to_owned(), range_in(body, raw), decode_text(raw)?);
                self.texts.push((
                    OUTSIDE_MESSAGES,
                    TextField { role: MessageRole::System, channel: strand, text, at },
                ));
                Ok(())
            })?;
        }
        self.texts.sort_by_key(|(_, field)| field.at.start);
        Ok(())
    }
}

/// Message number of texts outside all messages.
const OUTSIDE_MESSAGES: usize = usize::MAX;

/// Returns the texts of [`answer_texts`].
pub fn texts_in_answer(body: &str) -> Result<Vec<TextField<'_>>, Unreadable> {
    answer_texts(body).map(|sayings| sayings.texts)
}

/// Returns every text of an error body.
pub fn texts_in_error(body: &str) -> Result<Vec<TextField<'_>>, Unreadable> {
    let whole: &RawValue = serde_json::from_str(body).map_err(|_| Unreadable)?;
    let mut all = Vec::new();
    visit_texts(whole.get(), &mut String::new(), MAX_DEPTH, &mut |path, raw| {
        let (strand, at, text) = (path.to_owned(), range_in(body, raw), decode_text(raw)?);
        all.push(TextField { role: MessageRole::Assistant, channel: strand, text, at });
        Ok(())
    })?;
    Ok(all)
}

/// Returns the texts of all choices of an answer, or of the data of one event of a stream.
pub fn answer_texts(body: &str) -> Result<AnswerTexts<'_>, Unreadable> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        choices: Option<Vec<Choice<'a>>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(default)]
        index: Option<u32>,
        #[serde(borrow)]
        delta: Option<&'a RawValue>,
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        text: Option<&'a RawValue>,
        #[serde(borrow)]
        logprobs: Option<&'a RawValue>,
        finish_reason: Option<IgnoredAny>,
    }
    let answer: Answer<'_> = serde_json::from_str(body).map_err(|_| Unreadable)?;
    let mut sayings = AnswerTexts::default();
    let all = &mut sayings.texts;
    for choice in answer.choices.into_iter().flatten() {
        for part in [choice.delta, choice.message, choice.text].into_iter().flatten() {
            let mut path = choice.index.unwrap_or(0).to_string();
            visit_texts(part.get(), &mut path, MAX_DEPTH, &mut |path, raw| {
                let (strand, at, text) = (path.to_owned(), range_in(body, raw), decode_text(raw)?);
                if !text.is_empty() {
                    all.push(TextField { role: MessageRole::Assistant, channel: strand, text, at });
                }
                Ok(())
            })?;
        }
        sayings.logprobs.extend(choice.logprobs.map(|raw| range_in(body, raw.get())));
        if choice.finish_reason.is_some() {
            sayings.finished_choices.push(choice.index.unwrap_or(0));
        }
    }
    // A choice may have its text before or after its message.
    all.sort_by_key(|field| field.at.start);
    Ok(sayings)
}

fn parse_role(message: &str) -> Result<MessageRole, Unreadable> {
    let Members(members) = serde_json::from_str(message).map_err(|_| Unreadable)?;
    let role = members.iter().rev().find(|(name, _)| name == "role");
    Ok(match role.map(|(_, raw)| decode_text(raw.get())).transpose()?.as_deref() {
        Some("system" | "developer") => MessageRole::System,
        Some("assistant") => MessageRole::Assistant,
        Some("tool" | "function") => MessageRole::Tool,
        Some(_) | None => MessageRole::User,
    })
}

/// Visits every string that may be text, with its path, at most `levels` deep.
fn visit_texts<'a>(
    value: &'a str,
    path: &mut String,
    levels: usize,
    visit: &mut impl FnMut(&str, &'a str) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let levels = levels.checked_sub(1).ok_or(Unreadable)?;
    let length = path.len();
    match value.as_bytes().first() {
        Some(b'"') => visit(path, value)?,
        Some(b'{') => {
            let Members(members) = serde_json::from_str(value).map_err(|_| Unreadable)?;
            for (name, raw) in members {
                // In a schema such a name may be a property, whose value is then an object or an
                // array.
                let is_plain = !raw.get().starts_with(['{', '[']);
                if !(is_plain && NON_TEXT_MEMBERS.contains(&&*name)) {
                    path.push('.');
                    path.push_str(&name);
                    visit_texts(raw.get(), path, levels, visit)?;
                    path.truncate(length);
                }
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value).map_err(|_| Unreadable)?;
            for (position, raw) in items.into_iter().enumerate() {
                path.push('.');
                path.push_str(&item_index(raw.get()).unwrap_or(position as u64).to_string());
                visit_texts(raw.get(), path, levels, visit)?;
                path.truncate(length);
            }
        }
        Some(_) | None => {}
    }
    Ok(())
}

/// Returns the `index` member of an item of a delta.
fn item_index(item: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        index: Option<u64>,
    }
    let numbered = item.starts_with('{').then(|| serde_json::from_str::<Numbered>(item));
    numbered?.ok()?.index
}

fn range_in(body: &str, raw: &str) -> Range<usize> {
    let start = raw.as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.len()
}

/// Decodes a JSON string. A lone surrogate, which no text can hold, becomes U+FFFD; the provider's
/// reading of it is unknown.
fn decode_text(raw: &str) -> Result<Cow<'_, str>, Unreadable> {
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).ok_or(Unreadable)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    if let Ok(text) = serde_json::from_str::<String>(raw) {
        return Ok(Cow::Owned(text));
    }
    let bytes = serde_json::from_str::<Wtf8>(raw).map_err(|_| Unreadable)?;
    Ok(Cow::Owned(String::from_utf8_lossy(&bytes.0).into_owned()))
}

/// Bytes of a string with lone surrogates, as serde_json returns them (WTF-8).
struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Wtf8;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Wtf8, E> {
                Ok(Wtf8(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageRole, Prompt, Unreadable, answer_texts, texts_in_answer, texts_in_error};
    use crate::Endpoint;

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
    fn answers_and_chunks() {
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
    fn what_a_later_version_says_is_found() {
        let odd = r#"{"choices":[{"delta":{"thinking":{"blocks":["secret"]},"content":"a","content":"b"}}]}"#;
        assert_eq!(
            channel_texts(odd),
            ["0.thinking.blocks.0=secret", "0.content=a", "0.content=b"]
        );
        assert_eq!(texts_in_answer(r#"{"choices":["text"]}"#), Err(Unreadable));
        let deep = format!(r#"{{"choices":[{{"delta":{}{}}}]}}"#, "[".repeat(40), "]".repeat(40));
        assert_eq!(texts_in_answer(&deep), Err(Unreadable));
    }

    #[test]
    fn a_choice_ends_and_repeats_itself() {
        let chunk = r#"{"choices":[{"text":"b","message":{"content":"a"},"index":3,"finish_reason":"stop","logprobs":{"content":[]}},{"index":1,"finish_reason":null,"logprobs":null}]}"#;
        let sayings = answer_texts(chunk).expect("an answer");
        let texts: Vec<&str> = sayings.texts.iter().map(|field| &*field.text).collect();
        assert_eq!((texts, sayings.finished_choices), (vec!["b", "a"], vec![3]));
        let logprobs: Vec<&str> = sayings.logprobs.iter().map(|at| &chunk[at.clone()]).collect();
        assert_eq!(logprobs, [r#"{"content":[]}"#]);
        let error = r#"{"error":{"message":"no","type":"x","more":["so"]}}"#;
        let texts = texts_in_error(error).expect("JSON");
        let texts: Vec<&str> = texts.iter().map(|field| &*field.text).collect();
        assert_eq!(texts, ["no", "so"]);
        assert_eq!(texts_in_error("<html>"), Err(Unreadable));
    }

    #[test]
    fn texts_come_in_the_order_in_which_they_stand() {
        let odd = r#"{"choices":[{"text":"a","message":{"content":"b"},"delta":{"content":"c"}}]}"#;
        assert_eq!(channel_texts(odd), ["0=a", "0.content=b", "0.content=c"]);
    }

    #[test]
    fn half_a_surrogate_pair_is_text() {
        let all =
            texts_in_answer(r#"{"choices":[{"delta":{"content":"a\ud83dz"}}]}"#).expect("read");
        assert!(all[0].text.starts_with('a') && all[0].text.ends_with('z'), "{:?}", all[0].text);
    }

    #[test]
    fn requests() {
        let body = r#"{"messages":[
            {"role":"system","content":"rules"},
            {"role":"user","content":[{"type":"text","text":"see"},
             {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":"42"}]}"#;
        let from = body.find('[').expect("there");
        let prompt =
            Prompt::parse(Endpoint::ChatCompletions, body, from..body.len() - 1).expect("messages");
        let texts: Vec<String> = prompt
            .texts
            .iter()
            .map(|(number, field)| {
                let there: String =
                    serde_json::from_str(&body[field.at.clone()]).expect("a string");
                assert_eq!(there, field.text);
                format!("{number} {:?} {}", field.role, field.text)
            })
            .collect();
        assert_eq!(texts, ["0 System rules", "1 User see", "2 Assistant {}", "3 Tool 42"]);
        assert_eq!(prompt.images.len(), 1);
        assert_eq!(prompt.images[0].url, "https://x/y.png");
        assert_eq!(prompt.roles[3], MessageRole::Tool);
        let input = r#"["a",[1,2],"b"]"#;
        let prompt = Prompt::parse(Endpoint::Embeddings, input, 0..input.len()).expect("an input");
        assert_eq!((prompt.texts.len(), prompt.has_tokens), (2, true));
        let one = r#""just this""#;
        let prompt = Prompt::parse(Endpoint::Completions, one, 0..one.len()).expect("a prompt");
        assert_eq!(prompt.texts[0].1.text, "just this");
    }
}

//! Finds what is said in requests, answers and chunks, and where in the bytes it stands.
//!
//! It looks at every string of a message whatever its member is called, so that text which a provider
//! adds tomorrow (`reasoning_content` was such a one) is found too. What is left out names things and
//! says nothing: roles, ids, types, names of functions, and embedded files.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};
use serde_json::value::RawValue;

use crate::Endpoint;
use crate::members::Members;

/// A text, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// Who says it; in an answer the assistant.
    pub speaker: Speaker,
    /// What it belongs to: texts of one strand in one chunk after another are one text. The choice or
    /// the message by its number, and the members that lead to it: `0.content`,
    /// `0.tool_calls.1.function.arguments`.
    pub strand: String,
    /// The text itself.
    pub text: Cow<'a, str>,
    /// Where the JSON string stands, its quotes included.
    pub at: Range<usize>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// `system` or `developer`: the application.
    System,
    /// `user`, and whoever is none of the others.
    User,
    /// `assistant`: the model.
    Assistant,
    /// `tool` or `function`: what a call has brought.
    Tool,
}

/// A picture in a request: its URL, or a `data:` URL that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture<'a> {
    /// The number of its message.
    pub message: usize,
    /// Who shows it.
    pub speaker: Speaker,
    /// Its URL.
    pub url: Cow<'a, str>,
}

/// What is said in a request: its texts in their order, its pictures, and how many messages there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// Each with the number of its message.
    pub texts: Vec<(usize, Said<'a>)>,
    /// Each with the number of its message.
    pub pictures: Vec<Picture<'a>>,
    /// Who says each message.
    pub speakers: Vec<Speaker>,
    /// Whether some of it is given as numbers of tokens, which nobody reads here.
    pub has_tokens: bool,
}

/// What is said in an answer, or in the data of one event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sayings<'a> {
    /// The texts of every choice, in the order in which they stand.
    pub texts: Vec<Said<'a>>,
    /// The choices that end here, by their numbers.
    pub over: Vec<u32>,
    /// Where `logprobs` stand, which repeat the texts.
    pub logprobs: Vec<Range<usize>>,
}

/// The JSON is nested deeper than messages ever are, or no message at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Members whose strings say nothing.
const SILENT: [&str; 12] = [
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
/// Messages are not nested deeper.
const DEEPEST: usize = 17;
/// Schemas of what providers take are not: each level of one is two or three of JSON.
const DEEPEST_SCHEMA: usize = 64;

impl<'a> Prompt<'a> {
    /// Reads the content of a request: messages, a prompt or an input, which stands at `at` in `body`.
    pub fn read(endpoint: Endpoint, body: &'a str, at: Range<usize>) -> Result<Self, Unreadable> {
        let content = body.get(at).ok_or(Unreadable)?;
        let messages: Vec<&RawValue> = match content.starts_with('[') {
            true => serde_json::from_str(content).map_err(|_| Unreadable)?,
            false => vec![serde_json::from_str(content).map_err(|_| Unreadable)?],
        };
        let mut prompt = Self::default();
        for (number, message) in messages.into_iter().enumerate() {
            let message = message.get();
            let speaker = match endpoint {
                Endpoint::ChatCompletions => speaker(message)?,
                Endpoint::Completions | Endpoint::Embeddings => Speaker::User,
            };
            prompt.speakers.push(speaker);
            prompt.has_tokens |=
                message.starts_with(|first: char| first == '[' || first.is_ascii_digit());
            let mut path = number.to_string();
            walk(message, &mut path, DEEPEST, &mut |path, raw| {
                let text = text(raw)?;
                if path.ends_with("url") {
                    prompt.pictures.push(Picture { message: number, speaker, url: text });
                } else {
                    let said =
                        Said { speaker, strand: path.to_owned(), text, at: place(body, raw) };
                    prompt.texts.push((number, said));
                }
                Ok(())
            })?;
        }
        Ok(prompt)
    }

    /// Adds what the model reads beside the content, each part at its place in `body`: tools, a
    /// schema. It is the application's, and in no message.
    pub fn read_beside(&mut self, body: &'a str, parts: &[Range<usize>]) -> Result<(), Unreadable> {
        for at in parts {
            let part = body.get(at.clone()).ok_or(Unreadable)?;
            walk(part, &mut String::from("beside"), DEEPEST_SCHEMA, &mut |path, raw| {
                let (strand, at, text) = (path.to_owned(), place(body, raw), text(raw)?);
                self.texts.push((BESIDE, Said { speaker: Speaker::System, strand, text, at }));
                Ok(())
            })?;
        }
        self.texts.sort_by_key(|(_, said)| said.at.start);
        Ok(())
    }
}

/// In the place of a message's number, of what is in none.
const BESIDE: usize = usize::MAX;

/// The texts of [`sayings_in_answer`].
pub fn said_in_answer(body: &str) -> Result<Vec<Said<'_>>, Unreadable> {
    sayings_in_answer(body).map(|sayings| sayings.texts)
}

/// Every text of a body that is no answer: an error, as its provider words it.
pub fn said_in_error(body: &str) -> Result<Vec<Said<'_>>, Unreadable> {
    let whole: &RawValue = serde_json::from_str(body).map_err(|_| Unreadable)?;
    let mut all = Vec::new();
    walk(whole.get(), &mut String::new(), DEEPEST, &mut |path, raw| {
        let (strand, at, text) = (path.to_owned(), place(body, raw), text(raw)?);
        all.push(Said { speaker: Speaker::Assistant, strand, text, at });
        Ok(())
    })?;
    Ok(all)
}

/// What is said in an answer, or in the data of one event of a stream, of every choice.
pub fn sayings_in_answer(body: &str) -> Result<Sayings<'_>, Unreadable> {
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
    let mut sayings = Sayings::default();
    let all = &mut sayings.texts;
    for choice in answer.choices.into_iter().flatten() {
        for part in [choice.delta, choice.message, choice.text].into_iter().flatten() {
            let mut path = choice.index.unwrap_or(0).to_string();
            walk(part.get(), &mut path, DEEPEST, &mut |path, raw| {
                let (strand, at, text) = (path.to_owned(), place(body, raw), text(raw)?);
                if !text.is_empty() {
                    all.push(Said { speaker: Speaker::Assistant, strand, text, at });
                }
                Ok(())
            })?;
        }
        sayings.logprobs.extend(choice.logprobs.map(|raw| place(body, raw.get())));
        if choice.finish_reason.is_some() {
            sayings.over.push(choice.index.unwrap_or(0));
        }
    }
    // A choice may have its text before or behind its message.
    all.sort_by_key(|said| said.at.start);
    Ok(sayings)
}

fn speaker(message: &str) -> Result<Speaker, Unreadable> {
    let Members(members) = serde_json::from_str(message).map_err(|_| Unreadable)?;
    let role = members.iter().rev().find(|(name, _)| name == "role");
    Ok(match role.map(|(_, raw)| text(raw.get())).transpose()?.as_deref() {
        Some("system" | "developer") => Speaker::System,
        Some("assistant") => Speaker::Assistant,
        Some("tool" | "function") => Speaker::Tool,
        Some(_) | None => Speaker::User,
    })
}

/// Visits every string that says something, with the path that leads to it, so many levels deep.
fn walk<'a>(
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
                // Such a name may be a property's in a schema, and then it is that one's description.
                let is_plain = !raw.get().starts_with(['{', '[']);
                if !(is_plain && SILENT.contains(&&*name)) {
                    path.push('.');
                    path.push_str(&name);
                    walk(raw.get(), path, levels, visit)?;
                    path.truncate(length);
                }
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value).map_err(|_| Unreadable)?;
            for (position, raw) in items.into_iter().enumerate() {
                path.push('.');
                path.push_str(&index(raw.get()).unwrap_or(position as u64).to_string());
                walk(raw.get(), path, levels, visit)?;
                path.truncate(length);
            }
        }
        Some(_) | None => {}
    }
    Ok(())
}

/// The number that an item of a delta has by its own word.
fn index(item: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        index: Option<u64>,
    }
    let numbered = item.starts_with('{').then(|| serde_json::from_str::<Numbered>(item));
    numbered?.ok()?.index
}

fn place(body: &str, raw: &str) -> Range<usize> {
    let start = raw.as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.len()
}

/// The text of a JSON string. Half a surrogate pair, which no text can hold, is taken for U+FFFD: what
/// a provider makes of it is not known.
fn text(raw: &str) -> Result<Cow<'_, str>, Unreadable> {
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

/// The bytes of a string with lone surrogates, which serde_json hands out as they are encoded.
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
    use super::{Prompt, Speaker, Unreadable, said_in_answer, said_in_error, sayings_in_answer};
    use crate::Endpoint;

    /// `strand=text`, and each text stands where it is said to stand.
    fn spoken(body: &str) -> Vec<String> {
        let all = said_in_answer(body).expect("an answer");
        for said in &all {
            let there: String = serde_json::from_str(&body[said.at.clone()]).expect("a string");
            assert_eq!(there, said.text);
        }
        all.iter().map(|said| format!("{}={}", said.strand, said.text)).collect()
    }

    #[test]
    fn answers_and_chunks() {
        let chunk = r#"{"id":"x","choices":[
            {"index":1,"delta":{"role":"assistant","content":"a\nb","reasoning_content":"hm"}},
            {"index":0,"delta":{"tool_calls":[{"index":2,"id":"call","type":"function",
             "function":{"name":"f","arguments":"{\"q\":1}"}}]},"finish_reason":"stop"}]}"#;
        assert_eq!(
            spoken(chunk),
            [
                "1.content=a\nb",
                "1.reasoning_content=hm",
                "0.tool_calls.2.function.arguments={\"q\":1}"
            ]
        );
        let answer = r#"{"choices":[{"message":{"role":"assistant","content":[{"type":"text","text":"hi"}],"refusal":null}}]}"#;
        assert_eq!(spoken(answer), ["0.content.0.text=hi"]);
        assert_eq!(spoken(r#"{"choices":[{"index":3,"text":"once"}]}"#), ["3=once"]);
        assert_eq!(spoken(r#"{"choices":[],"usage":{}}"#), Vec::<String>::new());
        assert_eq!(spoken(r#"{"object":"x"}"#), Vec::<String>::new());
    }

    #[test]
    fn what_a_later_version_says_is_found() {
        let odd = r#"{"choices":[{"delta":{"thinking":{"blocks":["secret"]},"content":"a","content":"b"}}]}"#;
        assert_eq!(spoken(odd), ["0.thinking.blocks.0=secret", "0.content=a", "0.content=b"]);
        assert_eq!(said_in_answer(r#"{"choices":["text"]}"#), Err(Unreadable));
        let deep = format!(r#"{{"choices":[{{"delta":{}{}}}]}}"#, "[".repeat(40), "]".repeat(40));
        assert_eq!(said_in_answer(&deep), Err(Unreadable));
    }

    #[test]
    fn a_choice_ends_and_repeats_itself() {
        let chunk = r#"{"choices":[{"text":"b","message":{"content":"a"},"index":3,"finish_reason":"stop","logprobs":{"content":[]}},{"index":1,"finish_reason":null,"logprobs":null}]}"#;
        let sayings = sayings_in_answer(chunk).expect("an answer");
        let texts: Vec<&str> = sayings.texts.iter().map(|said| &*said.text).collect();
        assert_eq!((texts, sayings.over), (vec!["b", "a"], vec![3]));
        let logprobs: Vec<&str> = sayings.logprobs.iter().map(|at| &chunk[at.clone()]).collect();
        assert_eq!(logprobs, [r#"{"content":[]}"#]);
        let error = r#"{"error":{"message":"no","type":"x","more":["so"]}}"#;
        let texts = said_in_error(error).expect("JSON");
        let texts: Vec<&str> = texts.iter().map(|said| &*said.text).collect();
        assert_eq!(texts, ["no", "so"]);
        assert_eq!(said_in_error("<html>"), Err(Unreadable));
    }

    #[test]
    fn texts_come_in_the_order_in_which_they_stand() {
        let odd = r#"{"choices":[{"text":"a","message":{"content":"b"},"delta":{"content":"c"}}]}"#;
        assert_eq!(spoken(odd), ["0=a", "0.content=b", "0.content=c"]);
    }

    #[test]
    fn half_a_surrogate_pair_is_text() {
        let all =
            said_in_answer(r#"{"choices":[{"delta":{"content":"a\ud83dz"}}]}"#).expect("read");
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
            Prompt::read(Endpoint::ChatCompletions, body, from..body.len() - 1).expect("messages");
        let texts: Vec<String> = prompt
            .texts
            .iter()
            .map(|(number, said)| {
                let there: String = serde_json::from_str(&body[said.at.clone()]).expect("a string");
                assert_eq!(there, said.text);
                format!("{number} {:?} {}", said.speaker, said.text)
            })
            .collect();
        assert_eq!(texts, ["0 System rules", "1 User see", "2 Assistant {}", "3 Tool 42"]);
        assert_eq!(prompt.pictures.len(), 1);
        assert_eq!(prompt.pictures[0].url, "https://x/y.png");
        assert_eq!(prompt.speakers[3], Speaker::Tool);
        let input = r#"["a",[1,2],"b"]"#;
        let prompt = Prompt::read(Endpoint::Embeddings, input, 0..input.len()).expect("an input");
        assert_eq!((prompt.texts.len(), prompt.has_tokens), (2, true));
        let one = r#""just this""#;
        let prompt = Prompt::read(Endpoint::Completions, one, 0..one.len()).expect("a prompt");
        assert_eq!(prompt.texts[0].1.text, "just this");
    }
}

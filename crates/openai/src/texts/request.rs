//! Texts and images of a request.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use json::{RawVisitor, range_in, walk_raw};
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{Image, MessageRole, TextField, UnreadablePrompt};
use super::walk::{MAX_DEPTH, MAX_TEXTS, decode_text, is_protocol_value, is_url};
use crate::Endpoint;

/// Message number of texts outside all messages.
const OUTSIDE_MESSAGES: usize = usize::MAX;

/// Maximum nesting of other members: each level of a schema takes two or three levels of JSON.
const MAX_MEMBER_DEPTH: usize = 64;

/// Names of members in tools and schemas that are words of OpenAI's API or of JSON Schema.
const SCHEMA_WORDS: [&str; 43] = [
    "type",
    "function",
    "name",
    "description",
    "parameters",
    "properties",
    "required",
    "enum",
    "items",
    "strict",
    "additionalProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "$ref",
    "$defs",
    "$schema",
    "$id",
    "definitions",
    "default",
    "format",
    "title",
    "const",
    "pattern",
    "patternProperties",
    "prefixItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "examples",
    "json_schema",
    "schema",
    "content",
    "text",
    "tools",
];

/// Texts and images of a request in their order, and the roles of its messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// Texts, each with the number of its message.
    pub texts: Vec<(usize, TextField<'a>)>,
    /// Names that the model reads and that must stay as they are: of authors, functions, and the
    /// properties of schemas.
    pub names: Vec<(usize, TextField<'a>)>,
    /// Images.
    pub images: Vec<Image<'a>>,
    /// Role of each message.
    pub roles: Vec<MessageRole>,
    /// Whether some input is given as token numbers, which the gateway cannot read.
    pub has_tokens: bool,
}

impl<'a> Prompt<'a> {
    /// Parses the content of a request (messages, a prompt, or an input) in the range `at` of
    /// `body`.
    pub fn parse(
        endpoint: Endpoint,
        body: &'a str,
        at: Range<usize>,
    ) -> Result<Self, UnreadablePrompt> {
        let content = body.get(at).ok_or(UnreadablePrompt::NotMessages)?;
        let mut messages = Messages { endpoint, body, prompt: Self::default(), failure: None };
        let read = match content.starts_with('[') {
            true => serde_json::Deserializer::from_str(content).deserialize_seq(&mut messages),
            false => serde_json::from_str(content).and_then(|message: &RawValue| {
                messages.read(message.get()).map_err(serde_json::Error::custom)
            }),
        };
        match (read, messages.failure) {
            (Ok(()), _) => Ok(messages.prompt),
            (Err(_), failure) => Err(failure.unwrap_or(UnreadablePrompt::NotMessages)),
        }
    }

    /// Adds texts outside the content that the model may read: tools, schemas, and unknown members,
    /// each in a range of `body`. They count as the application's and belong to no message.
    pub fn read_other_members(
        &mut self,
        body: &'a str,
        members: &[Range<usize>],
    ) -> Result<(), UnreadablePrompt> {
        for at in members {
            let member = body.get(at.clone()).ok_or(UnreadablePrompt::NotMessages)?;
            let (role, message) = (MessageRole::System, OUTSIDE_MESSAGES);
            PromptWalk::new(self, body, message, role).read(member, MAX_MEMBER_DEPTH)?;
        }
        sorting::sort_by_key(&mut self.texts, |(_, field)| field.at.start);
        Ok(())
    }

    /// Adds the names to the texts.
    pub fn include_names(&mut self) {
        self.texts.append(&mut self.names);
        sorting::sort_by_key(&mut self.texts, |(_, field)| field.at.start);
    }
}

/// Reads messages one by one.
struct Messages<'a> {
    endpoint: Endpoint,
    body: &'a str,
    prompt: Prompt<'a>,
    failure: Option<UnreadablePrompt>,
}

impl<'a> Messages<'a> {
    fn read(&mut self, message: &'a str) -> Result<(), UnreadablePrompt> {
        let role = match self.endpoint {
            Endpoint::ChatCompletions => parse_role(message),
            Endpoint::Completions | Endpoint::Embeddings => Ok(MessageRole::User),
        };
        let number = self.prompt.roles.len();
        let read = role.and_then(|role| {
            let prompt = &mut self.prompt;
            prompt.roles.push(role);
            prompt.has_tokens |= message
                .starts_with(|first: char| matches!(first, '[' | '-') || first.is_ascii_digit());
            PromptWalk::new(prompt, self.body, number, role).read(message, MAX_DEPTH)
        });
        self.failure = read.err();
        read
    }
}

impl<'a> Visitor<'a> for &mut Messages<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(message) = items.next_element::<&RawValue>()? {
            self.read(message.get()).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// Walk over one message, or another member.
struct PromptWalk<'p, 'a> {
    prompt: &'p mut Prompt<'a>,
    body: &'a str,
    message: usize,
    role: MessageRole,
    /// Name of the member to which the next value belongs.
    member: Option<Cow<'a, str>>,
    failure: Option<UnreadablePrompt>,
}

impl<'p, 'a> PromptWalk<'p, 'a> {
    fn new(prompt: &'p mut Prompt<'a>, body: &'a str, message: usize, role: MessageRole) -> Self {
        Self { prompt, body, message, role, member: None, failure: None }
    }

    fn read(mut self, value: &'a str, max_depth: usize) -> Result<(), UnreadablePrompt> {
        let walked = walk_raw(value, max_depth - 1, &mut self);
        match self.failure {
            Some(failure) => Err(failure),
            None => walked.map_err(|_| UnreadablePrompt::NotMessages),
        }
    }

    fn fail(&mut self, failure: UnreadablePrompt) {
        self.failure = self.failure.or(Some(failure));
    }

    fn has_room(&mut self) -> bool {
        let Prompt { texts, names, images, .. } = &self.prompt;
        if texts.len() + names.len() + images.len() < MAX_TEXTS {
            return true;
        }
        self.fail(UnreadablePrompt::TooManyTexts);
        false
    }

    fn field(&self, raw: &'a str, text: Cow<'a, str>) -> (usize, TextField<'a>) {
        let at = range_in(self.body, raw);
        (self.message, TextField { role: self.role, channel: String::new(), text, at })
    }

    fn add(&mut self, raw: &'a str) {
        let member = self.member.take();
        let Ok(text) = decode_text(raw) else { return self.fail(UnreadablePrompt::NotMessages) };
        let is_harmless = member.as_deref().is_some_and(|name| is_protocol_value(name, &text));
        if text.is_empty() || is_harmless || !self.has_room() {
            return;
        }
        match member.as_deref() {
            Some("name") => {
                let name = self.field(raw, text);
                self.prompt.names.push(name);
            }
            Some(name) if name.ends_with("url") && is_url(&text) => {
                // Outside the messages it is no image that the model is shown.
                if self.message != OUTSIDE_MESSAGES {
                    let (message, role) = (self.message, self.role);
                    self.prompt.images.push(Image { message, role, url: text });
                }
            }
            Some(_) | None => {
                let field = self.field(raw, text);
                self.prompt.texts.push(field);
            }
        }
    }
}

impl<'a> RawVisitor<'a> for PromptWalk<'_, 'a> {
    fn begin_object(&mut self) {
        self.member = None;
    }

    fn begin_member(&mut self, raw: &'a str) -> bool {
        if self.failure.is_some() {
            return false;
        }
        let Ok(name) = decode_text(raw) else {
            self.fail(UnreadablePrompt::NotMessages);
            return false;
        };
        let is_property =
            self.message == OUTSIDE_MESSAGES && !SCHEMA_WORDS.contains(&name.as_ref());
        if is_property && !name.is_empty() && self.has_room() {
            let field = self.field(raw, name.clone());
            self.prompt.names.push(field);
        }
        self.member = Some(name);
        true
    }

    fn end_member(&mut self) {
        self.member = None;
    }

    fn end_object(&mut self) {}

    fn begin_array(&mut self) {
        self.member = None;
    }

    fn end_element(&mut self) {}

    fn end_array(&mut self) {}

    fn raw_value(&mut self, raw: &'a str) {
        if self.failure.is_some() {
            return;
        }
        match raw.as_bytes().first() {
            Some(b'"') => self.add(raw),
            Some(b'{' | b'[') => self.fail(UnreadablePrompt::TooDeep),
            Some(_) | None => {}
        }
    }
}

/// Parses the role of a message; of several the last one counts.
fn parse_role(message: &str) -> Result<MessageRole, UnreadablePrompt> {
    let role = json::last_member(message, "role");
    let role = role.map_err(|_| UnreadablePrompt::NotMessages)?;
    let role = role.map(|raw| decode_text(raw.get())).transpose();
    Ok(match role.map_err(|_| UnreadablePrompt::NotMessages)?.as_deref() {
        Some("system" | "developer") => MessageRole::System,
        Some("assistant") => MessageRole::Assistant,
        Some("tool" | "function") => MessageRole::Tool,
        Some(_) | None => MessageRole::User,
    })
}

#[cfg(test)]
mod tests {
    use super::{MessageRole, Prompt, UnreadablePrompt};
    use crate::Endpoint;

    #[test]
    fn texts_and_images_of_requests_are_found() {
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

    /// Returns the texts and names of a chat body, the other members included.
    fn read_all(
        messages: &str,
        other: &str,
    ) -> Result<(Vec<String>, Vec<String>), UnreadablePrompt> {
        let body = format!("{messages}{other}");
        let at = 0..messages.len();
        let mut prompt = Prompt::parse(Endpoint::ChatCompletions, &body, at)?;
        let other = messages.len()..body.len();
        if !other.is_empty() {
            prompt.read_other_members(&body, &[other])?;
        }
        let list = |all: &[(usize, super::TextField<'_>)]| {
            all.iter().map(|(_, field)| field.text.to_string()).collect::<Vec<_>>()
        };
        Ok((list(&prompt.texts), list(&prompt.names)))
    }

    #[test]
    fn text_under_the_name_of_a_protocol_member_is_text() {
        let texts = |member: &str| {
            let message = format!(r#"[{{"role":"user","content":[{{{member}}}]}}]"#);
            read_all(&message, "").expect("messages").0
        };
        for (member, expected) in [
            (r#""type":"text""#, None),
            (r#""type":"some text""#, Some("some text")),
            (r#""id":"call_1""#, None),
            (r#""id":"say it""#, Some("say it")),
            (r#""detail":"违禁词""#, Some("违禁词")),
            (r#""data":"aGk+/w==""#, Some("aGk+/w==")),
            (r#""data":"how-to-build-it""#, Some("how-to-build-it")),
            (&format!(r#""data":"{}""#, "aGk+".repeat(16)), None),
            (r#""data":"not base64""#, Some("not base64")),
            (r#""file_data":"data:application/pdf;base64,aGk=""#, None),
            (r#""file_data":"data:text/plain,say it""#, Some("data:text/plain,say it")),
            (r#""url":"https://a.example/b.png""#, None),
            (r#""url":"say it""#, Some("say it")),
            (r#""image_url":"data:image/png;base64,aGk=""#, None),
            (r#""my_url":"data: say it""#, Some("data: say it")),
            (r#""new":{"deep":[1,"x"]}"#, Some("x")),
        ] {
            assert_eq!(texts(member), Vec::from_iter(expected.map(str::to_owned)), "{member}");
        }
    }

    #[test]
    fn names_are_kept_apart_from_texts() {
        let messages = r#"[{"role":"user","name":"ann","content":"hi"}]"#;
        let tools = r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"town":{"description":"where"}}}}}]"#;
        let (texts, names) = read_all(messages, tools).expect("readable");
        assert_eq!(
            (texts, names),
            (vec!["hi".into(), "where".into()], vec!["ann".into(), "f".into(), "town".into()])
        );
    }

    #[test]
    fn texts_and_nesting_are_bounded() {
        let texts = |count: usize, text: &str| {
            let items = vec![text; count].join(",");
            read_all(&format!(r#"[{{"role":"user","content":[{items}]}}]"#), "")
        };
        assert_eq!(texts(20_000, "\"x\"").expect("in bounds").0.len(), 20_000);
        assert_eq!(texts(20_001, "\"x\""), Err(UnreadablePrompt::TooManyTexts));
        assert_eq!(texts(100_000, "\"\"").expect("nothing to read").0.len(), 0);
        assert_eq!(texts(20_001, r#"{"name":"x"}"#), Err(UnreadablePrompt::TooManyTexts));
        assert_eq!(texts(20_001, r#"{"url":"http://x"}"#), Err(UnreadablePrompt::TooManyTexts));
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let message = |levels| format!(r#"[{{"role":"user","content":{}}}]"#, deep(levels));
        assert!(read_all(&message(16), "").is_ok());
        assert_eq!(read_all(&message(17), ""), Err(UnreadablePrompt::TooDeep));
        assert!(read_all("[]", &deep(64)).is_ok());
        assert_eq!(read_all("[]", &deep(65)), Err(UnreadablePrompt::TooDeep));
        assert_eq!(read_all("[7]", ""), Err(UnreadablePrompt::NotMessages));
    }
}

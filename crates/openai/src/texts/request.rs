//! Texts and images of a request.

use std::ops::Range;

use json::{Members, range_in};
use serde_json::value::RawValue;

use super::field::{Image, MessageRole, TextField, Unreadable};
use super::walk::{MAX_DEPTH, decode_text, visit_texts};
use crate::Endpoint;

/// Message number of texts outside all messages.
const OUTSIDE_MESSAGES: usize = usize::MAX;

/// Maximum nesting of schemas: each level of a schema takes two or three levels of JSON.
const MAX_SCHEMA_DEPTH: usize = 64;

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
            visit_texts(message, &mut String::new(), MAX_DEPTH, &mut |path, raw| {
                let text = decode_text(raw)?;
                if path.ends_with("url") {
                    prompt.images.push(Image { message: number, role, url: text });
                } else {
                    let (channel, at) = (String::new(), range_in(body, raw));
                    prompt.texts.push((number, TextField { role, channel, text, at }));
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
            visit_texts(part, &mut String::new(), MAX_SCHEMA_DEPTH, &mut |_, raw| {
                let (channel, at, text) = (String::new(), range_in(body, raw), decode_text(raw)?);
                self.texts.push((
                    OUTSIDE_MESSAGES,
                    TextField { role: MessageRole::System, channel, text, at },
                ));
                Ok(())
            })?;
        }
        self.texts.sort_by_key(|(_, field)| field.at.start);
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::{MessageRole, Prompt};
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
}

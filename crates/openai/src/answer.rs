//! Answers that are not streams.

use std::fmt;

use json::MemberName;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::choices::{Choices, is_error};
use crate::usage_dialects::container;
use crate::usage_scanner::find_usage;
use crate::{Endpoint, TextSize, Usage};

/// Usage and size of a complete answer.
#[derive(Debug, PartialEq, Eq)]
pub struct AnswerSummary {
    /// Usage reported by the provider.
    pub usage: Option<Usage>,
    /// Size of its text; zero for embeddings.
    pub text_size: TextSize,
    /// Whether a choice ends at its maximum length.
    pub is_cut: bool,
}

/// Body with a success status that is not the expected answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidAnswer {
    /// Not JSON, or not an object.
    NotJson,
    /// Error object, or an answer that reports a failure.
    IsError,
    /// No `choices`, or no `data` for embeddings.
    Empty,
}

impl InvalidAnswer {
    /// Short description of the body, for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not JSON",
            Self::IsError => "an error",
            Self::Empty => "no choices",
        }
    }
}

/// Members of an answer that the gateway reads.
#[derive(Default)]
struct AnswerMembers<'a> {
    choices: Option<Choices>,
    data: Option<&'a RawValue>,
    usage: Option<Usage>,
    error: Option<&'a RawValue>,
}

struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = AnswerMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut answer = AnswerMembers::default();
        while let Some(MemberName(name)) = members.next_key::<MemberName<'de>>()? {
            let is_repeated = match &*name {
                "choices" => answer.choices.replace(members.next_value()?).is_some(),
                "data" => answer.data.replace(members.next_value()?).is_some(),
                "error" => answer.error.replace(members.next_value()?).is_some(),
                name => {
                    match container(name) {
                        Some(container) => {
                            let value: &RawValue = members.next_value()?;
                            let found = Usage::parse_in(container, value.get());
                            answer.usage = Usage::merge_options(answer.usage, found);
                        }
                        None => {
                            members.next_value::<IgnoredAny>()?;
                        }
                    }
                    false
                }
            };
            if is_repeated {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(answer)
    }
}

impl<'a> AnswerMembers<'a> {
    fn parse(text: &'a str) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let answer = deserializer.deserialize_map(AnswerVisitor)?;
        deserializer.end()?;
        Ok(answer)
    }
}

impl AnswerSummary {
    /// Parses a body and verifies that it is an answer for this endpoint.
    pub fn parse(endpoint: Endpoint, body: &[u8]) -> Result<Self, InvalidAnswer> {
        let text = std::str::from_utf8(body).map_err(|_| InvalidAnswer::NotJson)?;
        let Ok(members) = AnswerMembers::parse(text) else {
            // A duplicate member or a member of an unknown type. A JSON object may still be an
            // answer that the caller understands.
            let is_object = text.trim_start().starts_with('{');
            let is_json = is_object && serde_json::from_str::<IgnoredAny>(text).is_ok();
            let size = TextSize::measure_json(text);
            return if is_json {
                Ok(Self { usage: find_usage(body), text_size: size, is_cut: false })
            } else {
                Err(InvalidAnswer::NotJson)
            };
        };
        let choices = members.choices.unwrap_or_default();
        let there = match endpoint {
            Endpoint::ChatCompletions | Endpoint::Completions => choices.count > 0,
            Endpoint::Embeddings => members.data.is_some_and(|data| data.get().starts_with('[')),
        };
        // A failure in the shape of an answer is a failure.
        if choices.has_failed || members.error.is_some_and(is_error) {
            return Err(InvalidAnswer::IsError);
        }
        if !there {
            return Err(InvalidAnswer::Empty);
        }
        Ok(Self {
            usage: Usage::merge_options(members.usage, choices.usage),
            text_size: choices.text_size,
            is_cut: choices.is_cut,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AnswerSummary, InvalidAnswer};
    use crate::Endpoint::{ChatCompletions, Embeddings};
    use crate::{TextSize, Usage};

    #[test]
    fn body_that_is_not_an_answer_is_refused() {
        let chat = br#"{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        let usage = Some(Usage { input: 1, output: 2, ..Usage::default() });
        assert_eq!(
            AnswerSummary::parse(ChatCompletions, chat),
            Ok(AnswerSummary { usage, text_size: TextSize { narrow: 2, wide: 0 }, is_cut: false })
        );
        let vectors = br#"{"data":[{"embedding":[0.1]}]}"#;
        assert_eq!(
            AnswerSummary::parse(Embeddings, vectors),
            Ok(AnswerSummary { usage: None, text_size: TextSize::default(), is_cut: false })
        );
        for (body, expected) in [
            ("<html>", InvalidAnswer::NotJson),
            ("[]", InvalidAnswer::NotJson),
            (r#"{"choices":[{"mess"#, InvalidAnswer::NotJson),
            (r#"{"error":{"message":"no"}}"#, InvalidAnswer::IsError),
            (r#"{"choices":null,"base_resp":{"status_code":1004}}"#, InvalidAnswer::Empty),
            (
                r#"{"choices":[{"message":{"content":""},"finish_reason":"error"}],"usage":null}"#,
                InvalidAnswer::IsError,
            ),
            (
                r#"{"choices":[{"message":{"content":"a"}},{"error":{"code":502}}]}"#,
                InvalidAnswer::IsError,
            ),
            (
                r#"{"choices":[{"message":{"content":"a"}}],"error":{"message":"no"}}"#,
                InvalidAnswer::IsError,
            ),
        ] {
            assert_eq!(
                AnswerSummary::parse(ChatCompletions, body.as_bytes()),
                Err(expected),
                "{body}"
            );
        }
    }

    #[test]
    fn odd_answers_are_accepted() {
        for body in [
            r#"{"choices":[{"message":{"content":"\ud83d"}}]}"#.to_owned(),
            r#"{"choices":[{"message":{"content":"x"},"error":null}],"error":null}"#.to_owned(),
            r#"{"choices":[{"message":{"content":"x"}}],"usage":{},"usage":{}}"#.to_owned(),
            format!(
                r#"{{"choices":[{{"message":{{"x":{}{}}}}}]}}"#,
                "[".repeat(300),
                "]".repeat(300)
            ),
        ] {
            assert!(AnswerSummary::parse(ChatCompletions, body.as_bytes()).is_ok(), "{body}");
        }
    }
}

//! Answers that are not streams.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::choices::{Choices, is_error};
use crate::{Endpoint, TextSize, Usage};

/// Usage and size of a complete answer.
#[derive(Debug, PartialEq, Eq)]
pub struct AnswerSummary {
    /// Usage reported by the provider.
    pub usage: Option<Usage>,
    /// Size of its text; zero for embeddings.
    pub text_size: TextSize,
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

#[derive(Deserialize)]
struct AnswerMembers<'a> {
    #[serde(default)]
    choices: Choices,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl AnswerSummary {
    /// Parses a body and verifies that it is an answer for this endpoint.
    pub fn parse(endpoint: Endpoint, body: &[u8]) -> Result<Self, InvalidAnswer> {
        let text = std::str::from_utf8(body).map_err(|_| InvalidAnswer::NotJson)?;
        let Ok(members) = serde_json::from_str::<AnswerMembers<'_>>(text) else {
            // A duplicate member or a member of an unknown type. A JSON object may still be an
            // answer that the caller understands.
            let is_object = text.trim_start().starts_with('{');
            let is_json = is_object && serde_json::from_str::<IgnoredAny>(text).is_ok();
            let size = TextSize::measure_json(text);
            return if is_json {
                Ok(Self { usage: None, text_size: size })
            } else {
                Err(InvalidAnswer::NotJson)
            };
        };
        let there = match endpoint {
            Endpoint::ChatCompletions | Endpoint::Completions => members.choices.count > 0,
            Endpoint::Embeddings => members.data.is_some_and(|data| data.get().starts_with('[')),
        };
        // A failure in the shape of an answer is a failure.
        if members.choices.has_failed || members.error.is_some_and(is_error) {
            return Err(InvalidAnswer::IsError);
        }
        if !there {
            return Err(InvalidAnswer::Empty);
        }
        Ok(Self {
            usage: members.usage.map(RawValue::get).and_then(Usage::parse),
            text_size: members.choices.text_size,
        })
    }
}

/// Reads the usage at the end of an answer whose beginning was not kept. Inside a text the quotes
/// around the name are escaped, so that generated text is never taken for it.
pub fn usage_at_end(end: &[u8]) -> Option<Usage> {
    const NAME: &[u8] = b"\"usage\"";
    let at = memchr::memmem::rfind(end, NAME)?;
    let value = end[at + NAME.len()..].trim_ascii_start().strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<&RawValue>();
    Usage::parse(values.next()?.ok()?.get())
}

#[cfg(test)]
mod tests {
    #[test]
    fn usage_at_end_of_answer_is_found() {
        let found = |end: &str| super::usage_at_end(end.as_bytes()).map(|usage| usage.output);
        let usage = r#""usage" : {"prompt_tokens":1,"completion_tokens":2}"#;
        assert_eq!(found(&format!("é\"}}],{usage},\"id\":1}}")), Some(2));
        let quoted = usage.replace('"', "\\\"");
        assert_eq!(found(&format!("{{\"text\":\"{quoted}\"}}")), None);
        assert_eq!(found("\"usage\":null}"), None);
        assert_eq!(found(""), None);
    }

    use super::{AnswerSummary, InvalidAnswer};
    use crate::Endpoint::{ChatCompletions, Embeddings};
    use crate::{TextSize, Usage};

    #[test]
    fn body_that_is_not_an_answer_is_refused() {
        let chat = br#"{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        let usage = Some(Usage { input: 1, output: 2, ..Usage::default() });
        assert_eq!(
            AnswerSummary::parse(ChatCompletions, chat),
            Ok(AnswerSummary { usage, text_size: TextSize { narrow: 2, wide: 0 } })
        );
        let vectors = br#"{"data":[{"embedding":[0.1]}]}"#;
        assert_eq!(
            AnswerSummary::parse(Embeddings, vectors),
            Ok(AnswerSummary { usage: None, text_size: TextSize::default() })
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

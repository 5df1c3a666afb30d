//! Chunk of a streamed answer: reads only the members that steer the gateway.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use json::MemberName;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::choices::{ChoiceSet, ChoicesSeed, Sink, is_error};
use crate::text_size::TextSize;
use crate::usage::Usage;
use crate::usage_dialects::container;
use crate::usage_scanner::find_usage;

/// Content of the `data` of one event. Unknown members are skipped and members of a wrong type are
/// no error: a new upstream feature must not end a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The chunk holds content to show: text, reasoning, a tool call, a refusal. A role alone is
    /// not content.
    pub has_content: bool,
    /// Size of that content.
    pub text_size: TextSize,
    /// Choices in the chunk.
    pub choices: ChoiceSet,
    /// Choices that finish with the chunk.
    pub finished_choices: ChoiceSet,
    /// A choice ends at its maximum length.
    pub is_cut: bool,
    /// Usage reported by the provider.
    pub usage: Option<Usage>,
    /// Place of a `usage` that is null: in the object, or in the event that holds it on one line.
    pub null_usage: Option<Range<usize>>,
    /// The chunk is an error object, or reports a failure in one of its choices.
    pub is_error: bool,
}

impl Chunk {
    /// Parses an object, and passes its id and the content of its choices to a sink.
    pub(crate) fn parse_object<'a>(
        object: &'a str,
        sink: Sink<'_, 'a>,
    ) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(object);
        let (chunk, null_usage) = deserializer.deserialize_map(ChunkVisitor(sink))?;
        deserializer.end()?;
        let null_usage = null_usage.map(|value| json::range_in(object, value.get()));
        Ok(Self { null_usage, ..chunk })
    }

    /// Describes data that is not a chunk. `None` if it is not JSON.
    ///
    /// JSON of another shape passes. It is content only if it has choices, which a client may
    /// understand. All its text counts, since text that is delivered is charged.
    pub(crate) fn from_other_json(text: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok().map(|_| Self {
            has_content: has_choices(text),
            text_size: TextSize::measure_json(text),
            choices: ChoiceSet::single(0),
            usage: find_usage(text.as_bytes()),
            ..Self::default()
        })
    }
}

/// Whether JSON is an object with at least one object in its `choices`.
fn has_choices(text: &str) -> bool {
    let Ok(members) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text) else {
        return false;
    };
    let list = members.get("choices").and_then(|choices| choices.get().strip_prefix('['));
    list.is_some_and(|items| items.trim_start().starts_with('{'))
}

struct ChunkVisitor<'s, 'a>(Sink<'s, 'a>);

impl<'de> Visitor<'de> for ChunkVisitor<'_, 'de> {
    /// The chunk, and its `usage` if that is null.
    type Value = (Chunk, Option<&'de RawValue>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chunk")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut choices, mut null_usage) = (None, None);
        let (mut usage, mut has_error): (Option<Usage>, bool) = (None, false);
        while let Some(MemberName(name)) = members.next_key::<MemberName<'de>>()? {
            match (&*name, &mut self.0) {
                ("choices", _) if choices.is_none() => {
                    choices = Some(members.next_value_seed(ChoicesSeed(&mut self.0))?);
                }
                // Readers disagree on which of two lists counts.
                ("choices", _) => return Err(A::Error::custom("duplicate choices")),
                ("error", _) => {
                    has_error |= members.next_value::<Option<&RawValue>>()?.is_some_and(is_error);
                }
                ("id", Some(sink)) => sink.id(members.next_value()?),
                (name, _) => match container(name) {
                    // A repetition must not keep guards from the texts of the choices.
                    Some(container) => {
                        let value: &RawValue = members.next_value()?;
                        if name == "usage" && value.get() == "null" {
                            null_usage = Some(value);
                        }
                        let found = Usage::parse_in(container, value.get());
                        usage = Usage::merge_options(usage, found);
                    }
                    None => {
                        members.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        let choices = choices.unwrap_or_default();
        let chunk = Chunk {
            has_content: choices.has_content,
            text_size: choices.text_size,
            choices: choices.choices,
            finished_choices: choices.finished_choices,
            is_cut: choices.is_cut,
            usage: Usage::merge_options(usage, choices.usage),
            null_usage: None,
            is_error: has_error || choices.has_failed,
        };
        Ok((chunk, null_usage))
    }
}

#[cfg(test)]
mod tests {
    use super::Chunk;
    use crate::choices::ChoiceSet;
    use crate::{TextSize, Usage};

    /// Chunk of choice 0 without content.
    fn plain() -> Chunk {
        Chunk { choices: ChoiceSet::single(0), ..Chunk::default() }
    }

    /// Parses the data of an event. `None` if it is not JSON.
    fn parse(data: &[u8]) -> Option<Chunk> {
        let text = str::from_utf8(data).ok()?;
        let chunk = Chunk::parse_object(text, None).ok();
        let chunk = chunk.map(|chunk| Chunk { null_usage: None, ..chunk });
        chunk.or_else(|| Chunk::from_other_json(text))
    }

    #[track_caller]
    fn assert_chunk(data: &str, expected: Chunk) {
        assert_eq!(parse(data.as_bytes()), Some(expected), "{data}");
    }

    #[test]
    fn chunk_members_that_steer_are_read() {
        let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        assert_chunk(role, plain());
        assert_chunk(
            r#"{"choices":[{"delta":{"role":"assistant","name":"MM","content":null,"tool_calls":[]}}]}"#,
            plain(),
        );
        let text = |narrow, wide| Chunk {
            has_content: true,
            text_size: TextSize { narrow, wide },
            ..plain()
        };
        assert_chunk(r#"{"choices":[{"delta":{"content":"Hello"}}],"usage":null}"#, text(5, 0));
        assert_chunk(r#"{"choices":[{"delta":{"reasoning_content":"想"}}]}"#, text(0, 1));
        let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}"#;
        assert_chunk(call, text(3, 0));
        assert_chunk(r#"{"choices":[{"text":"ab"},{"text":"c"}]}"#, text(3, 0));
        assert_chunk(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            Chunk { finished_choices: ChoiceSet::single(0), ..plain() },
        );
        assert_chunk(
            r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
            Chunk { finished_choices: ChoiceSet::single(0), is_cut: true, ..plain() },
        );
        let usage = Some(Usage { input: 3, output: 2, ..Usage::default() });
        let usage = Chunk { usage, ..Chunk::default() };
        assert_chunk(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#, usage);
        assert_chunk(
            r#"{"error":{"message":"overloaded"}}"#,
            Chunk { is_error: true, ..Chunk::default() },
        );
        assert_eq!(parse(b"{\"choices\":["), None);
        assert_eq!(parse(b"\xff"), None);
    }

    #[test]
    fn choices_are_distinguished_by_index() {
        let two = r#"{"choices":[{"index":1,"delta":{"content":"a"}},{"index":127,"finish_reason":"stop"}]}"#;
        let chunk = parse(two.as_bytes()).expect("a chunk");
        let mut both = ChoiceSet::single(1);
        both.insert(ChoiceSet::single(127));
        assert_eq!((chunk.choices, chunk.finished_choices), (both, ChoiceSet::single(127)));
        assert!(
            chunk.choices.covers(chunk.finished_choices)
                && !chunk.finished_choices.covers(chunk.choices)
        );
        assert!(ChoiceSet::single(128).is_empty());
    }

    #[test]
    fn repeated_usage_or_error_is_no_other_json() {
        let text = TextSize { narrow: 1, wide: 0 };
        let choices = r#""choices":[{"delta":{"content":"x"}}]"#;
        let usage = Usage { input: 2, ..Usage::default() };
        let counted = Chunk { has_content: true, text_size: text, usage: Some(usage), ..plain() };
        let repeated = [r#"{"prompt_tokens":1}"#, r#"{"prompt_tokens":2}"#, "null"]
            .map(|usage| format!(",\"usage\":{usage}"));
        assert_chunk(&format!("{{{choices}{}}}", repeated.concat()), counted);
        for errors in [r#""error":null,"error":{}"#, r#""error":{},"error":null"#] {
            let chunk = parse(format!("{{{errors},{choices}}}").as_bytes());
            assert!(chunk.expect("a chunk").is_error, "{errors}");
        }
    }

    #[test]
    fn odd_text_keeps_other_members_readable() {
        let half = r#"{"choices":[{"delta":{"content":"\ud83d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#;
        let chunk = parse(half.as_bytes()).expect("a chunk");
        assert!(chunk.has_content && !chunk.finished_choices.is_empty() && chunk.usage.is_some());
        let deep = format!(
            r#"{{"choices":[{{"delta":{{"x":{}{}}}}}]}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert_chunk(&deep, plain());
        let size = TextSize::measure("soon");
        assert_chunk(r#"{"choices":"soon"}"#, Chunk { text_size: size, ..plain() });
        let usage = Some(Usage { input: 1, output: 2, ..Usage::default() });
        assert_chunk(
            r#"{"choices":[7],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
            Chunk { usage, text_size: TextSize::default(), ..plain() },
        );
    }

    #[test]
    fn other_json_is_content_only_with_choices() {
        for (data, expected) in [
            ("null", false),
            ("[]", false),
            ("1", false),
            (r#""text""#, false),
            (r#"[{"choices":[{"delta":{"content":"x"}}]}]"#, false),
            (r#"{"object":"ping"}"#, false),
            (r#"{"choices":[7]}"#, false),
            (r#"{"choices":[{"index":"0","delta":{"content":"x"}}]}"#, true),
        ] {
            let chunk = parse(data.as_bytes()).expect("JSON");
            assert_eq!(chunk.has_content, expected, "{data}");
        }
    }

    #[test]
    fn failure_in_a_choice_is_an_error() {
        for (choice, is_error) in [
            (r#"{"delta":{"content":""},"finish_reason":"error"}"#, true),
            (r#"{"delta":{},"finish_reason":"insufficient_system_resource"}"#, true),
            (r#"{"delta":{},"finish_reason":"network_error"}"#, true),
            (r#"{"delta":{"content":"x"},"error":{"code":502}}"#, true),
            (r#"{"delta":{"content":"x"}},{"index":1,"error":"overloaded"}"#, true),
            (r#"{"delta":{"content":"x"},"error":null,"finish_reason":null}"#, false),
            (r#"{"delta":{"content":"x"},"error":""}"#, false),
            (r#"{"delta":{"content":"\"error\""},"finish_reason":"stop"}"#, false),
        ] {
            let chunk = parse(format!("{{\"choices\":[{choice}]}}").as_bytes());
            assert_eq!(chunk.expect("a chunk").is_error, is_error, "{choice}");
        }
    }
}

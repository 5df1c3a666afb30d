//! Reads the members of a body that steer the gateway in one pass and skips all others.

use std::fmt;

use json::{MemberName, is_same_name};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Endpoint;
use crate::invalid::Invalid;

const INCLUDE_USAGE: &str = "include_usage";

const STEERING_FIELDS: [&str; 20] = [
    "model",
    "messages",
    "prompt",
    "input",
    "stream",
    "stream_options",
    "user",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
    "tools",
    "functions",
    "response_format",
    "suffix",
    "n_predict",
    "num_predict",
    "max_new_tokens",
    "max_output_tokens",
    "n_cmpl",
];

/// Other names of the maximum length of a choice: llama.cpp's server, Ollama, Text Generation
/// Inference, and Responses. Servers of one kind accept some of another, so all are read everywhere.
pub(crate) const LENGTH_ALIASES: [&str; 4] =
    ["n_predict", "num_predict", "max_new_tokens", "max_output_tokens"];

/// Other names under which some upstreams read a field.
pub fn field_aliases(field: &str) -> &'static [&'static str] {
    match field {
        "max_tokens" | "max_completion_tokens" => &LENGTH_ALIASES,
        "n" => &["n_cmpl"],
        _ => &[],
    }
}

/// Values of the members that steer the gateway, as raw JSON of the body.
#[derive(Default)]
pub(crate) struct SteeringFields<'a> {
    pub(crate) model: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    prompt: Option<&'a RawValue>,
    input: Option<&'a RawValue>,
    pub(crate) stream: Option<&'a RawValue>,
    pub(crate) stream_options: Option<&'a RawValue>,
    pub(crate) user: Option<&'a RawValue>,
    pub(crate) max_tokens: Option<&'a RawValue>,
    pub(crate) max_completion_tokens: Option<&'a RawValue>,
    pub(crate) n: Option<&'a RawValue>,
    pub(crate) best_of: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    functions: Option<&'a RawValue>,
    response_format: Option<&'a RawValue>,
    suffix: Option<&'a RawValue>,
    /// Values of [`LENGTH_ALIASES`].
    pub(crate) length_aliases: [Option<&'a RawValue>; LENGTH_ALIASES.len()],
    /// Another name of `n`: llama.cpp's server.
    pub(crate) n_cmpl: Option<&'a RawValue>,
    prediction: Option<&'a RawValue>,
    pub(crate) invalid: Option<Invalid>,
    /// Whether the object has no members at all.
    pub(crate) is_empty: bool,
}

impl<'a> SteeringFields<'a> {
    pub(crate) fn content(&self, endpoint: Endpoint) -> Option<&'a RawValue> {
        match endpoint {
            Endpoint::ChatCompletions => self.messages,
            Endpoint::Completions => self.prompt,
            Endpoint::Embeddings => self.input,
        }
    }

    /// Whether the body has the input of embeddings or of the Responses API.
    pub(crate) fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// Values of members outside the content that the model reads too.
    pub(crate) fn extra_prompt(&self) -> impl Iterator<Item = &'a RawValue> {
        let all = [self.tools, self.functions, self.response_format, self.suffix, self.prediction];
        all.into_iter().flatten()
    }

    fn field_mut(&mut self, name: &str) -> Option<(&'static str, &mut Option<&'a RawValue>)> {
        Some(match name {
            "model" => ("model", &mut self.model),
            "messages" => ("messages", &mut self.messages),
            "prompt" => ("prompt", &mut self.prompt),
            "input" => ("input", &mut self.input),
            "stream" => ("stream", &mut self.stream),
            "stream_options" => ("stream_options", &mut self.stream_options),
            "user" => ("user", &mut self.user),
            "max_tokens" => ("max_tokens", &mut self.max_tokens),
            "max_completion_tokens" => ("max_completion_tokens", &mut self.max_completion_tokens),
            "n" => ("n", &mut self.n),
            "best_of" => ("best_of", &mut self.best_of),
            "tools" => ("tools", &mut self.tools),
            "functions" => ("functions", &mut self.functions),
            "response_format" => ("response_format", &mut self.response_format),
            "suffix" => ("suffix", &mut self.suffix),
            "prediction" => ("prediction", &mut self.prediction),
            "n_cmpl" => ("n_cmpl", &mut self.n_cmpl),
            _ => {
                let at = LENGTH_ALIASES.iter().position(|alias| *alias == name)?;
                (LENGTH_ALIASES[at], &mut self.length_aliases[at])
            }
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for SteeringFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = SteeringFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut members: A,
            ) -> Result<SteeringFields<'de>, A::Error> {
                let mut fields = SteeringFields { is_empty: true, ..SteeringFields::default() };
                while let Some(name) = members.next_key::<MemberName<'de>>()? {
                    fields.is_empty = false;
                    let Some((known, slot)) = fields.field_mut(&name.0) else {
                        members.next_value::<IgnoredAny>()?;
                        if let Some(known) =
                            STEERING_FIELDS.into_iter().find(|field| is_same_name(&name.0, field))
                        {
                            fields.invalid = Some(Invalid::Ambiguous(known));
                        }
                        continue;
                    };
                    if slot.replace(members.next_value()?).is_some() {
                        fields.invalid = Some(Invalid::Twice(known));
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Members of `stream_options` that concern usage.
pub(crate) struct StreamOptions<'a> {
    pub(crate) include_usage: Option<&'a RawValue>,
    pub(crate) empty: bool,
    pub(crate) is_duplicate: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for StreamOptions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = StreamOptions<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut options =
                    StreamOptions { include_usage: None, empty: true, is_duplicate: false };
                while let Some(name) = members.next_key::<MemberName<'de>>()? {
                    options.empty = false;
                    let value: &RawValue = members.next_value()?;
                    if name.0 == INCLUDE_USAGE {
                        options.is_duplicate |= options.include_usage.replace(value).is_some();
                    } else {
                        options.is_duplicate |= is_same_name(&name.0, INCLUDE_USAGE);
                    }
                }
                Ok(options)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

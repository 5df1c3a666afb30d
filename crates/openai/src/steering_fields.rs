//! Reads the members of a body that steer the gateway in one pass and skips all others.

use std::fmt;

use json::{MemberName, is_same_name};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Endpoint;
use crate::invalid::Invalid;

const INCLUDE_USAGE: &str = "include_usage";

/// Other names of the maximum length of a choice: llama.cpp's server, Ollama, Text Generation
/// Inference, and Responses; and the maximum of Qwen's thinking, which `max_tokens` does not bound. Servers of
/// one kind accept some of another, so all are read everywhere.
pub(crate) const LENGTH_ALIASES: [&str; 5] =
    ["n_predict", "num_predict", "max_new_tokens", "max_output_tokens", "thinking_budget"];

/// Other names under which some upstreams read a field.
pub fn field_aliases(field: &str) -> &'static [&'static str] {
    match field {
        "max_tokens" | "max_completion_tokens" => &LENGTH_ALIASES,
        // llama.cpp's server.
        "n" => &["n_cmpl"],
        _ => &[],
    }
}

/// Maximum number of members that hold text and that the gateway does not know.
const MAX_OTHER_MEMBERS: usize = 256;

/// Other members that hold no text for the model: numbers, switches, ids, and names of modes.
const TEXTLESS_MEMBERS: [&str; 26] = [
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "echo",
    "modalities",
    "audio",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "encoding_format",
    "dimensions",
    "ignore_eos",
];

/// Whether a member asks a model to think before it answers, which may take minutes without a byte:
/// OpenAI, OpenRouter, Anthropic's models behind OpenAI's format, and Qwen.
fn asks_for_thinking(name: &str, value: &str) -> bool {
    match name {
        "reasoning_effort" => !matches!(value, "null" | "\"none\"" | "\"minimal\""),
        "reasoning" => value.starts_with('{'),
        "thinking" => value.starts_with('{') && !value.contains("\"disabled\""),
        "enable_thinking" => value == "true",
        _ => false,
    }
}

/// Defines the members that steer the gateway: their names, their slots, and the slot of a name.
macro_rules! steering_fields {
    ($($name:ident)*) => {
        const STEERING_FIELDS: &[&str] = &[$(stringify!($name)),*];

        /// Values of the members that steer the gateway, as raw JSON of the body.
        #[derive(Default)]
        pub(crate) struct SteeringFields<'a> {
            $(pub(crate) $name: Option<&'a RawValue>,)*
            /// Values of other members that may hold text.
            others: Vec<&'a RawValue>,
            /// Whether a member asks the model to think before it answers.
            pub(crate) asks_for_thinking: bool,
            pub(crate) invalid: Option<Invalid>,
            /// Whether the object has no members at all.
            pub(crate) is_empty: bool,
        }

        impl<'a> SteeringFields<'a> {
            fn field_mut(&mut self, name: &str) -> Option<(&'static str, &mut Option<&'a RawValue>)> {
                match name {
                    $(stringify!($name) => Some((stringify!($name), &mut self.$name)),)*
                    _ => None,
                }
            }
        }
    };
}

steering_fields! {
    model messages prompt input stream stream_options user max_tokens max_completion_tokens n best_of
    tools functions response_format suffix prediction n_predict num_predict max_new_tokens
    max_output_tokens thinking_budget n_cmpl
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

    /// Values of [`LENGTH_ALIASES`].
    pub(crate) fn length_aliases(&self) -> [Option<&'a RawValue>; LENGTH_ALIASES.len()] {
        [
            self.n_predict,
            self.num_predict,
            self.max_new_tokens,
            self.max_output_tokens,
            self.thinking_budget,
        ]
    }

    /// Values of members outside the content that the model may read too: those that the gateway
    /// knows, the content of other endpoints, and all that it does not know to be harmless.
    pub(crate) fn extra_prompt(&self, endpoint: Endpoint) -> impl Iterator<Item = &'a RawValue> {
        let contents = [
            (Endpoint::ChatCompletions, self.messages),
            (Endpoint::Completions, self.prompt),
            (Endpoint::Embeddings, self.input),
        ];
        let contents = contents.into_iter().filter(move |(of, _)| *of != endpoint);
        let known =
            [self.tools, self.functions, self.response_format, self.suffix, self.prediction];
        contents
            .filter_map(|(_, raw)| raw)
            .chain(known.into_iter().flatten())
            .chain(self.others.iter().copied())
    }

    /// Keeps a member that the gateway does not know, if it may hold text.
    fn add_other(&mut self, name: &str, value: &'a RawValue) {
        self.asks_for_thinking |= asks_for_thinking(name, value.get());
        let may_hold_text = value.get().starts_with(['"', '{', '[']);
        if !may_hold_text || TEXTLESS_MEMBERS.contains(&name) {
            return;
        }
        if self.others.len() < MAX_OTHER_MEMBERS {
            self.others.push(value);
        } else {
            self.invalid = Some(Invalid::TooManyMembers);
        }
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
                        let value = members.next_value()?;
                        match STEERING_FIELDS.iter().find(|field| is_same_name(&name.0, field)) {
                            Some(known) => fields.invalid = Some(Invalid::Ambiguous(known)),
                            None => fields.add_other(&name.0, value),
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

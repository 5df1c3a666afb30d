//! Abilities of a target, and options of a translation.

use crate::model::{Protocol, Seal, SealMaker};
use crate::tool_name::ToolName;

/// Target of a translation: its protocol and its model's abilities, as plain data.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// Protocol in which the body is written.
    pub protocol: Protocol,
    /// Name of the model at the provider; `None` keeps the caller's.
    pub model: Option<&'a str>,
    /// Maker whose wrapped seals the provider can read.
    pub seal_maker: Option<&'a str>,
    /// Whether the body is for counting tokens only: no maximum, no stream.
    pub is_count: bool,
    /// Maximum number of tokens if the caller sets none (Messages requires one).
    pub default_max_tokens: u64,
    /// Field for the maximum number of tokens (Chat).
    pub max_tokens_field: MaxTokensField,
    /// Field for thoughts in earlier turns (Chat).
    pub reasoning_field: ReasoningField,
    /// Field for the end user (Chat and Responses).
    pub end_user_field: EndUserField,
    /// Form of thinking (Messages).
    pub thinking_form: ThinkingForm,
    /// Whether the model accepts `temperature`, `top_p`, and `top_k`.
    pub accepts_sampling: bool,
    /// Whether the model continues a last turn of its own.
    pub accepts_prefill: bool,
    /// Whether messages with the role `system` may follow a user's (Messages).
    pub accepts_system_turns: bool,
    /// Whether content can have cache breakpoints (Chat and Responses).
    pub accepts_cache_breakpoints: bool,
    /// Whether tools with free text are accepted (Chat and Responses).
    pub accepts_custom_tools: bool,
    /// Whether a stream is asked for its usage although the caller's protocol has no such option (Chat).
    pub asks_for_usage: bool,
    /// Maximum number of stop sequences; `None` for no limit.
    pub max_stop_sequences: Option<usize>,
}

impl Target<'_> {
    /// Returns the target with the protocol's usual abilities: those of a current model at the
    /// protocol's author.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            model: None,
            seal_maker: None,
            is_count: false,
            default_max_tokens: 4096,
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            reasoning_field: ReasoningField::None,
            end_user_field: EndUserField::SafetyIdentifier,
            thinking_form: ThinkingForm::Adaptive,
            accepts_sampling: protocol != Protocol::Messages,
            accepts_prefill: false,
            accepts_system_turns: false,
            accepts_cache_breakpoints: protocol == Protocol::Messages,
            accepts_custom_tools: protocol != Protocol::Messages,
            asks_for_usage: true,
            max_stop_sequences: (protocol == Protocol::Chat).then_some(4),
        }
    }

    /// Whether the provider can read a seal.
    pub(super) fn accepts_seal(&self, seal: &Seal<'_>) -> bool {
        match &seal.maker {
            SealMaker::Protocol(protocol) => *protocol == self.protocol,
            SealMaker::Named(maker) => self.seal_maker == Some(maker.as_ref()),
        }
    }

    /// Longest name of a tool.
    pub(super) fn max_tool_name(&self) -> usize {
        if self.protocol == Protocol::Messages { 128 } else { 64 }
    }
}

/// Field for the maximum number of tokens (Chat).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokensField {
    /// `max_tokens`: deprecated by OpenAI, and the only one at many other providers.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

/// Field for thoughts in earlier turns (Chat).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningField {
    /// No field: thoughts are left out.
    None,
    /// `reasoning_content`. In a conversation with tools every message of the model has it, even if
    /// empty (DeepSeek, "Thinking Mode").
    ReasoningContent,
    /// `reasoning_details`, with seals (OpenRouter, "Reasoning Tokens").
    ReasoningDetails,
}

/// Field for the end user (Chat and Responses).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndUserField {
    /// No field.
    None,
    /// `safety_identifier`.
    SafetyIdentifier,
    /// `user`: deprecated by OpenAI, and the only one at many other providers.
    User,
}

/// Form of thinking (Messages, "Extended thinking" and "Adaptive thinking").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingForm {
    /// `thinking: adaptive` and `output_config.effort`: models from 4.6.
    Adaptive,
    /// `thinking: enabled` with `budget_tokens`: models before 4.6.
    Budget,
}

/// Options of a route for losses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Paths without positions whose loss the route permits: `n`, `messages.content.audio`.
    pub lossy: &'a [String],
    /// Policy for members that are not known.
    pub unknown: UnknownPolicy,
    /// Policy for sampling parameters that the target lacks.
    pub sampling: SamplingPolicy,
    /// Whether every loss is permitted, since the body is only read by the gateway and never sent. It
    /// holds every text of the caller's body as it is; what Chat lacks stands in a member of its own.
    pub is_view: bool,
}

/// Policy for members that are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownPolicy {
    /// The request is untranslatable.
    #[default]
    Refuse,
    /// The members are left out and reported.
    Shed,
}

/// Policy for sampling parameters that the target lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamplingPolicy {
    /// The parameters are left out and reported.
    #[default]
    Shed,
    /// The request is untranslatable.
    Refuse,
}

/// Body for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRequest {
    /// JSON text.
    pub body: Vec<u8>,
    /// Paths without positions of members that were left out. Each appears once; at most 64.
    pub shed: Vec<String>,
    /// Whether a member was left out or changed although that changes the meaning.
    pub is_lossy: bool,
    /// Tools under another name or in another form.
    pub tool_names: Vec<ToolName>,
}

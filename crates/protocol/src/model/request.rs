//! Model of a request.

use std::borrow::Cow;

use super::{CacheBreakpoint, Part, Place, Protocol};
use crate::request::MemberRule;

/// Request of a caller, borrowed from its body. Numbers, schemas, and arguments are JSON as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// Protocol of the caller.
    pub protocol: Protocol,
    /// Name of the model.
    pub model: Option<Cow<'a, str>>,
    /// Options of the stream; `None` if the answer is to be one JSON object.
    pub stream: Option<StreamOptions>,
    /// Instructions before the first turn.
    pub system: Vec<LocatedPart<'a>>,
    /// Conversation.
    pub turns: Vec<Turn<'a>>,
    /// Tools that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Rule by which the model selects a tool.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether the model may call several tools in one turn.
    pub parallel_tool_calls: Option<bool>,
    /// Maximum number of tokens of the answer.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<Cow<'a, str>>,
    /// Selection of tokens.
    pub sampling: Sampling<'a>,
    /// Thinking before the answer.
    pub reasoning: Reasoning,
    /// Form of the answer.
    pub output_format: OutputFormat<'a>,
    /// Length of the answer, in words.
    pub verbosity: Option<Verbosity>,
    /// Cache breakpoint behind the last part that can have one (Messages, `cache_control`).
    pub cache: Option<CacheBreakpoint>,
    /// Id of the person for whom the caller asks.
    pub end_user: Option<Cow<'a, str>>,
    /// Members without a place in the model, in their order.
    pub leftovers: Vec<Leftover<'a>>,
}

impl Request<'_> {
    /// Returns an empty request.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            model: None,
            stream: None,
            system: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            max_tokens: None,
            stop: Vec::new(),
            sampling: Sampling::default(),
            reasoning: Reasoning::default(),
            output_format: OutputFormat::default(),
            verbosity: None,
            cache: None,
            end_user: None,
            leftovers: Vec::new(),
        }
    }
}

/// Options of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Whether the stream ends with its usage (Chat, `stream_options.include_usage`).
    pub include_usage: Option<bool>,
    /// Whether the events are padded (Chat and Responses, `stream_options.include_obfuscation`).
    pub include_obfuscation: Option<bool>,
}

/// Turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn<'a> {
    /// Role of the speaker.
    pub role: Role,
    /// Name of the speaker (Chat).
    pub name: Option<Cow<'a, str>>,
    /// Phase of the answer (Responses).
    pub phase: Option<Phase>,
    /// Content.
    pub parts: Vec<LocatedPart<'a>>,
    /// Place of the message or of the first item.
    pub place: Place,
}

/// Role of a turn. Results of tools are parts of the user's turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions within the conversation.
    System,
    /// User.
    User,
    /// Model.
    Assistant,
}

/// Phase of an answer in several messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Message before the work is done.
    Commentary,
    /// Last message.
    FinalAnswer,
}

/// Part with its place in the body.
#[derive(Clone, Debug, PartialEq)]
pub struct LocatedPart<'a> {
    /// The part.
    pub part: Part<'a>,
    /// Place of the part, or of the message if its content is a string.
    pub place: Place,
}

/// Tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool<'a> {
    /// Kind of the tool.
    pub kind: ToolKind<'a>,
    /// End of a prefix that the provider may cache.
    pub cache: Option<CacheBreakpoint>,
    /// Place of the tool.
    pub place: Place,
}

/// Kind of a tool.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolKind<'a> {
    /// Function with JSON arguments, which the caller runs.
    Function {
        /// Name. The name of a tool in a namespace is `NAMESPACE__NAME`.
        name: Cow<'a, str>,
        /// Length of the namespace's name; `None` if the tool is in no namespace.
        namespace: Option<usize>,
        /// Description for the model.
        description: Option<Cow<'a, str>>,
        /// JSON Schema of the arguments.
        schema: Option<&'a str>,
        /// Whether the arguments must match the schema.
        is_strict: Option<bool>,
    },
    /// Tool with free text, which the caller runs.
    Custom {
        /// Name, as of a function.
        name: Cow<'a, str>,
        /// Length of the namespace's name.
        namespace: Option<usize>,
        /// Description for the model.
        description: Option<Cow<'a, str>>,
        /// Form of the text.
        format: CustomFormat<'a>,
    },
    /// Tool that the provider runs.
    Hosted {
        /// Protocol that has the tool.
        protocol: Protocol,
        /// Type of the tool by the protocol's name.
        name: Cow<'a, str>,
        /// The tool as it came.
        raw: &'a str,
    },
}

/// Form of a custom tool's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CustomFormat<'a> {
    /// Any text.
    #[default]
    Text,
    /// Text of a grammar's language.
    Grammar {
        /// Syntax of the grammar: `lark` or `regex`.
        syntax: Cow<'a, str>,
        /// The grammar.
        definition: Cow<'a, str>,
    },
}

/// Rule by which the model selects a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model selects.
    Auto,
    /// No tool.
    None,
    /// At least one tool.
    Any,
    /// This tool.
    Tool(Cow<'a, str>),
    /// Some of the tools.
    Among {
        /// Whether the model must call one of them.
        is_required: bool,
        /// Names.
        names: Vec<Cow<'a, str>>,
    },
    /// Tool that the provider runs, or a rule with such tools, as it came.
    Hosted(&'a str),
}

/// Selection of tokens. Numbers are JSON as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampling<'a> {
    /// `temperature`.
    pub temperature: Option<&'a str>,
    /// `top_p`.
    pub top_p: Option<&'a str>,
    /// `top_k`.
    pub top_k: Option<&'a str>,
    /// `presence_penalty`.
    pub presence_penalty: Option<&'a str>,
    /// `frequency_penalty`.
    pub frequency_penalty: Option<&'a str>,
    /// `seed`.
    pub seed: Option<&'a str>,
    /// `logit_bias`: an object.
    pub logit_bias: Option<&'a str>,
    /// Number of answers.
    pub count: Option<u64>,
    /// Whether the answer has logarithmic probabilities.
    pub logprobs: Option<bool>,
    /// Number of alternatives for each token.
    pub top_logprobs: Option<u64>,
}

/// Thinking before the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// Effort, in words.
    pub effort: Option<Effort>,
    /// Effort, in tokens.
    pub budget: Option<ThinkingBudget>,
    /// Form in which the thoughts are shown.
    pub display: Option<ReasoningDisplay>,
}

/// Effort of thinking, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// No thinking.
    None,
    /// Least.
    Minimal,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Above high.
    XHigh,
    /// Most.
    Max,
}

/// Budget of thinking (Messages, `thinking`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingBudget {
    /// No thinking.
    Off,
    /// The model decides.
    Adaptive,
    /// Thinking between tool calls only.
    BetweenTools,
    /// Number of tokens.
    Tokens(u64),
}

/// Form in which thoughts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningDisplay {
    /// Not shown.
    Hidden,
    /// Summary; the provider decides on its length.
    Summary,
    /// Short summary.
    Concise,
    /// Long summary.
    Detailed,
}

/// Form of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat<'a> {
    /// Text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema(JsonSchema<'a>),
}

/// Schema of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonSchema<'a> {
    /// Name; Messages has none.
    pub name: Option<Cow<'a, str>>,
    /// Description for the model.
    pub description: Option<Cow<'a, str>>,
    /// JSON Schema as written.
    pub schema: Option<&'a str>,
    /// Whether the answer must match the schema.
    pub is_strict: Option<bool>,
}

/// Length of the answer, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Short.
    Low,
    /// Medium.
    Medium,
    /// Long.
    High,
}

/// Member without a place in the model.
#[derive(Clone, Debug)]
pub struct Leftover<'a> {
    /// Place of its object.
    pub place: Place,
    /// Name.
    pub name: Cow<'a, str>,
    /// Value as written.
    pub raw: &'a str,
    /// Rule of the member; `None` if it is unknown.
    pub rule: Option<&'static MemberRule>,
}

impl Leftover<'_> {
    /// Returns the JSON path of the member in the caller's body.
    pub fn path(&self) -> String {
        self.place.path_to(&self.name)
    }
}

impl PartialEq for Leftover<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.raw == other.raw
    }
}

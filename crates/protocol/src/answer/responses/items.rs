//! Output items of Responses, of whole answers and of streams.

use crate::answer::chat::write_citation;
use crate::context::AnswerContext;
use crate::json_text::JsonText;
use crate::model::{
    ArgumentsText, Citation, Part, PartKind, Protocol, ReasoningText, ReasoningTextKind, Seal,
};
use crate::shed::Shed;

/// Kind of an output item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// Texts and refusals in a row.
    Message,
    /// Reasoning.
    Reasoning,
    /// Call of a function.
    FunctionCall,
    /// Call of a custom tool.
    CustomCall,
}

impl ItemKind {
    /// Kind of the item that holds a part. `None` if Responses has no item for it.
    pub(crate) fn of(part: &Part<'_>) -> Option<Self> {
        Some(match &part.kind {
            PartKind::Text { .. } | PartKind::Refusal(_) => Self::Message,
            PartKind::Reasoning { .. } => Self::Reasoning,
            PartKind::ToolCall { arguments: ArgumentsText::Json(_), .. } => Self::FunctionCall,
            PartKind::ToolCall { arguments: ArgumentsText::Text(_), .. } => Self::CustomCall,
            PartKind::Media { .. } | PartKind::ToolResult { .. } | PartKind::Foreign { .. } => {
                return None;
            }
        })
    }

    /// Prefix of the item's id.
    pub(crate) fn id_prefix(self) -> &'static str {
        match self {
            Self::Message => "msg_",
            Self::Reasoning => "rs_",
            Self::FunctionCall => "fc_",
            Self::CustomCall => "ctc_",
        }
    }
}

/// Facts about an output item beside its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemHead {
    pub(crate) kind: ItemKind,
    pub(crate) number: usize,
    pub(crate) status: &'static str,
}

/// Writes an item of the parts: several for a message, else one.
pub(crate) fn write_item(
    json: &mut JsonText,
    ItemHead { kind, number, status }: ItemHead,
    parts: &[Part<'_>],
    logprobs: Option<&str>,
    context: &AnswerContext,
    shed: &mut Shed,
) {
    json.begin_object();
    json.text_member("id", &context.item_id(kind.id_prefix(), number));
    match (kind, parts.first()) {
        (ItemKind::Message, _) | (_, None) => {
            json.text_member("type", "message");
            json.text_member("role", "assistant");
            json.array("content");
            for (at, part) in parts.iter().enumerate() {
                write_content_part(json, part, logprobs.filter(|_| at == 0), shed);
            }
            json.end_array();
        }
        (ItemKind::Reasoning, Some(part)) => write_reasoning(json, part, context),
        (ItemKind::FunctionCall | ItemKind::CustomCall, Some(part)) => {
            write_call(json, part, number, status, context);
        }
    }
    json.text_member("status", status);
    json.end_object();
}

/// Writes a part of a message's content.
pub(crate) fn write_content_part(
    json: &mut JsonText,
    part: &Part<'_>,
    logprobs: Option<&str>,
    shed: &mut Shed,
) {
    match &part.kind {
        PartKind::Text { text, citations } => {
            json.begin_object();
            json.text_member("type", "output_text");
            json.text_member("text", text);
            json.array("annotations");
            write_annotations(json, text, citations, shed);
            json.end_array();
            json.raw_member("logprobs", logprobs.unwrap_or("[]"));
            json.end_object();
        }
        PartKind::Refusal(text) => {
            json.begin_object();
            json.text_member("type", "refusal");
            json.text_member("refusal", text);
            json.end_object();
        }
        _ => {}
    }
}

fn write_annotations(json: &mut JsonText, text: &str, citations: &[Citation<'_>], shed: &mut Shed) {
    let length = if citations.is_empty() { 0 } else { text.chars().count() };
    for citation in citations {
        write_citation(json, citation, 0..length, false, shed);
    }
}

fn write_reasoning(json: &mut JsonText, part: &Part<'_>, context: &AnswerContext) {
    let PartKind::Reasoning { texts, .. } = &part.kind else { return };
    json.text_member("type", "reasoning");
    json.array("summary");
    texts_of(texts, ReasoningTextKind::Summary).for_each(|text| write_thought(json, text));
    json.end_array();
    let mut full = texts_of(texts, ReasoningTextKind::Full).peekable();
    if full.peek().is_some() {
        json.array("content");
        full.for_each(|text| write_thought(json, text));
        json.end_array();
    }
    if let Some(bytes) = encrypted_content(part.seal.as_ref(), context) {
        json.text_member("encrypted_content", &bytes);
    }
}

/// Bytes of a seal in the place that Responses has for them.
pub(crate) fn encrypted_content(
    seal: Option<&Seal<'_>>,
    context: &AnswerContext,
) -> Option<String> {
    let bytes = context.sealed_bytes(seal?, Protocol::Responses)?;
    Some(bytes.into_owned())
}

fn texts_of<'t, 'a>(
    texts: &'t [ReasoningText<'a>],
    kind: ReasoningTextKind,
) -> impl Iterator<Item = &'t ReasoningText<'a>> {
    texts.iter().filter(move |text| text.kind == kind)
}

/// Writes a text of a thought.
pub(crate) fn write_thought(json: &mut JsonText, thought: &ReasoningText<'_>) {
    json.begin_object();
    json.text_member("type", thought_type(thought.kind));
    json.text_member("text", &thought.text);
    json.end_object();
}

fn thought_type(kind: ReasoningTextKind) -> &'static str {
    match kind {
        ReasoningTextKind::Summary => "summary_text",
        ReasoningTextKind::Full => "reasoning_text",
    }
}

fn write_call(
    json: &mut JsonText,
    part: &Part<'_>,
    number: usize,
    status: &str,
    context: &AnswerContext,
) {
    let PartKind::ToolCall { id, name, arguments } = &part.kind else { return };
    let (kind, member, text) = match arguments {
        ArgumentsText::Json(text) => ("function_call", "arguments", filled(text, status)),
        ArgumentsText::Text(text) => ("custom_tool_call", "input", &**text),
    };
    json.text_member("type", kind);
    json.text_member("call_id", &context.call_id(id, number, Protocol::Responses));
    json.text_member("name", context.tool_name(name));
    if let Some(namespace) = context.namespace(name) {
        json.text_member("namespace", namespace);
    }
    json.text_member(member, text);
}

/// Arguments that clients can parse. A call that has just begun has none.
pub(crate) fn filled<'t>(arguments: &'t str, status: &str) -> &'t str {
    if arguments.is_empty() && status != "in_progress" { "{}" } else { arguments }
}

//! Writing of a chat completion.

use std::ops::Range;

use crate::answer_outcome::WrittenAnswer;
use crate::context::AnswerContext;
use crate::json_text::JsonText;
use crate::model::{
    Answer, AnswerChoice, ArgumentsText, Citation, EndReason, Part, PartKind, Protocol, Seal,
    ServiceTier,
};
use crate::shed::Shed;
use crate::usage::write_chat;

/// Writes a chat completion.
pub(crate) fn write(answer: &Answer<'_>, context: &AnswerContext) -> WrittenAnswer {
    let mut json = JsonText::with_capacity(512);
    let mut shed = Shed::default();
    json.begin_object();
    json.text_member("id", &context.answer_id("chatcmpl-"));
    json.text_member("object", "chat.completion");
    json.number_member("created", answer.created.unwrap_or(context.now_epoch_seconds));
    json.text_member("model", &answer.model);
    json.array("choices");
    for choice in &answer.choices {
        write_choice(&mut json, choice, context, &mut shed);
    }
    json.end_array();
    if let Some(usage) = &answer.usage {
        json.name("usage");
        write_chat(&mut json, usage);
    }
    if let Some(tier) = answer.tier {
        json.text_member("service_tier", service_tier(tier));
    }
    if let Some(fingerprint) = &answer.fingerprint {
        json.text_member("system_fingerprint", fingerprint);
    }
    json.end_object();
    WrittenAnswer { body: json.into_bytes(), shed }
}

fn write_choice(
    json: &mut JsonText,
    choice: &AnswerChoice<'_>,
    context: &AnswerContext,
    shed: &mut Shed,
) {
    json.begin_object();
    json.number_member("index", choice.index.into());
    json.object("message");
    write_message(json, choice, context, shed);
    json.end_object();
    match &choice.logprobs {
        Some(tokens) => {
            json.object("logprobs");
            json.raw_member("content", tokens);
            json.raw_member("refusal", "null");
            json.end_object();
        }
        None => json.raw_member("logprobs", "null"),
    }
    json.text_member("finish_reason", finish_reason(&choice.end, choice.has_refusal()));
    json.end_object();
}

/// Texts of the parts of a message, by member.
#[derive(Default)]
struct Texts {
    content: String,
    characters: usize,
    refusal: String,
    reasoning: String,
}

fn write_message(
    json: &mut JsonText,
    choice: &AnswerChoice<'_>,
    context: &AnswerContext,
    shed: &mut Shed,
) {
    let mut texts = Texts::default();
    let mut annotations = JsonText::default();
    annotations.begin_array();
    for part in &choice.parts {
        match &part.kind {
            PartKind::Text { text, citations } => {
                // Positions count in characters of the joined text.
                let end = texts.characters + text.chars().count();
                for citation in citations {
                    let span = texts.characters..end;
                    write_citation(&mut annotations, citation, span, true, shed);
                }
                texts.characters = end;
                texts.content.push_str(text);
            }
            PartKind::Refusal(text) => texts.refusal.push_str(text),
            PartKind::Reasoning { texts: thoughts, .. } => {
                for thought in thoughts {
                    if !texts.reasoning.is_empty() {
                        texts.reasoning.push_str("\n\n");
                    }
                    texts.reasoning.push_str(&thought.text);
                }
            }
            PartKind::ToolCall { .. } => {}
            PartKind::Media { .. } => shed.add("media"),
            PartKind::ToolResult { .. } | PartKind::Foreign { .. } => shed.add("hosted_tools"),
        }
    }
    annotations.end_array();
    json.text_member("role", "assistant");
    let has_other = choice.has_calls() || !texts.refusal.is_empty();
    let content = Some(&*texts.content).filter(|content| !content.is_empty() || !has_other);
    json.optional_text_member("content", content);
    json.optional_text_member("refusal", Some(&*texts.refusal).filter(|text| !text.is_empty()));
    json.name("annotations").raw_bytes(&annotations.into_bytes());
    if !texts.reasoning.is_empty() {
        json.text_member("reasoning_content", &texts.reasoning);
    }
    write_reasoning_details(json, &choice.parts, context);
    if choice.has_calls() {
        json.array("tool_calls");
        let calls = choice.parts.iter().filter(|part| is_call(part));
        for (number, part) in calls.enumerate() {
            write_call(json, part, number, context);
        }
        json.end_array();
    }
}

fn is_call(part: &Part<'_>) -> bool {
    matches!(part.kind, PartKind::ToolCall { .. })
}

/// Writes the seals of reasoning in OpenRouter's form, which has a place for them.
fn write_reasoning_details(json: &mut JsonText, parts: &[Part<'_>], context: &AnswerContext) {
    let sealed = |part: &Part<'_>| match (&part.kind, &part.seal) {
        (PartKind::Reasoning { .. }, Some(seal)) => {
            context.sealed_bytes(seal, Protocol::Chat).map(std::borrow::Cow::into_owned)
        }
        _ => None,
    };
    let seals: Vec<String> = parts.iter().filter_map(sealed).collect();
    if seals.is_empty() {
        return;
    }
    json.array("reasoning_details");
    for (index, data) in seals.iter().enumerate() {
        write_reasoning_detail(json, data, index);
    }
    json.end_array();
}

pub(crate) fn write_reasoning_detail(json: &mut JsonText, data: &str, index: usize) {
    json.begin_object();
    json.text_member("type", "reasoning.encrypted");
    json.text_member("data", data);
    json.number_member("index", index as u64);
    json.end_object();
}

fn write_call(json: &mut JsonText, part: &Part<'_>, number: usize, context: &AnswerContext) {
    let PartKind::ToolCall { id, name, arguments } = &part.kind else { return };
    json.begin_object();
    json.text_member("id", &context.call_id(id, number, Protocol::Chat));
    match arguments {
        ArgumentsText::Json(arguments) => {
            json.text_member("type", "function");
            json.object("function");
            json.text_member("name", context.tool_name(name));
            // Clients parse the text, and an empty one is not JSON.
            json.text_member("arguments", if arguments.is_empty() { "{}" } else { arguments });
        }
        ArgumentsText::Text(input) => {
            json.text_member("type", "custom");
            json.object("custom");
            json.text_member("name", context.tool_name(name));
            json.text_member("input", input);
        }
    }
    json.end_object();
    write_call_seal(json, part.seal.as_ref(), context);
    json.end_object();
}

/// Writes the seal of a call in Google's form.
pub(crate) fn write_call_seal(
    json: &mut JsonText,
    seal: Option<&Seal<'_>>,
    context: &AnswerContext,
) {
    if let Some(bytes) = seal.and_then(|seal| context.sealed_bytes(seal, Protocol::Chat)) {
        json.object("extra_content");
        json.object("google");
        json.text_member("thought_signature", &bytes);
        json.end_object();
        json.end_object();
    }
}

/// Writes a source as a citation of Chat (`is_nested`) or of Responses. `span` is the position of
/// the part's text, in characters. A source without a position covers the part.
pub(crate) fn write_citation(
    json: &mut JsonText,
    citation: &Citation<'_>,
    span: Range<usize>,
    is_nested: bool,
    shed: &mut Shed,
) {
    let Citation::Url { url, title, range, .. } = citation else {
        return shed.add("citations");
    };
    let (start, length) = (span.start as u64, span.len() as u64);
    let (from, to) = range.unwrap_or((0, length));
    json.begin_object();
    json.text_member("type", "url_citation");
    if is_nested {
        json.object("url_citation");
    }
    json.number_member("start_index", start.saturating_add(from));
    json.number_member("end_index", start.saturating_add(to));
    json.text_member("url", url);
    json.text_member("title", title.as_deref().unwrap_or_default());
    if is_nested {
        json.end_object();
    }
    json.end_object();
}

/// Reason in Chat. A refusal without a text is a filter, since nothing else would show it.
pub(crate) fn finish_reason(end: &EndReason<'_>, has_refusal: bool) -> &'static str {
    match end {
        EndReason::Done | EndReason::StopText(_) | EndReason::Paused | EndReason::Other => "stop",
        EndReason::Length | EndReason::Window => "length",
        EndReason::ToolCalls => "tool_calls",
        EndReason::Refused { .. } if has_refusal => "stop",
        EndReason::Filtered | EndReason::Refused { .. } => "content_filter",
    }
}

/// Tier in Chat and Responses.
pub(crate) fn service_tier(tier: ServiceTier) -> &'static str {
    match tier {
        ServiceTier::Standard => "default",
        ServiceTier::Priority => "priority",
        ServiceTier::Flex => "flex",
        ServiceTier::Scale => "scale",
        ServiceTier::Batch => "batch",
    }
}

//! Writing of a message, with every member that the official types have
//! (`anthropic` 2.14, `types/message.py`).

use crate::answer_outcome::{WrittenAnswer, unreadable};
use crate::context::{AnswerContext, EMPTY_SEAL};
use crate::json_text::{JsonText, escape_into};
use crate::members::is_object;
use crate::model::{
    Answer, AnswerChoice, ArgumentsText, Citation, EndReason, Failure, Part, PartKind, Protocol,
    ReasoningText, Usage,
};
use crate::shed::Shed;
use crate::usage::write_messages;

/// Writes a message of the first choice.
pub(crate) fn write(
    answer: &Answer<'_>,
    context: &AnswerContext,
) -> Result<WrittenAnswer, Failure<'static>> {
    let mut json = JsonText::with_capacity(512);
    let mut shed = Shed::default();
    let choice = answer.choices.first();
    let end = choice.map_or(&EndReason::Other, |choice| &choice.end);
    json.begin_object();
    json.text_member("id", &context.answer_id("msg_"));
    json.text_member("type", "message");
    json.text_member("role", "assistant");
    json.text_member("model", &answer.model);
    json.array("content");
    for (number, part) in choice.iter().flat_map(|choice| &choice.parts).enumerate() {
        write_part(&mut json, part, number, choice, context, &mut shed)?;
    }
    json.end_array();
    write_stop_members(&mut json, end);
    json.name("usage");
    let estimate = Usage { input: context.estimated_input_tokens, ..Usage::default() };
    write_messages(&mut json, answer.usage.as_ref().unwrap_or(&estimate), answer.tier);
    json.end_object();
    Ok(WrittenAnswer { body: json.into_bytes(), shed })
}

/// Checks that each call has arguments that can be written.
pub(crate) fn check(answer: &Answer<'_>) -> Result<(), Failure<'static>> {
    let Some(choice) = answer.choices.first() else { return Ok(()) };
    for part in &choice.parts {
        if let PartKind::ToolCall { arguments, .. } = &part.kind {
            object_of(arguments, is_cut(choice))?;
        }
    }
    Ok(())
}

/// Whether an answer ends at a limit of its length, so that its last arguments may be incomplete.
fn is_cut(choice: &AnswerChoice<'_>) -> bool {
    matches!(choice.end, EndReason::Length | EndReason::Window)
}

fn write_part(
    json: &mut JsonText,
    part: &Part<'_>,
    number: usize,
    choice: Option<&AnswerChoice<'_>>,
    context: &AnswerContext,
    shed: &mut Shed,
) -> Result<(), Failure<'static>> {
    let seal = part.seal.as_ref().and_then(|seal| context.sealed_bytes(seal, Protocol::Messages));
    match &part.kind {
        // Messages refuses empty texts when they come back.
        PartKind::Text { text, .. } if text.is_empty() => {}
        PartKind::Text { text, citations } => write_text_block(json, text, citations, shed),
        PartKind::Refusal(text) => write_text_block(json, text, &[], shed),
        PartKind::Reasoning { is_redacted: true, .. } => {
            json.begin_object();
            json.text_member("type", "redacted_thinking");
            json.text_member("data", seal.as_deref().unwrap_or(EMPTY_SEAL));
            json.end_object();
        }
        PartKind::Reasoning { texts, .. } => {
            json.begin_object();
            json.text_member("type", "thinking");
            json.text_member("thinking", &joined(texts));
            json.text_member("signature", seal.as_deref().unwrap_or(EMPTY_SEAL));
            json.end_object();
        }
        PartKind::ToolCall { id, name, arguments } => {
            let input = object_of(arguments, choice.is_some_and(is_cut))?;
            let id = context.call_id(id, number, Protocol::Messages);
            write_tool_use(json, &id, context.tool_name(name), &input);
        }
        PartKind::Media { .. } => shed.add("media"),
        PartKind::ToolResult { .. } => shed.add("hosted_tools"),
        PartKind::Foreign { protocol: Protocol::Messages, raw, .. } => json.raw(raw.get()),
        PartKind::Foreign { .. } => shed.add("hosted_tools"),
    }
    Ok(())
}

/// Texts of a thought as one: Messages has one text for each.
fn joined(texts: &[ReasoningText<'_>]) -> String {
    let texts: Vec<&str> = texts.iter().map(|text| &*text.text).collect();
    texts.join("\n\n")
}

/// Arguments as an object. Messages itself has `{}` beside `max_tokens`.
fn object_of<'a>(
    arguments: &'a ArgumentsText<'_>,
    is_cut: bool,
) -> Result<std::borrow::Cow<'a, str>, Failure<'static>> {
    match arguments {
        ArgumentsText::Json(text) if is_object(text) => Ok(text.trim().into()),
        ArgumentsText::Json(text) if is_cut || text.trim().is_empty() => Ok("{}".into()),
        ArgumentsText::Json(_) => Err(unreadable("has a tool call whose arguments are not JSON")),
        ArgumentsText::Text(text) => {
            let mut json = b"{\"input\":\"".to_vec();
            escape_into(text, &mut json);
            json.extend_from_slice(b"\"}");
            Ok(String::from_utf8(json).expect("escapes of a text are text").into())
        }
    }
}

/// Writes a block of text. Sources of other protocols lack the bytes by which Messages verifies
/// them, so that only its own are written.
pub(crate) fn write_text_block(
    json: &mut JsonText,
    text: &str,
    citations: &[Citation<'_>],
    shed: &mut Shed,
) {
    json.begin_object();
    json.text_member("type", "text");
    json.text_member("text", text);
    let own = |citation: &Citation<'_>| match citation {
        Citation::Foreign { protocol: Protocol::Messages, raw } => Some(raw.get().to_owned()),
        _ => None,
    };
    let own: Vec<String> = citations.iter().filter_map(own).collect();
    if own.len() < citations.len() {
        shed.add("citations");
    }
    if own.is_empty() {
        json.raw_member("citations", "null");
    } else {
        json.array("citations");
        own.iter().for_each(|citation| json.raw(citation));
        json.end_array();
    }
    json.end_object();
}

/// Writes a block of a call. `input` is JSON text.
pub(crate) fn write_tool_use(json: &mut JsonText, id: &str, name: &str, input: &str) {
    json.begin_object();
    json.text_member("type", "tool_use");
    json.text_member("id", id);
    json.text_member("name", name);
    json.raw_member("input", input);
    json.raw_member("caller", r#"{"type":"direct"}"#);
    json.end_object();
}

/// Writes the members about the end, which an answer and the last event of a stream have.
pub(crate) fn write_stop_members(json: &mut JsonText, end: &EndReason<'_>) {
    json.text_member("stop_reason", stop_reason(end));
    let sequence = match end {
        EndReason::StopText(text) => text.as_deref(),
        _ => None,
    };
    json.optional_text_member("stop_sequence", sequence);
    match end {
        EndReason::Refused { category, explanation } => {
            json.object("stop_details");
            json.text_member("type", "refusal");
            json.optional_text_member("category", category.as_deref());
            json.optional_text_member("explanation", explanation.as_deref());
            json.end_object();
        }
        _ => json.raw_member("stop_details", "null"),
    }
    json.raw_member("container", "null");
}

/// Reason in Messages.
fn stop_reason(end: &EndReason<'_>) -> &'static str {
    match end {
        EndReason::Done | EndReason::Other => "end_turn",
        EndReason::StopText(_) => "stop_sequence",
        EndReason::Length => "max_tokens",
        EndReason::Window => "model_context_window_exceeded",
        EndReason::ToolCalls => "tool_use",
        EndReason::Filtered | EndReason::Refused { .. } => "refusal",
        EndReason::Paused => "pause_turn",
    }
}

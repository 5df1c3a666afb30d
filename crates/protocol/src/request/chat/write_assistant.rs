//! Messages of the model.

use crate::model::{ArgumentsText, LocatedPart, PartKind, ReasoningText, ReasoningTextKind, Turn};
use crate::request::json_writer::JsonWriter;
use crate::request::report::Written;
use crate::request::target::ReasoningField;
use crate::request::tools::write_custom_input;
use crate::request::writing::Writing;

use super::content::{plan_item, write_content};

/// Writes one message of the model: thoughts, then texts, then calls.
pub(super) fn write_assistant(
    writing: &mut Writing<'_, '_>,
    turn: &Turn<'_>,
    parts: &[&LocatedPart<'_>],
    has_tools: bool,
) -> Written {
    let (mut content, mut refusals, mut calls, mut thoughts) = (vec![], vec![], vec![], vec![]);
    for located in parts {
        match &located.part.kind {
            PartKind::ToolCall { .. } => calls.push(*located),
            PartKind::Reasoning { .. } => thoughts.push(*located),
            PartKind::Refusal(text) => refusals.push(text.as_ref()),
            _ => content.extend(plan_item(writing, &located.part, located.place)?),
        }
    }
    let is_thought_read = writing.report.is_view() && !thoughts.is_empty();
    let is_silent = content.is_empty() && refusals.is_empty() && calls.is_empty();
    if is_silent && !parts.is_empty() && !is_thought_read {
        thoughts.iter().for_each(|part| writing.report.shed(part.place, "reasoning"));
        return Ok(());
    }
    writing.json.begin_object();
    writing.json.member("role", "assistant");
    if let Some(name) = &turn.name {
        writing.json.member("name", name);
    }
    write_reasoning(writing, &thoughts, has_tools);
    if !content.is_empty() {
        write_content(writing, &content, "");
    } else if calls.is_empty() && refusals.is_empty() {
        writing.json.member("content", "");
    } else {
        writing.json.raw_member("content", "null");
    }
    if !refusals.is_empty() {
        writing.json.name("refusal");
        writing.json.joined(&refusals);
    }
    if !calls.is_empty() {
        writing.json.name("tool_calls");
        writing.json.begin_list();
        calls.iter().for_each(|call| write_call(writing, call));
        writing.json.end_list();
    }
    writing.json.end_object();
    Ok(())
}

fn write_call(writing: &mut Writing<'_, '_>, call: &LocatedPart<'_>) {
    let PartKind::ToolCall { id, name, arguments } = &call.part.kind else { return };
    writing.shed_breakpoint(call.part.cache, call.place);
    let seal = writing.seal(call.part.seal.as_ref());
    let (id, name) = (writing.call_id(id), writing.tool_name(name));
    let is_custom =
        matches!(arguments, ArgumentsText::Text(_)) && writing.target.accepts_custom_tools;
    let kind = if is_custom { "custom" } else { "function" };
    let json = &mut writing.json;
    json.begin_object();
    json.member("id", &id);
    json.member("type", kind);
    json.name(kind);
    json.begin_object();
    json.member("name", &name);
    match arguments {
        ArgumentsText::Text(text) if is_custom => json.member("input", text),
        ArgumentsText::Text(text) => json.member("arguments", &write_custom_input(text)),
        ArgumentsText::Json(text) if text.trim().is_empty() => json.member("arguments", "{}"),
        ArgumentsText::Json(text) => json.member("arguments", text),
    }
    json.end_object();
    if let Some(seal) = seal {
        json.name("extra_content");
        json.begin_object();
        json.name("google");
        json.begin_object();
        json.member("thought_signature", seal);
        json.end_object();
        json.end_object();
    }
    json.end_object();
}

fn write_reasoning(writing: &mut Writing<'_, '_>, thoughts: &[&LocatedPart<'_>], has_tools: bool) {
    match writing.target.reasoning_field {
        ReasoningField::None => {
            thoughts.iter().for_each(|part| writing.report.shed(part.place, "reasoning"));
        }
        ReasoningField::ReasoningContent => {
            let texts: Vec<&str> = texts(thoughts).map(|text| text.text.as_ref()).collect();
            if has_tools || !texts.is_empty() {
                writing.json.member("reasoning_content", &texts.join("\n\n"));
            }
        }
        ReasoningField::ReasoningDetails if thoughts.is_empty() => {}
        ReasoningField::ReasoningDetails => {
            writing.json.name("reasoning_details");
            writing.json.begin_list();
            for part in thoughts {
                let seal = writing.seal(part.part.seal.as_ref());
                let PartKind::Reasoning { texts, .. } = &part.part.kind else { continue };
                write_details(&mut writing.json, texts, seal);
            }
            writing.json.end_list();
        }
    }
}

fn texts<'p, 'a>(thoughts: &'p [&LocatedPart<'a>]) -> impl Iterator<Item = &'p ReasoningText<'a>> {
    thoughts.iter().flat_map(|part| match &part.part.kind {
        PartKind::Reasoning { texts, .. } => texts.as_slice(),
        _ => &[],
    })
}

/// Writes the details of one thought. Its seal ends it: as the signature of its last text, or by itself.
fn write_details(json: &mut JsonWriter, texts: &[ReasoningText<'_>], seal: Option<&str>) {
    let mut seal = seal;
    for (index, text) in texts.iter().enumerate() {
        let is_last = index + 1 == texts.len();
        match text.kind {
            ReasoningTextKind::Full => {
                json.begin_typed("reasoning.text");
                json.member("text", &text.text);
                if let Some(signature) = seal.take_if(|_| is_last) {
                    json.member("signature", signature);
                }
            }
            ReasoningTextKind::Summary => {
                json.begin_typed("reasoning.summary");
                json.member("summary", &text.text);
            }
        }
        json.end_object();
    }
    if let Some(seal) = seal {
        json.begin_typed("reasoning.encrypted");
        json.member("data", seal);
        json.end_object();
    }
}

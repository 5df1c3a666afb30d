//! Writer of instructions and input items.

use std::collections::BTreeSet;

use crate::model::{
    ArgumentsText, CacheBreakpoint, LocatedPart, MediaKind, MediaSource, Part, PartKind, Phase,
    Place, Protocol, ReasoningTextKind, Role, Turn,
};
use crate::request::report::Written;
use crate::request::shared_fields::write_breakpoint;
use crate::request::tools::write_custom_input;
use crate::request::writing::Writing;

/// Writes `instructions`, and returns the parts that become a leading item. Texts of another protocol
/// are joined; those with breakpoints become items, since instructions cannot have them.
pub(super) fn write_instructions<'w, 'a>(
    writing: &mut Writing<'w, 'a>,
) -> Written<&'w [LocatedPart<'a>]> {
    let system = writing.request.system.as_slice();
    let has_breakpoint = writing.target.accepts_cache_breakpoints
        && system.iter().any(|part| part.part.cache.is_some());
    if has_breakpoint {
        return Ok(system);
    }
    let count = if writing.is_same_protocol() { 1 } else { system.len() };
    let mut texts = Vec::new();
    for located in system.iter().take(count) {
        writing.shed_breakpoint(located.part.cache, located.place);
        match &located.part.kind {
            PartKind::Text { text, .. } => texts.push(text.as_ref()),
            _ if writing.is_same_protocol() => return Ok(system),
            kind => writing.refuse_part(kind, located.place)?,
        }
    }
    if !texts.is_empty() {
        writing.json.member("instructions", &texts.join("\n\n"));
    }
    Ok(&system[count.min(system.len())..])
}

pub(super) fn write_input(writing: &mut Writing<'_, '_>, system: &[LocatedPart<'_>]) -> Written {
    writing.json.name("input");
    writing.json.begin_list();
    if !system.is_empty() {
        let parts: Vec<_> = system.iter().collect();
        write_message(writing, Role::System, None, &parts)?;
    }
    let mut customs = BTreeSet::new();
    for turn in writing.turns {
        if turn.name.is_some() {
            writing.report.shed(turn.place, "name");
        }
        write_turn(writing, turn, &mut customs)?;
    }
    writing.json.end_list();
    Ok(())
}

/// Writes the items of a turn in their order. Consecutive texts and media become one message.
fn write_turn<'w>(
    writing: &mut Writing<'w, '_>,
    turn: &'w Turn<'_>,
    customs: &mut BTreeSet<&'w str>,
) -> Written {
    let mut message: Vec<&LocatedPart<'_>> = Vec::new();
    for located in &turn.parts {
        let is_item = match &located.part.kind {
            PartKind::ToolCall { .. }
            | PartKind::ToolResult { .. }
            | PartKind::Reasoning { .. } => true,
            PartKind::Foreign { .. } => located.place.is_top_element(),
            PartKind::Text { .. } | PartKind::Refusal(_) | PartKind::Media { .. } => false,
        };
        if !is_item {
            message.push(located);
            continue;
        }
        write_message(writing, turn.role, turn.phase, &std::mem::take(&mut message))?;
        write_item(writing, located, customs)?;
    }
    write_message(writing, turn.role, turn.phase, &message)
}

fn write_item<'w>(
    writing: &mut Writing<'w, '_>,
    located: &'w LocatedPart<'_>,
    customs: &mut BTreeSet<&'w str>,
) -> Written {
    let place = located.place;
    writing.shed_breakpoint(located.part.cache, place);
    match &located.part.kind {
        PartKind::ToolCall { id, name, arguments } => {
            let is_custom =
                matches!(arguments, ArgumentsText::Text(_)) && writing.target.accepts_custom_tools;
            if is_custom {
                customs.insert(id);
            }
            let (id, name) = (writing.call_id(id), writing.tool_name(name));
            let json = &mut writing.json;
            json.begin_typed(if is_custom { "custom_tool_call" } else { "function_call" });
            json.member("call_id", &id);
            json.member("name", &name);
            match arguments {
                ArgumentsText::Text(text) if is_custom => json.member("input", text),
                ArgumentsText::Text(text) => json.member("arguments", &write_custom_input(text)),
                ArgumentsText::Json(text) if text.trim().is_empty() => {
                    json.member("arguments", "{}");
                }
                ArgumentsText::Json(text) => json.member("arguments", text),
            }
            json.end_object();
        }
        PartKind::ToolResult { call_id, parts, is_error } => {
            let is_custom = customs.contains(call_id.as_ref());
            let id = writing.call_id(call_id);
            let kind = if is_custom { "custom_tool_call_output" } else { "function_call_output" };
            writing.json.begin_typed(kind);
            writing.json.member("call_id", &id);
            write_output(writing, parts, *is_error, place)?;
            writing.json.end_object();
        }
        PartKind::Reasoning { .. } => write_reasoning(writing, &located.part, place),
        PartKind::Foreign { protocol: Protocol::Responses, raw, .. } => {
            writing.json.raw(raw.get());
        }
        kind => writing.refuse_part(kind, place)?,
    }
    Ok(())
}

/// Writes a thought that the provider can read. The id is left out: an encrypted thought is bound to the
/// id of its item, and an item without an id is accepted.
fn write_reasoning(writing: &mut Writing<'_, '_>, part: &Part<'_>, place: Place) {
    let seal = writing.seal(part.seal.as_ref());
    let PartKind::Reasoning { texts, .. } = &part.kind else { return };
    if seal.is_none() && !(writing.is_same_protocol() && part.seal.is_none()) {
        writing.report.shed(place, "reasoning");
        return;
    }
    let json = &mut writing.json;
    json.begin_typed("reasoning");
    let lists = [
        ("summary", "summary_text", ReasoningTextKind::Summary),
        ("content", "reasoning_text", ReasoningTextKind::Full),
    ];
    for (name, type_name, kind) in lists {
        let mut texts = texts.iter().filter(|text| text.kind == kind).peekable();
        if name == "content" && texts.peek().is_none() {
            continue;
        }
        json.name(name);
        json.begin_list();
        for text in texts {
            json.begin_typed(type_name);
            json.member("text", &text.text);
            json.end_object();
        }
        json.end_list();
    }
    if let Some(seal) = seal {
        json.member("encrypted_content", seal);
    }
    json.end_object();
}

/// Writes `output`: a text if possible, else a list.
fn write_output(
    writing: &mut Writing<'_, '_>,
    parts: &[Part<'_>],
    is_error: Option<bool>,
    place: Place,
) -> Written {
    let prefix = if is_error == Some(true) { "Error: " } else { "" };
    writing.json.name("output");
    match parts {
        [] => writing.json.string(prefix),
        [Part { kind: PartKind::Text { text, .. }, cache, .. }] => {
            writing.shed_breakpoint(*cache, place);
            writing.json.joined(&[prefix, text]);
        }
        _ => {
            writing.json.begin_list();
            if !prefix.is_empty() {
                write_text(writing, "input_text", "Error:", None);
            }
            for part in parts {
                write_part(writing, Role::User, part, place)?;
            }
            writing.json.end_list();
        }
    }
    Ok(())
}

fn write_message(
    writing: &mut Writing<'_, '_>,
    role: Role,
    phase: Option<Phase>,
    parts: &[&LocatedPart<'_>],
) -> Written {
    if parts.is_empty() {
        return Ok(());
    }
    let json = &mut writing.json;
    json.begin_typed("message");
    json.member(
        "role",
        match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        },
    );
    match phase {
        Some(Phase::Commentary) => json.member("phase", "commentary"),
        Some(Phase::FinalAnswer) => json.member("phase", "final_answer"),
        None => {}
    }
    json.name("content");
    json.begin_list();
    for located in parts {
        write_part(writing, role, &located.part, located.place)?;
    }
    writing.json.end_list();
    writing.json.end_object();
    Ok(())
}

fn write_part(writing: &mut Writing<'_, '_>, role: Role, part: &Part<'_>, place: Place) -> Written {
    let cache = if role != Role::Assistant && writing.can_have_breakpoint(&part.kind) {
        writing.breakpoint(part.cache, place)
    } else {
        writing.shed_breakpoint(part.cache, place);
        None
    };
    let text_type = if role == Role::Assistant { "output_text" } else { "input_text" };
    match &part.kind {
        PartKind::Text { text, citations } => {
            if !citations.is_empty() {
                writing.report.shed(place, "citations");
            }
            write_text(writing, text_type, text, cache);
            Ok(())
        }
        PartKind::Refusal(text) if role == Role::Assistant => {
            writing.json.begin_typed("refusal");
            writing.json.member("refusal", text);
            writing.json.end_object();
            Ok(())
        }
        PartKind::Media { kind, source, name, detail } if role != Role::Assistant => {
            if let MediaSource::Text(text) = source {
                write_text(writing, text_type, text, cache);
                return Ok(());
            }
            let file = (*kind, source, name.as_deref(), detail.as_deref());
            if write_media(writing, file, cache) {
                return Ok(());
            }
            writing.refuse_part(&part.kind, place)
        }
        PartKind::Foreign { protocol: Protocol::Responses, raw, .. } => {
            writing.json.raw(raw.get());
            Ok(())
        }
        kind => writing.refuse_part(kind, place),
    }
}

fn write_text(
    writing: &mut Writing<'_, '_>,
    type_name: &str,
    text: &str,
    cache: Option<CacheBreakpoint>,
) {
    let json = &mut writing.json;
    json.begin_typed(type_name);
    json.member("text", text);
    if let Some(cache) = cache {
        write_breakpoint(json, cache);
    }
    json.end_object();
}

/// Writes a medium. Returns whether the protocol has a form for it.
fn write_media(
    writing: &mut Writing<'_, '_>,
    (kind, source, name, detail): (MediaKind, &MediaSource<'_>, Option<&str>, Option<&str>),
    cache: Option<CacheBreakpoint>,
) -> bool {
    let (type_name, data_name, url_name) = match kind {
        MediaKind::Image => ("input_image", "image_url", "image_url"),
        MediaKind::Document => ("input_file", "file_data", "file_url"),
        MediaKind::Audio | MediaKind::Video => return false,
    };
    if matches!(
        source,
        MediaSource::Text(_) | MediaSource::File { protocol: Protocol::Messages, .. }
    ) {
        return false;
    }
    let json = &mut writing.json;
    json.begin_typed(type_name);
    match source {
        MediaSource::Base64 { media_type, data } => {
            if kind == MediaKind::Document {
                json.member("filename", name.unwrap_or("document.pdf"));
            }
            json.name(data_name);
            json.joined(&["data:", media_type, ";base64,", data]);
        }
        MediaSource::Url(url) => json.member(url_name, url),
        MediaSource::File { id, .. } => json.member("file_id", id),
        MediaSource::Text(_) => {}
    }
    if let Some(detail) = detail {
        json.member("detail", detail);
    }
    if let Some(cache) = cache {
        write_breakpoint(json, cache);
    }
    json.end_object();
    true
}

//! Writer of messages.

use std::borrow::Cow;

use super::content::{Item, plan_item, plan_items, write_content};
use super::write_assistant::write_assistant;
use crate::model::{LocatedPart, Part, PartKind, Place, Role, Turn};
use crate::request::report::Written;
use crate::request::writing::Writing;

/// Text of a tool's message whose result has media only.
const MEDIA_FOLLOW: &str = "The result is in the next message.";

pub(super) fn write_messages(writing: &mut Writing<'_, '_>) -> Written {
    writing.json.name("messages");
    writing.json.begin_list();
    let system: Vec<_> = writing.request.system.iter().collect();
    if !system.is_empty() {
        write_plain_message(writing, "system", None, &system, "\n\n")?;
    }
    let has_tools = has_tools(writing);
    let turns = writing.turns;
    let mut index = 0;
    while let Some(turn) = turns.get(index) {
        let end = match turn.role {
            Role::Assistant => assistant_end(turns, index),
            Role::System | Role::User => index + 1,
        };
        let parts: Vec<_> = turns[index..end].iter().flat_map(|turn| &turn.parts).collect();
        let name = turn.name.as_deref();
        if turn.phase.is_some() {
            writing.report.shed(turn.place, "phase");
        }
        match turn.role {
            Role::System => write_plain_message(writing, "system", name, &parts, "\n\n")?,
            Role::User => write_user(writing, turn, &parts)?,
            Role::Assistant => write_assistant(writing, turn, &parts, has_tools)?,
        }
        index = end;
    }
    writing.json.end_list();
    Ok(())
}

/// Whether the conversation has tools: then DeepSeek requires `reasoning_content` in each message of the
/// model.
fn has_tools(writing: &Writing<'_, '_>) -> bool {
    let mut parts = writing.turns.iter().flat_map(|turn| &turn.parts);
    !writing.tools.kept.is_empty()
        || parts.any(|part| matches!(part.part.kind, PartKind::ToolCall { .. }))
}

/// Returns the end of the turns that become one message: results must follow the calls at once, so a
/// turn with calls takes the model's next turn in.
fn assistant_end(turns: &[Turn<'_>], start: usize) -> usize {
    let has_call = |turn: &Turn<'_>| {
        turn.parts.iter().any(|part| matches!(part.part.kind, PartKind::ToolCall { .. }))
    };
    let mut end = start + 1;
    let mut is_open = has_call(&turns[start]);
    while is_open && turns.get(end).is_some_and(|turn| turn.role == Role::Assistant) {
        is_open |= has_call(&turns[end]);
        end += 1;
    }
    end
}

fn write_plain_message(
    writing: &mut Writing<'_, '_>,
    role: &str,
    name: Option<&str>,
    parts: &[&LocatedPart<'_>],
    separator: &str,
) -> Written {
    let items = plan_items(writing, parts)?;
    if items.is_empty() && !parts.is_empty() {
        return Ok(());
    }
    writing.json.begin_object();
    writing.json.member("role", role);
    if let Some(name) = name {
        writing.json.member("name", name);
    }
    write_content(writing, &items, separator);
    writing.json.end_object();
    Ok(())
}

/// Writes a turn of the user: a message for each result, then one message with the results' media and the
/// other content, since results are texts and must follow the calls.
fn write_user(
    writing: &mut Writing<'_, '_>,
    turn: &Turn<'_>,
    parts: &[&LocatedPart<'_>],
) -> Written {
    let mut items = Vec::new();
    let mut has_result = false;
    for located in parts {
        if let PartKind::ToolResult { call_id, parts, is_error } = &located.part.kind {
            has_result = true;
            writing.shed_breakpoint(located.part.cache, located.place);
            let media = write_result(writing, call_id, parts, *is_error, located.place)?;
            if !media.is_empty() {
                items.push(Item::Text(format!("Result of the tool call {call_id}:").into(), None));
                items.extend(media);
            }
        }
    }
    for located in parts {
        match &located.part.kind {
            PartKind::ToolResult { .. } => {}
            PartKind::Foreign { protocol, raw, .. }
                if *protocol == writing.target.protocol && located.place.is_top_element() =>
            {
                writing.json.raw(raw.get());
                has_result = true;
            }
            _ => items.extend(plan_item(writing, &located.part, located.place)?),
        }
    }
    if items.is_empty() && (has_result || !parts.is_empty()) {
        return Ok(());
    }
    writing.json.begin_object();
    writing.json.member("role", "user");
    if let Some(name) = &turn.name {
        writing.json.member("name", name);
    }
    write_content(writing, &items, "\n\n");
    writing.json.end_object();
    Ok(())
}

/// Writes the message of a result, and returns its media.
fn write_result<'p>(
    writing: &mut Writing<'_, '_>,
    call_id: &str,
    parts: &'p [Part<'_>],
    is_error: Option<bool>,
    place: Place,
) -> Written<Vec<Item<'p>>> {
    let (mut texts, mut media) = (Vec::new(), Vec::new());
    for part in parts {
        match plan_item(writing, part, place)? {
            Some(Item::Media(item, _)) => media.push(Item::Media(item, None)),
            Some(item) => texts.push(item),
            None => {}
        }
    }
    if texts.is_empty() && !media.is_empty() {
        texts.push(Item::Text(MEDIA_FOLLOW.into(), None));
    }
    if is_error == Some(true) && !writing.report.is_view() {
        let prefix = Item::Text("Error: ".into(), None);
        match texts.first_mut() {
            Some(Item::Text(text, _)) => *text = Cow::Owned(format!("Error: {text}")),
            _ => texts.insert(0, prefix),
        }
    }
    writing.json.begin_object();
    writing.json.member("role", "tool");
    let id = writing.call_id(call_id);
    writing.json.member("tool_call_id", &id);
    write_content(writing, &texts, "\n");
    writing.json.end_object();
    Ok(media)
}

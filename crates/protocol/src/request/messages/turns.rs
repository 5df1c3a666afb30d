//! Writer of messages: one message for consecutive turns of a role.

use std::collections::BTreeSet;

use super::blocks::{block_plan, write_block, write_breakpoint};
use crate::model::{LocatedPart, PartKind, Role};
use crate::request::report::Written;
use crate::request::writing::Writing;

/// Turns of one role that become one message.
struct Message<'w, 'a> {
    role: Role,
    parts: Vec<Block<'w, 'a>>,
}

/// Part of a message.
struct Block<'w, 'a> {
    located: &'w LocatedPart<'a>,
    /// Whether the text is an instruction that becomes a text of the user.
    is_instruction: bool,
}

pub(super) fn write_turns(writing: &mut Writing<'_, '_>) -> Written {
    let mut messages = join_turns(writing)?;
    let mut calls = BTreeSet::new();
    writing.json.name("messages");
    writing.json.begin_list();
    let mut rest = messages.as_mut_slice();
    while let Some((message, next)) = rest.split_first_mut() {
        keep_results_of_calls(writing, message, &calls)?;
        calls = match message.role {
            Role::Assistant => keep_calls_with_results(writing, message, next.first())?,
            Role::User | Role::System => BTreeSet::new(),
        };
        if !message.parts.is_empty() {
            write_message(writing, message);
        }
        rest = next;
    }
    writing.json.end_list();
    Ok(())
}

fn join_turns<'w, 'a>(writing: &mut Writing<'w, 'a>) -> Written<Vec<Message<'w, 'a>>> {
    let accepts_system = writing.target.accepts_system_turns || writing.is_same_protocol();
    let mut messages: Vec<Message<'w, 'a>> = Vec::new();
    for turn in writing.turns {
        if turn.name.is_some() {
            writing.report.shed(turn.place, "name");
        }
        if turn.phase.is_some() {
            writing.report.shed(turn.place, "phase");
        }
        let last_role = messages.last().map(|message| message.role);
        // An instruction must follow a turn of the user.
        let is_instruction = turn.role == Role::System
            && !(accepts_system && matches!(last_role, Some(Role::User | Role::System)));
        let role = if is_instruction { Role::User } else { turn.role };
        let mut parts = Vec::with_capacity(turn.parts.len());
        for located in &turn.parts {
            if block_plan(writing, &located.part, located.place, turn.role)? {
                parts.push(Block { located, is_instruction });
            }
        }
        if parts.is_empty() {
            continue;
        }
        if is_instruction {
            writing.report.shed(turn.place, "role");
        }
        match messages.last_mut().filter(|message| message.role == role) {
            Some(message) => message.parts.extend(parts),
            None => messages.push(Message { role, parts }),
        }
    }
    for message in messages.iter_mut().filter(|message| message.role == Role::User) {
        // Results come first.
        sorting::sort_by_key(&mut message.parts, |block| {
            !matches!(block.located.part.kind, PartKind::ToolResult { .. })
        });
    }
    Ok(messages)
}

/// Refuses results without a call in the message before.
fn keep_results_of_calls(
    writing: &mut Writing<'_, '_>,
    message: &mut Message<'_, '_>,
    calls: &BTreeSet<&str>,
) -> Written {
    let reason = "the result must follow its call";
    let remedy = "Send the result directly after the message with the call";
    keep_parts(message, |block| match &block.located.part.kind {
        PartKind::ToolResult { call_id, .. } if !calls.contains(call_id.as_ref()) => {
            writing.report.refuse(block.located.place, "tool_result", reason, remedy)?;
            Ok(false)
        }
        _ => Ok(true),
    })
}

/// Refuses calls without a result in the next message, and returns the ids of the others.
fn keep_calls_with_results<'w>(
    writing: &mut Writing<'_, '_>,
    message: &mut Message<'w, '_>,
    next: Option<&Message<'_, '_>>,
) -> Written<BTreeSet<&'w str>> {
    let next = next.filter(|next| next.role == Role::User);
    let mut results: BTreeSet<&str> = BTreeSet::new();
    results.extend(next.into_iter().flat_map(|next| &next.parts).filter_map(|block| {
        match &block.located.part.kind {
            PartKind::ToolResult { call_id, .. } => Some(call_id.as_ref()),
            _ => None,
        }
    }));
    let mut calls = BTreeSet::new();
    let reason = "the call has no result in the next turn";
    keep_parts(message, |block| match &block.located.part.kind {
        PartKind::ToolCall { id, .. } if !results.contains(id.as_ref()) => {
            let remedy = "Send the result of each call";
            writing.report.refuse(block.located.place, "tool_call", reason, remedy)?;
            Ok(false)
        }
        PartKind::ToolCall { id, .. } => {
            calls.insert(id.as_ref());
            Ok(true)
        }
        _ => Ok(true),
    })?;
    Ok(calls)
}

/// Keeps the parts for which `keep` returns true, up to the first error.
fn keep_parts<'w, 'a>(
    message: &mut Message<'w, 'a>,
    mut keep: impl FnMut(&Block<'w, 'a>) -> Written<bool>,
) -> Written {
    let mut kept = Vec::with_capacity(message.parts.len());
    for block in message.parts.drain(..) {
        if keep(&block)? {
            kept.push(block);
        }
    }
    message.parts = kept;
    Ok(())
}

fn write_message(writing: &mut Writing<'_, '_>, message: &Message<'_, '_>) {
    writing.json.begin_object();
    writing.json.member(
        "role",
        match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        },
    );
    writing.json.name("content");
    match message.parts.as_slice() {
        [block] if !block.is_instruction && block.located.part.cache.is_none() => {
            match &block.located.part.kind {
                PartKind::Text { text, citations } if citations.is_empty() => {
                    writing.json.string(text);
                    writing.json.end_object();
                    return;
                }
                _ => {}
            }
        }
        _ => {}
    }
    writing.json.begin_list();
    for Block { located, is_instruction } in &message.parts {
        match &located.part.kind {
            PartKind::Text { text, .. } if *is_instruction => {
                let cache = writing.breakpoint(located.part.cache, located.place);
                writing.json.begin_typed("text");
                writing.json.name("text");
                writing.json.joined(&["<system>", text, "</system>"]);
                if let Some(cache) = cache {
                    write_breakpoint(&mut writing.json, cache);
                }
                writing.json.end_object();
            }
            _ => write_block(writing, &located.part, located.place),
        }
    }
    writing.json.end_list();
    writing.json.end_object();
}

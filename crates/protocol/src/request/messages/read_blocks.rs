//! Reader of messages and their blocks.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::model::{
    ArgumentsText, CacheBreakpoint, CacheLifetime, Citation, LocatedPart, MediaKind, MediaSource,
    Part, PartKind, Place, Protocol, ReasoningText, ReasoningTextKind, Role, Turn,
};
use crate::request::invalid::InvalidRequest;
use crate::request::object::{Object, Reading, list, string};
use crate::request::rules::Scope;
use crate::seal::parse_seal;

pub(super) fn read_messages<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Vec<Turn<'a>>, InvalidRequest> {
    if !body.has("messages") {
        return Err(body.missing("messages"));
    }
    let raws = body.list("messages")?;
    reading.count_parts(raws.len())?;
    let mut turns = Vec::with_capacity(raws.len());
    let roles = [("user", Role::User), ("assistant", Role::Assistant), ("system", Role::System)];
    for (index, raw) in raws.into_iter().enumerate() {
        let place = body.place.element("messages", index);
        let mut message = Object::read(raw, place)?;
        let role = message.word("role", &roles, "user, assistant or system")?;
        let role = role.ok_or_else(|| message.missing("role"))?;
        if !message.has("content") {
            return Err(message.missing("content"));
        }
        let parts = read_content(&mut message, "content", reading)?;
        reading.leave(message, Scope::Message);
        turns.push(Turn { role, name: None, phase: None, parts, place });
    }
    Ok(turns)
}

/// Reads content: a string or a list of blocks.
pub(super) fn read_content<'a>(
    object: &mut Object<'a>,
    name: &'static str,
    reading: &mut Reading<'a>,
) -> Result<Vec<LocatedPart<'a>>, InvalidRequest> {
    let Some(raw) = object.raw(name) else { return Ok(Vec::new()) };
    if let Some(text) = string(raw) {
        let kind = PartKind::Text { text, citations: Vec::new() };
        let part = Part { kind, cache: None, seal: None };
        return Ok(vec![LocatedPart { part, place: object.place.member(name) }]);
    }
    let raws = list(raw).ok_or_else(|| object.expected(name, "a string or a list of blocks"))?;
    reading.count_parts(raws.len())?;
    let mut parts = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        let place = object.place.element(name, index);
        parts.push(LocatedPart { part: read_block(raw, place, true, reading)?, place });
    }
    Ok(parts)
}

/// Reads a block. Blocks of a result cannot be calls or results.
fn read_block<'a>(
    raw: &'a RawValue,
    place: Place,
    is_outer: bool,
    reading: &mut Reading<'a>,
) -> Result<Part<'a>, InvalidRequest> {
    let mut block = Object::read(raw, place)?;
    let type_name = block.required_text("type")?;
    let mut seal = None;
    let kind = match type_name.as_ref() {
        "text" => {
            let text = block.required_text("text")?;
            PartKind::Text { text, citations: read_citations(&mut block)? }
        }
        "image" => match read_source(&mut block, reading)? {
            Some(source) => {
                PartKind::Media { kind: MediaKind::Image, source, name: None, detail: None }
            }
            None => return Ok(foreign(type_name, raw)),
        },
        "document" => match read_source(&mut block, reading)? {
            Some(source) => {
                let name = block.text("title")?;
                PartKind::Media { kind: MediaKind::Document, source, name, detail: None }
            }
            None => return Ok(foreign(type_name, raw)),
        },
        "thinking" if is_outer => {
            let text = block.required_text("thinking")?;
            seal = block.text("signature")?.filter(|signature| !signature.is_empty());
            let texts = vec![ReasoningText { kind: ReasoningTextKind::Full, text }];
            PartKind::Reasoning { texts, is_redacted: false }
        }
        "redacted_thinking" if is_outer => {
            seal = Some(block.required_text("data")?);
            PartKind::Reasoning { texts: Vec::new(), is_redacted: true }
        }
        "tool_use" if is_outer => {
            let input = block.raw_object("input")?.ok_or_else(|| block.missing("input"))?;
            PartKind::ToolCall {
                id: block.required_text("id")?,
                name: block.required_text("name")?,
                arguments: ArgumentsText::Json(Cow::Borrowed(input)),
            }
        }
        "tool_result" if is_outer => PartKind::ToolResult {
            call_id: block.required_text("tool_use_id")?,
            parts: read_result(&mut block, reading)?,
            is_error: block.flag("is_error")?,
        },
        _ => return Ok(foreign(type_name, raw)),
    };
    let cache = read_breakpoint(&mut block, reading)?;
    reading.leave(block, Scope::Part);
    let seal = seal.map(|text| parse_seal(Protocol::Messages, text));
    Ok(Part { kind, cache, seal })
}

fn foreign<'a>(name: Cow<'a, str>, raw: &'a RawValue) -> Part<'a> {
    let kind = PartKind::Foreign { protocol: Protocol::Messages, name, raw };
    Part { kind, cache: None, seal: None }
}

fn read_citations<'a>(block: &mut Object<'a>) -> Result<Vec<Citation<'a>>, InvalidRequest> {
    let raws = block.list("citations")?.into_iter();
    Ok(raws.map(|raw| Citation::Foreign { protocol: Protocol::Messages, raw }).collect())
}

/// Reads the content of a result. An empty text is nothing.
fn read_result<'a>(
    block: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Vec<Part<'a>>, InvalidRequest> {
    let Some(raw) = block.raw("content") else { return Ok(Vec::new()) };
    if let Some(text) = string(raw) {
        let kind = PartKind::Text { text, citations: Vec::new() };
        let part = Part { kind, cache: None, seal: None };
        return Ok(if is_empty(&part) { Vec::new() } else { vec![part] });
    }
    let raws =
        list(raw).ok_or_else(|| block.expected("content", "a string or a list of blocks"))?;
    reading.count_parts(raws.len())?;
    let mut parts = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        let place = block.place.element("content", index);
        let part = read_block(raw, place, false, reading)?;
        if !is_empty(&part) {
            parts.push(part);
        }
    }
    Ok(parts)
}

fn is_empty(part: &Part<'_>) -> bool {
    matches!(&part.kind, PartKind::Text { text, .. } if text.is_empty())
}

/// Reads `source`. `None` if it has blocks of its own.
fn read_source<'a>(
    block: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Option<MediaSource<'a>>, InvalidRequest> {
    let mut source = block.required_object("source")?;
    let found = match source.required_text("type")?.as_ref() {
        "base64" => MediaSource::Base64 {
            media_type: source.required_text("media_type")?,
            data: source.required_text("data")?,
        },
        "url" => MediaSource::Url(source.required_text("url")?),
        "text" => {
            source.ignore("media_type");
            MediaSource::Text(source.required_text("data")?)
        }
        "file" => {
            MediaSource::File { protocol: Protocol::Messages, id: source.required_text("file_id")? }
        }
        _ => return Ok(None),
    };
    reading.leave(source, Scope::Other);
    Ok(Some(found))
}

/// Reads `cache_control` (Anthropic guide, "Prompt caching").
pub(super) fn read_breakpoint<'a>(
    object: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Option<CacheBreakpoint>, InvalidRequest> {
    let Some(mut control) = object.object("cache_control")? else { return Ok(None) };
    control.ignore("type");
    let words = [("5m", CacheLifetime::FiveMinutes), ("1h", CacheLifetime::OneHour)];
    let lifetime = control.word("ttl", &words, "5m or 1h")?.unwrap_or_default();
    reading.leave(control, Scope::Other);
    Ok(Some(CacheBreakpoint { lifetime }))
}

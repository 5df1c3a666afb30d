//! Reader of messages.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::model::{
    ArgumentsText, LocatedPart, MediaKind, MediaSource, Part, PartKind, Place, Protocol,
    ReasoningText, ReasoningTextKind, Request, Role, Seal, Turn,
};
use crate::request::invalid::InvalidRequest;
use crate::request::media::{sniff, source_from_url};
use crate::request::object::{Object, Reading, list, string};
use crate::request::rules::Scope;
use crate::request::shared_fields::read_breakpoint;
use crate::seal::parse_seal;

pub(super) fn read_messages<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
    request: &mut Request<'a>,
) -> Result<(), InvalidRequest> {
    let Some(raw) = body.raw("messages") else { return Err(body.missing("messages")) };
    let messages = list(raw).ok_or_else(|| body.expected("messages", "a list"))?;
    reading.count_parts(messages.len())?;
    let mut was_tool = false;
    for (index, raw) in messages.into_iter().enumerate() {
        let place = body.place.element("messages", index);
        let mut message = Object::read(raw, place)?;
        let role = message.required_text("role")?;
        let is_tool = role == "tool";
        match role.as_ref() {
            "system" | "developer" => {
                let parts = read_content(&mut message, reading)?;
                if request.turns.is_empty() {
                    request.system.extend(parts);
                } else {
                    push_turn(request, Role::System, message.text("name")?, parts, place);
                }
            }
            "user" => {
                if !message.has("content") {
                    return Err(message.missing("content"));
                }
                let parts = read_content(&mut message, reading)?;
                push_turn(request, Role::User, message.text("name")?, parts, place);
            }
            "assistant" => {
                let parts = read_assistant(&mut message, reading)?;
                push_turn(request, Role::Assistant, message.text("name")?, parts, place);
            }
            "tool" => {
                let result = read_result(&mut message, reading)?;
                match request.turns.last_mut().filter(|_| was_tool) {
                    Some(turn) => turn.parts.push(result),
                    None => push_turn(request, Role::User, None, vec![result], place),
                }
            }
            _ => {
                let part = foreign(role.clone(), raw, place);
                push_turn(request, Role::User, None, vec![part], place);
                was_tool = false;
                continue;
            }
        }
        was_tool = is_tool;
        reading.leave(message, Scope::Message);
    }
    Ok(())
}

fn push_turn<'a>(
    request: &mut Request<'a>,
    role: Role,
    name: Option<Cow<'a, str>>,
    parts: Vec<LocatedPart<'a>>,
    place: Place,
) {
    request.turns.push(Turn { role, name, phase: None, parts, place });
}

fn foreign<'a>(name: Cow<'a, str>, raw: &'a RawValue, place: Place) -> LocatedPart<'a> {
    located(PartKind::Foreign { protocol: Protocol::Chat, name, raw }, place)
}

fn located(kind: PartKind<'_>, place: Place) -> LocatedPart<'_> {
    LocatedPart { part: Part { kind, cache: None, seal: None }, place }
}

/// Reads `content`: a string, a list of parts, or nothing. An empty string of a model or a tool is
/// nothing.
fn read_content<'a>(
    message: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Vec<LocatedPart<'a>>, InvalidRequest> {
    let Some(raw) = message.raw("content") else { return Ok(Vec::new()) };
    if let Some(text) = string(raw) {
        let kind = PartKind::Text { text, citations: Vec::new() };
        return Ok(vec![located(kind, message.place.member("content"))]);
    }
    let parts = list(raw)
        .ok_or_else(|| message.expected("content", "a string or a list of content parts"))?;
    reading.count_parts(parts.len())?;
    let parts = parts.into_iter().enumerate();
    parts
        .map(|(index, raw)| read_part(raw, message.place.element("content", index), reading))
        .collect()
}

fn read_part<'a>(
    raw: &'a RawValue,
    place: Place,
    reading: &mut Reading<'a>,
) -> Result<LocatedPart<'a>, InvalidRequest> {
    let mut part = Object::read(raw, place)?;
    let type_name = part.required_text("type")?;
    let kind = match type_name.as_ref() {
        "text" => PartKind::Text { text: part.required_text("text")?, citations: Vec::new() },
        "refusal" => PartKind::Refusal(part.required_text("refusal")?),
        "image_url" => {
            let mut image = part.required_object("image_url")?;
            let source = source_from_url(image.required_text("url")?);
            let detail = image.text("detail")?;
            reading.leave(image, Scope::Other);
            PartKind::Media { kind: MediaKind::Image, source, name: None, detail }
        }
        "input_audio" => {
            let mut audio = part.required_object("input_audio")?;
            let media_type = match audio.required_text("format")?.as_ref() {
                "mp3" => Cow::Borrowed("audio/mpeg"),
                format => Cow::Owned(format!("audio/{format}")),
            };
            let data = audio.required_text("data")?;
            reading.leave(audio, Scope::Other);
            let source = MediaSource::Base64 { media_type, data };
            PartKind::Media { kind: MediaKind::Audio, source, name: None, detail: None }
        }
        "file" => {
            let mut file = part.required_object("file")?;
            let source = read_file(&mut file, Protocol::Chat)?;
            let name = file.text("filename")?;
            reading.leave(file, Scope::Other);
            PartKind::Media { kind: MediaKind::Document, source, name, detail: None }
        }
        _ => return Ok(foreign(type_name, raw, place)),
    };
    let cache = read_breakpoint(&mut part, reading)?;
    reading.leave(part, Scope::Part);
    Ok(LocatedPart { part: Part { kind, cache, seal: None }, place })
}

/// Reads the source of a file: an id, or bytes as a data URL or in plain base64.
pub(in crate::request) fn read_file<'a>(
    file: &mut Object<'a>,
    protocol: Protocol,
) -> Result<MediaSource<'a>, InvalidRequest> {
    if let Some(id) = file.text("file_id")? {
        return Ok(MediaSource::File { protocol, id });
    }
    let data = file.required_text("file_data")?;
    Ok(match source_from_url(data) {
        MediaSource::Url(data) if !data.starts_with("data:") => {
            let media_type = sniff(&data).unwrap_or("application/octet-stream").into();
            MediaSource::Base64 { media_type, data }
        }
        source => source,
    })
}

fn read_assistant<'a>(
    message: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Vec<LocatedPart<'a>>, InvalidRequest> {
    let mut parts = read_reasoning(message, reading)?;
    let content = read_content(message, reading)?;
    let is_empty = |located: &LocatedPart<'_>| matches!(&located.part.kind, PartKind::Text { text, .. } if text.is_empty());
    parts.extend(content.into_iter().filter(|part| !is_empty(part)));
    if let Some(text) = message.text("refusal")? {
        parts.push(located(PartKind::Refusal(text), message.place.member("refusal")));
    }
    let calls = message.objects("tool_calls")?;
    reading.count_parts(calls.len())?;
    for call in calls {
        parts.push(read_call(call, reading)?);
    }
    Ok(parts)
}

fn read_call<'a>(
    mut call: Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<LocatedPart<'a>, InvalidRequest> {
    let place = call.place;
    let id = call.required_text("id")?;
    let (name, arguments) = match call.text("type")?.as_deref().unwrap_or("function") {
        "function" => {
            let mut function = call.required_object("function")?;
            let name = function.required_text("name")?;
            let arguments = function.text("arguments")?.unwrap_or_default();
            reading.leave(function, Scope::Other);
            (name, ArgumentsText::Json(arguments))
        }
        "custom" => {
            let mut custom = call.required_object("custom")?;
            let name = custom.required_text("name")?;
            let input = custom.text("input")?.unwrap_or_default();
            reading.leave(custom, Scope::Other);
            (name, ArgumentsText::Text(input))
        }
        _ => return Err(call.expected("type", "function or custom")),
    };
    let seal = read_thought_signature(&mut call, reading)?;
    reading.leave(call, Scope::Part);
    let kind = PartKind::ToolCall { id, name, arguments };
    Ok(LocatedPart { part: Part { kind, cache: None, seal }, place })
}

/// Reads `extra_content.google.thought_signature` (Google, "OpenAI compatibility").
fn read_thought_signature<'a>(
    call: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Option<Seal<'a>>, InvalidRequest> {
    let Some(mut extra) = call.object("extra_content")? else { return Ok(None) };
    let mut seal = None;
    if let Some(mut google) = extra.object("google")? {
        let signature = google.text("thought_signature")?;
        seal = signature.map(|text| parse_seal(Protocol::Chat, text));
        reading.leave(google, Scope::Other);
    }
    reading.leave(extra, Scope::Other);
    Ok(seal)
}

/// Reads thoughts: `reasoning_details` (OpenRouter), `reasoning_content` (DeepSeek), or `reasoning`.
/// The later fields repeat the text of the first.
fn read_reasoning<'a>(
    message: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Vec<LocatedPart<'a>>, InvalidRequest> {
    let content = message.text("reasoning_content")?;
    let reasoning = message.text("reasoning")?;
    let details = message.objects("reasoning_details")?;
    reading.count_parts(details.len())?;
    let mut parts = Vec::new();
    let mut open: Vec<ReasoningText<'a>> = Vec::new();
    let mut last_place = message.place;
    for mut detail in details {
        last_place = detail.place;
        let mut add = |kind, text| open.push(ReasoningText { kind, text });
        let seal = match detail.required_text("type")?.as_ref() {
            "reasoning.text" => {
                add(ReasoningTextKind::Full, detail.text("text")?.unwrap_or_default());
                detail.text("signature")?
            }
            "reasoning.summary" => {
                add(ReasoningTextKind::Summary, detail.text("summary")?.unwrap_or_default());
                None
            }
            "reasoning.encrypted" => Some(detail.required_text("data")?),
            _ => {
                let expected = "reasoning.text, reasoning.summary or reasoning.encrypted";
                return Err(detail.expected("type", expected));
            }
        };
        for name in ["id", "format", "index"] {
            detail.ignore(name);
        }
        if let Some(seal) = seal {
            let seal = parse_seal(Protocol::Chat, seal);
            parts.push(reasoning_part(std::mem::take(&mut open), Some(seal), last_place));
        }
        reading.leave(detail, Scope::Other);
    }
    if !open.is_empty() {
        parts.push(reasoning_part(open, None, last_place));
    }
    if let Some(text) = content.or(reasoning).filter(|_| parts.is_empty()) {
        let text = ReasoningText { kind: ReasoningTextKind::Full, text };
        parts.push(reasoning_part(vec![text], None, message.place));
    }
    Ok(parts)
}

fn reasoning_part<'a>(
    texts: Vec<ReasoningText<'a>>,
    seal: Option<Seal<'a>>,
    place: Place,
) -> LocatedPart<'a> {
    let is_redacted = texts.is_empty();
    let kind = PartKind::Reasoning { texts, is_redacted };
    LocatedPart { part: Part { kind, cache: None, seal }, place }
}

fn read_result<'a>(
    message: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<LocatedPart<'a>, InvalidRequest> {
    let call_id = message.required_text("tool_call_id")?;
    let content = read_content(message, reading)?;
    let is_text = |part: &LocatedPart<'_>| !matches!(&part.part.kind, PartKind::Text { text, .. } if text.is_empty());
    let parts = content.into_iter().filter(is_text).map(|located| located.part).collect();
    let kind = PartKind::ToolResult { call_id, parts, is_error: None };
    Ok(located(kind, message.place))
}

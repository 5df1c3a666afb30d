//! Writer of blocks. Each part is first decided on, then written.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::model::{
    ArgumentsText, CacheBreakpoint, CacheLifetime, Citation, MediaKind, MediaSource, Part,
    PartKind, Place, Protocol, Role,
};
use crate::request::json_writer::JsonWriter;
use crate::request::media::{MESSAGES_IMAGES, decode_text, sniff};
use crate::request::object::is_nested_too_deep;
use crate::request::report::Written;
use crate::request::writing::Writing;

/// Media type of a PDF.
const PDF: &str = "application/pdf";

/// Decides on a part. Returns whether it is written; empty texts and thoughts of other makers are not.
pub(super) fn block_plan(
    writing: &mut Writing<'_, '_>,
    part: &Part<'_>,
    place: Place,
    role: Role,
) -> Written<bool> {
    let is_written = match &part.kind {
        PartKind::Text { text, citations } => {
            if citations.iter().any(|citation| own_citation(citation).is_none()) {
                writing.report.shed(place, "citations");
            }
            !text.trim_start().is_empty()
        }
        PartKind::Refusal(text) => !text.trim_start().is_empty(),
        PartKind::Reasoning { .. } => {
            let is_readable = writing.seal(part.seal.as_ref()).is_some();
            if !is_readable {
                writing.report.shed(place, "reasoning");
            }
            is_readable
        }
        PartKind::Media { kind, source, detail, .. } => {
            if detail.is_some() {
                writing.report.shed(place, "detail");
            }
            let can_have = role == Role::User && can_write_media(*kind, source);
            if !can_have {
                writing.refuse_part(&part.kind, place)?;
            }
            can_have
        }
        PartKind::ToolCall { arguments, .. } => {
            if role != Role::Assistant {
                writing.refuse_part(&part.kind, place)?;
                return Ok(false);
            }
            if let ArgumentsText::Json(text) = arguments
                && object_text(text).is_none()
            {
                let name = match writing.request.protocol {
                    Protocol::Chat => "function.arguments",
                    Protocol::Responses => "arguments",
                    Protocol::Messages => "input",
                };
                let reason = "the arguments are not a JSON object";
                writing.report.refuse_member(place, name, reason, "Send an object or nothing")?;
            }
            true
        }
        PartKind::ToolResult { parts, .. } => {
            if role != Role::User {
                writing.refuse_part(&part.kind, place)?;
                return Ok(false);
            }
            for part in parts {
                if part.cache.is_some() && !is_result_part(part) {
                    writing.shed_breakpoint(part.cache, place);
                }
                block_plan(writing, part, place, role)?;
            }
            true
        }
        PartKind::Foreign { protocol, .. } => {
            let is_own = *protocol == Protocol::Messages;
            if !is_own {
                writing.refuse_part(&part.kind, place)?;
            }
            is_own
        }
    };
    if !is_written || !writing.can_have_breakpoint(&part.kind) {
        writing.shed_breakpoint(part.cache, place);
    }
    Ok(is_written)
}

/// Whether a part of a result is written: media that the protocol lacks are left out where the route
/// permits it.
fn is_result_part(part: &Part<'_>) -> bool {
    match &part.kind {
        PartKind::Text { text, .. } => !text.trim_start().is_empty(),
        PartKind::Media { kind, source, .. } => can_write_media(*kind, source),
        PartKind::Foreign { protocol, .. } => *protocol == Protocol::Messages,
        _ => false,
    }
}

fn own_citation<'c>(citation: &Citation<'c>) -> Option<&'c RawValue> {
    match citation {
        Citation::Foreign { protocol: Protocol::Messages, raw } => Some(raw),
        _ => None,
    }
}

/// Returns arguments as the text of an object. `None` if they are something else.
fn object_text(text: &str) -> Option<&str> {
    let text = text.trim();
    if text.is_empty() {
        return Some("{}");
    }
    let is_object = text.starts_with('{')
        && !is_nested_too_deep(text)
        && serde_json::from_str::<&RawValue>(text).is_ok();
    is_object.then_some(text)
}

fn can_write_media(kind: MediaKind, source: &MediaSource<'_>) -> bool {
    match (kind, source) {
        (MediaKind::Audio | MediaKind::Video, _) => false,
        (MediaKind::Image, MediaSource::Base64 { media_type, data }) => {
            image_type(media_type, data).is_some()
        }
        (MediaKind::Image, MediaSource::Text(_)) => false,
        (MediaKind::Document, MediaSource::Base64 { media_type, data }) => {
            document_source(media_type, data).is_some()
        }
        (MediaKind::Document, MediaSource::Text(_)) => true,
        (_, MediaSource::Url(url)) => url.starts_with("http://") || url.starts_with("https://"),
        (_, MediaSource::File { protocol, .. }) => *protocol == Protocol::Messages,
    }
}

/// Returns the media type of an image that Messages accepts: by its first bytes, since callers declare
/// wrong ones.
fn image_type<'m>(media_type: &'m str, data: &str) -> Option<&'m str> {
    let media_type = sniff(data).unwrap_or(media_type);
    MESSAGES_IMAGES.contains(&media_type).then_some(media_type)
}

/// Document in base64, or as decoded text. `None` if Messages does not accept its type.
fn document_source<'d>(media_type: &str, data: &'d str) -> Option<Result<&'d str, String>> {
    if media_type == PDF || sniff(data) == Some(PDF) {
        return Some(Ok(data));
    }
    media_type.starts_with("text/").then(|| decode_text(data)).flatten().map(Err)
}

/// Writes a part that [`block_plan`] has accepted.
pub(super) fn write_block(writing: &mut Writing<'_, '_>, part: &Part<'_>, place: Place) {
    let cache = if writing.can_have_breakpoint(&part.kind) {
        writing.breakpoint(part.cache, place)
    } else {
        None
    };
    let call = match &part.kind {
        PartKind::ToolCall { id, name, .. } => Some((writing.call_id(id), writing.tool_name(name))),
        PartKind::ToolResult { call_id, .. } => Some((writing.call_id(call_id), Cow::Borrowed(""))),
        _ => None,
    };
    let seal = writing.seal(part.seal.as_ref());
    let json = &mut writing.json;
    match (&part.kind, call) {
        (PartKind::Text { text, citations }, _) => write_text(json, text, citations),
        (PartKind::Refusal(text), _) => write_text(json, text, &[]),
        (PartKind::Reasoning { is_redacted: true, .. }, _) => {
            json.begin_typed("redacted_thinking");
            json.member("data", seal.unwrap_or_default());
        }
        (PartKind::Reasoning { texts, .. }, _) => {
            json.begin_typed("thinking");
            let texts: Vec<&str> = texts.iter().map(|text| text.text.as_ref()).collect();
            json.member("thinking", &texts.join("\n\n"));
            json.member("signature", seal.unwrap_or_default());
        }
        (PartKind::Media { kind, source, name, .. }, _) => {
            write_media(json, *kind, source, name.as_deref());
        }
        (PartKind::ToolCall { arguments, .. }, Some((id, name))) => {
            json.begin_typed("tool_use");
            json.member("id", &id);
            json.member("name", &name);
            json.name("input");
            match arguments {
                ArgumentsText::Json(text) => json.raw(object_text(text).unwrap_or("{}")),
                ArgumentsText::Text(text) => {
                    json.begin_object();
                    json.member("input", text);
                    json.end_object();
                }
            }
        }
        (PartKind::ToolResult { parts, is_error, .. }, Some((id, _))) => {
            json.begin_typed("tool_result");
            json.member("tool_use_id", &id);
            if let Some(is_error) = is_error {
                json.flag_member("is_error", *is_error);
            }
            write_result(writing, parts, place);
        }
        (PartKind::Foreign { raw, .. }, _) => return json.raw(raw.get()),
        (PartKind::ToolCall { .. } | PartKind::ToolResult { .. }, None) => return,
    }
    if let Some(cache) = cache {
        write_breakpoint(&mut writing.json, cache);
    }
    writing.json.end_object();
}

fn write_text(json: &mut JsonWriter, text: &str, citations: &[Citation<'_>]) {
    json.begin_typed("text");
    json.member("text", text);
    let mut citations = citations.iter().filter_map(own_citation).peekable();
    if citations.peek().is_some() {
        json.name("citations");
        json.begin_list();
        citations.for_each(|raw| json.raw(raw.get()));
        json.end_list();
    }
}

fn write_result(writing: &mut Writing<'_, '_>, parts: &[Part<'_>], place: Place) {
    let parts: Vec<_> = parts.iter().filter(|part| is_result_part(part)).collect();
    match parts.as_slice() {
        [] => {}
        [Part { kind: PartKind::Text { text, .. }, cache: None, .. }] => {
            writing.json.member("content", text);
        }
        _ => {
            writing.json.name("content");
            writing.json.begin_list();
            for part in parts {
                write_block(writing, part, place);
            }
            writing.json.end_list();
        }
    }
}

fn write_media(
    json: &mut JsonWriter,
    kind: MediaKind,
    source: &MediaSource<'_>,
    name: Option<&str>,
) {
    let is_image = kind == MediaKind::Image;
    json.begin_typed(if is_image { "image" } else { "document" });
    json.name("source");
    match source {
        MediaSource::Base64 { media_type, data } if is_image => {
            let media_type = image_type(media_type, data).unwrap_or(media_type);
            write_base64(json, media_type, data);
        }
        MediaSource::Base64 { media_type, data } => match document_source(media_type, data) {
            Some(Err(text)) => write_document_text(json, &text),
            Some(Ok(_)) | None => write_base64(json, PDF, data),
        },
        MediaSource::Text(text) => write_document_text(json, text),
        MediaSource::Url(url) => {
            json.begin_typed("url");
            json.member("url", url);
            json.end_object();
        }
        MediaSource::File { id, .. } => {
            json.begin_typed("file");
            json.member("file_id", id);
            json.end_object();
        }
    }
    if let Some(name) = name.filter(|_| !is_image) {
        json.member("title", name);
    }
}

fn write_base64(json: &mut JsonWriter, media_type: &str, data: &str) {
    json.begin_typed("base64");
    json.member("media_type", media_type);
    json.member("data", data);
    json.end_object();
}

fn write_document_text(json: &mut JsonWriter, text: &str) {
    json.begin_typed("text");
    json.member("media_type", "text/plain");
    json.member("data", text);
    json.end_object();
}

/// Writes `cache_control`.
pub(super) fn write_breakpoint(json: &mut JsonWriter, cache: CacheBreakpoint) {
    json.name("cache_control");
    json.begin_typed("ephemeral");
    if cache.lifetime == CacheLifetime::OneHour {
        json.member("ttl", "1h");
    }
    json.end_object();
}

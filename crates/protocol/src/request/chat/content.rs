//! Content of messages.

use std::borrow::Cow;

use crate::model::{
    CacheBreakpoint, LocatedPart, MediaKind, MediaSource, Part, PartKind, Place, Protocol,
};
use crate::request::json_writer::JsonWriter;
use crate::request::report::Written;
use crate::request::shared_fields::write_breakpoint;
use crate::request::writing::Writing;

/// Content of a message, ready to be written.
pub(super) enum Item<'p> {
    Text(Cow<'p, str>, Option<CacheBreakpoint>),
    Raw(&'p str),
    Media(MediaItem<'p>, Option<CacheBreakpoint>),
}

/// Medium in the protocol's form.
pub(super) enum MediaItem<'p> {
    Image { url: [&'p str; 4], detail: Option<&'p str> },
    Audio { data: &'p str, format: &'p str },
    File { url: [&'p str; 4], name: Option<&'p str> },
    FileId(&'p str),
}

pub(super) fn plan_items<'p>(
    writing: &mut Writing<'_, '_>,
    parts: &[&'p LocatedPart<'_>],
) -> Written<Vec<Item<'p>>> {
    let mut items = Vec::with_capacity(parts.len());
    for located in parts {
        items.extend(plan_item(writing, &located.part, located.place)?);
    }
    Ok(items)
}

/// Returns the content of a part. `None` if it is left out.
pub(super) fn plan_item<'p>(
    writing: &mut Writing<'_, '_>,
    part: &'p Part<'_>,
    place: Place,
) -> Written<Option<Item<'p>>> {
    let cache = if writing.can_have_breakpoint(&part.kind) {
        writing.breakpoint(part.cache, place)
    } else {
        writing.shed_breakpoint(part.cache, place);
        None
    };
    let item = match &part.kind {
        PartKind::Text { text, citations } => {
            if !citations.is_empty() {
                writing.report.shed(place, "citations");
            }
            Some(Item::Text(Cow::Borrowed(text), cache))
        }
        PartKind::Refusal(text) => Some(Item::Text(Cow::Borrowed(text), cache)),
        PartKind::Media { kind, source, name, detail } => {
            match (plan_media(*kind, source, name.as_deref(), detail.as_deref()), source) {
                (Some(media), _) => Some(Item::Media(media, cache)),
                (None, MediaSource::Text(text)) => Some(Item::Text(Cow::Borrowed(text), cache)),
                (None, _) => None,
            }
        }
        PartKind::Foreign { protocol, raw, .. } if *protocol == writing.target.protocol => {
            Some(Item::Raw(raw.get()))
        }
        // Guards and estimates read the texts in it.
        PartKind::Foreign { raw, .. } if writing.report.is_view() => {
            writing.report.keep_unread(raw.get());
            return Ok(None);
        }
        _ => None,
    };
    if item.is_none() {
        writing.refuse_part(&part.kind, place)?;
    }
    Ok(item)
}

fn plan_media<'p>(
    kind: MediaKind,
    source: &'p MediaSource<'_>,
    name: Option<&'p str>,
    detail: Option<&'p str>,
) -> Option<MediaItem<'p>> {
    let data_url = |media_type: &'p str, data: &'p str| ["data:", media_type, ";base64,", data];
    match (kind, source) {
        (MediaKind::Image, MediaSource::Base64 { media_type, data }) => {
            Some(MediaItem::Image { url: data_url(media_type, data), detail })
        }
        (MediaKind::Image, MediaSource::Url(url)) => {
            Some(MediaItem::Image { url: [url, "", "", ""], detail })
        }
        (MediaKind::Audio, MediaSource::Base64 { media_type, data }) => {
            let format = match media_type.as_ref() {
                "audio/mpeg" => "mp3",
                media_type => media_type.strip_prefix("audio/")?,
            };
            Some(MediaItem::Audio { data, format })
        }
        (MediaKind::Document, MediaSource::Base64 { media_type, data }) => {
            Some(MediaItem::File { url: data_url(media_type, data), name })
        }
        (MediaKind::Document, MediaSource::Url(url)) if url.starts_with("data:") => {
            Some(MediaItem::File { url: [url, "", "", ""], name })
        }
        (MediaKind::Document, MediaSource::File { protocol, id })
            if *protocol != Protocol::Messages =>
        {
            Some(MediaItem::FileId(id))
        }
        _ => None,
    }
}

/// Writes `content`: a string if possible, since many providers accept nothing else for some roles.
pub(super) fn write_content(writing: &mut Writing<'_, '_>, items: &[Item<'_>], separator: &str) {
    writing.json.name("content");
    let plain: Option<Vec<&str>> = items
        .iter()
        .map(|item| match item {
            Item::Text(text, None) => Some(text.as_ref()),
            _ => None,
        })
        .collect();
    match plain {
        // A view keeps each text as it is, so that a change of it can be found in the caller's body.
        Some(texts)
            if texts.len() < 2 || !(writing.is_same_protocol() || writing.report.is_view()) =>
        {
            writing.json.string(&texts.join(separator));
        }
        _ => {
            writing.json.begin_list();
            items.iter().for_each(|item| write_item(writing, item));
            writing.json.end_list();
        }
    }
}

fn write_item(writing: &mut Writing<'_, '_>, item: &Item<'_>) {
    let json = &mut writing.json;
    let cache = match item {
        Item::Raw(raw) => return json.raw(raw),
        Item::Text(text, cache) => {
            json.begin_typed("text");
            json.member("text", text);
            cache
        }
        Item::Media(media, cache) => {
            write_media(json, media);
            cache
        }
    };
    if let Some(cache) = cache {
        write_breakpoint(json, *cache);
    }
    json.end_object();
}

/// Writes the members of a medium, without the closing bracket.
fn write_media(json: &mut JsonWriter, media: &MediaItem<'_>) {
    match media {
        MediaItem::Image { url, detail } => {
            json.begin_typed("image_url");
            json.name("image_url");
            json.begin_object();
            json.name("url");
            json.joined(url);
            if let Some(detail) = detail {
                json.member("detail", detail);
            }
        }
        MediaItem::Audio { data, format } => {
            json.begin_typed("input_audio");
            json.name("input_audio");
            json.begin_object();
            json.member("data", data);
            json.member("format", format);
        }
        MediaItem::File { url, name } => {
            json.begin_typed("file");
            json.name("file");
            json.begin_object();
            json.member("filename", name.unwrap_or("document.pdf"));
            json.name("file_data");
            json.joined(url);
        }
        MediaItem::FileId(id) => {
            json.begin_typed("file");
            json.name("file");
            json.begin_object();
            json.member("file_id", id);
        }
    }
    json.end_object();
}

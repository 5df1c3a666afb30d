//! Events of Responses, as a writer makes them.

use super::super::state::Head;
use crate::answer::responses::{Response, Status, write_response};
use crate::context::AnswerContext;
use crate::json_text::JsonText;
use crate::model::{ReasoningTextKind, Usage};
use crate::sse::write_event;

/// Writer of single events, which counts them.
#[derive(Debug, Default)]
pub(super) struct EventWriter {
    pub(super) sequence_number: u64,
}

/// Place of an item, or of a part of it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: u64,
    /// Member that names the index of the part, with the index.
    pub(super) part: Option<(&'static str, u64)>,
}

impl EventWriter {
    pub(super) fn next_number(&mut self) -> u64 {
        let number = self.sequence_number;
        self.sequence_number += 1;
        number
    }

    pub(super) fn begin(&mut self, name: &str) -> JsonText {
        let mut json = JsonText::with_capacity(256);
        json.begin_object();
        json.text_member("type", name);
        json.number_member("sequence_number", self.next_number());
        json
    }

    /// Begins an event about a place.
    pub(super) fn begin_at(&mut self, name: &str, place: Place<'_>) -> JsonText {
        let mut json = self.begin(name);
        json.text_member("item_id", place.item_id);
        json.number_member("output_index", place.output_index);
        if let Some((member, index)) = place.part {
            json.number_member(member, index);
        }
        json
    }

    /// Writes an event about a place with one text.
    pub(super) fn write_text(
        &mut self,
        name: &str,
        place: Place<'_>,
        (member, text): (&str, &str),
        out: &mut Vec<u8>,
    ) {
        let mut json = self.begin_at(name, place);
        json.text_member(member, text);
        end(json, name, out);
    }

    /// Writes an event with the whole response.
    pub(super) fn write_response(
        &mut self,
        name: &str,
        response: &Response<'_>,
        context: &AnswerContext,
        out: &mut Vec<u8>,
    ) {
        let mut json = self.begin(name);
        json.name("response");
        write_response(&mut json, response, context);
        end(json, name, out);
    }
}

pub(super) fn end(mut json: JsonText, name: &str, out: &mut Vec<u8>) {
    json.end_object();
    write_event(Some(name), &json.into_bytes(), out);
}

/// Response with the items so far.
pub(super) fn response<'a>(
    head: &'a Head,
    status: &'a Status<'a>,
    output: &'a [u8],
    usage: Option<&'a Usage>,
    context: &AnswerContext,
) -> Response<'a> {
    let created = head.created(context);
    Response { model: &head.model, created, tier: head.tier, status, output, usage }
}

/// Names of the events about a text of reasoning.
pub(super) struct ThoughtNames {
    pub(super) index: &'static str,
    pub(super) part_added: &'static str,
    pub(super) delta: &'static str,
    pub(super) done: &'static str,
    pub(super) part_done: &'static str,
}

pub(super) fn thought_names(kind: ReasoningTextKind) -> ThoughtNames {
    match kind {
        ReasoningTextKind::Summary => ThoughtNames {
            index: "summary_index",
            part_added: "response.reasoning_summary_part.added",
            delta: "response.reasoning_summary_text.delta",
            done: "response.reasoning_summary_text.done",
            part_done: "response.reasoning_summary_part.done",
        },
        ReasoningTextKind::Full => ThoughtNames {
            index: "content_index",
            part_added: "response.content_part.added",
            delta: "response.reasoning_text.delta",
            done: "response.reasoning_text.done",
            part_done: "response.content_part.done",
        },
    }
}

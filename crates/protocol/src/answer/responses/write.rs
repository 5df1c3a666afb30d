//! Writing of a response, with every member of the object.

use super::items::{ItemHead, ItemKind, write_item};
use crate::answer::chat::service_tier;
use crate::answer_outcome::WrittenAnswer;
use crate::context::AnswerContext;
use crate::failure::code;
use crate::json_text::JsonText;
use crate::model::{
    Answer, AnswerChoice, EndReason, Failure, FailureClass, Part, PartKind, Protocol, ServiceTier,
    Usage,
};
use crate::shed::Shed;
use crate::usage::write_responses;

/// Writes a response of the first choice.
pub(crate) fn write(answer: &Answer<'_>, context: &AnswerContext) -> WrittenAnswer {
    let mut shed = Shed::default();
    let mut output = JsonText::default();
    let choice = answer.choices.first();
    let status = Status::Ended(choice.map_or(EndReason::Other, |choice| choice.end.clone()), {
        choice.is_some_and(AnswerChoice::has_refusal)
    });
    output.begin_array();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    let logprobs = choice.and_then(|choice| choice.logprobs.as_deref());
    write_items(&mut output, parts, logprobs, &status, context, &mut shed);
    output.end_array();
    let response = Response {
        model: &answer.model,
        created: answer.created.unwrap_or(context.now_epoch_seconds),
        tier: answer.tier,
        status: &status,
        output: &output.into_bytes(),
        usage: answer.usage.as_ref(),
    };
    let mut json = JsonText::with_capacity(response.output.len() + 2048);
    write_response(&mut json, &response, context);
    WrittenAnswer { body: json.into_bytes(), shed }
}

fn write_items(
    json: &mut JsonText,
    parts: &[Part<'_>],
    mut logprobs: Option<&str>,
    status: &Status<'_>,
    context: &AnswerContext,
    shed: &mut Shed,
) {
    let kinds: Vec<Option<ItemKind>> = parts.iter().map(ItemKind::of).collect();
    let (mut at, mut number) = (0, 0);
    while at < parts.len() {
        let Some(kind) = kinds[at] else {
            write_other(json, &parts[at], shed);
            at += 1;
            continue;
        };
        let is_run = |other: &&Option<ItemKind>| **other == Some(kind);
        let run = match kind {
            ItemKind::Message => kinds[at..].iter().take_while(is_run).count(),
            _ => 1,
        };
        let end = at + run;
        let item_status = status.of_item(end == parts.len());
        let own = if kind == ItemKind::Message { logprobs.take() } else { None };
        let head = ItemHead { kind, number, status: item_status };
        write_item(json, head, &parts[at..end], own, context, shed);
        (at, number) = (end, number + 1);
    }
}

fn write_other(json: &mut JsonText, part: &Part<'_>, shed: &mut Shed) {
    match &part.kind {
        PartKind::Foreign { protocol: Protocol::Responses, raw, .. } => json.raw(raw.get()),
        PartKind::Media { .. } => shed.add("media"),
        _ => shed.add("hosted_tools"),
    }
}

/// State of a response.
pub(crate) enum Status<'a> {
    /// Still streamed.
    InProgress,
    /// At its end, with or without a refusal in words.
    Ended(EndReason<'a>, bool),
    /// Failed in the stream.
    Failed(&'a Failure<'a>),
}

impl Status<'_> {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Ended(..) if self.incomplete_reason().is_some() => "incomplete",
            Self::Ended(..) => "completed",
            Self::Failed(_) => "failed",
        }
    }

    /// Status of an item: an answer that was cut off ends with an incomplete item.
    pub(crate) fn of_item(&self, is_last: bool) -> &'static str {
        match self {
            Self::Ended(..) if is_last && self.incomplete_reason().is_some() => "incomplete",
            _ => "completed",
        }
    }

    fn incomplete_reason(&self) -> Option<&'static str> {
        let Self::Ended(end, has_refusal) = self else { return None };
        match end {
            EndReason::Length | EndReason::Window | EndReason::Paused => Some("max_output_tokens"),
            EndReason::Filtered => Some("content_filter"),
            EndReason::Refused { .. } if !has_refusal => Some("content_filter"),
            EndReason::Refused { .. }
            | EndReason::Done
            | EndReason::StopText(_)
            | EndReason::ToolCalls
            | EndReason::Other => None,
        }
    }
}

/// Members of a response that are not settings of its request.
pub(crate) struct Response<'a> {
    pub(crate) model: &'a str,
    pub(crate) created: u64,
    pub(crate) tier: Option<ServiceTier>,
    pub(crate) status: &'a Status<'a>,
    /// JSON array of the items.
    pub(crate) output: &'a [u8],
    pub(crate) usage: Option<&'a Usage>,
}

/// Writes a response, at its end or in a stream.
pub(crate) fn write_response(
    json: &mut JsonText,
    response: &Response<'_>,
    context: &AnswerContext,
) {
    json.begin_object();
    json.text_member("id", &context.answer_id("resp_"));
    json.text_member("object", "response");
    json.number_member("created_at", response.created);
    let is_completed = response.status.name() == "completed";
    if is_completed {
        // The clock of the caller's side may be behind the provider's.
        json.number_member("completed_at", context.now_epoch_seconds.max(response.created));
    } else {
        json.raw_member("completed_at", "null");
    }
    json.text_member("status", response.status.name());
    match response.status.incomplete_reason() {
        Some(reason) => {
            json.object("incomplete_details");
            json.text_member("reason", reason);
            json.end_object();
        }
        None => json.raw_member("incomplete_details", "null"),
    }
    json.text_member("model", response.model);
    json.name("output").raw_bytes(response.output);
    match response.status {
        Status::Failed(failure) => {
            json.object("error");
            json.text_member("code", code(failure).unwrap_or(failed_code(failure.class)));
            json.text_member("message", &failure.message);
            json.end_object();
        }
        Status::InProgress | Status::Ended(..) => json.raw_member("error", "null"),
    }
    match response.usage {
        Some(usage) => {
            json.name("usage");
            write_responses(json, usage);
        }
        None => json.raw_member("usage", "null"),
    }
    json.text_member("service_tier", response.tier.map_or("default", service_tier));
    context.echo.write(json);
    json.end_object();
}

/// Code of a failed response whose failure has none (OpenAI API reference, `ResponseError`).
fn failed_code(class: FailureClass) -> &'static str {
    if class == FailureClass::BadRequest { "invalid_prompt" } else { "server_error" }
}

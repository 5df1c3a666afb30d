//! Reading of a response.

use serde_json::value::RawValue;

use crate::answer::chat::parts::{read_tier, read_url_citation};
use crate::answer_outcome::{error_in_place, unreadable};
use crate::json_text::join_arrays;
use crate::members::{count, elements, pick, pick_in, some_text, text};
use crate::model::{
    Answer, AnswerChoice, ArgumentsText, Citation, EndReason, Failure, FailureClass, Part,
    PartKind, Protocol, ReasoningText, ReasoningTextKind, Seal, SealMaker,
};
use crate::usage::read_responses;

/// Reads a response that is finished.
pub(crate) fn read(body: &str) -> Result<Answer<'_>, Failure<'static>> {
    let [id, created, model, output, usage, tool_usage, tier, status, error] = pick(
        body,
        [
            "id",
            "created_at",
            "model",
            "output",
            "usage",
            "tool_usage",
            "service_tier",
            "status",
            "error",
        ],
    )
    .ok_or_else(|| unreadable("is not a JSON object"))?;
    if let Some(failure) = error_in_place(error) {
        return Err(failure);
    }
    let mut read = Items::default();
    if !elements(output, &mut |item| read.add(item)) {
        return Err(unreadable("has no output"));
    }
    let end = read_end(text(status).as_deref(), body)?;
    let mut choice =
        AnswerChoice { index: 0, parts: read.parts, end: EndReason::Other, logprobs: None };
    choice.end = end.given_content(choice.has_calls(), choice.has_refusal());
    choice.logprobs = Some(read.logprobs).filter(|text| !text.is_empty()).map(Into::into);
    Ok(Answer {
        id: text(id).unwrap_or_default(),
        model: text(model).unwrap_or_default(),
        created: count(created),
        choices: vec![choice],
        usage: read_responses(usage, tool_usage),
        tier: read_tier(tier),
        fingerprint: None,
    })
}

/// Reads the status of a response with its reason. A response that is not finished is a failure.
pub(crate) fn read_end(
    status: Option<&str>,
    response: &str,
) -> Result<EndReason<'static>, Failure<'static>> {
    match status {
        Some("completed") | None => Ok(EndReason::Done),
        Some("incomplete") => {
            let details = pick(response, ["incomplete_details"]).and_then(|[it]| it);
            let [reason] = pick_in(details, ["reason"]);
            Ok(match text(reason).as_deref() {
                Some("max_output_tokens") => EndReason::Length,
                Some("content_filter") => EndReason::Filtered,
                _ => EndReason::Other,
            })
        }
        Some("failed") => Err(Failure::new(FailureClass::Upstream, "the provider's answer failed")),
        Some(_) => Err(unreadable("is not finished")),
    }
}

/// Parts of the items read so far.
#[derive(Default)]
pub(crate) struct Items<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    logprobs: String,
}

impl<'a> Items<'a> {
    /// Adds the parts of an item.
    pub(crate) fn add(&mut self, item: &'a RawValue) {
        let [kind, content] = pick_in(Some(item), ["type", "content"]);
        let kind = text(kind).unwrap_or_default();
        match &*kind {
            "message" => {
                elements(content, &mut |part| self.add_content(part));
            }
            "reasoning" => self.parts.push(read_reasoning(item)),
            "function_call" | "custom_tool_call" => {
                self.parts.push(read_call(item, kind == "custom_tool_call"));
            }
            _ => {
                let kind =
                    PartKind::Foreign { protocol: Protocol::Responses, name: kind, raw: item };
                self.parts.push(Part { kind, cache: None, seal: None });
            }
        }
    }

    fn add_content(&mut self, part: &'a RawValue) {
        let [kind, content, refusal, annotations, logprobs] =
            pick_in(Some(part), ["type", "text", "refusal", "annotations", "logprobs"]);
        let kind = match text(kind).as_deref() {
            Some("refusal") => PartKind::Refusal(text(refusal).unwrap_or_default()),
            _ => {
                if let Some(list) = logprobs {
                    join_arrays(&mut self.logprobs, list.get());
                }
                let citations = read_annotations(annotations);
                PartKind::Text { text: text(content).unwrap_or_default(), citations }
            }
        };
        self.parts.push(Part { kind, cache: None, seal: None });
    }
}

fn read_annotations(annotations: Option<&RawValue>) -> Vec<Citation<'_>> {
    let mut read = Vec::new();
    elements(annotations, &mut |annotation| read.push(read_annotation(annotation)));
    read
}

/// Reads a source. Those of files have no counterpart in other protocols.
pub(crate) fn read_annotation(annotation: &RawValue) -> Citation<'_> {
    let [kind] = pick_in(Some(annotation), ["type"]);
    let url = Some("url_citation") == text(kind).as_deref();
    let citation = url.then(|| read_url_citation(Some(annotation))).flatten();
    citation.unwrap_or(Citation::Foreign { protocol: Protocol::Responses, raw: annotation })
}

pub(crate) fn read_seal(encrypted_content: Option<&RawValue>) -> Option<Seal<'_>> {
    let bytes = some_text(encrypted_content)?;
    Some(Seal { maker: SealMaker::Protocol(Protocol::Responses), bytes })
}

fn read_reasoning(item: &RawValue) -> Part<'_> {
    let [summary, content, encrypted] =
        pick_in(Some(item), ["summary", "content", "encrypted_content"]);
    let mut texts = Vec::new();
    for (list, kind) in [(summary, ReasoningTextKind::Summary), (content, ReasoningTextKind::Full)]
    {
        elements(list, &mut |thought| {
            let [found] = pick_in(Some(thought), ["text"]);
            texts.extend(some_text(found).map(|text| ReasoningText { kind, text }));
        });
    }
    let kind = PartKind::Reasoning { texts, is_redacted: false };
    Part { kind, cache: None, seal: read_seal(encrypted) }
}

fn read_call(item: &RawValue, is_custom: bool) -> Part<'_> {
    let [call_id, id, name, arguments, input] =
        pick_in(Some(item), ["call_id", "id", "name", "arguments", "input"]);
    let arguments = if is_custom {
        ArgumentsText::Text(text(input).unwrap_or_default())
    } else {
        ArgumentsText::Json(crate::answer::chat::read::read_arguments(arguments))
    };
    let id = some_text(call_id).or_else(|| some_text(id)).unwrap_or_default();
    let kind = PartKind::ToolCall { id, name: text(name).unwrap_or_default(), arguments };
    Part { kind, cache: None, seal: None }
}

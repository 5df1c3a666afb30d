//! Reading of a message.

use serde_json::value::RawValue;

use super::parts::{read_citations, read_seal, read_stop_reason, read_tier};
use crate::answer_outcome::{error_in_place, unreadable};
use crate::members::{elements, pick, pick_in, some_text, text};
use crate::model::{
    Answer, AnswerChoice, ArgumentsText, EndReason, Failure, Part, PartKind, Protocol,
    ReasoningText, ReasoningTextKind,
};
use crate::usage::MessagesUsage;

/// Reads a message.
pub(crate) fn read(body: &str) -> Result<Answer<'_>, Failure<'static>> {
    let [id, model, content, reason, sequence, details, usage, error] = pick(
        body,
        [
            "id",
            "model",
            "content",
            "stop_reason",
            "stop_sequence",
            "stop_details",
            "usage",
            "error",
        ],
    )
    .ok_or_else(|| unreadable("is not a JSON object"))?;
    if let Some(failure) = error_in_place(error) {
        return Err(failure);
    }
    let mut parts = Vec::new();
    if !elements(content, &mut |block| parts.push(read_block(block))) {
        return Err(unreadable("has no content"));
    }
    let end = text(reason)
        .map_or(EndReason::Other, |reason| read_stop_reason(&reason, sequence, details));
    let mut choice = AnswerChoice { index: 0, parts, end: EndReason::Other, logprobs: None };
    choice.end = end.given_content(choice.has_calls(), false);
    let mut totals = MessagesUsage::default();
    totals.add(usage);
    Ok(Answer {
        id: text(id).unwrap_or_default(),
        model: text(model).unwrap_or_default(),
        created: None,
        choices: vec![choice],
        usage: totals.totals(),
        tier: read_tier(usage),
        fingerprint: None,
    })
}

fn read_block(block: &RawValue) -> Part<'_> {
    let [kind, content, citations, thinking, signature, data, id, name, input] = pick_in(
        Some(block),
        ["type", "text", "citations", "thinking", "signature", "data", "id", "name", "input"],
    );
    let kind = text(kind).unwrap_or_default();
    let (kind, seal) = match &*kind {
        "text" => {
            let citations = read_citations(citations);
            (PartKind::Text { text: text(content).unwrap_or_default(), citations }, None)
        }
        "thinking" => {
            // Claude returns a summary of its thoughts, or nothing of them.
            let kind = ReasoningTextKind::Summary;
            let texts = some_text(thinking).map(|text| ReasoningText { kind, text });
            let texts = texts.into_iter().collect();
            (PartKind::Reasoning { texts, is_redacted: false }, read_seal(signature))
        }
        "redacted_thinking" => {
            (PartKind::Reasoning { texts: Vec::new(), is_redacted: true }, read_seal(data))
        }
        "tool_use" => {
            let arguments = ArgumentsText::Json(input.map_or("{}", |raw| raw.get()).into());
            let (id, name) = (text(id).unwrap_or_default(), text(name).unwrap_or_default());
            (PartKind::ToolCall { id, name, arguments }, None)
        }
        _ => (PartKind::Foreign { protocol: Protocol::Messages, name: kind, raw: block }, None),
    };
    Part { kind, cache: None, seal }
}

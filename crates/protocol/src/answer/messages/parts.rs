//! Blocks and reasons of Messages that both readers share.

use serde_json::value::RawValue;

use crate::members::{elements, pick_in, some_text, text};
use crate::model::{Citation, EndReason, Protocol, Seal, SealMaker, ServiceTier};

/// Reads a reason with its details. An unknown one is [`EndReason::Other`].
pub(crate) fn read_stop_reason<'a>(
    reason: &str,
    sequence: Option<&'a RawValue>,
    details: Option<&'a RawValue>,
) -> EndReason<'a> {
    match reason {
        "end_turn" => EndReason::Done,
        "max_tokens" => EndReason::Length,
        "stop_sequence" => EndReason::StopText(some_text(sequence)),
        "tool_use" => EndReason::ToolCalls,
        "pause_turn" => EndReason::Paused,
        "model_context_window_exceeded" => EndReason::Window,
        "refusal" => {
            let [category, explanation] = pick_in(details, ["category", "explanation"]);
            EndReason::Refused {
                category: some_text(category),
                explanation: some_text(explanation),
            }
        }
        _ => EndReason::Other,
    }
}

/// Reads a source. Those of documents have no counterpart in other protocols.
pub(crate) fn read_citation(citation: &RawValue) -> Citation<'_> {
    let [kind, url, title, quoted] =
        pick_in(Some(citation), ["type", "url", "title", "cited_text"]);
    match (text(kind).as_deref(), text(url)) {
        (Some("web_search_result_location"), Some(url)) => {
            Citation::Url { url, title: some_text(title), range: None, quoted: some_text(quoted) }
        }
        _ => Citation::Foreign { protocol: Protocol::Messages, raw: citation },
    }
}

pub(crate) fn read_citations(citations: Option<&RawValue>) -> Vec<Citation<'_>> {
    let mut read = Vec::new();
    elements(citations, &mut |citation| read.push(read_citation(citation)));
    read
}

pub(crate) fn read_seal(bytes: Option<&RawValue>) -> Option<Seal<'_>> {
    let bytes = some_text(bytes)?;
    Some(Seal { maker: SealMaker::Protocol(Protocol::Messages), bytes })
}

pub(crate) fn read_tier(usage: Option<&RawValue>) -> Option<ServiceTier> {
    Some(match &*text(pick_in(usage, ["service_tier"])[0])? {
        "standard" => ServiceTier::Standard,
        "priority" => ServiceTier::Priority,
        "batch" => ServiceTier::Batch,
        _ => return None,
    })
}

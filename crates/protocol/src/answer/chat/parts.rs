//! Parts of a message or a delta of Chat that both readers share.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::members::{count, elements, pick_in, some_text, text};
use crate::model::{
    Citation, EndReason, Protocol, ReasoningText, ReasoningTextKind, Seal, ServiceTier,
};
use crate::seal::parse_seal;

/// Members of a message or a delta.
pub(crate) struct MessageMembers<'a> {
    pub(crate) reasoning: Reasoning<'a>,
    pub(crate) texts: Vec<Cow<'a, str>>,
    pub(crate) refusals: Vec<Cow<'a, str>>,
    pub(crate) annotations: Option<&'a RawValue>,
    pub(crate) calls: Option<&'a RawValue>,
    /// Call in the form before tools.
    pub(crate) function_call: Option<&'a RawValue>,
}

impl<'a> MessageMembers<'a> {
    pub(crate) fn read(message: Option<&'a RawValue>) -> Self {
        let names = [
            "content",
            "refusal",
            "tool_calls",
            "function_call",
            "reasoning_content",
            "reasoning",
            "reasoning_details",
            "annotations",
        ];
        let [content, refusal, calls, function_call, plain, other_plain, details, annotations] =
            pick_in(message, names);
        let Content { thoughts, texts, mut refusals } = read_content(content);
        let mut reasoning = read_reasoning([plain, other_plain], details);
        let kind = ReasoningTextKind::Full;
        reasoning.texts.extend(thoughts.into_iter().map(|text| ReasoningText { kind, text }));
        refusals.extend(some_text(refusal));
        Self { reasoning, texts, refusals, annotations, calls, function_call }
    }
}

/// Content of a message: a text, or a list of parts as some providers have it. A part of Mistral
/// holds thoughts (docs.mistral.ai, "Reasoning").
struct Content<'a> {
    thoughts: Vec<Cow<'a, str>>,
    texts: Vec<Cow<'a, str>>,
    refusals: Vec<Cow<'a, str>>,
}

fn read_content<'a>(content: Option<&'a RawValue>) -> Content<'a> {
    let mut read = Content { thoughts: Vec::new(), texts: Vec::new(), refusals: Vec::new() };
    if let Some(whole) = text(content) {
        read.texts.extend(Some(whole).filter(|text| !text.is_empty()));
        return read;
    }
    elements(content, &mut |part| {
        let [kind, content, refusal, thinking] =
            pick_in(Some(part), ["type", "text", "refusal", "thinking"]);
        match text(kind).as_deref() {
            Some("thinking") => {
                elements(thinking, &mut |thought| {
                    read.thoughts.extend(some_text(pick_in(Some(thought), ["text"])[0]));
                });
            }
            Some("refusal") => read.refusals.extend(some_text(refusal)),
            _ => read.texts.extend(some_text(content)),
        }
    });
    read
}

/// Reasoning of a message or a delta.
#[derive(Default)]
pub(crate) struct Reasoning<'a> {
    pub(crate) texts: Vec<ReasoningText<'a>>,
    pub(crate) seal: Option<Seal<'a>>,
}

/// Reads reasoning. DeepSeek, Qwen, and others have `reasoning_content`; vLLM and OpenRouter have
/// `reasoning`; OpenRouter repeats it in `reasoning_details`, with signatures and encrypted thoughts
/// (openrouter.ai/docs/use-cases/reasoning-tokens). The first one that has content counts.
fn read_reasoning<'a>(
    plain: [Option<&'a RawValue>; 2],
    details: Option<&'a RawValue>,
) -> Reasoning<'a> {
    let mut reasoning = Reasoning::default();
    let mut seals = Vec::new();
    elements(details, &mut |detail| {
        let [kind, summary, full, data, signature] =
            pick_in(Some(detail), ["type", "summary", "text", "data", "signature"]);
        let (kind, found) = match text(kind).as_deref() {
            Some("reasoning.summary") => (ReasoningTextKind::Summary, summary),
            Some("reasoning.text") => (ReasoningTextKind::Full, full),
            _ => (ReasoningTextKind::Full, None),
        };
        reasoning.texts.extend(some_text(found).map(|text| ReasoningText { kind, text }));
        seals.extend(some_text(data).or_else(|| some_text(signature)));
    });
    // The text of several thoughts is one here, and a seal of one of them does not fit it.
    if let [_] = seals[..] {
        reasoning.seal = seals.pop().map(|bytes| parse_seal(Protocol::Chat, bytes));
    }
    if reasoning.texts.is_empty() {
        let found = plain.into_iter().find_map(some_text);
        let kind = ReasoningTextKind::Full;
        reasoning.texts.extend(found.map(|text| ReasoningText { kind, text }));
    }
    reasoning
}

/// Reads the sources of a message's text.
pub(crate) fn read_annotations<'a>(annotations: Option<&'a RawValue>) -> Vec<Citation<'a>> {
    let mut citations = Vec::new();
    elements(annotations, &mut |annotation| {
        let [kind, nested] = pick_in(Some(annotation), ["type", "url_citation"]);
        if text(kind).as_deref() == Some("url_citation") {
            citations.extend(read_url_citation(nested));
        }
    });
    citations
}

/// Reads a source of the web, of Chat or Responses.
pub(crate) fn read_url_citation<'a>(citation: Option<&'a RawValue>) -> Option<Citation<'a>> {
    let [url, title, start, end] = pick_in(citation, ["url", "title", "start_index", "end_index"]);
    let range = count(start).zip(count(end));
    Some(Citation::Url { url: text(url)?, title: some_text(title), range, quoted: None })
}

/// Seal of a call in Google's form (ai.google.dev/gemini-api/docs/openai, "Thought signatures").
pub(crate) fn read_call_seal<'a>(extra_content: Option<&'a RawValue>) -> Option<Seal<'a>> {
    let [google] = pick_in(extra_content, ["google"]);
    let [signature] = pick_in(google, ["thought_signature"]);
    Some(parse_seal(Protocol::Chat, some_text(signature)?))
}

/// Reads a reason; an unknown one is [`EndReason::Other`]. `None` for `error`, by which some
/// providers report a failure.
pub(crate) fn read_finish_reason(reason: &str) -> Option<EndReason<'static>> {
    Some(match reason {
        "stop" => EndReason::Done,
        "length" => EndReason::Length,
        "tool_calls" | "function_call" => EndReason::ToolCalls,
        "content_filter" => EndReason::Filtered,
        "error" => return None,
        _ => EndReason::Other,
    })
}

pub(crate) fn read_tier(tier: Option<&RawValue>) -> Option<ServiceTier> {
    Some(match &*text(tier)? {
        "default" | "auto" => ServiceTier::Standard,
        "priority" | "fast" | "ultrafast" => ServiceTier::Priority,
        "flex" => ServiceTier::Flex,
        "scale" => ServiceTier::Scale,
        "batch" => ServiceTier::Batch,
        _ => return None,
    })
}

//! Summaries of answers that pass in their protocol: what the gateway measures, without a translation.

use openai::{
    AnswerSummary, ChoiceSet, Chunk, Event, EventSummary, InvalidAnswer, TextSize, Usage,
};
use serde_json::value::RawValue;

use crate::members::{pick, pick_in, text};
use crate::model::{Answer, ArgumentsText, EndReason, PartKind, Protocol};

/// Summarizes one whole event of a stream.
pub fn summarize_event(protocol: Protocol, event: &[u8]) -> EventSummary {
    if protocol == Protocol::Chat {
        return EventSummary::parse(event);
    }
    let event = Event::parse(event);
    let Some(data) = &event.data else { return EventSummary::Comment };
    let data = data.trim_ascii();
    if data.is_empty() {
        return EventSummary::Empty;
    }
    if data == b"[DONE]" {
        return EventSummary::Done;
    }
    let Ok(data) = str::from_utf8(data) else { return EventSummary::Malformed };
    match protocol {
        Protocol::Messages => messages_event(event.name, data),
        Protocol::Chat | Protocol::Responses => responses_event(event.name, data),
    }
}

fn messages_event(name: Option<&[u8]>, data: &str) -> EventSummary {
    let names = ["type", "message", "content_block", "delta", "usage", "error"];
    let Some([kind, message, block, delta, usage, error]) = pick(data, names) else {
        return EventSummary::Malformed;
    };
    let kind = text(kind);
    let kind = kind.as_deref().map_or(name.unwrap_or_default(), str::as_bytes);
    match kind {
        b"message_start" => {
            let [usage] = pick_in(message, ["usage"]);
            EventSummary::Chunk(Chunk { usage: parse_usage(usage), ..Chunk::default() })
        }
        b"content_block_start" => {
            let [kind] = pick_in(block, ["type"]);
            let kind = text(kind);
            let is_text = matches!(kind.as_deref(), Some("text" | "thinking"));
            EventSummary::Chunk(content(block, !is_text))
        }
        b"content_block_delta" => EventSummary::Chunk(content(delta, false)),
        b"message_delta" => {
            let [reason] = pick_in(delta, ["stop_reason"]);
            let usage = parse_usage(usage);
            let mut chunk = Chunk { usage, choices: ChoiceSet::single(0), ..Chunk::default() };
            let end = text(reason);
            chunk.is_cut =
                matches!(end.as_deref(), Some("max_tokens" | "model_context_window_exceeded"));
            if reason.is_some() {
                chunk.finished_choices = ChoiceSet::single(0);
            }
            EventSummary::Chunk(chunk)
        }
        b"message_stop" => EventSummary::Done,
        b"error" => EventSummary::Error,
        _ if error.is_some() => EventSummary::Error,
        _ => EventSummary::Chunk(Chunk::default()),
    }
}

/// Chunk of a block, or of an addition to one. Its type is no text.
fn content(object: Option<&RawValue>, is_content: bool) -> Chunk {
    let names = ["text", "thinking", "partial_json", "signature", "citation", "data"];
    let [words, thinking, json, signature, citation, data] = pick_in(object, names);
    let texts = [words, thinking, json].into_iter().flatten();
    let text_size = texts.fold(TextSize::default(), |mut size, raw| {
        size += TextSize::measure_json(raw.get());
        size
    });
    let is_marked = [signature, citation, data].iter().any(Option::is_some);
    Chunk {
        has_content: is_content || is_marked || !text_size.is_empty(),
        text_size,
        choices: ChoiceSet::single(0),
        ..Chunk::default()
    }
}

fn responses_event(name: Option<&[u8]>, data: &str) -> EventSummary {
    let names = ["type", "response", "item", "delta", "error"];
    let Some([kind, response, item, delta, error]) = pick(data, names) else {
        return EventSummary::Malformed;
    };
    let kind = text(kind);
    let kind = kind.as_deref().or_else(|| str::from_utf8(name?).ok()).unwrap_or_default();
    match kind {
        "response.completed" | "response.incomplete" => {
            let [usage, details] = pick_in(response, ["usage", "incomplete_details"]);
            let [reason] = pick_in(details, ["reason"]);
            EventSummary::Last(Chunk {
                is_cut: text(reason).as_deref() == Some("max_output_tokens"),
                has_content: true,
                usage: parse_usage(usage),
                choices: ChoiceSet::single(0),
                finished_choices: ChoiceSet::single(0),
                ..Chunk::default()
            })
        }
        "error" | "response.failed" | "response.cancelled" => EventSummary::Error,
        "response.output_item.added" => {
            let [kind] = pick_in(item, ["type"]);
            let kind = text(kind);
            let waits = matches!(kind.as_deref(), Some("message" | "reasoning") | None);
            EventSummary::Chunk(Chunk { has_content: !waits, ..Chunk::default() })
        }
        _ if error.is_some() => EventSummary::Error,
        kind if kind.ends_with(".delta") => {
            let text_size =
                delta.map_or(TextSize::default(), |raw| TextSize::measure_json(raw.get()));
            EventSummary::Chunk(Chunk {
                has_content: !text_size.is_empty(),
                text_size,
                choices: ChoiceSet::single(0),
                ..Chunk::default()
            })
        }
        _ => EventSummary::Chunk(Chunk::default()),
    }
}

fn parse_usage(usage: Option<&RawValue>) -> Option<Usage> {
    Usage::parse(usage?.get())
}

/// Summarizes a whole answer with a success status.
pub fn summarize_answer(protocol: Protocol, body: &[u8]) -> Result<AnswerSummary, InvalidAnswer> {
    let is_object = str::from_utf8(body).is_ok_and(crate::members::is_object);
    if !is_object {
        return Err(InvalidAnswer::NotJson);
    }
    let answer = crate::answer::read(protocol, body).map_err(|_| InvalidAnswer::IsError)?;
    let usage = answer.usage.map(|usage| Usage {
        input: usage.input,
        output: usage.output,
        total: usage.total(),
        cached: usage.cached,
        cache_write: usage.cache_write.total(),
        reasoning: usage.reasoning,
        lacks_input: false,
    });
    let is_cut = answer
        .choices
        .iter()
        .any(|choice| matches!(choice.end, EndReason::Length | EndReason::Window));
    Ok(AnswerSummary { usage, text_size: text_size(&answer), is_cut })
}

/// Size of all texts of an answer.
fn text_size(answer: &Answer<'_>) -> TextSize {
    let mut size = TextSize::default();
    for part in answer.choices.iter().flat_map(|choice| &choice.parts) {
        match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal(text) => {
                size += TextSize::measure(text);
            }
            PartKind::Reasoning { texts, .. } => {
                texts.iter().for_each(|thought| size += TextSize::measure(&thought.text));
            }
            PartKind::ToolCall {
                name,
                arguments: ArgumentsText::Json(arguments) | ArgumentsText::Text(arguments),
                ..
            } => {
                size += TextSize::measure(name);
                size += TextSize::measure(arguments);
            }
            PartKind::Foreign { raw, .. } => size += TextSize::measure_json(raw.get()),
            PartKind::Media { .. } | PartKind::ToolResult { .. } => {}
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use openai::{EventSummary, InvalidAnswer, TextSize};

    use super::{summarize_answer, summarize_event};
    use crate::model::Protocol::{self, Messages, Responses};

    /// Whether each event has content, and the input, the output, and the text of all of them.
    fn summarize(protocol: Protocol, events: &[&str]) -> (Vec<bool>, (u64, u64), TextSize, bool) {
        let (mut contents, mut tokens) = (Vec::new(), (0, 0));
        let (mut text, mut is_done) = (TextSize::default(), false);
        for data in events {
            match summarize_event(protocol, format!("event: x\ndata: {data}\n\n").as_bytes()) {
                EventSummary::Chunk(chunk) | EventSummary::Last(chunk) => {
                    contents.push(chunk.has_content || !chunk.finished_choices.is_empty());
                    text += chunk.text_size;
                    if let Some(usage) = chunk.usage {
                        tokens = (tokens.0.max(usage.input), tokens.1.max(usage.output));
                    }
                }
                EventSummary::Done => is_done = true,
                other => panic!("{data}: {other:?}"),
            }
        }
        (contents, tokens, text, is_done)
    }

    #[test]
    fn stream_of_messages_is_measured() {
        let (contents, tokens, text, is_done) = summarize(
            Messages,
            &[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":100,"output_tokens":1}}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}"#,
                r#"{"type":"message_stop"}"#,
            ],
        );
        assert_eq!(contents, [false, false, false, true, true, true, true]);
        assert_eq!((tokens, is_done), ((105, 9), true));
        assert_eq!(text, TextSize { narrow: 7, wide: 0 });
    }

    #[test]
    fn stream_of_responses_is_measured() {
        let (contents, tokens, text, is_done) = summarize(
            Responses,
            &[
                r#"{"type":"response.created","response":{"usage":null}}"#,
                r#"{"type":"response.output_item.added","item":{"type":"message"}}"#,
                r#"{"type":"response.output_text.delta","delta":"Hi"}"#,
                r#"{"type":"response.output_text.done","text":"Hi"}"#,
                r#"{"type":"response.output_item.added","item":{"type":"function_call"}}"#,
                r#"{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":2}}}"#,
            ],
        );
        assert_eq!(contents, [false, false, true, false, true, true]);
        assert_eq!((tokens, is_done), ((5, 2), false));
        assert_eq!(text, TextSize { narrow: 2, wide: 0 });
    }

    #[test]
    fn answer_that_ends_at_its_maximum_length_is_recognized() {
        for (protocol, reason, is_cut) in [
            (Messages, "max_tokens", true),
            (Messages, "end_turn", false),
            (Responses, "max_output_tokens", true),
            (Responses, "content_filter", false),
        ] {
            let (event, whole) = match protocol {
                Messages => (
                    format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#),
                    format!(
                        r#"{{"type":"message","id":"m","role":"assistant","model":"c","content":[{{"type":"text","text":"x"}}],"stop_reason":"{reason}"}}"#
                    ),
                ),
                _ => {
                    let response = format!(
                        r#"{{"id":"r","object":"response","model":"m","status":"incomplete","incomplete_details":{{"reason":"{reason}"}},"output":[{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"x"}}]}}]}}"#
                    );
                    let event =
                        format!(r#"{{"type":"response.incomplete","response":{response}}}"#);
                    (event, response)
                }
            };
            match summarize_event(protocol, format!("data: {event}\n\n").as_bytes()) {
                EventSummary::Chunk(chunk) | EventSummary::Last(chunk) => {
                    assert_eq!(chunk.is_cut, is_cut, "{reason}");
                }
                other => panic!("{reason}: {other:?}"),
            }
            let summary = summarize_answer(protocol, whole.as_bytes()).expect("an answer");
            assert_eq!(summary.is_cut, is_cut, "{reason}");
        }
    }

    #[test]
    fn other_events_are_classified() {
        for (protocol, event, expected) in [
            (Messages, ": ping\n\n", EventSummary::Comment),
            (Messages, "data:\n\n", EventSummary::Empty),
            (Messages, "data: {\n\n", EventSummary::Malformed),
            (Messages, "event: error\ndata: {}\n\n", EventSummary::Error),
            (Messages, "data: {\"error\":{}}\n\n", EventSummary::Error),
            (Responses, "data: {\"type\":\"error\"}\n\n", EventSummary::Error),
            (Responses, "data: {\"type\":\"response.failed\"}\n\n", EventSummary::Error),
            (Responses, "data: [DONE]\n\n", EventSummary::Done),
            (Protocol::Chat, "data: [DONE]\n\n", EventSummary::Done),
        ] {
            assert_eq!(summarize_event(protocol, event.as_bytes()), expected, "{event}");
        }
    }

    #[test]
    fn whole_answer_is_measured() {
        let body = r#"{"type":"message","id":"m","role":"assistant","model":"c","content":[{"type":"text","text":"Hello"}],
            "stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":2}}"#;
        let summary = summarize_answer(Messages, body.as_bytes()).expect("an answer");
        assert_eq!(summary.text_size, TextSize { narrow: 5, wide: 0 });
        let usage = summary.usage.expect("usage");
        assert_eq!((usage.input, usage.cached, usage.output), (7, 4, 2));
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
        assert_eq!(summarize_answer(Messages, error.as_bytes()), Err(InvalidAnswer::IsError));
        assert_eq!(summarize_answer(Messages, b"<html>"), Err(InvalidAnswer::NotJson));
    }
}

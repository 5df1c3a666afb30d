//! Events of a whole answer.

use crate::model::{Answer, ArgumentsKind, ArgumentsText, BlockKind, Part, PartKind, StreamEvent};

use super::state::delta;

/// Events of a whole answer, as a stream of it has them.
pub fn replay(answer: Answer<'_>) -> Vec<StreamEvent<'_>> {
    let Answer { id, model, created, choices, usage, tier, fingerprint } = answer;
    let mut events = vec![StreamEvent::Start { id, model, created, tier, fingerprint }];
    let mut last = 0;
    let mut next = || {
        last += 1;
        last
    };
    for choice in choices {
        let first = events.len();
        replay_parts(choice.parts, choice.index, &mut next, &mut events);
        if let Some(tokens) = choice.logprobs {
            set_logprobs(&mut events[first..], tokens);
        }
        events.push(StreamEvent::End { choice: choice.index, reason: choice.end });
    }
    events.extend(usage.map(StreamEvent::Usage));
    events.push(StreamEvent::Finished);
    events
}

/// Appends the events of parts. Empty texts have none.
pub(super) fn replay_parts<'a>(
    parts: Vec<Part<'a>>,
    choice: u32,
    next: &mut dyn FnMut() -> u32,
    events: &mut Vec<StreamEvent<'a>>,
) {
    for part in parts {
        let block = next();
        let Some(kind) = block_kind(&part.kind) else { continue };
        events.push(StreamEvent::Open { block, choice, kind });
        match part.kind {
            PartKind::Text { text, citations } => {
                events.push(delta(block, text));
                let cited = citations.into_iter();
                events.extend(cited.map(|citation| StreamEvent::Cited { block, citation }));
            }
            PartKind::Refusal(text)
            | PartKind::ToolCall {
                arguments: ArgumentsText::Json(text) | ArgumentsText::Text(text),
                ..
            } => {
                if !text.is_empty() {
                    events.push(delta(block, text));
                }
            }
            PartKind::Reasoning { texts, .. } => {
                for thought in texts {
                    events.push(StreamEvent::OpenThought { block, kind: thought.kind });
                    events.push(delta(block, thought.text));
                }
            }
            PartKind::Media { .. } | PartKind::ToolResult { .. } | PartKind::Foreign { .. } => {}
        }
        events.extend(part.seal.map(|seal| StreamEvent::Sealed { block, seal }));
        events.push(StreamEvent::Close { block });
    }
}

fn block_kind<'a>(kind: &PartKind<'a>) -> Option<BlockKind<'a>> {
    Some(match kind {
        PartKind::Text { text, .. } if text.is_empty() => return None,
        PartKind::Text { .. } => BlockKind::Text,
        PartKind::Refusal(_) => BlockKind::Refusal,
        PartKind::Reasoning { is_redacted, .. } => {
            BlockKind::Reasoning { is_redacted: *is_redacted }
        }
        PartKind::ToolCall { id, name, arguments } => BlockKind::ToolCall {
            id: id.clone(),
            name: name.clone(),
            arguments: match arguments {
                ArgumentsText::Json(_) => ArgumentsKind::Json,
                ArgumentsText::Text(_) => ArgumentsKind::Text,
            },
        },
        PartKind::Foreign { protocol, name, .. } => {
            BlockKind::Foreign { protocol: *protocol, name: name.clone() }
        }
        PartKind::Media { .. } | PartKind::ToolResult { .. } => return None,
    })
}

/// Sets the log probabilities at the first piece of text.
fn set_logprobs<'a>(events: &mut [StreamEvent<'a>], tokens: std::borrow::Cow<'a, str>) {
    let mut is_text = false;
    for event in events {
        match event {
            StreamEvent::Open { kind, .. } => is_text = matches!(kind, BlockKind::Text),
            StreamEvent::Delta { logprobs, .. } if is_text => {
                *logprobs = Some(tokens);
                return;
            }
            _ => {}
        }
    }
}

//! Whole answer of a stream's events.

use std::borrow::Cow;

use super::state::{HeldBytes, MAX_OPEN_BLOCKS, cut_off, too_many_blocks};
use crate::json_text::join_arrays;
use crate::model::{
    Answer, AnswerChoice, ArgumentsKind, ArgumentsText, BlockKind, Citation, EndReason, Failure,
    Part, PartKind, ReasoningText, Seal, SealMaker, StreamEvent,
};

/// Collects the events of a stream into an answer, of at most [`MAX_HELD_BYTES`](super::MAX_HELD_BYTES) bytes.
///
/// Parts and sources that exist in one protocol only are left out: an answer for another protocol
/// cannot hold them.
#[derive(Debug, Default)]
pub struct Collector {
    answer: Answer<'static>,
    /// Open blocks: number, place of the choice, place of the part.
    open: Vec<(u32, usize, usize)>,
    ends: Vec<bool>,
    held: HeldBytes,
    is_finished: bool,
    failure: Option<Failure<'static>>,
}

impl Collector {
    /// Adds an event.
    pub fn add(&mut self, event: &StreamEvent<'_>) {
        if self.failure.is_none()
            && let Err(failure) = self.try_add(event)
        {
            self.failure = Some(failure);
        }
    }

    /// Returns the answer. A stream that failed or is not finished is a failure.
    pub fn into_answer(self) -> Result<Answer<'static>, Failure<'static>> {
        let is_whole = self.is_finished && !self.ends.is_empty() && self.ends.iter().all(|it| *it);
        match self.failure {
            Some(failure) => Err(failure),
            None if is_whole => Ok(self.answer),
            None => Err(cut_off()),
        }
    }

    fn try_add(&mut self, event: &StreamEvent<'_>) -> Result<(), Failure<'static>> {
        match event {
            StreamEvent::Start { id, model, created, tier, fingerprint } => {
                self.answer.id = own(id);
                self.answer.model = own(model);
                self.answer.created = *created;
                self.answer.tier = *tier;
                self.answer.fingerprint = fingerprint.as_deref().map(own);
            }
            StreamEvent::Open { block, choice, kind } => self.open(*block, *choice, kind)?,
            StreamEvent::OpenThought { block, kind } => {
                self.held.add(size_of::<ReasoningText<'_>>())?;
                if let Some((_, part)) = self.part(*block)
                    && let PartKind::Reasoning { texts, .. } = &mut part.kind
                {
                    texts.push(ReasoningText { kind: *kind, text: "".into() });
                }
            }
            StreamEvent::Delta { block, piece, logprobs } => {
                let tokens = logprobs.as_ref().map_or(0, |tokens| tokens.len());
                self.held.add(piece.len() + tokens)?;
                if let Some((choice, part)) = self.part(*block) {
                    if let Some(text) = text_of(part) {
                        text.to_mut().push_str(piece);
                    }
                    if let Some(tokens) = logprobs {
                        let choice = &mut self.answer.choices[choice];
                        let joined = choice.logprobs.get_or_insert_default();
                        join_arrays(joined.to_mut(), tokens);
                    }
                }
            }
            StreamEvent::Sealed { block, seal } => {
                self.held.add(seal.bytes.len())?;
                if let Some((_, part)) = self.part(*block) {
                    part.seal = Some(own_seal(seal));
                }
            }
            StreamEvent::Cited { block, citation } => self.cite(*block, citation)?,
            StreamEvent::Close { block } => self.open.retain(|(number, ..)| number != block),
            StreamEvent::End { choice, reason } => {
                let at = self.choice(*choice)?;
                self.answer.choices[at].end = reason.clone().into_owned();
                self.ends[at] = true;
            }
            StreamEvent::Usage(usage) => self.answer.usage = Some(*usage),
            StreamEvent::Failed(failure) => return Err(failure.clone().into_owned()),
            StreamEvent::Ping => {}
            StreamEvent::Finished => self.is_finished = true,
        }
        Ok(())
    }

    /// Place of a choice, in the order of their indexes.
    fn choice(&mut self, index: u32) -> Result<usize, Failure<'static>> {
        let choices = &mut self.answer.choices;
        if let Some(at) = choices.iter().position(|choice| choice.index == index) {
            return Ok(at);
        }
        if choices.len() >= MAX_OPEN_BLOCKS {
            return Err(too_many_blocks());
        }
        let end = EndReason::Other;
        choices.push(AnswerChoice { index, parts: Vec::new(), end, logprobs: None });
        self.ends.push(false);
        Ok(choices.len() - 1)
    }

    fn open(
        &mut self,
        block: u32,
        choice: u32,
        kind: &BlockKind<'_>,
    ) -> Result<(), Failure<'static>> {
        let at = self.choice(choice)?;
        let bytes = kind.text_bytes();
        let kind = match kind {
            BlockKind::Text => PartKind::Text { text: "".into(), citations: Vec::new() },
            BlockKind::Refusal => PartKind::Refusal("".into()),
            BlockKind::Reasoning { is_redacted } => {
                PartKind::Reasoning { texts: Vec::new(), is_redacted: *is_redacted }
            }
            BlockKind::ToolCall { id, name, arguments } => PartKind::ToolCall {
                id: own(id),
                name: own(name),
                arguments: match arguments {
                    ArgumentsKind::Json => ArgumentsText::Json("".into()),
                    ArgumentsKind::Text => ArgumentsText::Text("".into()),
                },
            },
            BlockKind::Foreign { .. } => return Ok(()),
        };
        if self.open.len() >= MAX_OPEN_BLOCKS {
            return Err(too_many_blocks());
        }
        // A part is larger than the event that begins it may be.
        self.held.add(size_of::<Part<'_>>() + bytes)?;
        let parts = &mut self.answer.choices[at].parts;
        parts.push(Part { kind, cache: None, seal: None });
        self.open.push((block, at, parts.len() - 1));
        Ok(())
    }

    fn part(&mut self, block: u32) -> Option<(usize, &mut Part<'static>)> {
        let (_, choice, part) = *self.open.iter().rfind(|(number, ..)| *number == block)?;
        Some((choice, &mut self.answer.choices[choice].parts[part]))
    }

    fn cite(&mut self, block: u32, citation: &Citation<'_>) -> Result<(), Failure<'static>> {
        let Citation::Url { url, title, range, quoted } = citation else { return Ok(()) };
        let owned = Citation::Url {
            url: own(url),
            title: title.as_deref().map(own),
            range: *range,
            quoted: quoted.as_deref().map(own),
        };
        let texts = [Some(url), title.as_ref(), quoted.as_ref()];
        self.held.add(texts.into_iter().flatten().map(|text| text.len()).sum())?;
        if let Some((_, part)) = self.part(block)
            && let PartKind::Text { citations, .. } = &mut part.kind
        {
            citations.push(owned);
        }
        Ok(())
    }
}

fn own(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

pub(super) fn own_seal(seal: &Seal<'_>) -> Seal<'static> {
    let maker = match &seal.maker {
        SealMaker::Protocol(protocol) => SealMaker::Protocol(*protocol),
        SealMaker::Named(name) => SealMaker::Named(own(name)),
    };
    Seal { maker, bytes: own(&seal.bytes) }
}

/// Text of a part that grows.
pub(super) fn text_of<'p>(part: &'p mut Part<'static>) -> Option<&'p mut Cow<'static, str>> {
    match &mut part.kind {
        PartKind::Text { text, .. } | PartKind::Refusal(text) => Some(text),
        PartKind::Reasoning { texts, .. } => texts.last_mut().map(|thought| &mut thought.text),
        PartKind::ToolCall {
            arguments: ArgumentsText::Json(text) | ArgumentsText::Text(text),
            ..
        } => Some(text),
        PartKind::Media { .. } | PartKind::ToolResult { .. } | PartKind::Foreign { .. } => None,
    }
}

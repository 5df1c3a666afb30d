//! State that readers and writers of several protocols share.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::answer_outcome::unreadable;
use crate::context::AnswerContext;
use crate::model::{Failure, FailureClass, ServiceTier, StreamEvent};
use crate::sse::KEEP_ALIVE;

/// Most bytes that a writer or a collector holds: text that a protocol repeats at its end
/// (Responses), and pieces that must wait for a block before them (Messages). An answer beyond it
/// fails. The same bound holds for answers that are not streamed.
pub const MAX_HELD_BYTES: usize = 8 << 20;

/// Most blocks that a stream may have open, and most calls of a choice: look-ups are linear.
pub(super) const MAX_OPEN_BLOCKS: usize = 1024;

/// Numbers of blocks, growing.
#[derive(Debug, Default)]
pub(super) struct BlockNumbers(u32);

impl BlockNumbers {
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

/// Reads the data of an event as text.
pub(super) fn text_of(data: &[u8]) -> Result<&str, Failure<'static>> {
    str::from_utf8(data).map_err(|_| unreadable("has an event that is not UTF-8"))
}

pub(super) fn not_an_object() -> Failure<'static> {
    unreadable("has an event that is not a JSON object")
}

pub(super) fn too_many_blocks() -> Failure<'static> {
    unreadable("has too many open blocks")
}

pub(super) fn cut_off() -> Failure<'static> {
    unreadable("ended before it was complete")
}

/// A delta without log probabilities.
pub(super) fn delta<'a>(block: u32, piece: impl Into<Cow<'a, str>>) -> StreamEvent<'a> {
    StreamEvent::Delta { block, piece: piece.into(), logprobs: None }
}

pub(super) fn raw_text(raw: &RawValue) -> Cow<'_, str> {
    Cow::Borrowed(raw.get())
}

/// Writes a comment if the stream has begun: it keeps the connection open, and clients pass over it.
pub(super) fn write_ping(phase: Phase, out: &mut Vec<u8>) {
    if phase == Phase::Started {
        out.extend_from_slice(KEEP_ALIVE);
    }
}

/// Phase of a writer's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is written.
    #[default]
    Waiting,
    /// The beginning is written.
    Started,
    /// The end or an error is written.
    Ended,
}

impl Phase {
    pub(super) fn has_ended(self) -> bool {
        self == Self::Ended
    }
}

/// Facts about the answer from the first event.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) model: String,
    pub(super) created: Option<u64>,
    pub(super) tier: Option<ServiceTier>,
    pub(super) fingerprint: Option<String>,
}

impl Head {
    /// Takes over the facts of [`StreamEvent::Start`].
    pub(super) fn receive(&mut self, event: &StreamEvent<'_>) {
        if let StreamEvent::Start { model, created, tier, fingerprint, .. } = event {
            self.model = model.clone().into_owned();
            self.created = *created;
            self.tier = *tier;
            self.fingerprint = fingerprint.clone().map(Cow::into_owned);
        }
    }

    pub(super) fn created(&self, context: &AnswerContext) -> u64 {
        self.created.unwrap_or(context.now_epoch_seconds)
    }
}

/// Bytes that are held, up to [`MAX_HELD_BYTES`].
#[derive(Debug, Default)]
pub(super) struct HeldBytes(usize);

impl HeldBytes {
    /// Counts further bytes.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Failure<'static>> {
        self.0 = self.0.saturating_add(bytes);
        if self.0 <= MAX_HELD_BYTES {
            return Ok(());
        }
        let message = format!("the answer is longer than {MAX_HELD_BYTES} bytes");
        Err(Failure::new(FailureClass::Upstream, message))
    }

    /// Counts bytes that are no longer held.
    pub(super) fn release(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes);
    }
}

/// Finds the end of a JSON object in pieces of its text.
#[derive(Debug, Default)]
pub(super) struct ObjectEnd {
    depth: u32,
    is_in_string: bool,
    is_escaped: bool,
    is_complete: bool,
}

impl ObjectEnd {
    pub(super) fn push(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if self.is_in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.is_in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_complete = self.depth == 0;
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.is_complete => self.is_complete = false,
                _ => {}
            }
        }
    }

    /// Whether the pieces are a whole object.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete && !self.is_in_string
    }
}

//! What an upstream does with one call: the score that a player, virtual or over TCP, follows.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

/// What an upstream does with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponsePlan {
    /// There is no connection.
    Refuse,
    /// The request is taken and nothing ever comes back.
    Silence,
    /// A head comes back, and perhaps a body.
    Respond(PlannedResponse),
}

/// A head and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedResponse {
    /// The wait before the head.
    pub delay: Duration,
    /// The status.
    pub status: StatusCode,
    /// The headers but for those of framing.
    pub headers: HeaderMap,
    /// What the head says of the body's length; `None` is a chunked body.
    pub length: Option<u64>,
    /// The body. Playing ends at the first [`BodyStep::End`], [`BodyStep::Cut`] or [`BodyStep::Hang`]; the end of
    /// the list is a clean end.
    pub steps: Vec<BodyStep>,
}

/// One step of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// These bytes, in one write.
    Send(Bytes),
    /// A pause.
    Wait(Duration),
    /// The connection breaks.
    Cut {
        /// By a TCP reset, where the player has one; else by closing it in the middle.
        reset: bool,
    },
    /// Nothing more, and no end either, until the caller goes away.
    Hang,
    /// The clean end.
    End,
}

impl BodyStep {
    /// Whether nothing is played after this step.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Send(_) | Self::Wait(_) => false,
            Self::Cut { .. } | Self::Hang | Self::End => true,
        }
    }
}

impl PlannedResponse {
    /// All bytes that the body has if it is read as far as it goes.
    pub fn bytes(&self) -> Bytes {
        let mut all = BytesMut::new();
        for step in &self.steps {
            match step {
                BodyStep::Send(bytes) => all.extend_from_slice(bytes),
                BodyStep::Wait(_) => {}
                BodyStep::Cut { .. } | BodyStep::Hang | BodyStep::End => break,
            }
        }
        all.freeze()
    }

    /// Whether the body comes to a clean end.
    pub fn ends(&self) -> bool {
        self.steps.iter().find(|step| step.is_last()).is_none_or(|step| *step == BodyStep::End)
    }

    /// Puts `last` in the place of whatever comes after the first `at` bytes.
    pub(super) fn break_at(&mut self, at: usize, last: BodyStep) {
        let mut left = at;
        for (index, step) in self.steps.iter_mut().enumerate() {
            let BodyStep::Send(bytes) = step else { continue };
            if bytes.len() < left {
                left -= bytes.len();
                continue;
            }
            bytes.truncate(left);
            let kept = if left == 0 { index } else { index + 1 };
            self.steps.truncate(kept);
            self.steps.push(last);
            return;
        }
        if left == 0 {
            self.steps.retain(|step| !step.is_last());
            self.steps.push(last);
        }
    }

    /// Joins bytes that nothing separates and cuts them anew, `size` bytes to a write.
    pub(super) fn split(&mut self, size: usize) {
        let mut steps = Vec::with_capacity(self.steps.len());
        let mut joined = BytesMut::new();
        let flush = |joined: &mut BytesMut, steps: &mut Vec<BodyStep>| {
            while !joined.is_empty() {
                steps.push(BodyStep::Send(joined.split_to(size.min(joined.len())).freeze()));
            }
        };
        for step in std::mem::take(&mut self.steps) {
            match step {
                BodyStep::Send(bytes) => joined.extend_from_slice(&bytes),
                other => {
                    flush(&mut joined, &mut steps);
                    steps.push(other);
                }
            }
        }
        flush(&mut joined, &mut steps);
        self.steps = steps;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::{BodyStep, PlannedResponse};

    fn response(steps: Vec<BodyStep>) -> PlannedResponse {
        PlannedResponse {
            delay: Duration::ZERO,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            length: None,
            steps,
        }
    }

    fn send(text: &'static str) -> BodyStep {
        BodyStep::Send(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn bytes_are_cut_anew_between_pauses() {
        let pause = BodyStep::Wait(Duration::from_millis(1));
        let mut body =
            response(vec![send("ab"), send("cd"), pause.clone(), send("efg"), BodyStep::End]);
        body.split(3);
        assert_eq!(body.steps, [send("abc"), send("d"), pause, send("efg"), BodyStep::End]);
    }

    #[test]
    fn a_break_falls_on_any_byte() {
        let hang = BodyStep::Hang;
        let mut body = response(vec![send("ab"), send("cd"), BodyStep::End]);
        body.break_at(3, hang.clone());
        assert_eq!(body.steps, [send("ab"), send("c"), hang.clone()]);
        assert_eq!((body.bytes(), body.ends()), (Bytes::from_static(b"abc"), false));
        let mut short = response(vec![send("ab"), BodyStep::End]);
        short.break_at(9, hang);
        assert!(short.ends(), "a break behind the end changes nothing");
    }
}

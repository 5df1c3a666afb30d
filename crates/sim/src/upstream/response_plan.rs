//! Plan of the response to one call. Both players, in virtual time and over TCP, follow it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

/// Behavior of an upstream in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponsePlan {
    /// Refuses the connection.
    Refuse,
    /// Accepts the request and never responds.
    Silence,
    /// Responds with a head and steps of a body.
    Respond(PlannedResponse),
}

/// Head and body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedResponse {
    /// Delay before the head.
    pub delay: Duration,
    pub status: StatusCode,
    /// Headers, except those of framing.
    pub headers: HeaderMap,
    /// `content-length` of the head; `None` for a chunked body.
    pub length: Option<u64>,
    /// Body. It ends at the first [`BodyStep::End`], [`BodyStep::Cut`], or [`BodyStep::Hang`]; the end of the
    /// list is a clean end.
    pub steps: Vec<BodyStep>,
}

/// One step of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// Sends these bytes in one write.
    Send(Bytes),
    /// Pauses.
    Wait(Duration),
    /// Breaks the connection.
    Cut {
        /// By a TCP reset, if the player has one; otherwise by closing in the middle.
        reset: bool,
    },
    /// Sends nothing more and no end, until the caller hangs up.
    Hang,
    /// Ends cleanly.
    End,
}

impl BodyStep {
    /// Whether no step after this one is played.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Send(_) | Self::Wait(_) => false,
            Self::Cut { .. } | Self::Hang | Self::End => true,
        }
    }
}

impl PlannedResponse {
    /// Returns all bytes of the body up to its end, cut, or stall.
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

    /// Whether the body ends cleanly.
    pub fn ends(&self) -> bool {
        self.steps.iter().find(|step| step.is_last()).is_none_or(|step| *step == BodyStep::End)
    }

    /// Replaces everything after the first `at` bytes by `last`.
    pub(super) fn break_at(&mut self, at: usize, last: BodyStep) {
        let mut left = at;
        for (index, step) in self.steps.iter_mut().enumerate() {
            let BodyStep::Send(bytes) = step else { continue };
            if bytes.len() < left {
                left -= bytes.len();
                continue;
            }
            bytes.truncate(left);
            let length = if left == 0 { index } else { index + 1 };
            self.steps.truncate(length);
            self.steps.push(last);
            return;
        }
        if left == 0 {
            self.steps.retain(|step| !step.is_last());
            self.steps.push(last);
        }
    }

    /// Joins adjacent bytes and splits them into writes of `size` bytes.
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
    fn split_joins_adjacent_bytes_and_keeps_pauses() {
        let pause = BodyStep::Wait(Duration::from_millis(1));
        let mut body =
            response(vec![send("ab"), send("cd"), pause.clone(), send("efg"), BodyStep::End]);
        body.split(3);
        assert_eq!(body.steps, [send("abc"), send("d"), pause, send("efg"), BodyStep::End]);
    }

    #[test]
    fn break_at_any_byte_truncates_the_body() {
        let hang = BodyStep::Hang;
        let mut body = response(vec![send("ab"), send("cd"), BodyStep::End]);
        body.break_at(3, hang.clone());
        assert_eq!(body.steps, [send("ab"), send("c"), hang.clone()]);
        assert_eq!((body.bytes(), body.ends()), (Bytes::from_static(b"abc"), false));
        let mut short = response(vec![send("ab"), BodyStep::End]);
        short.break_at(9, hang);
        assert!(short.ends(), "a break after the end changes nothing");
    }
}

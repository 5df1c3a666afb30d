//! Amounts that were spent within the window of a rule.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::operation::Window;
use super::sliding_window::SlidingWindow;

/// Spent amounts that still count. A reservation for one request counts as spent from its first
/// moment, since a rate limits the requests that begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WindowUsage {
    Sliding(SlidingWindow),
    #[serde(rename = "stretch")]
    Fixed {
        start: Timestamp,
        end: Timestamp,
        used: u64,
    },
    Total(u64),
}

impl WindowUsage {
    pub(super) fn new(window: Window) -> Self {
        match window {
            Window::Sliding(millis) => Self::Sliding(SlidingWindow::new(millis)),
            Window::Fixed(start, end) => Self::Fixed { start, end, used: 0 },
            Window::Total => Self::Total(0),
        }
    }

    pub(super) fn sum(&self) -> u64 {
        match self {
            Self::Sliding(slots) => slots.sum(),
            Self::Fixed { used, .. } | Self::Total(used) => *used,
        }
    }

    pub(super) fn spend(&mut self, now: Timestamp, amount: u64) {
        match self {
            Self::Sliding(slots) => slots.spend(now, amount),
            Self::Fixed { used, .. } | Self::Total(used) => *used = used.saturating_add(amount),
        }
    }

    pub(super) fn give_back(&mut self, at: Timestamp, amount: u64, now: Timestamp) {
        match self {
            Self::Sliding(slots) => slots.give_back(at, amount, now),
            // A refund for yesterday does not add to today's budget.
            Self::Fixed { start, .. } if at < *start => {}
            Self::Fixed { used, .. } | Self::Total(used) => *used = used.saturating_sub(amount),
        }
    }
}

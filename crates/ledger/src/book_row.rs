//! Values of a book's rows.

use civil_time::Timestamp;
use rollout::Rollout;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::operation::Register;
use super::tally::UsageTotals;

/// The value of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BookRow {
    Account(Account),
    #[serde(rename = "tally")]
    Usage {
        until: Timestamp,
        #[serde(rename = "tally")]
        totals: UsageTotals,
    },
    Register(Register),
    Rollout(Box<Rollout>),
    Log {
        until: Timestamp,
        label: String,
        text: String,
    },
}

impl BookRow {
    /// The time at which a sweep has work with it next.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        match self {
            Self::Account(account) => account.next_change(),
            Self::Usage { until, .. } | Self::Log { until, .. } => Some(*until),
            Self::Register(_) | Self::Rollout(_) => None,
        }
    }

    /// The time from which it counts for nothing. `None` if it may count for ever.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        match self {
            Self::Account(account) => account.ends_at(),
            Self::Usage { until, .. } | Self::Log { until, .. } => Some(*until),
            Self::Register(_) | Self::Rollout(_) => None,
        }
    }
}

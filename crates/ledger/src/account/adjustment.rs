//! Adjustments of an account's maximum: for good, or until a time.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Account;
use crate::operation::{BalanceChange, Rule};

/// Maximum number of adjustments with different ends.
const MAX_TEMPORARY: usize = 32;

/// Adjustment of a maximum that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TemporaryExtra {
    pub(super) until: Timestamp,
    pub(super) extra: i64,
}

impl Account {
    /// The sum of all adjustments.
    pub(super) fn total_extra(&self) -> i64 {
        self.temporary.iter().fold(self.extra, |sum, one| sum.saturating_add(one.extra))
    }

    /// Raises or lowers the maximum, for good or until a time. False if there are too many ends already.
    pub(crate) fn adjust(
        &mut self,
        rule: Rule,
        change: BalanceChange,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let more = match change {
            BalanceChange::By(more) => more,
            BalanceChange::Left(left) => {
                let used = self.balance(rule, now).used;
                let wanted = signed(left.saturating_add(used)).saturating_sub(signed(rule.max));
                wanted.saturating_sub(self.total_extra())
            }
        };
        let Some(until) = until else {
            self.extra = self.extra.saturating_add(more);
            return true;
        };
        let is_full = self.temporary.len() >= MAX_TEMPORARY;
        match self.temporary.iter_mut().find(|one| one.until == until) {
            Some(one) => one.extra = one.extra.saturating_add(more),
            None if is_full => return false,
            None => self.temporary.push(TemporaryExtra { until, extra: more }),
        }
        self.temporary.retain(|one| one.extra != 0 && one.until > now);
        true
    }
}

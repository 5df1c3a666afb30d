//! Thinking in words and in tokens.
//!
//! Words go to words. Tokens become words by a table, and words become tokens only for models that know
//! no words (Messages before 4.6).

use crate::model::{Effort, Protocol, Reasoning, ThinkingBudget};

/// Names of the efforts (OpenAI API reference, `reasoning_effort`).
pub(super) const EFFORTS: [(&str, Effort); 7] = [
    ("none", Effort::None),
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::XHigh),
    ("max", Effort::Max),
];

/// Largest budget of each effort.
const BUDGETS: [(u64, Effort); 4] =
    [(1024, Effort::Minimal), (4096, Effort::Low), (8192, Effort::Medium), (16_384, Effort::High)];

/// Budget of the efforts above high.
const MAX_BUDGET: u64 = 32_768;

impl Effort {
    pub(super) fn name(self) -> &'static str {
        EFFORTS[self as usize].0
    }

    /// Returns the budget in tokens; 0 for no thinking.
    pub(super) fn budget(self) -> u64 {
        if self == Self::None {
            return 0;
        }
        let row = BUDGETS.iter().find(|(_, effort)| *effort == self);
        row.map_or(MAX_BUDGET, |(budget, _)| *budget)
    }

    /// Returns the effort of a budget.
    pub(super) fn from_budget(tokens: u64) -> Self {
        let row = BUDGETS.iter().find(|(budget, _)| tokens <= *budget);
        row.map_or(Self::High, |(_, effort)| *effort)
    }
}

impl Reasoning {
    /// Returns the effort in words. `None` if the request leaves it to the model.
    pub(super) fn effort_in_words(&self) -> Option<Effort> {
        match (self.budget, self.effort) {
            (Some(ThinkingBudget::Off), _) => Some(Effort::None),
            (_, Some(effort)) => Some(effort),
            (Some(ThinkingBudget::Tokens(tokens)), None) => Some(Effort::from_budget(tokens)),
            (Some(ThinkingBudget::Adaptive | ThinkingBudget::BetweenTools) | None, None) => None,
        }
    }

    /// Whether a caller of Messages has switched thinking on, so that it expects to see thoughts.
    pub(super) fn is_shown_by_default(&self, source: Protocol) -> bool {
        source == Protocol::Messages
            && matches!(self.budget, Some(ThinkingBudget::Adaptive | ThinkingBudget::Tokens(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::{EFFORTS, Effort};

    #[test]
    fn effort_and_budget_agree() {
        for (name, effort) in EFFORTS {
            assert_eq!(effort.name(), name);
        }
        for effort in [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High] {
            assert_eq!(Effort::from_budget(effort.budget()), effort);
        }
        assert_eq!(Effort::from_budget(12_000), Effort::High);
        assert_eq!(Effort::Max.budget(), 32_768);
    }
}

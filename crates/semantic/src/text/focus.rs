//! The thing that a question asks for.

/// The thing that a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    Amount,
    Duration,
    Frequency,
    Distance,
    Age,
    Time,
    Place,
    Person,
    Reason,
    Manner,
    /// A thing that only further words name.
    Thing,
    /// Yes or no, or a request.
    Open,
}

impl Focus {
    /// Whether the answers to two questions are of different kinds.
    pub(crate) fn conflicts(self, other: Self) -> bool {
        self != other && self.is_specific() && other.is_specific()
    }

    fn is_specific(self) -> bool {
        match self {
            Self::Amount
            | Self::Duration
            | Self::Frequency
            | Self::Distance
            | Self::Age
            | Self::Time
            | Self::Place
            | Self::Person
            | Self::Reason
            | Self::Manner => true,
            Self::Thing | Self::Open => false,
        }
    }

    /// Reads the focus of an English question from its words.
    pub(crate) fn of_english(words: &[&str]) -> Self {
        words
            .iter()
            .enumerate()
            .find_map(|(at, word)| Self::at_word(word, &words[at + 1..]))
            .unwrap_or(Self::Open)
    }

    fn at_word(word: &str, rest: &[&str]) -> Option<Self> {
        let next = rest.first().copied().unwrap_or_default();
        let after = rest.get(1).copied().unwrap_or_default();
        let is_unit = |word: &str| {
            matches!(word, "seconds" | "minutes" | "hours" | "days" | "weeks" | "months" | "years")
        };
        Some(match word {
            "how" => match next {
                "many" if is_unit(after) => Self::Duration,
                "much" | "many" => Self::Amount,
                "long" | "soon" | "quickly" => Self::Duration,
                "often" | "frequently" => Self::Frequency,
                "far" => Self::Distance,
                "old" => Self::Age,
                "come" => Self::Reason,
                _ => Self::Manner,
            },
            "when" | "when's" | "whens" => Self::Time,
            "what" | "which" if matches!(next, "time" | "day" | "date" | "year") => Self::Time,
            "where" | "where's" | "wheres" => Self::Place,
            "who" | "who's" | "whom" | "whose" => Self::Person,
            "why" => Self::Reason,
            "what" | "which" | "what's" | "whats" => Self::Thing,
            _ => return None,
        })
    }
}

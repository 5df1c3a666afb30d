//! Reading of a judge's answer.

use std::fmt;

use serde::Deserialize;

use super::labels::{Intent, Labels, Language, Problems, Quality, Resolved, Sentiment};
use super::topics::Topics;

/// The longest answer that is read, in bytes. A valid one has about 300.
const MAX_ANSWER_BYTES: usize = 4 << 10;

/// Answer as the schema has it. `why` makes judges more careful; nothing reads it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    topic: String,
    intent: Intent,
    sentiment: Sentiment,
    resolved: Resolved,
    quality: Quality,
    problems: Problems,
    language: Language,
    #[serde(default, rename = "why")]
    _why: Option<String>,
}

/// Reason why a judge's answer does not count. Contains nothing of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Longer than an answer can be.
    TooLong,
    /// Not one JSON object of the schema's members.
    NotTheSchema,
    /// A topic that is not among the route's.
    UnknownTopic,
}

/// Reads a judge's answer. Prose around the JSON, a member too many or a value outside its enumeration
/// makes it unreadable: a judge that was talked into something must not be half believed.
pub fn read_judgement(answer: &str, topics: &Topics) -> Result<Labels, Unreadable> {
    if answer.len() > MAX_ANSWER_BYTES {
        return Err(Unreadable::TooLong);
    }
    let answer: Answer = serde_json::from_str(answer).map_err(|_| Unreadable::NotTheSchema)?;
    if !topics.contains(&answer.topic) {
        return Err(Unreadable::UnknownTopic);
    }
    Ok(Labels {
        topic: answer.topic,
        intent: answer.intent,
        sentiment: answer.sentiment,
        resolved: answer.resolved,
        quality: answer.quality,
        problems: answer.problems,
        language: answer.language,
    })
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TooLong => "the judge's answer is too long",
            Self::NotTheSchema => "the judge's answer is not the JSON that it was asked for",
            Self::UnknownTopic => "the judge answered with a topic that is not listed",
        })
    }
}

impl std::error::Error for Unreadable {}

//! Topics that an operator lists.

use std::fmt;

/// The most topics of a route: each is a series of every metric.
pub const MAX_TOPICS: usize = 30;
/// The topic of a conversation about none of the listed ones.
pub const OTHER_TOPIC: &str = "other";
/// The longest name of a topic, in bytes.
const MAX_NAME_BYTES: usize = 40;

/// The topics that a judge may choose from; always with [`OTHER_TOPIC`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Vec<String>);

/// Reason why a list of topics is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidTopics {
    /// More than [`MAX_TOPICS`], with their number.
    TooMany(usize),
    /// A name that is empty, too long, or has other characters than letters, digits, `-`, `_` and spaces.
    Name(String),
    /// A name that stands there twice, or is [`OTHER_TOPIC`].
    Repeated(String),
}

impl Topics {
    /// Checks a list.
    pub fn new(names: Vec<String>) -> Result<Self, InvalidTopics> {
        if names.len() > MAX_TOPICS {
            return Err(InvalidTopics::TooMany(names.len()));
        }
        for (position, name) in names.iter().enumerate() {
            if !is_name(name) {
                return Err(InvalidTopics::Name(name.clone()));
            }
            if name == OTHER_TOPIC || names[..position].contains(name) {
                return Err(InvalidTopics::Repeated(name.clone()));
            }
        }
        Ok(Self(names))
    }

    /// The listed topics in their order, and then [`OTHER_TOPIC`].
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).chain([OTHER_TOPIC])
    }

    /// Whether a judge may answer with this topic.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|topic| topic == name)
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.trim() == name && name.chars().all(is_part)
}

impl fmt::Display for InvalidTopics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(count) => {
                write!(out, "{count} topics are listed, and {MAX_TOPICS} are the most")
            }
            Self::Name(name) => write!(
                out,
                "{name:?} is no name of a topic: write 1 to {MAX_NAME_BYTES} bytes of letters, digits, '-', '_' and spaces"
            ),
            Self::Repeated(name) if name == OTHER_TOPIC => {
                write!(out, "the topic {OTHER_TOPIC:?} always exists: leave it out")
            }
            Self::Repeated(name) => write!(out, "the topic {name:?} is listed twice"),
        }
    }
}

impl std::error::Error for InvalidTopics {}

//! Labels of a conversation. All are enumerations, so series are bounded and say nothing personal.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Defines an enumeration with the names of its values on the wire, in order.
macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$value_about:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$value_about])* #[serde(rename = $text)] $value),+
        }

        impl $name {
            /// All values, in order.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// Name on the wire, in metrics and in records.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text),+
                }
            }
        }
    };
}

label! {
    /// Kind of request.
    Intent {
        /// Asks for a fact or an explanation.
        Question = "question",
        /// Asks for something to be done.
        Task = "task",
        /// Asks for code, or about code.
        Code = "code",
        /// Asks for a translation.
        Translate = "translate",
        /// Asks for a shorter form of a text.
        Summarize = "summarise",
        /// Talks without a goal.
        Chat = "chat",
        /// Complains.
        Complaint = "complaint",
        /// None of the others.
        Other = "other",
    }
}

label! {
    /// Mood of the person who asks.
    Sentiment {
        /// Angry, disappointed, sad.
        Negative = "negative",
        /// Neither.
        Neutral = "neutral",
        /// Pleased, thankful.
        Positive = "positive",
    }
}

label! {
    /// Whether the answer settles the request.
    Resolved {
        /// It does.
        Yes = "yes",
        /// In part.
        Partly = "partly",
        /// It does not.
        No = "no",
        /// The conversation does not show it.
        Unclear = "unclear",
    }
}

label! {
    /// Fault of an answer.
    Problem {
        /// Says something that is not so.
        Wrong = "wrong",
        /// Leaves out something that was asked for.
        Incomplete = "incomplete",
        /// Refuses without need.
        Refused = "refused",
        /// Answers something else.
        OffTopic = "off_topic",
        /// Is in another language than it should be.
        Language = "language",
        /// Is not in the form that was asked for.
        Format = "format",
        /// May cause harm.
        Unsafe = "unsafe",
        /// Names a source or a thing that does not exist.
        MadeUp = "made_up",
        /// Says the same again.
        Repeats = "repeats",
    }
}

/// Quality of an answer, from 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Quality(u8);

impl Quality {
    /// A grade; `None` unless it is from 1 to 5.
    pub fn new(grade: u8) -> Option<Self> {
        (1..=5).contains(&grade).then_some(Self(grade))
    }

    /// The grade.
    pub fn grade(self) -> u8 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Quality {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Self::new(u8::deserialize(source)?).ok_or_else(|| D::Error::custom("not from 1 to 5"))
    }
}

/// At most three distinct faults, in the order of [`Problem::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The most faults of one answer.
    pub const MAX: usize = 3;

    /// A set of faults; `None` if they are more than [`Self::MAX`].
    pub fn new(mut faults: Vec<Problem>) -> Option<Self> {
        faults.sort_unstable();
        faults.dedup();
        (faults.len() <= Self::MAX).then_some(Self(faults))
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = Problem> {
        self.0.iter().copied()
    }
}

impl<'de> Deserialize<'de> for Problems {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(source)?).ok_or_else(|| D::Error::custom("more than three"))
    }
}

/// Language of a conversation: two or three small letters (ISO 639).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Language {
    letters: [u8; 3],
    length: usize,
}

impl Language {
    /// A language; `None` if the code has another form.
    pub fn new(code: &str) -> Option<Self> {
        let length = code.len();
        let is_code =
            (2..=3).contains(&length) && code.bytes().all(|byte| byte.is_ascii_lowercase());
        let mut letters = [0; 3];
        letters.get_mut(..length).filter(|_| is_code)?.copy_from_slice(code.as_bytes());
        Some(Self { letters, length })
    }

    /// The code.
    pub fn code(&self) -> &str {
        str::from_utf8(&self.letters[..self.length]).expect("all letters are ASCII")
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl Serialize for Language {
    fn serialize<S: serde::Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        target.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let code = String::deserialize(source)?;
        Self::new(&code).ok_or_else(|| D::Error::custom("not two or three small letters"))
    }
}

/// Labels of one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// One of the route's topics.
    pub topic: String,
    /// Kind of request.
    pub intent: Intent,
    /// Mood of the person who asks.
    pub sentiment: Sentiment,
    /// Whether the answer settles the request.
    pub resolved: Resolved,
    /// Quality of the answer.
    pub quality: Quality,
    /// Faults of the answer.
    pub problems: Problems,
    /// Language of the conversation.
    pub language: Language,
}

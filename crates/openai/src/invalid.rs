//! Reasons to refuse a request body.

use std::fmt;

/// Reason to refuse a request body. `Display` is the sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not JSON; holds the parser's message.
    NotJson(String),
    /// JSON, but not an object.
    NotAnObject,
    /// Required field is missing.
    Missing(&'static str),
    /// A chat has `input` in place of `messages`, as requests of the Responses API have.
    ResponsesForm,
    /// Field has a wrong value.
    Wrong {
        /// Name of the field.
        param: &'static str,
        /// Description of the accepted values.
        expected: &'static str,
    },
    /// Field that steers the gateway appears twice: JSON readers differ on which one counts.
    Twice(&'static str),
    /// More members than any endpoint has.
    TooManyMembers,
    /// Field that case-insensitive readers (Go's, for example) take for one that steers the
    /// gateway.
    Ambiguous(&'static str),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "The body is not valid JSON: {why}."),
            Self::NotAnObject => f.write_str("The body must be a JSON object."),
            Self::Missing(param) => write!(f, "The field '{param}' is missing."),
            Self::ResponsesForm => f.write_str(
                "The field 'messages' is missing, and 'input' belongs to the Responses API: set the client to Chat Completions, which sends 'messages'.",
            ),
            Self::Wrong { param, expected } => write!(f, "The field '{param}' must be {expected}."),
            Self::Twice(param) => write!(f, "The field '{param}' appears twice: send it once."),
            Self::TooManyMembers => {
                f.write_str("The body has more than 256 members besides OpenAI's: send fewer.")
            }
            Self::Ambiguous(param) => {
                write!(f, "The field '{param}' must be spelled exactly like this, in lower case.")
            }
        }
    }
}

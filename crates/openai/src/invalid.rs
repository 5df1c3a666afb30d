//! What is wrong with a body.

use std::fmt;

/// Why a body is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It is not JSON; in the parser's words.
    NotJson(String),
    /// It is JSON, but not an object.
    NotAnObject,
    /// A field that must be there is not.
    Missing(&'static str),
    /// A field is not what it must be.
    Wrong {
        /// The field.
        param: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A field that steers the gateway is there twice: readers differ on which one counts.
    Twice(&'static str),
    /// A field is spelled so that readers who do not mind case (Go's, for one) take it for one that
    /// steers the gateway.
    Ambiguous(&'static str),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "The body is not valid JSON: {why}."),
            Self::NotAnObject => f.write_str("The body must be a JSON object."),
            Self::Missing(param) => write!(f, "The field '{param}' is missing."),
            Self::Wrong { param, expected } => write!(f, "The field '{param}' must be {expected}."),
            Self::Twice(param) => write!(f, "The field '{param}' appears twice."),
            Self::Ambiguous(param) => {
                write!(f, "The field '{param}' must be spelled exactly so, in lower case.")
            }
        }
    }
}

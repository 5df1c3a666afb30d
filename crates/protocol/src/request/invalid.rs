//! Errors of a body that breaks its own protocol.

use std::fmt;

/// Error of a body that is no request of its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRequest {
    /// JSON path of the member; empty for the body itself.
    pub path: String,
    /// Problem of the member.
    pub problem: Problem,
}

/// Problem of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The body is not JSON; the parser's message.
    NotJson(String),
    /// Brackets are nested too deep.
    TooDeep,
    /// The request has too many parts.
    TooManyParts,
    /// The member is required.
    Missing,
    /// The member appears twice.
    Twice,
    /// The member must be this.
    Expected(&'static str),
}

impl InvalidRequest {
    pub(crate) fn new(path: String, problem: Problem) -> Self {
        Self { path: super::report::clip(path), problem }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.problem {
            Problem::NotJson(error) => write!(f, "The body is not valid JSON: {error}."),
            Problem::TooDeep => {
                write!(f, "The body nests more than {} levels.", super::object::MAX_NESTING)
            }
            Problem::TooManyParts => {
                write!(f, "The body has more than {} parts.", super::object::MAX_PARTS)
            }
            Problem::Missing => write!(f, "The field '{path}' is missing."),
            Problem::Twice => write!(f, "The field '{path}' appears twice: send it once."),
            Problem::Expected(expected) if path.is_empty() => {
                write!(f, "The body must be {expected}.")
            }
            Problem::Expected(expected) => write!(f, "The field '{path}' must be {expected}."),
        }
    }
}

impl std::error::Error for InvalidRequest {}

//! Failures: of a request, of a provider, or in the middle of a stream.

use std::borrow::Cow;

use super::Protocol;

/// Failure, as the caller learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Class, from which each protocol takes its status and its names.
    pub class: FailureClass,
    /// Status that replaces the one of the class, such as 405 or 422.
    pub status: Option<u16>,
    /// Sentence for people.
    pub message: Cow<'a, str>,
    /// Field at fault, as a JSON path.
    pub param: Option<Cow<'a, str>>,
    /// Name of the error for programs, if the class has none or a less exact one.
    pub code: Option<Cow<'a, str>>,
    /// Time after which the caller may try again, in seconds.
    pub retry_after_seconds: Option<u64>,
}

/// Class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The request is wrong.
    BadRequest,
    /// The prompt is longer than the context window of the model.
    TooLong,
    /// No key, or one that is not valid.
    Unauthenticated,
    /// The key may not do this.
    Forbidden,
    /// No credit is left.
    OutOfCredit,
    /// Model or path that does not exist.
    NotFound,
    /// State that does not allow the request.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// A rate limit is reached.
    RateLimited,
    /// The provider has no capacity at the moment.
    Overloaded,
    /// Time is up.
    Timeout,
    /// The provider failed, or its answer cannot be read.
    Upstream,
    /// The gateway failed.
    Internal,
}

impl FailureClass {
    /// Status of HTTP in the protocol.
    pub fn status(self, protocol: Protocol) -> u16 {
        let is_messages = protocol == Protocol::Messages;
        match self {
            Self::BadRequest | Self::TooLong => 400,
            Self::Unauthenticated => 401,
            Self::OutOfCredit if is_messages => 402,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::RateLimited | Self::OutOfCredit => 429,
            Self::Internal => 500,
            Self::Upstream => 502,
            Self::Overloaded if is_messages => 529,
            Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }
}

impl<'a> Failure<'a> {
    /// Failure of a class, without details.
    pub fn new(class: FailureClass, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            class,
            status: None,
            message: message.into(),
            param: None,
            code: None,
            retry_after_seconds: None,
        }
    }

    /// Status of HTTP in the protocol.
    pub fn status(&self, protocol: Protocol) -> u16 {
        self.status.unwrap_or_else(|| self.class.status(protocol))
    }

    /// Copies the texts of the failure.
    pub fn into_owned(self) -> Failure<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Failure {
            class: self.class,
            status: self.status,
            message: own(self.message),
            param: self.param.map(own),
            code: self.code.map(own),
            retry_after_seconds: self.retry_after_seconds,
        }
    }
}

//! Whole answers: a reader and a writer for each protocol.

pub(crate) mod chat;
pub(crate) mod messages;
pub(crate) mod responses;

pub use crate::answer_outcome::WrittenAnswer;
use crate::answer_outcome::unreadable;
use crate::context::AnswerContext;
use crate::custom_calls::with_custom_calls;
use crate::model::{Answer, Failure, Protocol};

/// Reads the body of an answer with a success status.
///
/// Members that the reader does not know are passed over. A body that is no answer, an error in its
/// place, and an answer that the provider did not finish are failures.
pub fn read(provider: Protocol, body: &[u8]) -> Result<Answer<'_>, Failure<'static>> {
    let text = str::from_utf8(body).map_err(|_| unreadable("is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match provider {
        Protocol::Chat => chat::read(text),
        Protocol::Responses => responses::read(text),
        Protocol::Messages => messages::read(text),
    }
}

/// Checks that an answer can be written in the caller's protocol: that [`write`] does not fail, whatever
/// tools its context knows.
pub fn check(caller: Protocol, answer: &Answer<'_>) -> Result<(), Failure<'static>> {
    match caller {
        Protocol::Chat | Protocol::Responses => Ok(()),
        Protocol::Messages => messages::check(answer),
    }
}

/// Writes an answer in the caller's protocol.
///
/// Messages takes arguments as JSON objects only. An answer with arguments that are not JSON is a
/// failure there, unless it was cut off.
pub fn write(
    caller: Protocol,
    answer: &Answer<'_>,
    context: &AnswerContext,
) -> Result<WrittenAnswer, Failure<'static>> {
    let answer = &*with_custom_calls(answer, context);
    match caller {
        Protocol::Chat => Ok(chat::write(answer, context)),
        Protocol::Responses => Ok(responses::write(answer, context)),
        Protocol::Messages => messages::write(answer, context),
    }
}

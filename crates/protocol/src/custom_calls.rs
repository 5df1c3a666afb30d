//! Calls of custom tools that the provider knows as functions with one member `input`.

use std::borrow::Cow;

use crate::context::AnswerContext;
use crate::members::{pick, text};
use crate::model::{Answer, ArgumentsText, PartKind};

/// Input of a custom tool, from the arguments of its function. Arguments of another form are the
/// input as they are: the tool is the judge of them.
pub(crate) fn input_of(arguments: &str) -> Cow<'_, str> {
    let input = pick(arguments, ["input"]).and_then(|[input]| text(input));
    input.unwrap_or(Cow::Borrowed(arguments))
}

/// Turns the calls of functions that stand for custom tools into calls of these.
pub(crate) fn with_custom_calls<'r, 'a>(
    answer: &'r Answer<'a>,
    context: &AnswerContext,
) -> Cow<'r, Answer<'a>> {
    if !context.has_custom_tools() {
        return Cow::Borrowed(answer);
    }
    let mut answer = answer.clone();
    for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let PartKind::ToolCall { name, arguments, .. } = &mut part.kind
            && context.is_custom(name)
            && let ArgumentsText::Json(json) = arguments
        {
            let input = input_of(json).into_owned();
            *arguments = ArgumentsText::Text(input.into());
        }
    }
    Cow::Owned(answer)
}

//! Reading of a chat completion.

use serde_json::value::RawValue;

use super::parts::{
    MessageMembers, read_annotations, read_call_seal, read_finish_reason, read_tier,
};
use crate::answer_outcome::{error_in_place, unreadable};
use crate::members::{count, elements, pick, pick_in, some_text, text};
use crate::model::{Answer, AnswerChoice, ArgumentsText, EndReason, Failure, Part, PartKind};
use crate::usage::read_chat;

/// Reads a chat completion.
pub(crate) fn read(body: &str) -> Result<Answer<'_>, Failure<'static>> {
    let [id, created, model, choices, usage, tier, fingerprint, error] = pick(
        body,
        [
            "id",
            "created",
            "model",
            "choices",
            "usage",
            "service_tier",
            "system_fingerprint",
            "error",
        ],
    )
    .ok_or_else(|| unreadable("is not a JSON object"))?;
    let mut read = Vec::new();
    let mut failure = None;
    let is_list = elements(choices, &mut |choice| match read_choice(
        choice,
        u32::try_from(read.len()).unwrap_or(u32::MAX),
    ) {
        Ok(choice) => read.push(choice),
        Err(found) => failure = Some(found),
    });
    if let Some(failure) = error_in_place(error).or(failure) {
        return Err(failure);
    }
    if !is_list || read.is_empty() {
        return Err(unreadable("has no choices"));
    }
    Ok(Answer {
        id: text(id).unwrap_or_default(),
        model: text(model).unwrap_or_default(),
        created: count(created),
        choices: read,
        usage: read_chat(usage),
        tier: read_tier(tier),
        fingerprint: some_text(fingerprint),
    })
}

fn read_choice<'a>(
    choice: &'a RawValue,
    position: u32,
) -> Result<AnswerChoice<'a>, Failure<'static>> {
    let [index, reason, message, logprobs, error] =
        pick_in(Some(choice), ["index", "finish_reason", "message", "logprobs", "error"]);
    if let Some(failure) = error_in_place(error) {
        return Err(failure);
    }
    let end = match text(reason) {
        Some(reason) => {
            read_finish_reason(&reason).ok_or_else(|| unreadable("reports an error"))?
        }
        None => EndReason::Other,
    };
    let parts = read_message(message);
    let [tokens] = pick_in(logprobs, ["content"]);
    let index = count(index).and_then(|index| u32::try_from(index).ok());
    let mut choice = AnswerChoice {
        index: index.unwrap_or(position),
        parts,
        end: EndReason::Other,
        logprobs: tokens.map(|tokens| tokens.get().into()),
    };
    choice.end = end.given_content(choice.has_calls(), choice.has_refusal());
    Ok(choice)
}

fn plain(kind: PartKind<'_>) -> Part<'_> {
    Part { kind, cache: None, seal: None }
}

/// Reads the parts of a message: reasoning, text, refusal, calls.
fn read_message(message: Option<&RawValue>) -> Vec<Part<'_>> {
    let MessageMembers { reasoning, texts, refusals, annotations, calls, function_call } =
        MessageMembers::read(message);
    let mut parts = Vec::new();
    if !reasoning.texts.is_empty() || reasoning.seal.is_some() {
        let kind = PartKind::Reasoning { texts: reasoning.texts, is_redacted: false };
        parts.push(Part { kind, cache: None, seal: reasoning.seal });
    }
    let mut citations = Some(read_annotations(annotations));
    for text in texts {
        // Positions count in the whole text, and so are exact for the first part alone.
        let citations = citations.take().unwrap_or_default();
        parts.push(plain(PartKind::Text { text, citations }));
    }
    for refusal in refusals {
        parts.push(plain(PartKind::Refusal(refusal)));
    }
    elements(calls, &mut |call| parts.push(read_call(call)));
    if let Some(call) = function_call {
        let [name, arguments] = pick_in(Some(call), ["name", "arguments"]);
        parts.push(plain(PartKind::ToolCall {
            id: "".into(),
            name: text(name).unwrap_or_default(),
            arguments: ArgumentsText::Json(read_arguments(arguments)),
        }));
    }
    parts
}

/// Arguments are a text; some providers send the object itself.
pub(crate) fn read_arguments(arguments: Option<&RawValue>) -> std::borrow::Cow<'_, str> {
    let object = || arguments.map(|raw| raw.get()).filter(|raw| raw.starts_with('{'));
    text(arguments).or_else(|| object().map(Into::into)).unwrap_or_default()
}

fn read_call(call: &RawValue) -> Part<'_> {
    let [id, function, custom, extra] =
        pick_in(Some(call), ["id", "function", "custom", "extra_content"]);
    let (name, arguments) = if custom.is_some() {
        let [name, input] = pick_in(custom, ["name", "input"]);
        (name, ArgumentsText::Text(text(input).unwrap_or_default()))
    } else {
        let [name, arguments] = pick_in(function, ["name", "arguments"]);
        (name, ArgumentsText::Json(read_arguments(arguments)))
    };
    let id = text(id).unwrap_or_default();
    let kind = PartKind::ToolCall { id, name: text(name).unwrap_or_default(), arguments };
    Part { kind, cache: None, seal: read_call_seal(extra) }
}

//! Reader of input items.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::read_tools::{join_name, read_tools};
use crate::model::{
    ArgumentsText, LocatedPart, MediaKind, MediaSource, Part, PartKind, Phase, Place, Protocol,
    ReasoningText, ReasoningTextKind, Request, Role, Turn,
};
use crate::request::chat::read_file;
use crate::request::invalid::InvalidRequest;
use crate::request::media::source_from_url;
use crate::request::object::{Object, Reading, list, string};
use crate::request::rules::Scope;
use crate::request::shared_fields::read_breakpoint;
use crate::seal::parse_seal;

const PHASES: [(&str, Phase); 2] =
    [("commentary", Phase::Commentary), ("final_answer", Phase::FinalAnswer)];

/// State of the turn to which the next item may belong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// No turn.
    None,
    /// Turn of the model without a message so far.
    Model,
    /// Turn of the model with a message.
    ModelMessage,
    /// Results of tools.
    Results,
}

struct ItemReader<'r, 'a> {
    reading: &'r mut Reading<'a>,
    request: &'r mut Request<'a>,
    open: Open,
}

/// Reads `input`: a text, or items. Consecutive items of the model are one turn, and so are consecutive
/// results.
pub(super) fn read_input<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
    request: &mut Request<'a>,
) -> Result<(), InvalidRequest> {
    let Some(raw) = body.raw("input") else { return Ok(()) };
    let place = body.place.member("input");
    if let Some(text) = string(raw) {
        let parts = vec![located(text_part(text), place)];
        request.turns.push(Turn { role: Role::User, name: None, phase: None, parts, place });
        return Ok(());
    }
    let items = list(raw).ok_or_else(|| body.expected("input", "a string or a list of items"))?;
    reading.count_parts(items.len())?;
    let mut reader = ItemReader { reading, request, open: Open::None };
    for (index, raw) in items.into_iter().enumerate() {
        reader.read_item(raw, body.place.element("input", index))?;
    }
    Ok(())
}

fn located(kind: PartKind<'_>, place: Place) -> LocatedPart<'_> {
    LocatedPart { part: Part { kind, cache: None, seal: None }, place }
}

fn text_part(text: Cow<'_, str>) -> PartKind<'_> {
    PartKind::Text { text, citations: Vec::new() }
}

impl<'a> ItemReader<'_, 'a> {
    fn read_item(&mut self, raw: &'a RawValue, place: Place) -> Result<(), InvalidRequest> {
        let mut item = Object::read(raw, place)?;
        let type_name = match item.text("type")? {
            Some(name) => name,
            None if item.has("role") => Cow::Borrowed("message"),
            None => return Err(item.missing("type")),
        };
        match type_name.as_ref() {
            "message" => return self.read_message(item),
            "function_call" | "custom_tool_call" => {
                let id = item.required_text("call_id")?;
                let namespace = item.text("namespace")?;
                let name = join_name(namespace.as_deref(), item.required_text("name")?);
                let arguments = if type_name == "function_call" {
                    ArgumentsText::Json(item.required_text("arguments")?)
                } else {
                    ArgumentsText::Text(item.required_text("input")?)
                };
                self.push_model(located(PartKind::ToolCall { id, name, arguments }, place));
            }
            "function_call_output" | "custom_tool_call_output" => {
                let call_id = item.required_text("call_id")?;
                let parts = self.read_content(&mut item, "output")?;
                let is_kept = |part: &LocatedPart<'_>| !matches!(&part.part.kind, PartKind::Text { text, .. } if text.is_empty());
                let parts = parts.into_iter().filter(is_kept).map(|part| part.part).collect();
                let kind = PartKind::ToolResult { call_id, parts, is_error: None };
                let result = located(kind, place);
                match self.request.turns.last_mut().filter(|_| self.open == Open::Results) {
                    Some(turn) => turn.parts.push(result),
                    None => self.push_turn(Role::User, None, vec![result], place),
                }
                self.open = Open::Results;
            }
            "reasoning" => {
                let part = self.read_reasoning(&mut item)?;
                self.push_model(part);
            }
            "additional_tools" => {
                item.ignore("role");
                let tools = item.list("tools")?;
                read_tools(tools, place, self.reading, &mut self.request.tools)?;
            }
            _ => {
                let protocol = Protocol::Responses;
                self.push_model(located(
                    PartKind::Foreign { protocol, name: type_name, raw },
                    place,
                ));
                return Ok(());
            }
        }
        self.reading.leave(item, Scope::Message);
        Ok(())
    }

    fn push_turn(
        &mut self,
        role: Role,
        phase: Option<Phase>,
        parts: Vec<LocatedPart<'a>>,
        place: Place,
    ) {
        self.request.turns.push(Turn { role, name: None, phase, parts, place });
    }

    /// Adds an item of the model that is no message.
    fn push_model(&mut self, part: LocatedPart<'a>) {
        let is_open = matches!(self.open, Open::Model | Open::ModelMessage);
        match self.request.turns.last_mut().filter(|_| is_open) {
            Some(turn) => turn.parts.push(part),
            None => {
                let place = part.place;
                self.push_turn(Role::Assistant, None, vec![part], place);
                self.open = Open::Model;
            }
        }
    }

    fn read_message(&mut self, mut item: Object<'a>) -> Result<(), InvalidRequest> {
        let place = item.place;
        let role = item.required_text("role")?;
        let phase = item.word("phase", &PHASES, "commentary or final_answer")?;
        let parts = self.read_content(&mut item, "content")?;
        self.open = match role.as_ref() {
            "system" | "developer" if self.request.turns.is_empty() => {
                self.request.system.extend(parts);
                Open::None
            }
            "system" | "developer" => {
                self.push_turn(Role::System, None, parts, place);
                Open::None
            }
            "user" => {
                self.push_turn(Role::User, None, parts, place);
                Open::None
            }
            "assistant" => {
                let is_open = self.open;
                let turn = self.request.turns.last_mut().filter(|turn| match is_open {
                    Open::Model => true,
                    Open::ModelMessage => turn.phase == phase,
                    Open::None | Open::Results => false,
                });
                match turn {
                    Some(turn) => {
                        turn.phase = phase;
                        turn.parts.extend(parts);
                    }
                    None => self.push_turn(Role::Assistant, phase, parts, place),
                }
                Open::ModelMessage
            }
            _ => return Err(item.expected("role", "user, assistant, system or developer")),
        };
        self.reading.leave(item, Scope::Message);
        Ok(())
    }

    fn read_content(
        &mut self,
        item: &mut Object<'a>,
        name: &'static str,
    ) -> Result<Vec<LocatedPart<'a>>, InvalidRequest> {
        let Some(raw) = item.raw(name) else { return Err(item.missing(name)) };
        if let Some(text) = string(raw) {
            return Ok(vec![located(text_part(text), item.place.member(name))]);
        }
        let raws = list(raw).ok_or_else(|| item.expected(name, "a string or a list"))?;
        self.reading.count_parts(raws.len())?;
        let raws = raws.into_iter().enumerate();
        raws.map(|(index, raw)| self.read_part(raw, item.place.element(name, index))).collect()
    }

    fn read_part(
        &mut self,
        raw: &'a RawValue,
        place: Place,
    ) -> Result<LocatedPart<'a>, InvalidRequest> {
        let mut part = Object::read(raw, place)?;
        let type_name = part.required_text("type")?;
        let kind = match type_name.as_ref() {
            "input_text" | "output_text" | "text" => text_part(part.required_text("text")?),
            "refusal" => PartKind::Refusal(part.required_text("refusal")?),
            "input_image" => {
                let source = match part.text("file_id")? {
                    Some(id) => MediaSource::File { protocol: Protocol::Responses, id },
                    None => source_from_url(part.required_text("image_url")?),
                };
                let detail = part.text("detail")?;
                PartKind::Media { kind: MediaKind::Image, source, name: None, detail }
            }
            "input_file" => {
                let source = match part.text("file_url")? {
                    Some(url) => source_from_url(url),
                    None => read_file(&mut part, Protocol::Responses)?,
                };
                let (name, detail) = (part.text("filename")?, part.text("detail")?);
                PartKind::Media { kind: MediaKind::Document, source, name, detail }
            }
            _ => {
                let protocol = Protocol::Responses;
                return Ok(located(PartKind::Foreign { protocol, name: type_name, raw }, place));
            }
        };
        let cache = read_breakpoint(&mut part, self.reading)?;
        self.reading.leave(part, Scope::Part);
        Ok(LocatedPart { part: Part { kind, cache, seal: None }, place })
    }

    fn read_reasoning(&mut self, item: &mut Object<'a>) -> Result<LocatedPart<'a>, InvalidRequest> {
        let mut texts = Vec::new();
        let lists = [("summary", ReasoningTextKind::Summary), ("content", ReasoningTextKind::Full)];
        for (name, kind) in lists {
            let parts = item.objects(name)?;
            self.reading.count_parts(parts.len())?;
            for mut part in parts {
                part.ignore("type");
                texts.push(ReasoningText { kind, text: part.required_text("text")? });
                self.reading.leave(part, Scope::Part);
            }
        }
        let seal = item.text("encrypted_content")?;
        let seal = seal.map(|text| parse_seal(Protocol::Responses, text));
        let is_redacted = texts.is_empty();
        let kind = PartKind::Reasoning { texts, is_redacted };
        Ok(LocatedPart { part: Part { kind, cache: None, seal }, place: item.place })
    }
}

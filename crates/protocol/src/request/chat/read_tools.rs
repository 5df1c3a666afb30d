//! Reader of tools and of the choice among them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::model::{CustomFormat, Place, Protocol, Tool, ToolChoice, ToolKind};
use crate::request::invalid::InvalidRequest;
use crate::request::object::{Object, Reading};
use crate::request::openai_tools::read_choice_word;
use crate::request::rules::Scope;

pub(super) fn read_tools<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Vec<Tool<'a>>, InvalidRequest> {
    let raws = body.list("tools")?;
    reading.count_parts(raws.len())?;
    let mut tools = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        let place = body.place.element("tools", index);
        let mut tool = Object::read(raw, place)?;
        let name = tool.required_text("type")?;
        let kind = match name.as_ref() {
            "function" => {
                let mut function = tool.required_object("function")?;
                let kind = ToolKind::Function {
                    name: function.required_text("name")?,
                    namespace: None,
                    description: function.text("description")?,
                    schema: function.raw_object("parameters")?,
                    is_strict: function.flag("strict")?,
                };
                reading.leave(function, Scope::Other);
                kind
            }
            "custom" => {
                let mut custom = tool.required_object("custom")?;
                let kind = ToolKind::Custom {
                    name: custom.required_text("name")?,
                    namespace: None,
                    description: custom.text("description")?,
                    format: read_format(&mut custom, reading)?,
                };
                reading.leave(custom, Scope::Other);
                kind
            }
            _ => {
                let kind = ToolKind::Hosted { protocol: Protocol::Chat, name, raw: raw.get() };
                tools.push(Tool { kind, cache: None, place });
                continue;
            }
        };
        reading.leave(tool, Scope::Tool);
        tools.push(Tool { kind, cache: None, place });
    }
    Ok(tools)
}

fn read_format<'a>(
    custom: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<CustomFormat<'a>, InvalidRequest> {
    let Some(mut format) = custom.object("format")? else { return Ok(CustomFormat::Text) };
    let found = match format.required_text("type")?.as_ref() {
        "text" => CustomFormat::Text,
        "grammar" => {
            let mut grammar = format.required_object("grammar")?;
            let found = CustomFormat::Grammar {
                syntax: grammar.required_text("syntax")?,
                definition: grammar.required_text("definition")?,
            };
            reading.leave(grammar, Scope::Other);
            found
        }
        _ => return Err(format.expected("type", "text or grammar")),
    };
    reading.leave(format, Scope::Other);
    Ok(found)
}

pub(super) fn read_tool_choice<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Option<ToolChoice<'a>>, InvalidRequest> {
    let Some(raw) = body.raw("tool_choice") else { return Ok(None) };
    if let Some(choice) = read_choice_word(body, raw)? {
        return Ok(Some(choice));
    }
    let whole = raw.get();
    let mut choice = Object::read(raw, Place::ROOT.member("tool_choice"))?;
    let found = match choice.required_text("type")?.as_ref() {
        "function" => ToolChoice::Tool(read_name(&mut choice, "function", reading)?),
        "custom" => ToolChoice::Tool(read_name(&mut choice, "custom", reading)?),
        "allowed_tools" => {
            let mut allowed = choice.required_object("allowed_tools")?;
            let is_required = allowed
                .word("mode", &[("auto", false), ("required", true)], "auto or required")?
                .unwrap_or_default();
            let mut names = Vec::new();
            for raw in allowed.list("tools")? {
                match read_allowed_name(raw, allowed.place)? {
                    Some(name) => names.push(name),
                    None => return Ok(Some(ToolChoice::Hosted(whole))),
                }
            }
            reading.leave(allowed, Scope::Other);
            ToolChoice::Among { is_required, names }
        }
        _ => return Ok(Some(ToolChoice::Hosted(whole))),
    };
    reading.leave(choice, Scope::Other);
    Ok(Some(found))
}

fn read_name<'a>(
    choice: &mut Object<'a>,
    kind: &'static str,
    reading: &mut Reading<'a>,
) -> Result<Cow<'a, str>, InvalidRequest> {
    let mut tool = choice.required_object(kind)?;
    let name = tool.required_text("name")?;
    reading.leave(tool, Scope::Other);
    Ok(name)
}

/// Reads the name of an allowed tool. `None` if the provider runs it.
fn read_allowed_name(raw: &RawValue, place: Place) -> Result<Option<Cow<'_, str>>, InvalidRequest> {
    let mut tool = Object::read(raw, place.member("tools"))?;
    let kind = match tool.required_text("type")?.as_ref() {
        "function" => "function",
        "custom" => "custom",
        _ => return Ok(None),
    };
    tool.required_object(kind)?.required_text("name").map(Some)
}

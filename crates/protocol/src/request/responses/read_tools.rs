//! Reader of tools and of the choice among them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::model::{CustomFormat, Place, Protocol, Tool, ToolChoice, ToolKind};
use crate::request::invalid::InvalidRequest;
use crate::request::object::{Object, Reading};
use crate::request::openai_tools::read_choice_word;
use crate::request::rules::Scope;

/// Reads tools of the body or of an `additional_tools` item. The functions of a namespace become
/// functions with a longer name.
pub(super) fn read_tools<'a>(
    raws: Vec<&'a RawValue>,
    place: Place,
    reading: &mut Reading<'a>,
    tools: &mut Vec<Tool<'a>>,
) -> Result<(), InvalidRequest> {
    reading.count_parts(raws.len())?;
    for (index, raw) in raws.into_iter().enumerate() {
        let place = place.element("tools", index);
        let mut tool = Object::read(raw, place)?;
        if tool.text("type")?.as_deref() != Some("namespace") {
            tools.push(read_tool(raw, place, None, reading)?);
            continue;
        }
        let namespace = tool.required_text("name")?;
        let members = tool.list("tools")?;
        reading.count_parts(members.len())?;
        for (index, raw) in members.into_iter().enumerate() {
            let place = place.element("tools", index);
            tools.push(read_tool(raw, place, Some(&namespace), reading)?);
        }
        reading.leave(tool, Scope::Tool);
    }
    Ok(())
}

fn read_tool<'a>(
    raw: &'a RawValue,
    place: Place,
    namespace: Option<&str>,
    reading: &mut Reading<'a>,
) -> Result<Tool<'a>, InvalidRequest> {
    let mut tool = Object::read(raw, place)?;
    let type_name = tool.required_text("type")?;
    let kind = match type_name.as_ref() {
        "function" => ToolKind::Function {
            name: join_name(namespace, tool.required_text("name")?),
            namespace: namespace.map(str::len),
            description: tool.text("description")?,
            schema: tool.raw_object("parameters")?,
            is_strict: tool.flag("strict")?,
        },
        "custom" => ToolKind::Custom {
            name: join_name(namespace, tool.required_text("name")?),
            namespace: namespace.map(str::len),
            description: tool.text("description")?,
            format: read_format(&mut tool, reading)?,
        },
        _ => {
            let (protocol, raw) = (Protocol::Responses, raw.get());
            let kind = ToolKind::Hosted { protocol, name: type_name, raw };
            return Ok(Tool { kind, cache: None, place });
        }
    };
    reading.leave(tool, Scope::Tool);
    Ok(Tool { kind, cache: None, place })
}

/// Returns the name of a tool in a namespace: `NAMESPACE__NAME`.
pub(super) fn join_name<'a>(namespace: Option<&str>, name: Cow<'a, str>) -> Cow<'a, str> {
    match namespace {
        Some(namespace) => Cow::Owned(format!("{namespace}__{name}")),
        None => name,
    }
}

fn read_format<'a>(
    tool: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<CustomFormat<'a>, InvalidRequest> {
    let Some(mut format) = tool.object("format")? else { return Ok(CustomFormat::Text) };
    let found = match format.required_text("type")?.as_ref() {
        "text" => CustomFormat::Text,
        "grammar" => CustomFormat::Grammar {
            syntax: format.required_text("syntax")?,
            definition: format.required_text("definition")?,
        },
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
    let place = Place::ROOT.member("tool_choice");
    let mut choice = Object::read(raw, place)?;
    let found = match choice.required_text("type")?.as_ref() {
        "function" | "custom" => ToolChoice::Tool(read_name(&mut choice)?),
        "allowed_tools" => {
            let modes = [("auto", false), ("required", true)];
            let is_required = choice.word("mode", &modes, "auto or required")?;
            let is_required = is_required.unwrap_or_default();
            let mut names = Vec::new();
            for mut tool in choice.objects("tools")? {
                match tool.required_text("type")?.as_ref() {
                    "function" | "custom" => names.push(read_name(&mut tool)?),
                    _ => return Ok(Some(ToolChoice::Hosted(raw.get()))),
                }
            }
            ToolChoice::Among { is_required, names }
        }
        _ => return Ok(Some(ToolChoice::Hosted(raw.get()))),
    };
    reading.leave(choice, Scope::Other);
    Ok(Some(found))
}

fn read_name<'a>(tool: &mut Object<'a>) -> Result<Cow<'a, str>, InvalidRequest> {
    let namespace = tool.text("namespace")?;
    Ok(join_name(namespace.as_deref(), tool.required_text("name")?))
}

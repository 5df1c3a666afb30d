//! Reader of the body.

use super::read_blocks::{read_breakpoint, read_content, read_messages};
use crate::model::{
    JsonSchema, OutputFormat, Place, Protocol, ReasoningDisplay, Request, StreamOptions,
    ThinkingBudget, Tool, ToolChoice, ToolKind,
};
use crate::request::invalid::InvalidRequest;
use crate::request::object::{Object, Reading};
use crate::request::rules::Scope;
use crate::request::shared_fields::{read_effort, read_sampling};

pub(in crate::request) fn read(text: &str) -> Result<Request<'_>, InvalidRequest> {
    let mut body = Object::from_body(text)?;
    body.check_bounds("max_tokens")?;
    let mut reading = Reading::new(Protocol::Messages);
    let mut request = Request::new(Protocol::Messages);
    request.model = body.text("model")?;
    request.system = read_content(&mut body, "system", &mut reading)?;
    request.tools = read_tools(&mut body, &mut reading)?;
    request.turns = read_messages(&mut body, &mut reading)?;
    read_tool_choice(&mut body, &mut reading, &mut request)?;
    request.max_tokens = body.integer("max_tokens")?;
    request.stop = body.texts("stop_sequences")?;
    request.stream = body.flag("stream")?.filter(|on| *on).map(|_| StreamOptions::default());
    request.sampling = read_sampling(&mut body)?;
    request.sampling.top_k = body.number("top_k")?;
    request.cache = read_breakpoint(&mut body, &mut reading)?;
    read_thinking(&mut body, &mut reading, &mut request)?;
    read_output(&mut body, &mut reading, &mut request)?;
    if let Some(mut metadata) = body.object("metadata")? {
        request.end_user = metadata.text("user_id")?;
        reading.leave(metadata, Scope::Other);
    }
    reading.leave(body, Scope::Body);
    request.leftovers = reading.leftovers;
    Ok(request)
}

fn read_thinking<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
    request: &mut Request<'a>,
) -> Result<(), InvalidRequest> {
    let Some(mut thinking) = body.object("thinking")? else { return Ok(()) };
    let tokens = thinking.integer("budget_tokens")?;
    let budget = match thinking.required_text("type")?.as_ref() {
        "enabled" => {
            ThinkingBudget::Tokens(tokens.ok_or_else(|| thinking.missing("budget_tokens"))?)
        }
        "adaptive" => ThinkingBudget::Adaptive,
        "disabled" => ThinkingBudget::Off,
        "between_tools" => ThinkingBudget::BetweenTools,
        _ => return Err(thinking.expected("type", "adaptive, enabled or disabled")),
    };
    request.reasoning.budget = Some(budget);
    let displays =
        [("summarized", ReasoningDisplay::Summary), ("omitted", ReasoningDisplay::Hidden)];
    request.reasoning.display = thinking.word("display", &displays, "summarized or omitted")?;
    reading.leave(thinking, Scope::Reasoning);
    Ok(())
}

fn read_output<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
    request: &mut Request<'a>,
) -> Result<(), InvalidRequest> {
    let Some(mut output) = body.object("output_config")? else { return Ok(()) };
    request.reasoning.effort = read_effort(&mut output, "effort")?;
    if let Some(mut format) = output.object("format")? {
        if format.required_text("type")? != "json_schema" {
            return Err(format.expected("type", "json_schema"));
        }
        // An answer always matches the schema.
        request.output_format = OutputFormat::JsonSchema(JsonSchema {
            name: None,
            description: None,
            schema: format.raw_object("schema")?,
            is_strict: Some(true),
        });
        reading.leave(format, Scope::Other);
    }
    reading.leave(output, Scope::Other);
    Ok(())
}

fn read_tools<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Vec<Tool<'a>>, InvalidRequest> {
    let raws = body.list("tools")?;
    reading.count_parts(raws.len())?;
    let mut tools = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        let place = Place::ROOT.element("tools", index);
        let mut tool = Object::read(raw, place)?;
        let type_name = tool.text("type")?;
        if let Some(name) = type_name.filter(|name| name != "custom") {
            let kind = ToolKind::Hosted { protocol: Protocol::Messages, name, raw: raw.get() };
            tools.push(Tool { kind, cache: None, place });
            continue;
        }
        let kind = ToolKind::Function {
            name: tool.required_text("name")?,
            namespace: None,
            description: tool.text("description")?,
            schema: tool.raw_object("input_schema")?,
            is_strict: tool.flag("strict")?,
        };
        let cache = read_breakpoint(&mut tool, reading)?;
        reading.leave(tool, Scope::Tool);
        tools.push(Tool { kind, cache, place });
    }
    Ok(tools)
}

fn read_tool_choice<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
    request: &mut Request<'a>,
) -> Result<(), InvalidRequest> {
    let Some(mut choice) = body.object("tool_choice")? else { return Ok(()) };
    request.tool_choice = Some(match choice.required_text("type")?.as_ref() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" => ToolChoice::Any,
        "tool" => ToolChoice::Tool(choice.required_text("name")?),
        _ => return Err(choice.expected("type", "auto, any, tool or none")),
    });
    request.parallel_tool_calls =
        choice.flag("disable_parallel_tool_use")?.map(|is_disabled| !is_disabled);
    reading.leave(choice, Scope::Other);
    Ok(())
}

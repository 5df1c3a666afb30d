//! Reader of the body.

use super::read_items::read_input;
use super::read_tools::{read_tool_choice, read_tools};
use crate::model::{
    LocatedPart, OutputFormat, Part, PartKind, Protocol, ReasoningDisplay, Request,
};
use crate::request::invalid::InvalidRequest;
use crate::request::object::{Object, Reading};
use crate::request::rules::Scope;
use crate::request::shared_fields::{
    read_effort, read_end_user, read_sampling, read_schema, read_stream, read_verbosity,
};

pub(in crate::request) fn read(text: &str) -> Result<Request<'_>, InvalidRequest> {
    let mut body = Object::from_body(text)?;
    body.check_bounds("max_output_tokens")?;
    let mut reading = Reading::new(Protocol::Responses);
    let mut request = Request::new(Protocol::Responses);
    request.model = body.text("model")?;
    if let Some(text) = body.text("instructions")? {
        let kind = PartKind::Text { text, citations: Vec::new() };
        let part = Part { kind, cache: None, seal: None };
        request.system.push(LocatedPart { part, place: body.place.member("instructions") });
    }
    let tools = body.list("tools")?;
    read_tools(tools, body.place, &mut reading, &mut request.tools)?;
    read_input(&mut body, &mut reading, &mut request)?;
    request.tool_choice = read_tool_choice(&mut body, &mut reading)?;
    request.parallel_tool_calls = body.flag("parallel_tool_calls")?;
    request.max_tokens = body.integer("max_output_tokens")?;
    request.stream = read_stream(&mut body, &mut reading)?;
    request.end_user = read_end_user(&mut body)?;
    if let Some(mut text) = body.object("text")? {
        request.verbosity = read_verbosity(&mut text)?;
        request.output_format = read_format(&mut text, &mut reading)?;
        reading.leave(text, Scope::Other);
    }
    if let Some(mut reasoning) = body.object("reasoning")? {
        request.reasoning.effort = read_effort(&mut reasoning, "effort")?;
        let displays = [
            ("auto", ReasoningDisplay::Summary),
            ("concise", ReasoningDisplay::Concise),
            ("detailed", ReasoningDisplay::Detailed),
        ];
        let expected = "auto, concise or detailed";
        request.reasoning.display = reasoning.word("summary", &displays, expected)?;
        reading.leave(reasoning, Scope::Reasoning);
    }
    request.sampling = read_sampling(&mut body)?;
    request.sampling.top_logprobs = body.integer("top_logprobs")?;
    request.sampling.logprobs = request.sampling.top_logprobs.map(|_| true);
    reading.leave(body, Scope::Body);
    request.leftovers = reading.leftovers;
    Ok(request)
}

fn read_format<'a>(
    text: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<OutputFormat<'a>, InvalidRequest> {
    let Some(mut format) = text.object("format")? else { return Ok(OutputFormat::Text) };
    let found = match format.required_text("type")?.as_ref() {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::JsonObject,
        "json_schema" => OutputFormat::JsonSchema(read_schema(&mut format)?),
        _ => return Err(format.expected("type", "text, json_object or json_schema")),
    };
    reading.leave(format, Scope::Other);
    Ok(found)
}

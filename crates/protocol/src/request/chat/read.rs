//! Reader of the body.

use super::read_messages::read_messages;
use super::read_tools::{read_tool_choice, read_tools};
use crate::model::{OutputFormat, Protocol, Reasoning, Request};
use crate::request::invalid::InvalidRequest;
use crate::request::object::{Object, Reading, list, string};
use crate::request::rules::Scope;
use crate::request::shared_fields::{
    read_effort, read_end_user, read_sampling, read_schema, read_stream, read_verbosity,
};

pub(in crate::request) fn read(text: &str) -> Result<Request<'_>, InvalidRequest> {
    let mut body = Object::from_body(text)?;
    let mut reading = Reading::new(Protocol::Chat);
    let mut request = Request::new(Protocol::Chat);
    request.model = body.text("model")?;
    read_messages(&mut body, &mut reading, &mut request)?;
    request.tools = read_tools(&mut body, &mut reading)?;
    request.tool_choice = read_tool_choice(&mut body, &mut reading)?;
    request.parallel_tool_calls = body.flag("parallel_tool_calls")?;
    let older = body.integer("max_tokens")?;
    let newer = body.integer("max_completion_tokens")?;
    request.max_tokens = newer.into_iter().chain(older).min();
    request.stream = read_stream(&mut body, &mut reading)?;
    request.end_user = read_end_user(&mut body)?;
    request.verbosity = read_verbosity(&mut body)?;
    request.reasoning =
        Reasoning { effort: read_effort(&mut body, "reasoning_effort")?, ..Reasoning::default() };
    request.output_format = read_format(&mut body, &mut reading)?;
    read_stop(&mut body, &mut request)?;
    request.sampling = read_sampling(&mut body)?;
    let sampling = &mut request.sampling;
    sampling.top_k = body.number("top_k")?;
    sampling.presence_penalty = body.number("presence_penalty")?;
    sampling.frequency_penalty = body.number("frequency_penalty")?;
    sampling.seed = body.number("seed")?;
    sampling.logit_bias = body.raw_object("logit_bias")?;
    sampling.count = body.integer("n")?;
    sampling.logprobs = body.flag("logprobs")?;
    sampling.top_logprobs = body.integer("top_logprobs")?;
    reading.leave(body, Scope::Body);
    request.leftovers = reading.leftovers;
    Ok(request)
}

fn read_format<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<OutputFormat<'a>, InvalidRequest> {
    let Some(mut format) = body.object("response_format")? else {
        return Ok(OutputFormat::Text);
    };
    let found = match format.required_text("type")?.as_ref() {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::JsonObject,
        "json_schema" => {
            let mut schema = format.required_object("json_schema")?;
            let found = read_schema(&mut schema)?;
            reading.leave(schema, Scope::Other);
            OutputFormat::JsonSchema(found)
        }
        _ => return Err(format.expected("type", "text, json_object or json_schema")),
    };
    reading.leave(format, Scope::Other);
    Ok(found)
}

/// Reads `stop`: a string or a list.
fn read_stop<'a>(body: &mut Object<'a>, request: &mut Request<'a>) -> Result<(), InvalidRequest> {
    let Some(raw) = body.raw("stop") else { return Ok(()) };
    let texts = match string(raw) {
        Some(text) => Some(vec![text]),
        None => list(raw).and_then(|texts| texts.into_iter().map(string).collect()),
    };
    request.stop = texts.ok_or_else(|| body.expected("stop", "a string or a list of strings"))?;
    Ok(())
}

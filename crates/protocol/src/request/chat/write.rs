//! Writer of the body.

use super::write_messages::write_messages;
use crate::model::{OutputFormat, Request, ThinkingBudget};
use crate::request::openai_tools::{write_tool_choice, write_tools};
use crate::request::report::Written;
use crate::request::rules::Feature;
use crate::request::shared_fields::{
    verbosity_name, write_end_user, write_leftovers, write_sampling, write_schema, write_stop,
};
use crate::request::target::{MaxTokensField, Options, Target, WrittenRequest};
use crate::request::writing::Writing;

/// Member of a view with the values that Chat has no place for.
const UNREAD_MEMBER: &str = "x_unread";

pub(in crate::request) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    options: &Options<'_>,
) -> Written<WrittenRequest> {
    let mut writing = Writing::new(request, target, options)?;
    writing.json.begin_object();
    writing.write_model();
    write_tools(&mut writing);
    write_tool_choice(&mut writing);
    write_messages(&mut writing)?;
    write_controls(&mut writing)?;
    let Writing { json, report, .. } = &mut writing;
    write_end_user(json, request, target, report)?;
    write_sampling(json, request, target, report)?;
    write_leftovers(json, request, target, report)?;
    if let Some(unread) = report.take_unread() {
        json.raw_member(UNREAD_MEMBER, &unread);
    }
    json.end_object();
    Ok(writing.finish())
}

fn write_controls(writing: &mut Writing<'_, '_>) -> Written {
    let Writing { request, target, json, report, .. } = writing;
    if let Some(limit) = request.max_tokens {
        let name = match target.max_tokens_field {
            MaxTokensField::MaxTokens => "max_tokens",
            MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        };
        json.integer_member(name, limit);
    }
    if let Some(stream) = request.stream {
        json.flag_member("stream", true);
        // The writer of the answer needs the usage, unless the caller speaks Chat Completions itself.
        let include_usage = match request.protocol == target.protocol {
            true => stream.include_usage,
            false => target.asks_for_usage.then_some(true),
        };
        if include_usage.is_some() || stream.include_obfuscation.is_some() {
            json.name("stream_options");
            json.begin_object();
            let options = [
                ("include_usage", include_usage),
                ("include_obfuscation", stream.include_obfuscation),
            ];
            for (name, value) in options {
                if let Some(value) = value {
                    json.flag_member(name, value);
                }
            }
            json.end_object();
        }
    }
    write_stop(json, "stop", request, target, report)?;
    let sampling = &request.sampling;
    if let Some(count) = sampling.count {
        json.integer_member("n", count);
    }
    if let Some(logprobs) = sampling.logprobs {
        json.flag_member("logprobs", logprobs);
    }
    if let Some(count) = sampling.top_logprobs {
        json.integer_member("top_logprobs", count);
    }
    if let Some(effort) = request.reasoning.effort_in_words() {
        json.member("reasoning_effort", effort.name());
    }
    if request.reasoning.display.is_some() {
        report.carries(Feature::ReasoningDisplay)?;
    }
    if request.reasoning.budget == Some(ThinkingBudget::BetweenTools) {
        report.carries(Feature::ThinkingBetweenTools)?;
    }
    if request.cache.is_some() {
        report.carries(Feature::LastCacheBreakpoint)?;
    }
    if let Some(verbosity) = request.verbosity {
        json.member("verbosity", verbosity_name(verbosity));
    }
    match &request.output_format {
        OutputFormat::Text => {}
        OutputFormat::JsonObject => {
            json.raw_member("response_format", r#"{"type":"json_object"}"#);
        }
        OutputFormat::JsonSchema(schema) => {
            json.name("response_format");
            json.begin_typed("json_schema");
            json.name("json_schema");
            json.begin_object();
            write_schema(json, schema);
            json.end_object();
            json.end_object();
        }
    }
    Ok(())
}

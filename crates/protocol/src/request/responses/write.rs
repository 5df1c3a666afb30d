//! Writer of the body.

use super::write_items::{write_input, write_instructions};
use crate::model::{OutputFormat, Protocol, ReasoningDisplay, Request, ThinkingBudget};
use crate::request::openai_tools::{write_tool_choice, write_tools};
use crate::request::report::Written;
use crate::request::rules::Feature;
use crate::request::shared_fields::{
    verbosity_name, write_end_user, write_leftovers, write_sampling, write_schema,
};
use crate::request::target::{Options, Target, WrittenRequest};
use crate::request::writing::Writing;

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
    let rest = write_instructions(&mut writing)?;
    write_input(&mut writing, rest)?;
    if !target.is_count {
        write_answer_controls(&mut writing)?;
    }
    write_controls(&mut writing)?;
    let Writing { json, report, .. } = &mut writing;
    write_leftovers(json, request, target, report)?;
    json.end_object();
    Ok(writing.finish())
}

/// Writes the members that a request for counting tokens does not have.
fn write_answer_controls(writing: &mut Writing<'_, '_>) -> Written {
    let is_same_protocol = writing.is_same_protocol();
    let Writing { request, target, json, report, .. } = writing;
    if let Some(limit) = request.max_tokens {
        json.integer_member("max_output_tokens", limit);
    }
    if let Some(stream) = request.stream {
        json.flag_member("stream", true);
        if let Some(is_padded) = stream.include_obfuscation {
            json.name("stream_options");
            json.begin_object();
            json.flag_member("include_obfuscation", is_padded);
            json.end_object();
        }
    }
    let sampling = &request.sampling;
    let has_logprobs = sampling.logprobs == Some(true);
    if !is_same_protocol {
        json.flag_member("store", false);
        json.name("include");
        json.begin_list();
        json.string("reasoning.encrypted_content");
        if has_logprobs {
            json.string("message.output_text.logprobs");
        }
        json.end_list();
    }
    if has_logprobs || sampling.top_logprobs.is_some() {
        json.integer_member("top_logprobs", sampling.top_logprobs.unwrap_or_default());
    }
    if sampling.count.is_some_and(|count| count > 1) {
        report.carries(Feature::Count)?;
    }
    if !request.stop.is_empty() {
        report.carries(Feature::Stop)?;
    }
    write_end_user(json, request, target, report)?;
    write_sampling(json, request, target, report)
}

fn write_controls(writing: &mut Writing<'_, '_>) -> Written {
    let Writing { request, json, report, .. } = writing;
    if request.cache.is_some() {
        report.carries(Feature::LastCacheBreakpoint)?;
    }
    if request.reasoning.budget == Some(ThinkingBudget::BetweenTools) {
        report.carries(Feature::ThinkingBetweenTools)?;
    }
    let effort = request.reasoning.effort_in_words();
    let summary = summary(request);
    if effort.is_some() || summary.is_some() {
        json.name("reasoning");
        json.begin_object();
        if let Some(effort) = effort {
            json.member("effort", effort.name());
        }
        if let Some(summary) = summary {
            json.member("summary", summary);
        }
        json.end_object();
    }
    if request.output_format == OutputFormat::Text && request.verbosity.is_none() {
        return Ok(());
    }
    json.name("text");
    json.begin_object();
    match &request.output_format {
        OutputFormat::Text => {}
        OutputFormat::JsonObject => json.raw_member("format", r#"{"type":"json_object"}"#),
        OutputFormat::JsonSchema(schema) => {
            json.name("format");
            json.begin_typed("json_schema");
            write_schema(json, schema);
            json.end_object();
        }
    }
    if let Some(verbosity) = request.verbosity {
        json.member("verbosity", verbosity_name(verbosity));
    }
    json.end_object();
    Ok(())
}

/// Returns the summary to ask for: callers of Messages that switch thinking on expect to see it.
fn summary(request: &Request<'_>) -> Option<&'static str> {
    match request.reasoning.display {
        Some(ReasoningDisplay::Hidden) => None,
        Some(ReasoningDisplay::Summary) => Some("auto"),
        Some(ReasoningDisplay::Concise) => Some("concise"),
        Some(ReasoningDisplay::Detailed) => Some("detailed"),
        None => request.reasoning.is_shown_by_default(Protocol::Messages).then_some("auto"),
    }
}

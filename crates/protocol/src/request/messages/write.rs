//! Writer of the body.

use super::blocks::{block_plan, write_block, write_breakpoint};
use super::thinking::{plan_thinking, write_output_config, write_thinking};
use super::tools::{write_tool_choice, write_tools};
use super::turns::write_turns;
use crate::model::{OutputFormat, PartKind, Request, Role};
use crate::request::names::fit_end_user;
use crate::request::report::Written;
use crate::request::rules::Feature;
use crate::request::shared_fields::{write_leftovers, write_sampling, write_stop};
use crate::request::target::{Options, Target, WrittenRequest};
use crate::request::writing::Writing;

/// Longest id of an end user (Anthropic API reference, `metadata.user_id`).
const MAX_END_USER: usize = 256;

pub(in crate::request) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    options: &Options<'_>,
) -> Written<WrittenRequest> {
    let mut writing = Writing::new(request, target, options)?;
    writing.json.begin_object();
    writing.write_model();
    let thinking = plan_thinking(&mut writing)?;
    if !target.is_count {
        let limit = request.max_tokens.unwrap_or(target.default_max_tokens);
        writing.json.integer_member("max_tokens", limit.saturating_add(thinking.added_tokens));
    }
    write_thinking(&mut writing, &thinking);
    write_tools(&mut writing);
    write_tool_choice(&mut writing);
    write_system(&mut writing)?;
    write_turns(&mut writing)?;
    write_output_config(&mut writing, &thinking)?;
    if !target.is_count {
        write_answer_controls(&mut writing)?;
    }
    write_lost_controls(&mut writing)?;
    let Writing { json, report, .. } = &mut writing;
    write_leftovers(json, request, target, report)?;
    json.end_object();
    Ok(writing.finish())
}

/// Writes the members that a request for counting tokens does not have.
fn write_answer_controls(writing: &mut Writing<'_, '_>) -> Written {
    let Writing { request, target, json, report, .. } = writing;
    if let Some(stream) = request.stream {
        json.flag_member("stream", true);
        if stream.include_obfuscation.is_some() {
            report.carries(Feature::Obfuscation)?;
        }
    }
    write_stop(json, "stop_sequences", request, target, report)?;
    if let Some(end_user) = &request.end_user {
        json.name("metadata");
        json.begin_object();
        json.member("user_id", &fit_end_user(end_user, MAX_END_USER));
        json.end_object();
    }
    write_sampling(json, request, target, report)
}

/// Decides on the controls that the protocol lacks.
fn write_lost_controls(writing: &mut Writing<'_, '_>) -> Written {
    let request = writing.request;
    if let Some(cache) = request.cache {
        let place = crate::model::Place::ROOT;
        if let Some(cache) = writing.breakpoint(Some(cache), place) {
            write_breakpoint(&mut writing.json, cache);
        }
    }
    let sampling = &request.sampling;
    let lost = [
        (Feature::Count, sampling.count.is_some_and(|count| count > 1)),
        (
            Feature::Logprobs,
            sampling.logprobs == Some(true) || sampling.top_logprobs.is_some_and(|count| count > 0),
        ),
        (Feature::Verbosity, request.verbosity.is_some()),
        (Feature::JsonObject, request.output_format == OutputFormat::JsonObject),
    ];
    for (feature, is_used) in lost {
        if is_used {
            writing.report.carries(feature)?;
        }
    }
    Ok(())
}

/// Writes `system`: a string if it is one plain text.
fn write_system(writing: &mut Writing<'_, '_>) -> Written {
    let mut blocks = Vec::new();
    for located in &writing.request.system {
        if block_plan(writing, &located.part, located.place, Role::System)? {
            blocks.push(located);
        }
    }
    match blocks.as_slice() {
        [] => {}
        [located] if located.part.cache.is_none() => {
            if let PartKind::Text { text, .. } = &located.part.kind {
                writing.json.member("system", text);
            }
        }
        _ => {
            writing.json.name("system");
            writing.json.begin_list();
            for located in blocks {
                write_block(writing, &located.part, located.place);
            }
            writing.json.end_list();
        }
    }
    Ok(())
}

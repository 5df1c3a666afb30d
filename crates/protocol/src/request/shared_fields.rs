//! Fields that several protocols share.

use std::borrow::Cow;

use super::effort::EFFORTS;
use super::invalid::InvalidRequest;
use super::json_writer::JsonWriter;
use super::names::fit_end_user;
use super::object::{Object, Reading, is_same};
use super::report::{Report, Written};
use super::rules::{Feature, Loss, Scope};
use super::target::{EndUserField, Target};
use crate::model::{
    CacheBreakpoint, CacheLifetime, Effort, JsonSchema, Protocol, Request, Sampling, StreamOptions,
    Verbosity,
};

/// Longest id of an end user (OpenAI API reference, `safety_identifier`).
const MAX_END_USER: usize = 64;
/// Name of a schema that has none at the caller.
const DEFAULT_SCHEMA_NAME: &str = "answer";

const VERBOSITIES: [(&str, Verbosity); 3] =
    [("low", Verbosity::Low), ("medium", Verbosity::Medium), ("high", Verbosity::High)];

/// Reads `prompt_cache_breakpoint` (OpenAI guide, "Prompt caching").
pub(super) fn read_breakpoint<'a>(
    part: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Option<CacheBreakpoint>, InvalidRequest> {
    let Some(mut breakpoint) = part.object("prompt_cache_breakpoint")? else { return Ok(None) };
    breakpoint.ignore("mode");
    let words = [("30m", CacheLifetime::FiveMinutes), ("12h", CacheLifetime::OneHour)];
    let lifetime = breakpoint.word("ttl", &words, "30m or 12h")?.unwrap_or_default();
    reading.leave(breakpoint, Scope::Other);
    Ok(Some(CacheBreakpoint { lifetime }))
}

/// Writes `prompt_cache_breakpoint`.
pub(super) fn write_breakpoint(json: &mut JsonWriter, breakpoint: CacheBreakpoint) {
    let lifetime = match breakpoint.lifetime {
        CacheLifetime::FiveMinutes => "30m",
        CacheLifetime::OneHour => "12h",
    };
    json.name("prompt_cache_breakpoint");
    json.begin_object();
    json.member("mode", "explicit");
    json.member("ttl", lifetime);
    json.end_object();
}

/// Reads the members of a JSON schema's format.
pub(super) fn read_schema<'a>(format: &mut Object<'a>) -> Result<JsonSchema<'a>, InvalidRequest> {
    Ok(JsonSchema {
        name: format.text("name")?,
        description: format.text("description")?,
        schema: format.raw_object("schema")?,
        is_strict: format.flag("strict")?,
    })
}

/// Writes the members of a JSON schema's format. A schema of Messages is always strict.
pub(super) fn write_schema(json: &mut JsonWriter, schema: &JsonSchema<'_>) {
    json.member("name", schema.name.as_deref().unwrap_or(DEFAULT_SCHEMA_NAME));
    if let Some(description) = &schema.description {
        json.member("description", description);
    }
    if let Some(schema) = schema.schema {
        json.raw_member("schema", schema);
    }
    if let Some(is_strict) = schema.is_strict {
        json.flag_member("strict", is_strict);
    }
}

pub(super) fn read_effort(
    object: &mut Object<'_>,
    name: &str,
) -> Result<Option<Effort>, InvalidRequest> {
    object.word(name, &EFFORTS, "none, minimal, low, medium, high, xhigh or max")
}

pub(super) fn read_verbosity(object: &mut Object<'_>) -> Result<Option<Verbosity>, InvalidRequest> {
    object.word("verbosity", &VERBOSITIES, "low, medium or high")
}

pub(super) fn verbosity_name(verbosity: Verbosity) -> &'static str {
    VERBOSITIES[verbosity as usize].0
}

/// Reads `stream` and `stream_options`.
pub(super) fn read_stream<'a>(
    body: &mut Object<'a>,
    reading: &mut Reading<'a>,
) -> Result<Option<StreamOptions>, InvalidRequest> {
    let is_stream = body.flag("stream")?.unwrap_or_default();
    let mut stream = StreamOptions::default();
    if let Some(mut options) = body.object("stream_options")? {
        stream.include_usage = options.flag("include_usage")?;
        stream.include_obfuscation = options.flag("include_obfuscation")?;
        reading.leave(options, Scope::Other);
    }
    Ok(is_stream.then_some(stream))
}

/// Reads the end user: `safety_identifier`, or the older `user`.
pub(super) fn read_end_user<'a>(
    body: &mut Object<'a>,
) -> Result<Option<Cow<'a, str>>, InvalidRequest> {
    let user = body.text("user")?;
    Ok(body.text("safety_identifier")?.or(user))
}

pub(super) fn write_end_user(
    json: &mut JsonWriter,
    request: &Request<'_>,
    target: &Target<'_>,
    report: &mut Report<'_>,
) -> Written {
    let Some(end_user) = &request.end_user else { return Ok(()) };
    let name = match target.end_user_field {
        EndUserField::SafetyIdentifier => "safety_identifier",
        EndUserField::User => "user",
        EndUserField::None => return report.lose(Feature::EndUser, Loss::Shed),
    };
    json.member(name, &fit_end_user(end_user, MAX_END_USER));
    Ok(())
}

/// Writes the members of the body that the model has no place for.
pub(super) fn write_leftovers(
    json: &mut JsonWriter,
    request: &Request<'_>,
    target: &Target<'_>,
    report: &mut Report<'_>,
) -> Written {
    for leftover in &request.leftovers {
        let is_of_body = leftover.place.path_to("").is_empty();
        let carried_to = leftover.rule.map_or(&[][..], |rule| rule.carried_to);
        let is_carried =
            request.protocol == target.protocol || carried_to.contains(&target.protocol);
        if is_of_body && is_carried {
            json.raw_member(&leftover.name, leftover.raw);
        } else {
            report.lose_leftover(leftover)?;
        }
    }
    Ok(())
}

/// Writes the stop sequences, as many as the target takes if the route permits the loss of others.
pub(super) fn write_stop(
    json: &mut JsonWriter,
    name: &str,
    request: &Request<'_>,
    target: &Target<'_>,
    report: &mut Report<'_>,
) -> Written {
    if request.stop.is_empty() {
        return Ok(());
    }
    let limit = target.max_stop_sequences.unwrap_or(usize::MAX);
    if request.stop.len() > limit {
        report.lose(Feature::Stop, Loss::Refuse)?;
    }
    json.name(name);
    json.begin_list();
    request.stop.iter().take(limit).for_each(|text| json.string(text));
    json.end_list();
    Ok(())
}

/// Writes the members of [`Sampling`] that are plain numbers.
pub(super) fn write_sampling(
    json: &mut JsonWriter,
    request: &Request<'_>,
    target: &Target<'_>,
    report: &mut Report<'_>,
) -> Written {
    let sampling = &request.sampling;
    let controls = [
        (Feature::Temperature, "temperature", sampling.temperature),
        (Feature::TopP, "top_p", sampling.top_p),
        (Feature::TopK, "top_k", sampling.top_k),
        (Feature::PresencePenalty, "presence_penalty", sampling.presence_penalty),
        (Feature::FrequencyPenalty, "frequency_penalty", sampling.frequency_penalty),
        (Feature::Seed, "seed", sampling.seed),
        (Feature::LogitBias, "logit_bias", sampling.logit_bias),
    ];
    for (feature, name, raw) in controls {
        let Some(raw) = raw else { continue };
        if feature == Feature::LogitBias && is_same(raw, "{}") {
            continue;
        }
        let is_distribution =
            matches!(feature, Feature::Temperature | Feature::TopP | Feature::TopK);
        let is_too_hot = feature == Feature::Temperature
            && target.protocol == Protocol::Messages
            && raw.parse::<f64>().is_ok_and(|temperature| temperature > 1.0);
        if is_distribution && !target.accepts_sampling || is_too_hot {
            report.lose(feature, Loss::Sampling)?;
        } else if feature == Feature::TopK && request.protocol == target.protocol
            || report.carries(feature)?
        {
            json.raw_member(name, raw);
        }
    }
    Ok(())
}

/// Reads the members of [`Sampling`] that are plain numbers.
pub(super) fn read_sampling<'a>(body: &mut Object<'a>) -> Result<Sampling<'a>, InvalidRequest> {
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        ..Sampling::default()
    })
}

//! Spans of a request and its attempts.

use std::time::Duration;

use civil_time::Timestamp;
use openai::TokenSource;
use serde::Serialize;

use crate::record::{ABANDONED, ANSWERED, Attempt, AttemptKind, HEDGED_OUT, Outcome, Record};

use super::TraceContext;
use super::attributes::{Attributes, InstrumentationScope, Resource, SCOPE, nanoseconds, truncate};

/// `SPAN_KIND_SERVER`
const SPAN_KIND_SERVER: u8 = 2;
/// `SPAN_KIND_CLIENT`
const SPAN_KIND_CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`
const STATUS_CODE_ERROR: u8 = 2;
/// Sampled, and whether the parent is remote is known.
const SPAN_FLAGS: u32 = 0x101;
/// The parent is remote.
const FLAG_PARENT_REMOTE: u32 = 0x200;
/// Operations of the semantic conventions for generative AI.
const KNOWN_OPERATIONS: [&str; 3] = ["chat", "text_completion", "embeddings"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    flags: u32,
    name: String,
    kind: u8,
    #[serde(serialize_with = "nanoseconds")]
    start_time_unix_nano: Timestamp,
    #[serde(serialize_with = "nanoseconds")]
    end_time_unix_nano: Timestamp,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

/// Body of a call to `/v1/traces`: one span per request, and below it one per attempt. `host`
/// returns the host of a provider.
pub(crate) fn traces_body<'r>(
    service: &str,
    requests: impl IntoIterator<Item = (&'r TraceContext, &'r Record)>,
    host: impl Fn(&str) -> Option<String>,
) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        resource_spans: [ResourceSpans<'a>; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ResourceSpans<'a> {
        resource: Resource,
        scope_spans: [ScopeSpans<'a>; 1],
    }
    #[derive(Serialize)]
    struct ScopeSpans<'a> {
        scope: InstrumentationScope,
        spans: Vec<Span<'a>>,
    }
    let mut spans = Vec::new();
    for (trace, record) in requests {
        spans.push(request_span(trace, record));
        for (number, one) in record.attempts.iter().enumerate() {
            spans.push(attempt_span(trace, record, number, one, &host));
        }
    }
    let scope_spans = [ScopeSpans { scope: SCOPE, spans }];
    let resource = Resource::new(service);
    let body = Body { resource_spans: [ResourceSpans { resource, scope_spans }] };
    serde_json::to_vec(&body).expect("strings and numbers always serialize")
}

fn request_span<'a>(trace: &'a TraceContext, record: &Record) -> Span<'a> {
    let mut attributes = Attributes::default();
    let (provider, model) = split_target(record.target.as_deref());
    attributes.push_text("gen_ai.operation.name", known_operation(record));
    attributes.push_text("gen_ai.request.model", record.model.as_deref());
    attributes.push_text("gen_ai.response.model", model);
    attributes.push_text("gen_ai.provider.name", provider);
    let tokens = record.tokens;
    let (is_counted, counted) = match tokens.counted {
        TokenSource::None => (false, None),
        TokenSource::Reported => (true, Some("reported")),
        TokenSource::Estimated => (true, Some("estimated")),
    };
    let some = |tokens: u64| Some(tokens).filter(|_| is_counted);
    let above_zero = |tokens: u64| Some(tokens).filter(|tokens| *tokens > 0);
    attributes.push_count("gen_ai.usage.input_tokens", some(tokens.input));
    attributes.push_count("gen_ai.usage.output_tokens", some(tokens.output));
    attributes.push_number(
        "gen_ai.server.time_to_first_token",
        record.first_token_ms.map(seconds_in_billionths),
    );
    attributes.push_count("http.response.status_code", record.status.map(u64::from));
    attributes.push_text("error.type", error_type(record));
    attributes.push_text("serin.request_id", &*record.id);
    attributes.push_text("serin.route", record.route.as_deref());
    attributes.push_text("serin.consumer", record.consumer.as_deref());
    attributes.push_text("serin.group", record.group.as_deref());
    attributes.push_flag("serin.stream", record.stream);
    attributes.push_text("serin.outcome", record.outcome.name());
    attributes.push_count("serin.attempts", record.attempts.len() as u64);
    attributes.push_flag("serin.continued", record.continued);
    attributes.push_text("serin.cache", record.cache);
    attributes.push_text("serin.limited_by", record.limited_by.as_deref());
    attributes.push_text("serin.blocked_by", record.blocked_by.as_deref());
    attributes.push_text("serin.tokens.counted", counted);
    attributes.push_count("serin.tokens.cached", above_zero(tokens.cached));
    attributes.push_count("serin.tokens.cache_write", above_zero(tokens.cache_write));
    attributes.push_count("serin.tokens.reasoning", above_zero(tokens.reasoning));
    let cost = record.cost_usd.map(|cost| (cost * 1e9).round() as u64);
    attributes.push_number("serin.cost_usd", cost);
    let model = record.model.as_deref().filter(|_| record.route.is_some());
    let begins = Timestamp::from_millis(record.at_ms);
    Span {
        trace_id: format!("{:032x}", trace.trace_id),
        span_id: format!("{:016x}", trace.span_id),
        parent_span_id: trace.parent_span_id.map(|parent| format!("{parent:016x}")),
        trace_state: trace.state(),
        flags: if trace.parent_span_id.is_some() {
            SPAN_FLAGS | FLAG_PARENT_REMOTE
        } else {
            SPAN_FLAGS
        },
        name: span_name(record, model),
        kind: SPAN_KIND_SERVER,
        start_time_unix_nano: begins,
        end_time_unix_nano: begins + Duration::from_millis(record.total_ms),
        attributes,
        status: is_failure(record.outcome).then_some(Status { code: STATUS_CODE_ERROR }),
    }
}

fn attempt_span<'a>(
    trace: &'a TraceContext,
    record: &Record,
    number: usize,
    attempt: &Attempt,
    host: impl Fn(&str) -> Option<String>,
) -> Span<'a> {
    let mut attributes = Attributes::default();
    let (provider, model) = split_target(Some(&attempt.target));
    let is_error = !matches!(attempt.result, ANSWERED | ABANDONED | HEDGED_OUT);
    attributes.push_text("gen_ai.operation.name", known_operation(record));
    attributes.push_text("gen_ai.request.model", model);
    attributes.push_text("gen_ai.provider.name", provider);
    attributes.push_text("server.address", provider.and_then(host).as_deref());
    attributes.push_count("http.response.status_code", attempt.status.map(u64::from));
    attributes.push_text("error.type", Some(attempt.result).filter(|_| is_error));
    attributes.push_text("serin.target", &*attempt.target);
    attributes.push_text("serin.result", attempt.result);
    attributes.push_text(
        "serin.part",
        match attempt.kind {
            AttemptKind::Primary => "whole",
            AttemptKind::Hedge => "hedge",
            AttemptKind::Continuation => "rest",
        },
    );
    attributes.push_count("serin.key", attempt.key.map(|key| key as u64));
    Span {
        trace_id: format!("{:032x}", trace.trace_id),
        span_id: format!("{:016x}", trace.attempt_span_id(number)),
        parent_span_id: Some(format!("{:016x}", trace.span_id)),
        trace_state: trace.state(),
        flags: SPAN_FLAGS,
        name: span_name(record, model),
        kind: SPAN_KIND_CLIENT,
        start_time_unix_nano: attempt.began,
        end_time_unix_nano: attempt.began + Duration::from_millis(attempt.ms),
        attributes,
        status: is_error.then_some(Status { code: STATUS_CODE_ERROR }),
    }
}

/// Provider and model of a target.
pub(super) fn split_target(target: Option<&str>) -> (Option<&str>, Option<&str>) {
    target.and_then(|target| target.split_once('/')).unzip()
}

/// Name of the operation, if the semantic conventions have one.
pub(super) fn known_operation(record: &Record) -> Option<&'static str> {
    record.operation.filter(|operation| KNOWN_OPERATIONS.contains(operation))
}

/// Reason for a missing or incomplete answer, from a fixed set.
pub(super) fn error_type(record: &Record) -> Option<&'static str> {
    record.error.or_else(|| is_failure(record.outcome).then(|| record.outcome.name()))
}

fn is_failure(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failed | Outcome::Truncated => true,
        Outcome::HungUp | Outcome::Answered | Outcome::Refused | Outcome::Blocked => false,
    }
}

/// For example `chat gpt-4o`. A model that no route serves is omitted: it may be any text.
fn span_name(record: &Record, model: Option<&str>) -> String {
    let operation = record.operation.unwrap_or("request");
    model.map_or_else(|| operation.to_owned(), |model| format!("{operation} {}", truncate(model)))
}

/// Seconds in billionths, from milliseconds.
pub(super) fn seconds_in_billionths(millis: u64) -> u64 {
    millis.saturating_mul(1_000_000)
}

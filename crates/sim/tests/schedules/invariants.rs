//! Invariants of every run.
//!
//! The scripts are the oracle: they define the bytes that an upstream sends for each call.

use std::time::Duration;

use serde_json::Value;
use sim::scenario::Transcript;
use sim::upstream::{Call, LineEnding, PlannedResponse, ProviderRequest, ResponsePlan, Script};
use sim::world::{HangUp, Received};

use super::Outcome;
use super::generate::{APP_KEY, Caller, Schedule, UPSTREAM_KEY, name};

/// Tolerance of the total timeout: clocks count whole milliseconds.
const TOLERANCE: Duration = Duration::from_millis(10);
/// Longest deferred work after the last request.
const LINGER: Duration = Duration::from_secs(2);

/// Checks all invariants. The error names the violated one.
pub(crate) fn check_invariants(schedule: &Schedule, outcome: &Outcome) -> Result<(), String> {
    ensure(outcome.open_calls == 0, || {
        format!("{} upstream calls have not ended", outcome.open_calls)
    })?;
    let latest = schedule.callers.iter().map(|caller| caller.arrives).max().unwrap_or_default();
    ensure(outcome.took <= latest + schedule.total + LINGER, || {
        format!("the world took {:?}", outcome.took)
    })?;
    ensure(outcome.records.len() == schedule.callers.len(), || {
        format!("{} requests wrote {} records", schedule.callers.len(), outcome.records.len())
    })?;
    for (upstream, calls) in &outcome.calls {
        for call in calls {
            ensure(!format!("{:?}{:?}", call.headers, call.body).contains(APP_KEY), || {
                format!("{upstream} received the caller's key")
            })?;
        }
    }
    ensure(!format!("{:?}", outcome.records).contains(UPSTREAM_KEY), || {
        "a record contains a provider key".to_owned()
    })?;
    ensure(!format!("{:?}", outcome.records).contains(APP_KEY), || {
        "a record contains a caller's key".to_owned()
    })?;
    for (index, caller) in schedule.callers.iter().enumerate() {
        let received = &outcome.received[index];
        request(schedule, outcome, index, caller, received)
            .map_err(|violation| format!("caller {index}: {violation}"))?;
    }
    Ok(())
}

fn request(
    schedule: &Schedule,
    outcome: &Outcome,
    index: usize,
    caller: &Caller,
    received: &Received,
) -> Result<(), String> {
    let records: Vec<&Value> =
        outcome.records.iter().filter(|record| record["id"] == name(index).as_str()).collect();
    let [record] = records[..] else { return Err(format!("{} records", records.len())) };
    let calls = calls_of(outcome, index);
    let attempts = record["attempts"].as_array().map_or(0, Vec::len);
    // An attempt during a hang-up has no result in the record.
    let has_left = !received.is_whole && received.broken.is_none();
    let closed = calls_to_closed(record);
    ensure(
        calls.len() + closed == attempts || (has_left && calls.len() + closed == attempts + 1),
        || format!("{} calls but {attempts} attempts in the record", calls.len()),
    )?;
    ensure(attempts <= schedule.max_attempts, || {
        format!("{attempts} attempts exceed the bound of {}", schedule.max_attempts)
    })?;
    ensure(received.broken.is_none(), || format!("the body broke off: {:?}", received.broken))?;
    ensure(received.took <= schedule.total + TOLERANCE, || {
        format!("it took {:?} of {:?}", received.took, schedule.total)
    })?;
    ensure(
        has_left == (record["outcome"] == "hung_up") || caller.hang_up != HangUp::Never,
        || format!("the record has outcome {}, but hung up is {has_left}", record["outcome"]),
    )?;
    let Some((status, headers)) = &received.head else {
        return ensure(has_left, || "there is no head".to_owned());
    };
    let shown = format!("{headers:?}{:?}", received.body());
    ensure(!shown.contains(UPSTREAM_KEY), || "the response contains a provider key".to_owned())?;
    ensure(headers["x-request-id"] == name(index).as_str(), || {
        "the request has another id".to_owned()
    })?;
    ensure(record["status"] == status.as_u16(), || {
        format!("status {status} is recorded as {}", record["status"])
    })?;
    if !caller.has_key {
        return ensure(*status == 401 && calls.is_empty(), || {
            format!("status {status} without a valid key")
        });
    }
    // Continuations begin after the head has been sent.
    let all = record["attempts"].as_array().into_iter().flatten();
    let before = all.filter(|attempt| attempt["part"] != "rest").count();
    ensure(headers["x-serin-attempts"] == before.to_string().as_str(), || {
        format!("{:?} attempts in the header, {before} in the record", headers["x-serin-attempts"])
    })?;
    match (record["target"].as_str(), status.as_u16()) {
        (None, 429 | 502..=504) => gateways_error(status.as_u16(), headers, received),
        (Some(target), 200 | 400..=499) => {
            let (upstream, _) = target.split_once('/').ok_or("a target without a slash")?;
            let last = calls
                .iter()
                .rfind(|(name, ..)| *name == upstream)
                .ok_or("the target was never called")?;
            if record["continued"] == true {
                return continued(schedule, &calls, received, record, *last);
            }
            answer(schedule, caller, received, record, *last)
        }
        (target, status) => Err(format!("status {status} from {target:?}")),
    }
}

/// Calls for a caller: upstream, index, and call.
fn calls_of(outcome: &Outcome, index: usize) -> Vec<(&str, usize, &Call)> {
    let marker = format!("\"user\":\"{}\"", name(index));
    let is_its = |call: &Call| String::from_utf8_lossy(&call.body).contains(&marker);
    let all = outcome.calls.iter().flat_map(|(upstream, calls)| {
        calls.iter().enumerate().map(move |(at, call)| (upstream.as_str(), at, call))
    });
    all.filter(|(.., call)| is_its(call)).collect()
}

/// Counts the attempts at the closed base URL, which has no list of calls.
fn calls_to_closed(record: &Value) -> usize {
    let detail = |attempt: &&Value| {
        attempt["detail"].as_str().is_some_and(|detail| detail.contains("127.0.0.1:9/"))
    };
    record["attempts"].as_array().into_iter().flatten().filter(detail).count()
}

fn gateways_error(
    status: u16,
    headers: &http::HeaderMap,
    received: &Received,
) -> Result<(), String> {
    let error = Transcript::parse("application/json", &received.body()).error_code;
    let expected = match status {
        429 => "upstream_rate_limited",
        502 => "upstream_error",
        503 => "no_healthy_upstream",
        _ => "upstream_timeout",
    };
    let is_cut = !received.is_whole;
    ensure(is_cut || error.as_deref() == Some(expected), || {
        format!("status {status} with code {error:?}")
    })?;
    ensure(!matches!(status, 429 | 503) || headers.contains_key("retry-after"), || {
        format!("{status} without retry-after")
    })
}

fn answer(
    schedule: &Schedule,
    caller: &Caller,
    received: &Received,
    record: &Value,
    (upstream, at, call): (&str, usize, &Call),
) -> Result<(), String> {
    let script = schedule.script(upstream, at);
    let Ok(ResponsePlan::Respond(sent)) =
        script.plan(&ProviderRequest::parse(&call.path, &call.body))
    else {
        return Err(format!("an answer from a call that had none: {script:?}"));
    };
    let is_success = sent.status.is_success();
    let mut attempts = record["attempts"].as_array().into_iter().flatten();
    if attempts.any(|attempt| attempt["result"] == "answered" && attempt.get("converted").is_some())
    {
        return converted(caller, received, script, &sent);
    }
    ensure(record["status"] == sent.status.as_u16(), || {
        format!("{} became {}", sent.status, record["status"])
    })?;
    if is_success && caller.stream {
        return stream(caller, received, record, script, &sent);
    }
    ensure(sent.ends(), || "an answer that broke off was passed on".to_owned())?;
    ensure(!received.is_whole || received.body() == sent.bytes(), || {
        "the body is not what the upstream sent".to_owned()
    })?;
    ensure(sent.bytes().starts_with(&received.body()), || {
        "the body is not what the upstream sent".to_owned()
    })
}

/// Checks an answer in another wrapping than the upstream's: the caller's own, with the same text.
fn converted(
    caller: &Caller,
    received: &Received,
    script: &Script,
    sent: &PlannedResponse,
) -> Result<(), String> {
    ensure(sent.ends(), || "an answer that broke off was passed on".to_owned())?;
    let content_type = if caller.stream { "text/event-stream" } else { "application/json" };
    let head = received.head.as_ref().ok_or("no head")?;
    ensure(head.1["content-type"] == content_type, || format!("{:?} is converted", head.1))?;
    let sent_type = if caller.stream { "application/json" } else { "text/event-stream" };
    let original = Transcript::parse(sent_type, &sent.bytes());
    let transcript = Transcript::parse(content_type, &received.body());
    let answer = script.answer.as_deref().unwrap_or_default();
    ensure(original.text == answer && answer.starts_with(&transcript.text), || {
        format!("{:?} is not a prefix of {answer:?}", transcript.text)
    })?;
    ensure(!received.is_whole || transcript.text == answer, || {
        format!("{answer:?} became {:?}", transcript.text)
    })?;
    ensure(!received.is_whole || transcript.finish_reasons == original.finish_reasons, || {
        format!("{:?} became {:?}", original.finish_reasons, transcript.finish_reasons)
    })?;
    ensure(!received.is_whole || !caller.stream || transcript.contains_done(), || {
        "a stream without [DONE]".to_owned()
    })
}

/// Checks that a stream is a prefix of the upstream's events, then at most one error.
fn stream(
    caller: &Caller,
    received: &Received,
    record: &Value,
    script: &Script,
    sent: &PlannedResponse,
) -> Result<(), String> {
    let events = events(script, sent);
    let sent_done = events.iter().any(|event| event.contains("data: [DONE]"));
    let shown = events
        .iter()
        .filter(|event| caller.wants_usage || !event.contains(r#""choices":[],"usage":{"#))
        .map(|event| match caller.wants_usage {
            true => event.clone(),
            false => event.replace(r#","usage":null}"#, "}"),
        });
    let body = String::from_utf8(received.body().to_vec()).map_err(|_| "the body is not UTF-8")?;
    let is_crlf = script.line_ending == LineEnding::Crlf;
    let unified_body = if is_crlf { unified(&body) } else { body.clone() };
    let mut rest = unified_body.as_str();
    for event in shown {
        match rest.strip_prefix(event.as_str()) {
            Some(left) if is_crlf => rest = left.strip_prefix('\n').unwrap_or(left),
            Some(left) => rest = left,
            None => break,
        }
    }
    let transcript = Transcript::parse("text/event-stream", body.as_bytes());
    ensure(!transcript.contains_done() || sent_done, || "[DONE] that no upstream sent".to_owned())?;
    let sent_finish = events.iter().any(|event| event.contains(r#""finish_reason":"stop""#));
    ensure(transcript.finish_reasons.is_empty() || sent_finish, || {
        "finish_reason that no upstream sent".to_owned()
    })?;
    let is_json = |data: &String| serde_json::from_str::<Value>(data).is_ok();
    ensure(transcript.events.iter().all(|data| data == "[DONE]" || is_json(data)), || {
        "an event that is not JSON reached the caller".to_owned()
    })?;
    let own = Transcript::parse("text/event-stream", rest.as_bytes());
    let is_own_error =
        own.events.len() == 1 && own.remainder.is_empty() && own.error_code.is_some();
    ensure(rest.is_empty() || is_own_error, || {
        format!("{rest:?} is neither the upstream's nor an error; sent {events:?}")
    })?;
    ensure(!is_own_error || !transcript.contains_done(), || "an error after [DONE]".to_owned())?;
    let has_content = !transcript.text.is_empty()
        || !transcript.finish_reasons.is_empty()
        || body.contains("reasoning_content");
    ensure(!is_own_error || has_content, || {
        "a failure before the first content reached the caller".to_owned()
    })?;
    if !received.is_whole {
        return Ok(());
    }
    let failed = transcript.error_code.is_some();
    let is_complete = transcript.contains_done() || !transcript.finish_reasons.is_empty();
    ensure(failed || is_complete, || {
        format!("the stream ends without [DONE], finish_reason, or an error: {body:?}")
    })?;
    ensure(failed == (record["outcome"] == "truncated"), || {
        format!("{} with {body:?}", record["outcome"])
    })?;
    let answer = script.answer.as_deref().unwrap_or_default();
    ensure(answer.starts_with(&transcript.text), || {
        format!("{:?} is not a prefix of the script", transcript.text)
    })?;
    ensure(failed || transcript.text == answer, || {
        format!("{answer:?} became {:?}", transcript.text)
    })
}

/// Checks a continued stream: a prefix of the first answer, then the second answer, with one role and the end
/// of the second.
fn continued(
    schedule: &Schedule,
    calls: &[(&str, usize, &Call)],
    received: &Received,
    record: &Value,
    (upstream, at, _): (&str, usize, &Call),
) -> Result<(), String> {
    let attempts = record["attempts"].as_array().ok_or("no attempts")?;
    let rest = attempts
        .iter()
        .rfind(|attempt| attempt["part"] == "rest" && attempt["result"] == "answered")
        .ok_or("no continuation in the record")?;
    let target = rest["target"].as_str().and_then(|target| target.split_once('/'));
    let (other, _) = target.ok_or("a target without a slash")?;
    let (_, other_at, call) =
        calls.iter().rfind(|(name, ..)| *name == other).ok_or("no call for the continuation")?;
    let (first, second) = (schedule.script(upstream, at), schedule.script(other, *other_at));
    let Ok(ResponsePlan::Respond(sent)) =
        second.plan(&ProviderRequest::parse(&call.path, &call.body))
    else {
        return Err(format!("an answer from a call that had none: {second:?}"));
    };
    let events = events(second, &sent);
    let body = String::from_utf8(received.body().to_vec()).map_err(|_| "the body is not UTF-8")?;
    let transcript = Transcript::parse("text/event-stream", body.as_bytes());
    let texts = [first, second].map(|script| script.answer.clone().unwrap_or_default());
    let splits = transcript.text.char_indices().map(|(at, _)| at).chain([transcript.text.len()]);
    let failed = transcript.error_code.is_some();
    let is_whole = received.is_whole && !failed;
    let fits = |at: usize| {
        let (before, after) = transcript.text.split_at(at);
        let is_continuation =
            if is_whole { texts[1] == after } else { texts[1].starts_with(after) };
        texts[0].starts_with(before) && is_continuation
    };
    ensure(splits.into_iter().any(fits), || {
        format!("{:?} is not a part of {:?} and then {:?}", transcript.text, texts[0], texts[1])
    })?;
    ensure(body.matches(r#""role":"#).count() <= 1, || format!("two roles: {body}"))?;
    // One JSON object instead of a stream was turned into a whole stream.
    let is_converted = rest.get("converted").is_some();
    let sent_done = is_converted || events.iter().any(|event| event.contains("data: [DONE]"));
    let dones = transcript.events.iter().filter(|data| *data == "[DONE]").count();
    ensure(dones <= usize::from(sent_done), || "[DONE] that no upstream sent".to_owned())?;
    let sent_finish =
        is_converted || events.iter().any(|event| event.contains(r#""finish_reason":"stop""#));
    ensure(transcript.finish_reasons.len() <= usize::from(sent_finish), || {
        "finish_reason that no upstream sent".to_owned()
    })?;
    let is_json = |data: &String| serde_json::from_str::<Value>(data).is_ok();
    ensure(transcript.events.iter().all(|data| data == "[DONE]" || is_json(data)), || {
        "an event that is not JSON reached the caller".to_owned()
    })?;
    ensure(!failed || dones == 0, || "an error and [DONE]".to_owned())?;
    ensure(!received.is_whole || failed == (record["outcome"] == "truncated"), || {
        format!("{} with {body:?}", record["outcome"])
    })?;
    ensure(!is_whole || dones + transcript.finish_reasons.len() > 0, || {
        format!("the stream ends without [DONE], finish_reason, or an error: {body:?}")
    })
}

/// Splits a stream into its whole events, each with its end.
///
/// An event is whole at the CR of its blank line. If a CRLF is split, its LF belongs to the next event or to a
/// hidden one, which is the same stream for a reader. Therefore CRLF is compared as LF, and every other
/// stream byte for byte.
fn events(script: &Script, sent: &PlannedResponse) -> Vec<String> {
    let bytes = sent.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let (text, end) = match script.line_ending {
        LineEnding::Lf => (text.into_owned(), "\n\n"),
        LineEnding::Crlf => (unified(&text), "\n\n"),
        LineEnding::Cr => (text.into_owned(), "\r\r"),
    };
    text.split_inclusive(end).filter(|event| event.ends_with(end)).map(str::to_owned).collect()
}

fn unified(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

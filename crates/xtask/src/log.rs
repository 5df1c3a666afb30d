//! Log of the host in a terminal: one short line for each request instead of its whole record.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};

use serde_json::Value;

/// Format of request records on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One short line for each request.
    Short,
    /// Records as the host writes them.
    Json,
}

impl Format {
    /// Finds a format by the value of `--log`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "short" => Some(Self::Short),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Default format: `Short` for a terminal, `Json` for a file or a pipe.
    pub(crate) fn usual() -> Self {
        if std::io::stdout().is_terminal() { Self::Short } else { Self::Json }
    }
}

/// Copies a host's output with records and warnings shortened, until the host ends.
pub(crate) fn relay(output: impl Read, mut target: impl Write) {
    let mut reader = BufReader::new(output);
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
        let line = String::from_utf8_lossy(&bytes);
        if let Some(line) = shorten(line.trim_end()) {
            // Continues without a reader, because a full pipe would block the host.
            writeln!(target, "{line}").ok();
        }
        bytes.clear();
    }
}

/// Shortens one line of the host's output. `None` if the line is for programs only. Returns a line
/// that is not a record unchanged.
fn shorten(line: &str) -> Option<Cow<'_, str>> {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else {
        return Some(Cow::Borrowed(line));
    };
    if fields.contains_key("listening") {
        return None;
    }
    let event = Value::Object(fields);
    Some(match event["event"].as_str() {
        Some("request") => Cow::Owned(summary(&event)),
        Some("warning") => match event["message"].as_str() {
            Some(message) => Cow::Owned(format!("warning: {message}")),
            None => Cow::Borrowed(line),
        },
        Some("configuration") => Cow::Owned(format!("configuration: {}", in_force(&event))),
        _ => Cow::Borrowed(line),
    })
}

/// Describes the configuration that counts, by the admin API or by the event at the start of an instance.
pub(crate) fn in_force(status: &Value) -> String {
    let version = &status["version"];
    if status["source"] == "deployed" {
        return format!("the deployed document is in force (version {version})");
    }
    format!(
        "version {version}, put by {} at {}, is in force; the deployed document is not (config follow returns \
         to it)",
        status["created_by"].as_str().unwrap_or("-"),
        status["created_at"].as_str().unwrap_or("-")
    )
}

/// Formats a record, for example
/// `09:41:03Z 200 chat gpt-4o → openai 503, local 200 · 5 ms · 15 tokens`.
fn summary(record: &Value) -> String {
    let text = |field: &str| record[field].as_str();
    let status = record["status"].as_u64().map_or("---".to_owned(), |status| status.to_string());
    let mut line =
        format!("{} {status}", time_of_day(record["at_ms"].as_u64().unwrap_or_default()));
    for word in [text("route").or(text("operation")), text("model")].into_iter().flatten() {
        line = format!("{line} {word}");
    }
    for skipped in record["skipped"].as_array().into_iter().flatten() {
        let target = provider(skipped["target"].as_str().unwrap_or_default());
        let reason = skipped["reason"].as_str().unwrap_or_default().replace('_', " ");
        line += &format!(" ({target}: {reason})");
    }
    if let Some(limit) = text("limited_by") {
        line += &format!(" (over {limit})");
    }
    let attempts: Vec<String> =
        record["attempts"].as_array().into_iter().flatten().map(call).collect();
    let from_cache = (record["cache"] == "hit").then(|| "cache".to_owned());
    let source = from_cache.or_else(|| (!attempts.is_empty()).then(|| attempts.join(", ")));
    if let Some(source) = source {
        line += &format!(" → {source}");
    }
    for field in ["error", "blocked_by"] {
        if let Some(name) = text(field) {
            line += &format!(" · {} {name}", field.split('_').next().unwrap_or(field));
        }
    }
    if let Some(outcome @ ("truncated" | "hung_up")) = text("outcome") {
        line += &format!(" · {}", outcome.replace('_', " "));
    }
    line += &format!(" · {} ms", record["total_ms"].as_u64().unwrap_or_default());
    let tokens = &record["tokens"];
    let count = tokens["input"].as_u64().unwrap_or(0) + tokens["output"].as_u64().unwrap_or(0);
    if count > 0 {
        line += &format!(" · {count} tokens");
    }
    line
}

/// Formats one attempt: the provider's name, and the status of its response or the failure.
fn call(attempt: &Value) -> String {
    let name = provider(attempt["target"].as_str().unwrap_or_default());
    let result = attempt["result"].as_str().unwrap_or_default();
    match (attempt["status"].as_u64(), result) {
        (Some(status), "not_an_answer" | "compressed" | "hedged_out" | "abandoned") => {
            format!("{name} {status} {result}")
        }
        (Some(status), _) => format!("{name} {status}"),
        (None, result) => format!("{name} {result}"),
    }
}

fn provider(target: &str) -> &str {
    target.split('/').next().unwrap_or(target)
}

/// Formats the time of day in UTC.
fn time_of_day(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::shorten;

    fn record(more: &Value) -> String {
        let mut record = json!({
            "event": "request", "id": "req_1", "at_ms": 1_795_250_463_204_u64, "operation": "chat",
            "consumer": "demo", "route": "chat", "model": "gpt-4o", "stream": false,
            "target": "openai/gpt-4o", "rested": null,
            "attempts": [{ "target": "openai/gpt-4o", "key": 0, "result": "answered", "status": 200, "ms": 4 }],
            "status": 200, "outcome": "answered", "error": null, "limited_by": null, "cache": null,
            "blocked_by": null, "tokens": { "input": 1, "output": 14, "counted": "reported" },
            "first_token_ms": 4, "total_ms": 5
        });
        for (field, value) in more.as_object().expect("the test writes an object") {
            record[field] = value.clone();
        }
        record.to_string()
    }

    #[track_caller]
    fn assert_short(more: &Value, expected: &str) {
        assert_eq!(shorten(&record(more)).as_deref(), Some(expected));
    }

    #[test]
    fn record_answered_is_one_short_line() {
        assert_short(&json!({}), "08:41:03Z 200 chat gpt-4o → openai 200 · 5 ms · 15 tokens");
    }

    #[test]
    fn record_with_fallback_names_each_call() {
        let attempts = json!([
            { "target": "openai/gpt-4o", "result": "5xx", "status": 503 },
            { "target": "deepseek/deepseek-chat", "result": "connect", "status": null },
            { "target": "local/qwq-32b", "result": "answered", "status": 200 },
        ]);
        assert_short(
            &json!({ "attempts": attempts }),
            "08:41:03Z 200 chat gpt-4o → openai 503, deepseek connect, local 200 · 5 ms · 15 tokens",
        );
        assert_short(
            &json!({ "skipped": [{ "target": "openai/gpt-4o", "reason": "keys_cool_down" }], "attempts": [{ "target": "local/qwq-32b", "result": "answered", "status": 200 }] }),
            "08:41:03Z 200 chat gpt-4o (openai: keys cool down) → local 200 · 5 ms · 15 tokens",
        );
    }

    #[test]
    fn record_without_attempt_has_its_reason() {
        let none = json!({ "input": 0, "output": 0 });
        assert_short(
            &json!({ "attempts": [], "status": 429, "error": "rate_limit_exceeded", "limited_by": "trial", "tokens": none }),
            "08:41:03Z 429 chat gpt-4o (over trial) · error rate_limit_exceeded · 5 ms",
        );
        assert_short(
            &json!({ "attempts": [], "cache": "hit" }),
            "08:41:03Z 200 chat gpt-4o → cache · 5 ms · 15 tokens",
        );
        assert_short(
            &json!({ "attempts": [], "blocked_by": "terms", "outcome": "blocked", "tokens": none }),
            "08:41:03Z 200 chat gpt-4o · blocked terms · 5 ms",
        );
        assert_short(
            &json!({ "attempts": [], "route": null, "model": null, "status": null, "outcome": "hung_up", "tokens": none }),
            "08:41:03Z --- chat · hung up · 5 ms",
        );
    }

    #[test]
    fn other_lines_are_unchanged_and_program_lines_dropped() {
        for line in
            ["Ready", "{ not JSON", r#"{"event":"other"}"#, r#"{"event":"warning"}"#, "[1]", ""]
        {
            assert_eq!(shorten(line).as_deref(), Some(line));
        }
        // Finding 48: warnings are JSON among lines of JSON.
        assert_eq!(
            shorten(r#"{"event":"warning","at_ms":1,"message":"a\nb"}"#).as_deref(),
            Some("warning: a\nb")
        );
        assert_eq!(
            shorten(r#"{"event":"configuration","source":"version","version":5,"created_by":"eve","created_at":"2026-12-01T00:00:00.000Z"}"#).as_deref(),
            Some("configuration: version 5, put by eve at 2026-12-01T00:00:00.000Z, is in force; the deployed document is not (config follow returns to it)")
        );
        assert_eq!(shorten(r#"{"listening":{"serin":8787}}"#), None);
    }
}

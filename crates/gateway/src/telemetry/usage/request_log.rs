//! The request log: one line of JSON for each request, in the book of the hour in which it ended.
//!
//! Lines are written with the usage totals, so they cost no further call. A line holds no content.

use std::time::Duration;

use civil_time::Timestamp;
use config::RequestLog;
use ledger::LogLine;
use openai::TokenSource;
use serde::{Deserialize, Serialize};

use crate::record::{GuardRecord, Outcome, Record};

/// Longest line. Model names and details of errors are cut before, so longer ones are rare.
const MAX_LINE_BYTES: usize = 8 << 10;

/// Attempts and findings of a line at most.
const MAX_ITEMS: usize = 16;

const MAX_TEXT_CHARS: usize = 200;

/// A request in the log.
///
/// Readers select lines by text, such as `"route":"chat"`, so each of these names stands for one thing. An
/// attempt's target counts as one of the request.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LoggedRequest {
    pub(crate) id: String,
    pub(crate) at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consumer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    pub(crate) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    pub(crate) outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blocked_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    pub(crate) continued: bool,
    pub(crate) input_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) reasoning_tokens: u64,
    /// `reported`, `estimated`, or `none`: source of the tokens.
    pub(crate) counted: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_token_ms: Option<u64>,
    pub(crate) total_ms: u64,
    pub(crate) attempts: Vec<LoggedAttempt>,
    pub(crate) guards: Vec<LoggedFinding>,
}

/// A call to an upstream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoggedAttempt {
    pub(crate) target: String,
    pub(crate) part: String,
    pub(crate) key: Option<usize>,
    pub(crate) result: String,
    pub(crate) http_status: Option<u16>,
    pub(crate) detail: Option<String>,
    /// Start after the request's arrival.
    pub(crate) began_ms: u64,
    pub(crate) ms: u64,
}

/// A finding of a guard.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoggedFinding {
    pub(crate) guard: String,
    pub(crate) phase: String,
    pub(crate) result: String,
    pub(crate) label: String,
    pub(crate) level: String,
}

/// The line of a finished request. `None` if the log does not keep it.
pub(crate) fn log_line(record: &Record, settings: RequestLog, now: Timestamp) -> Option<LogLine> {
    if settings.keep.is_zero() || !is_kept(record, settings.sample) {
        return None;
    }
    let mut line = LoggedRequest::new(record);
    let mut text = serde_json::to_string(&line).expect("all members are plain");
    if text.len() > MAX_LINE_BYTES {
        line.attempts.truncate(1);
        line.guards.truncate(1);
        line.user = None;
        text = serde_json::to_string(&line).expect("all members are plain");
    }
    (text.len() <= MAX_LINE_BYTES).then(|| LogLine {
        until: now + settings.keep + Duration::from_secs(60 * 60),
        label: line.outcome,
        text,
        ..LogLine::default()
    })
}

/// Whether a request is kept: every one with something to see, and a share of the others.
fn is_kept(record: &Record, sample: u16) -> bool {
    let is_plain = match record.outcome {
        Outcome::Answered => record.status.is_some_and(|status| status < 400),
        Outcome::HungUp => true,
        Outcome::Refused | Outcome::Failed | Outcome::Truncated | Outcome::Blocked => false,
    };
    let is_good = is_plain
        && record.limited_by.is_none()
        && record.blocked_by.is_none()
        && record.guards.is_empty()
        && record.attempts.len() < 2;
    // The id decides, so that all isolates agree: FNV-1a.
    let hash = record.id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    !is_good || hash % 1_000 < u64::from(sample)
}

impl LoggedRequest {
    /// Members that a line leaves out if they are `None`.
    pub(crate) const OPTIONAL_MEMBERS: [&str; 16] = [
        "operation",
        "consumer",
        "group",
        "key",
        "route",
        "model",
        "target",
        "status",
        "error",
        "limit",
        "cache",
        "blocked_by",
        "client",
        "user",
        "cost_usd",
        "first_token_ms",
    ];

    pub(crate) fn new(record: &Record) -> Self {
        let short = |text: &String| text.chars().take(MAX_TEXT_CHARS).collect::<String>();
        let optional = |text: &Option<String>| text.as_ref().map(short);
        let name = |text: Option<&'static str>| text.map(str::to_owned);
        let tokens = record.tokens;
        Self {
            id: record.id.clone(),
            at_ms: record.at_ms,
            operation: name(record.operation),
            consumer: optional(&record.consumer),
            group: optional(&record.group),
            key: record.key_id.clone(),
            route: record.route.clone(),
            model: optional(&record.model),
            stream: record.stream,
            target: optional(&record.target),
            outcome: record.outcome.name().to_owned(),
            status: record.status,
            error: name(record.error),
            limit: record.limited_by.clone(),
            cache: name(record.cache),
            blocked_by: record.blocked_by.clone(),
            client: record.client.clone(),
            user: optional(&record.user),
            continued: record.continued,
            input_tokens: tokens.input,
            cached_tokens: tokens.cached,
            cache_write_tokens: tokens.cache_write,
            output_tokens: tokens.output,
            reasoning_tokens: tokens.reasoning,
            counted: source_name(tokens.counted).to_owned(),
            cost_usd: record.cost_usd,
            first_token_ms: record.first_token_ms,
            total_ms: record.total_ms,
            attempts: record
                .attempts
                .iter()
                .take(MAX_ITEMS)
                .map(|attempt| LoggedAttempt {
                    target: short(&attempt.target),
                    part: attempt.kind.name().to_owned(),
                    key: attempt.key,
                    result: attempt.result.to_owned(),
                    http_status: attempt.status,
                    detail: optional(&attempt.detail),
                    began_ms: attempt.began.as_millis().saturating_sub(record.at_ms),
                    ms: attempt.ms,
                })
                .collect(),
            guards: record.guards.iter().take(MAX_ITEMS).map(LoggedFinding::new).collect(),
        }
    }
}

fn source_name(source: TokenSource) -> &'static str {
    match source {
        TokenSource::None => "none",
        TokenSource::Reported => "reported",
        TokenSource::Estimated => "estimated",
    }
}

impl LoggedFinding {
    fn new(finding: &GuardRecord) -> Self {
        Self {
            guard: finding.guard.clone(),
            phase: finding.phase.to_owned(),
            result: finding.result.to_owned(),
            label: finding.label.chars().take(MAX_TEXT_CHARS).collect(),
            level: finding.level.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::RequestLog;

    use crate::record::{Attempt, AttemptKind, Outcome, Record};

    use super::{LoggedRequest, log_line};

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn answered(number: u32) -> Record {
        let (outcome, status) = (Outcome::Answered, Some(200));
        Record { id: format!("req_{number}"), outcome, status, ..Record::default() }
    }

    #[test]
    fn sample_keeps_a_share_of_good_requests_and_all_others() {
        let settings = RequestLog { sample: 100, ..RequestLog::default() };
        let kept = |change: &dyn Fn(Record) -> Record| {
            let records = (0..2_000).map(|number| change(answered(number)));
            records.filter(|record| log_line(record, settings, NOW).is_some()).count()
        };
        let good = kept(&|record| record);
        assert!((150..250).contains(&good), "{good}");
        let attempt = || Attempt::start("a/m".to_owned(), None, AttemptKind::Primary, NOW);
        let limit = Some("team".to_owned());
        assert_eq!(kept(&|record| Record { outcome: Outcome::Failed, ..record }), 2_000);
        assert_eq!(kept(&|record| Record { status: Some(404), ..record }), 2_000);
        assert_eq!(kept(&|record| Record { limited_by: limit.clone(), ..record }), 2_000);
        let twice = kept(&|record| Record { attempts: vec![attempt(), attempt()], ..record });
        assert_eq!(twice, 2_000);
        let off = RequestLog { keep: Duration::ZERO, ..settings };
        assert!(log_line(&Record::default(), off, NOW).is_none());
    }

    #[test]
    fn line_is_short_and_reads_back() {
        let settings = RequestLog::default();
        let text = |record: &Record| log_line(record, settings, NOW).expect("it is kept").text;
        let attempt =
            || Attempt::start("openai/gpt-4o".to_owned(), None, AttemptKind::Primary, NOW);
        let usual = Record {
            consumer: Some("acme".to_owned()),
            route: Some("chat".to_owned()),
            model: Some("gpt-4o".to_owned()),
            target: Some("openai/gpt-4o".to_owned()),
            attempts: vec![attempt()],
            ..answered(1)
        };
        assert!(text(&usual).len() < 600, "{}", text(&usual).len());
        let detail = Some("x\u{1}\"".repeat(10_000));
        let attempts = (0..50).map(|_| Attempt { detail: detail.clone(), ..attempt() }).collect();
        let huge = Record { attempts, user: detail.clone(), model: detail, ..answered(1) };
        let line = text(&huge);
        assert!(line.len() <= 8 << 10, "{}", line.len());
        let read: LoggedRequest = serde_json::from_str(&line).expect("JSON");
        assert_eq!((read.attempts.len(), read.user), (1, None));
    }
}

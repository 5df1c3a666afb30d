//! `/guards/{guard}/check`: a text against a guard, without a request.

use guards::{Edit, Finding, Phase, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::caller::ActingConsumer;
use crate::guards::pipeline::GuardPipeline;
use crate::host::Host;

use super::AdminRequest;
use super::request_body::parse_object;
use super::response::{AdminError, AdminResponse, AdminResult};
use super::route_match::find_consumer;

/// Longest text: a service receives it in parts, and each is a call.
const MAX_TEXT_CHARS: usize = 16_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckRequest {
    text: String,
    /// `request` or `response`.
    phase: Option<String>,
    /// The consumer whose exceptions apply.
    consumer: Option<String>,
}

/// `POST /guards/{guard}/check`
pub(super) async fn check<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let wanted: CheckRequest = parse_object(&request.body)?;
    let phase = match wanted.phase.as_deref() {
        None | Some("request") => Phase::Request,
        Some("response") => Phase::Response,
        Some(other) => {
            return Err(AdminError::invalid("phase", format!("{other:?}"), "request or response"));
        }
    };
    let chars = wanted.text.chars().count();
    if chars > MAX_TEXT_CHARS || wanted.text.trim().is_empty() {
        let expected = format!("1 to {MAX_TEXT_CHARS}");
        return Err(AdminError::invalid("text", format!("{chars} characters"), expected));
    }
    let (gateway, config) = (request.gateway()?, request.context.config);
    let id = request.path_argument(0);
    let guard = config.guards.iter().enumerate().find(|(_, guard)| guard.id == id);
    let guard = guard.ok_or_else(|| {
        AdminError::not_found("guard_not_found", "The configuration does not define this guard.")
    })?;
    let consumer = match &wanted.consumer {
        None => None,
        Some(id) => Some(find_consumer(request, id).await?),
    };
    let caller = ActingConsumer(consumer).caller(config);
    let (services, text) = (gateway.guard_services(), wanted.text);
    let checked =
        GuardPipeline::check_text(services, request.host, guard, &caller, (phase, text.clone()));
    let Some(result) = checked.await else {
        let shown = json!({ "guard": id, "phase": phase.name(), "result": "off", "findings": [] });
        return Ok(AdminResponse::json(&shown));
    };
    let findings = |found: &[Finding]| found.iter().map(finding_json).collect::<Vec<Value>>();
    let (verdict, found, masked) = match &result.verdict {
        Verdict::Pass => ("pass", Vec::new(), None),
        Verdict::Mask(edits, found) => ("mask", findings(found), Some(apply_edits(&text, edits))),
        Verdict::Block(found) => ("block", findings(found), None),
        Verdict::TooMany => ("block", Vec::new(), None),
    };
    let is_error = verdict == "pass" && result.error.is_some();
    Ok(AdminResponse::json(&json!({
        "guard": id,
        "phase": phase.name(),
        "result": if is_error { "error" } else { verdict },
        "findings": found,
        "masked": masked,
        "error": result.error.map(|error| error.reason),
    })))
}

fn finding_json(finding: &Finding) -> Value {
    json!({ "label": finding.label, "level": finding.level.name() })
}

/// Applies edits, which are in order and apart from each other.
fn apply_edits(text: &str, edits: &[Edit]) -> String {
    let (mut out, mut seen) = (String::new(), 0);
    for edit in edits {
        out.push_str(text.get(seen..edit.at.start).unwrap_or_default());
        out.push_str(&edit.text);
        seen = edit.at.end;
    }
    out.push_str(text.get(seen..).unwrap_or_default());
    out
}

//! Verdicts from responses of Alibaba's service.
//!
//! Levels decide. The service's suggestion decides only whether sensitive data can be masked.

use serde_json::Value;

use crate::lenient_json::{self, to_label, to_number, truncate};
use crate::{Dimension, Edit, Finding, GuardError, Level, Verdict};

use super::mask_diff::{MaskDiff, diff};

/// Label of a text without findings.
const CLEAN_LABEL: &str = "nonLabel";
/// Maximum number of findings of one dimension.
const MAX_FINDINGS: usize = 16;
/// Maximum length of the service's message in the log, in bytes.
const MAX_MESSAGE_BYTES: usize = 120;

/// Parses a response of `TextModerationPlus`. Blocks if `RiskLevel` or `AttackLevel` reaches
/// `block_at`; `None` blocks nothing.
///
/// Services without levels label risky text only, so any label other than `nonLabel` is a high risk
/// there. `Advice` and `SensitiveLevel` decide nothing.
pub fn parse_text_verdict(body: &[u8], block_at: Option<Level>) -> Result<Verdict, GuardError> {
    let answer = lenient_json::parse_json(body)?;
    let data = parse_data(&answer)?;
    let labels = parse_labels(&data["Result"]);
    let stated = parse_level(&data["RiskLevel"]);
    if stated.is_none() && !data["Result"].is_array() {
        return Err(GuardError::new("the response has neither RiskLevel nor Result"));
    }
    let by_label = if labels.is_empty() { Level::None } else { Level::High };
    let risks = [
        (Dimension::Content, stated.unwrap_or(by_label), labels),
        (
            Dimension::PromptAttack,
            parse_level(&data["AttackLevel"]).unwrap_or_default(),
            parse_labels(&data["AttackResult"]),
        ),
    ];
    let reached =
        |level: Level| level > Level::None && block_at.is_some_and(|lowest| level >= lowest);
    let risks = risks.into_iter().filter(|(_, level, _)| reached(*level));
    Ok(block_verdict(
        risks.flat_map(|(dimension, level, labels)| to_findings(dimension, level, labels)),
    ))
}

/// Parses a response of `MultiModalGuard` about `text`. A dimension blocks if its level reaches its
/// blocking level. With `mask`, sensitive data that the service suggests to mask is masked at any
/// level, and blocks if the service gives no mask. Blocking goes before masking.
///
/// Unknown dimensions are skipped. If a level is missing or unknown, the level of the results
/// counts; without one, a suggestion to block is a high risk.
pub fn parse_guard_verdict(
    body: &[u8],
    text: &str,
    block_levels: &[(Dimension, Level)],
    mask: bool,
) -> Result<Verdict, GuardError> {
    let answer = lenient_json::parse_json(body)?;
    let data = parse_data(&answer)?;
    let details = data["Detail"].as_array().map_or(&[][..], Vec::as_slice);
    if details.is_empty() {
        return parse_guard_summary(data, block_levels);
    }
    let (mut blocking, mut masking, mut edits) = (Vec::new(), Vec::new(), Vec::new());
    for detail in details {
        let Some(dimension) = parse_dimension(&detail["Type"]) else { continue };
        let level = parse_detail_level(detail);
        let found = to_findings(dimension, level, parse_labels(&detail["Result"]));
        if mask && dimension == Dimension::SensitiveData && detail["Suggestion"] == "mask" {
            match mask_from_results(detail, text) {
                MaskDiff::Edits(more) => {
                    edits.push((0..text.len(), more));
                    masking.extend(found);
                }
                MaskDiff::Nothing => blocking.extend(found),
            }
        } else if reaches_block_level(block_levels, dimension, level) {
            blocking.extend(found);
        }
    }
    if blocking.is_empty() && !masking.is_empty() {
        return Ok(Verdict::Mask(crate::chunking::join_edits(edits), masking));
    }
    Ok(block_verdict(blocking))
}

/// A response without details has the levels of three dimensions at its top.
fn parse_guard_summary(
    data: &Value,
    block_levels: &[(Dimension, Level)],
) -> Result<Verdict, GuardError> {
    let levels = [
        (Dimension::Content, parse_level(&data["RiskLevel"])),
        (Dimension::PromptAttack, parse_level(&data["AttackLevel"])),
        (Dimension::SensitiveData, parse_level(&data["SensitiveLevel"])),
    ];
    let says_nothing = levels.iter().all(|(_, level)| level.is_none());
    if says_nothing && data["Suggestion"] != "pass" {
        return Err(GuardError::new("the response has neither details nor levels"));
    }
    let levels = levels.into_iter().filter_map(|(dimension, level)| Some((dimension, level?)));
    let reached =
        levels.filter(|(dimension, level)| reaches_block_level(block_levels, *dimension, *level));
    Ok(block_verdict(
        reached.flat_map(|(dimension, level)| to_findings(dimension, level, Vec::new())),
    ))
}

fn block_verdict(findings: impl IntoIterator<Item = Finding>) -> Verdict {
    let findings: Vec<Finding> = findings.into_iter().collect();
    if findings.is_empty() { Verdict::Pass } else { Verdict::Block(findings) }
}

/// Returns the part of a response with the verdict. A code other than 200 is a failed check.
fn parse_data(answer: &Value) -> Result<&Value, GuardError> {
    if to_number(&answer["Code"]) != Some(200.0) {
        let code = match &answer["Code"] {
            Value::String(code) => code.clone(),
            other => other.to_string(),
        };
        let message = answer["Message"].as_str().unwrap_or_default();
        let cause = format!(
            "code {}: {}",
            truncate(&code, MAX_MESSAGE_BYTES),
            truncate(message, MAX_MESSAGE_BYTES)
        );
        // 588 is "exceed quota"; errors of the API's gateway have names such as `Throttling.User`.
        let is_rate_limited = code == "588" || code.starts_with("Throttling");
        return Err(GuardError { is_rate_limited, ..GuardError::new(cause) });
    }
    match &answer["Data"] {
        data @ Value::Object(_) => Ok(data),
        _ => Err(GuardError::new("the response has no Data")),
    }
}

fn parse_level(value: &Value) -> Option<Level> {
    let name = value.as_str()?.trim();
    let levels = [
        (Level::None, ["none", "S0"]),
        (Level::Low, ["low", "S1"]),
        (Level::Medium, ["medium", "S2"]),
        (Level::High, ["high", "S3"]),
    ];
    let is_named = |names: &[&str]| names.iter().any(|one| one.eq_ignore_ascii_case(name));
    levels.into_iter().find(|(_, names)| is_named(names)).map(|(level, _)| level)
}

fn parse_detail_level(detail: &Value) -> Level {
    let results = || detail["Result"].as_array().into_iter().flatten();
    let suggested = || match detail["Suggestion"].as_str() {
        Some("block") => Level::High,
        _ => Level::None,
    };
    parse_level(&detail["Level"])
        .or_else(|| results().filter_map(|result| parse_level(&result["Level"])).max())
        .unwrap_or_else(suggested)
}

fn parse_dimension(name: &Value) -> Option<Dimension> {
    let all = [
        Dimension::Content,
        Dimension::PromptAttack,
        Dimension::SensitiveData,
        Dimension::MaliciousUrl,
        Dimension::Hallucination,
        Dimension::CustomLabel,
    ];
    all.into_iter().find(|one| name == one.name())
}

fn reaches_block_level(
    block_levels: &[(Dimension, Level)],
    dimension: Dimension,
    level: Level,
) -> bool {
    level > Level::None
        && block_levels.iter().any(|(named, lowest)| *named == dimension && level >= *lowest)
}

/// Lists each label of the results once, without the label of a clean text.
fn parse_labels(results: &Value) -> Vec<String> {
    let mut labels = Vec::new();
    for result in results.as_array().into_iter().flatten() {
        let name = to_label(result["Label"].as_str().unwrap_or_default());
        if !name.is_empty()
            && name != CLEAN_LABEL
            && labels.len() < MAX_FINDINGS
            && !labels.contains(&name)
        {
            labels.push(name);
        }
    }
    labels
}

/// Makes one finding of each label, or one named after its dimension if there is no label.
fn to_findings(dimension: Dimension, level: Level, mut labels: Vec<String>) -> Vec<Finding> {
    if labels.is_empty() {
        labels.push(dimension.name().to_owned());
    }
    labels.into_iter().map(|label| Finding { dimension, level, label }).collect()
}

/// Derives the mask from the masked texts in the results.
fn mask_from_results(detail: &Value, text: &str) -> MaskDiff {
    let mut edits: Vec<(std::ops::Range<usize>, Vec<Edit>)> = Vec::new();
    for result in detail["Result"].as_array().into_iter().flatten() {
        let masked = result["Ext"]["Desensitization"].as_str().unwrap_or_default();
        if let MaskDiff::Edits(more) = diff(text, masked) {
            edits.push((0..text.len(), more));
        }
    }
    if edits.is_empty() {
        MaskDiff::Nothing
    } else {
        MaskDiff::Edits(crate::chunking::join_edits(edits))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

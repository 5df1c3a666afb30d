//! What Alibaba's service says of a text, and what follows from it.
//!
//! It decides by levels; the service's suggestion decides only whether sensitive data can be masked.

use serde_json::Value;

use crate::guard::reply::{self, cut, label, number};
use crate::guard::{Dimension, Edit, Finding, Level, NoVerdict, Verdict};

use super::mask::{Masked, masked};

/// The label of a text in which nothing was found.
const CLEAN: &str = "nonLabel";
/// How many findings one dimension has at most.
const FINDINGS: usize = 16;
/// How much of the service's message goes to the log, in bytes.
const MESSAGE: usize = 120;

/// Reads an answer of `TextModerationPlus`. Blocks where `RiskLevel`, or `AttackLevel`, reaches
/// `block_at`; `None` blocks nothing.
///
/// Services that do not speak of levels label what is risky and nothing else, so there a label other
/// than `nonLabel` is a high risk. `Advice` and `SensitiveLevel` decide nothing.
pub fn text_verdict(body: &[u8], block_at: Option<Level>) -> Result<Verdict, NoVerdict> {
    let answer = reply::read(body)?;
    let data = data(&answer)?;
    let labels = labels(&data["Result"]);
    let stated = level(&data["RiskLevel"]);
    if stated.is_none() && !data["Result"].is_array() {
        return Err(NoVerdict("neither RiskLevel nor Result".to_owned()));
    }
    let by_label = if labels.is_empty() { Level::None } else { Level::High };
    let risks = [
        (Dimension::Content, stated.unwrap_or(by_label), labels),
        (
            Dimension::PromptAttack,
            level(&data["AttackLevel"]).unwrap_or_default(),
            self::labels(&data["AttackResult"]),
        ),
    ];
    let reached = |level: Level| level > Level::None && block_at.is_some_and(|bar| level >= bar);
    let risks = risks.into_iter().filter(|(_, level, _)| reached(*level));
    Ok(blocked(risks.flat_map(|(dimension, level, labels)| findings(dimension, level, labels))))
}

/// Reads an answer of `MultiModalGuard` about `text`. A dimension blocks where its level reaches its
/// bar. With `mask`, sensitive data that the service suggests to mask is masked instead, whatever its
/// level; it blocks where the service does not say how. Blocking comes before masking.
///
/// Dimensions that we do not know are passed over. Where a level is missing or unknown, that of the
/// results counts, else a suggestion to block is a high risk.
pub fn guard_verdict(
    body: &[u8],
    text: &str,
    bars: &[(Dimension, Level)],
    mask: bool,
) -> Result<Verdict, NoVerdict> {
    let answer = reply::read(body)?;
    let data = data(&answer)?;
    let details = data["Detail"].as_array().map_or(&[][..], Vec::as_slice);
    if details.is_empty() {
        return guard_summary(data, bars);
    }
    let (mut blocking, mut masking, mut edits) = (Vec::new(), Vec::new(), Vec::new());
    for detail in details {
        let Some(dimension) = dimension(&detail["Type"]) else { continue };
        let level = detail_level(detail);
        let found = findings(dimension, level, labels(&detail["Result"]));
        if mask && dimension == Dimension::SensitiveData && detail["Suggestion"] == "mask" {
            match desensitized(detail, text) {
                Masked::Edits(more) => {
                    edits.push((0..text.len(), more));
                    masking.extend(found);
                }
                Masked::Nothing => blocking.extend(found),
            }
        } else if reaches(bars, dimension, level) {
            blocking.extend(found);
        }
    }
    if blocking.is_empty() && !masking.is_empty() {
        return Ok(Verdict::Mask(crate::guard::slices::join(edits), masking));
    }
    Ok(blocked(blocking))
}

/// An answer without details says the levels of three dimensions at its top.
fn guard_summary(data: &Value, bars: &[(Dimension, Level)]) -> Result<Verdict, NoVerdict> {
    let levels = [
        (Dimension::Content, level(&data["RiskLevel"])),
        (Dimension::PromptAttack, level(&data["AttackLevel"])),
        (Dimension::SensitiveData, level(&data["SensitiveLevel"])),
    ];
    let says_nothing = levels.iter().all(|(_, level)| level.is_none());
    if says_nothing && data["Suggestion"] != "pass" {
        return Err(NoVerdict("neither details nor levels".to_owned()));
    }
    let levels = levels.into_iter().filter_map(|(dimension, level)| Some((dimension, level?)));
    let reached = levels.filter(|(dimension, level)| reaches(bars, *dimension, *level));
    Ok(blocked(reached.flat_map(|(dimension, level)| findings(dimension, level, Vec::new()))))
}

fn blocked(findings: impl IntoIterator<Item = Finding>) -> Verdict {
    let findings: Vec<Finding> = findings.into_iter().collect();
    if findings.is_empty() { Verdict::Pass } else { Verdict::Block(findings) }
}

/// The part of an answer that judges. A code other than 200 is a check that failed.
fn data(answer: &Value) -> Result<&Value, NoVerdict> {
    if number(&answer["Code"]) != Some(200.0) {
        let code = match &answer["Code"] {
            Value::String(code) => code.clone(),
            other => other.to_string(),
        };
        let message = answer["Message"].as_str().unwrap_or_default();
        let said = format!("code {}: {}", cut(&code, MESSAGE), cut(message, MESSAGE));
        return Err(NoVerdict(said));
    }
    match &answer["Data"] {
        data @ Value::Object(_) => Ok(data),
        _ => Err(NoVerdict("no Data".to_owned())),
    }
}

fn level(value: &Value) -> Option<Level> {
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

fn detail_level(detail: &Value) -> Level {
    let results = || detail["Result"].as_array().into_iter().flatten();
    let suggested = || match detail["Suggestion"].as_str() {
        Some("block") => Level::High,
        _ => Level::None,
    };
    level(&detail["Level"])
        .or_else(|| results().filter_map(|result| level(&result["Level"])).max())
        .unwrap_or_else(suggested)
}

fn dimension(name: &Value) -> Option<Dimension> {
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

fn reaches(bars: &[(Dimension, Level)], dimension: Dimension, level: Level) -> bool {
    level > Level::None && bars.iter().any(|(barred, bar)| *barred == dimension && level >= *bar)
}

/// Each label of a list of results once; that of a clean text is none.
fn labels(results: &Value) -> Vec<String> {
    let mut labels = Vec::new();
    for result in results.as_array().into_iter().flatten() {
        let name = label(result["Label"].as_str().unwrap_or_default());
        if !name.is_empty() && name != CLEAN && labels.len() < FINDINGS && !labels.contains(&name) {
            labels.push(name);
        }
    }
    labels
}

/// One finding for each label; one that is called like its dimension where there is none.
fn findings(dimension: Dimension, level: Level, mut labels: Vec<String>) -> Vec<Finding> {
    if labels.is_empty() {
        labels.push(dimension.name().to_owned());
    }
    labels.into_iter().map(|label| Finding { dimension, level, label }).collect()
}

/// How a text is to be masked, from the masked texts that results bring.
fn desensitized(detail: &Value, text: &str) -> Masked {
    let mut edits: Vec<(std::ops::Range<usize>, Vec<Edit>)> = Vec::new();
    for result in detail["Result"].as_array().into_iter().flatten() {
        let said = result["Ext"]["Desensitization"].as_str().unwrap_or_default();
        if let Masked::Edits(more) = masked(text, said) {
            edits.push((0..text.len(), more));
        }
    }
    if edits.is_empty() {
        Masked::Nothing
    } else {
        Masked::Edits(crate::guard::slices::join(edits))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

//! Client of `/v1/moderations`: requests and verdicts.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;

use super::lenient_json::{self, to_json_string, to_label, to_number};
use super::{Dimension, Finding, GuardError, Level, Verdict};

/// Input of a check.
#[derive(Clone, Copy, Debug)]
pub enum ModerationInput<'a> {
    /// Texts, each with its own result; at least one.
    Texts(&'a [&'a str]),
    /// Texts and images with one common result.
    Parts(&'a [ModerationPart<'a>]),
}

/// Part of a mixed input.
#[derive(Clone, Copy, Debug)]
pub enum ModerationPart<'a> {
    /// Text as it is.
    Text(&'a str),
    /// URL of an image, also `data:`.
    Image(&'a str),
}

impl ModerationInput<'_> {
    /// Number of results in a response.
    pub fn results(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Parts(_) => 1,
        }
    }
}

/// Builds the request body.
pub fn request_body(model: Option<&str>, input: ModerationInput<'_>) -> Bytes {
    let mut body = "{".to_owned();
    if let Some(model) = model {
        write!(body, r#""model":{},"#, to_json_string(model)).expect("a string accepts any write");
    }
    body.push_str(r#""input":"#);
    match input {
        // Some servers accept no list.
        ModerationInput::Texts([text]) => body.push_str(&to_json_string(text)),
        ModerationInput::Texts(texts) => {
            write_list(&mut body, texts.iter().map(|text| to_json_string(text)));
        }
        ModerationInput::Parts(parts) => {
            write_list(&mut body, parts.iter().map(ModerationPart::json));
        }
    }
    body.push('}');
    body.into()
}

fn write_list(out: &mut String, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    write!(out, "[{}]", items.join(",")).expect("a string accepts any write");
}

impl ModerationPart<'_> {
    fn json(&self) -> String {
        match self {
            Self::Text(text) => format!(r#"{{"type":"text","text":{}}}"#, to_json_string(text)),
            Self::Image(url) => {
                format!(r#"{{"type":"image_url","image_url":{{"url":{}}}}}"#, to_json_string(url))
            }
        }
    }
}

/// Parses the response to an input with `results` results; one flagged text blocks them all.
///
/// A category with a threshold (in thousandths) blocks from that score on; one without blocks if it
/// is flagged. A flagged text without a category blocks under the label `flagged`. Fewer results
/// than texts are no verdict, since one of the texts was not checked.
pub fn parse_verdict(
    body: &[u8],
    thresholds: &[(String, u16)],
    results: usize,
) -> Result<Verdict, GuardError> {
    let answer = lenient_json::parse_json(body)?;
    let found = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
    if found.is_empty() || found.len() < results {
        return Err(GuardError::new(format!("{} results for {results} inputs", found.len())));
    }
    let mut labels = Vec::new();
    for result in found {
        for name in flagged_categories(result, thresholds)? {
            let name = to_label(name);
            if !labels.contains(&name) {
                labels.push(name);
            }
        }
    }
    if labels.is_empty() {
        return Ok(Verdict::Pass);
    }
    let finding = |label| Finding { dimension: Dimension::Content, level: Level::High, label };
    Ok(Verdict::Block(labels.into_iter().map(finding).collect()))
}

/// Returns the categories that block in one result.
fn flagged_categories<'a>(
    result: &'a Value,
    thresholds: &'a [(String, u16)],
) -> Result<Vec<&'a str>, GuardError> {
    let categories = result["categories"].as_object();
    if categories.is_none() && !result["flagged"].is_boolean() {
        return Err(GuardError::new("a result has no flag"));
    }
    let score = |name: &str| to_number(&result["category_scores"][name]);
    let is_judged_by_score =
        |name: &str| thresholds.iter().any(|(own, _)| own == name) && score(name).is_some();
    let over = thresholds.iter().filter_map(|(name, least)| {
        let reached = score(name)? * 1_000.0 >= f64::from(*least);
        reached.then_some(name.as_str())
    });
    let mut names: Vec<&str> = over.collect();
    let mut has_flag = false;
    for (name, flag) in categories.into_iter().flatten() {
        if *flag != Value::Bool(true) {
            continue;
        }
        has_flag = true;
        if !is_judged_by_score(name) {
            names.push(name);
        }
    }
    if names.is_empty() && !has_flag && result["flagged"] == true {
        names.push("flagged");
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Verdict;

    use super::{ModerationInput, ModerationPart, parse_verdict, request_body};

    #[test]
    fn request_body_contains_only_input() {
        let assert_body = |model, input, expected: Value| {
            let body: Value = serde_json::from_slice(&request_body(model, input)).unwrap();
            assert_eq!(body, expected);
        };
        assert_body(None, ModerationInput::Texts(&["a \"b\"\n"]), json!({ "input": "a \"b\"\n" }));
        let two = ModerationInput::Texts(&["a", "b"]);
        assert_body(Some("omni"), two, json!({ "model": "omni", "input": ["a", "b"] }));
        let parts =
            ModerationInput::Parts(&[ModerationPart::Text("a"), ModerationPart::Image("data:x")]);
        assert_body(
            None,
            parts,
            json!({ "input": [{ "type": "text", "text": "a" },
                { "type": "image_url", "image_url": { "url": "data:x" } }] }),
        );
    }

    /// Asserts a verdict by its labels; `None` is no verdict.
    #[track_caller]
    fn assert_verdict(results: &Value, asked: usize, expected: Option<&[&str]>) {
        let thresholds = [("violence".to_owned(), 700), ("sexual".to_owned(), 0)];
        let body = json!({ "id": "modr-1", "results": results }).to_string();
        let found =
            parse_verdict(body.as_bytes(), &thresholds, asked).ok().map(|verdict| match verdict {
                Verdict::Pass => Vec::new(),
                Verdict::Block(findings) => findings.into_iter().map(|one| one.label).collect(),
                Verdict::Mask(..) | Verdict::TooMany => panic!("nothing is masked"),
            });
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found, expected, "{results}");
    }

    fn result(flagged: bool, flags: &Value, scores: &Value) -> Value {
        json!({ "flagged": flagged, "categories": flags, "category_scores": scores })
    }

    #[test]
    fn category_with_threshold_ignores_flag() {
        let scored = |flag: bool, score: f64| {
            json!([result(flag, &json!({ "violence": flag }), &json!({ "violence": score }))])
        };
        assert_verdict(&scored(true, 0.69), 1, Some(&[]));
        assert_verdict(&scored(false, 0.7), 1, Some(&["violence"]));
        let text =
            json!([result(false, &json!({ "violence": false }), &json!({ "violence": "0.9" }))]);
        assert_verdict(&text, 1, Some(&["violence"]));
        // Without a score only the flag counts.
        assert_verdict(
            &json!([result(true, &json!({ "violence": true }), &Value::Null)]),
            1,
            Some(&["violence"]),
        );
        assert_verdict(
            &json!([result(true, &json!({ "hate": true, "self-harm": false }), &json!({}))]),
            1,
            Some(&["hate"]),
        );
        assert_verdict(
            &json!([result(false, &json!({ "hate": false }), &json!({ "sexual": 0.0 }))]),
            1,
            Some(&["sexual"]),
        );
    }

    #[test]
    fn one_flagged_text_of_several_blocks() {
        let clean = result(false, &json!({ "hate": false }), &json!({}));
        let hate = result(true, &json!({ "hate": true }), &json!({}));
        assert_verdict(&json!([clean, hate, hate]), 3, Some(&["hate"]));
        assert_verdict(&json!([clean, clean]), 2, Some(&[]));
    }

    #[test]
    fn malformed_response_is_no_verdict() {
        assert_verdict(&json!([]), 1, None);
        assert_verdict(&Value::Null, 1, None);
        assert_verdict(&json!([result(false, &json!({}), &json!({}))]), 2, None);
        assert_verdict(&json!([{}]), 1, None);
        assert_verdict(&json!([{ "flagged": true }]), 1, Some(&["flagged"]));
        assert!(parse_verdict(b"{\"results\":[{\"fla", &[], 1).is_err());
    }
}

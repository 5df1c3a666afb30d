//! OpenAI's `/v1/moderations`.

use serde_json::{Map, Value, json};

use super::{RiskyWords, marks};

/// The score of a mark that has none of its own.
const DEFAULT_SCORE: f64 = 0.98;
/// The score from which on a category is flagged.
const FLAG_THRESHOLD: f64 = 0.5;
/// Those that are always listed.
const CATEGORIES: [&str; 5] = ["harassment", "hate", "self-harm", "sexual", "violence"];

/// The status and the body of an answer.
pub(super) fn answer(body: &[u8], finds: &RiskyWords) -> (u16, Value) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(texts) = texts(&body["input"]) else {
        let error = json!({ "message": "Invalid input.", "type": "invalid_request_error", "param": "input", "code": null });
        return (400, json!({ "error": error }));
    };
    let results: Vec<Value> = texts.iter().map(|text| result(text, finds)).collect();
    let model = body["model"].as_str().unwrap_or("omni-moderation-latest");
    (200, json!({ "id": "modr-standin", "model": model, "results": results }))
}

/// A text or several, or parts that are judged together.
fn texts(input: &Value) -> Option<Vec<String>> {
    match input {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(all) if all.iter().all(Value::is_string) && !all.is_empty() => {
            Some(all.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect())
        }
        Value::Array(parts) if !parts.is_empty() => {
            let part = |part: &Value| match part["type"].as_str() {
                Some("text") => part["text"].as_str().map(str::to_owned),
                Some("image_url") => part["image_url"]["url"].as_str().map(str::to_owned),
                _ => None,
            };
            Some(vec![parts.iter().map(part).collect::<Option<Vec<String>>>()?.join("\n")])
        }
        _ => None,
    }
}

fn result(text: &str, finds: &RiskyWords) -> Value {
    let mut scores: Map<String, Value> =
        CATEGORIES.iter().map(|name| ((*name).to_owned(), json!(0.0001))).collect();
    for mark in marks(text, &finds.risky) {
        let (name, score) = mark.split();
        let score = score.and_then(|score| score.parse().ok()).unwrap_or(DEFAULT_SCORE);
        scores.insert(name.to_owned(), json!(score));
    }
    let flag = |score: &Value| score.as_f64().is_some_and(|score| score >= FLAG_THRESHOLD);
    let flags: Map<String, Value> =
        scores.iter().map(|(name, score)| (name.clone(), flag(score).into())).collect();
    json!({ "flagged": scores.values().any(flag), "categories": flags, "category_scores": scores })
}

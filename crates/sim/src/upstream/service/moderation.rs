//! The moderation endpoint of OpenAI: `/v1/moderations`.

use serde_json::{Map, Value, json};

use super::{RiskyWords, marks};

/// Score of a mark without a score of its own.
const DEFAULT_SCORE: f64 = 0.98;
/// Lowest score of a flagged category.
const FLAG_THRESHOLD: f64 = 0.5;
/// Categories that every result lists.
const CATEGORIES: [&str; 5] = ["harassment", "hate", "self-harm", "sexual", "violence"];

/// Returns the status and the body of the response.
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

/// Extracts one text, several texts, or parts that are judged together. `None` for invalid input.
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

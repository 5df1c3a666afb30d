//! Verdicts of guard models, in the formats of Llama Guard and Qwen3Guard.

use super::Mark;

/// Formats `safe`, or `unsafe` and the hazards.
pub(super) fn llama_guard(marks: &[Mark]) -> String {
    let mut hazards: Vec<&str> = marks.iter().map(|mark| mark.what.as_str()).collect();
    hazards.dedup();
    if hazards.is_empty() { "safe".to_owned() } else { format!("unsafe\n{}", hazards.join(",")) }
}

/// Formats the safety and the categories, each on one line.
pub(super) fn qwen3_guard(marks: &[Mark]) -> String {
    let (mut safety, mut categories) = ("Safe", Vec::new());
    for mark in marks {
        let (category, is_unsafe) = match mark.split() {
            ("Controversial", category) => (category.unwrap_or("Unethical Acts"), false),
            _ => (mark.what.as_str(), true),
        };
        safety = if is_unsafe || safety == "Unsafe" { "Unsafe" } else { "Controversial" };
        categories.push(category);
    }
    categories.dedup();
    let categories = if categories.is_empty() { "None".to_owned() } else { categories.join(", ") };
    format!("Safety: {safety}\nCategories: {categories}")
}

//! Model as judge: requests to Llama Guard and Qwen3Guard, and their verdicts.
//!
//! Both have their instructions in their chat template, so the request contains only the
//! conversation.

use bytes::Bytes;

use crate::settings::JudgeFormat;

use super::lenient_json::{self, to_json_string};
use super::{Dimension, Finding, GuardError, Level, Verdict};

/// Categories that Qwen3Guard is trained on. The checked text can make a judge repeat any text, so
/// nothing else of its output becomes a label.
const QWEN_CATEGORIES: [(&str, Dimension); 9] = [
    ("Violent", Dimension::Content),
    ("Non-violent Illegal Acts", Dimension::Content),
    ("Sexual Content or Sexual Acts", Dimension::Content),
    ("PII", Dimension::SensitiveData),
    ("Suicide & Self-Harm", Dimension::Content),
    ("Unethical Acts", Dimension::Content),
    ("Politically Sensitive Topics", Dimension::Content),
    ("Copyright Violation", Dimension::Content),
    ("Jailbreak", Dimension::PromptAttack),
];

/// Builds the request about a question, or about the answer to it. An unknown question is empty:
/// the templates require a user's message first.
pub fn request_body(
    model: &str,
    format: JudgeFormat,
    question: &str,
    answer: Option<&str>,
) -> Bytes {
    let tokens = match format {
        JudgeFormat::LlamaGuard => 48,
        JudgeFormat::Qwen3Guard => 128,
    };
    let answer = answer.map_or_else(String::new, |answer| {
        format!(r#",{{"role":"assistant","content":{}}}"#, to_json_string(answer))
    });
    let body = format!(
        r#"{{"model":{},"messages":[{{"role":"user","content":{}}}{answer}],"temperature":0,"max_tokens":{tokens},"stream":false}}"#,
        to_json_string(model),
        to_json_string(question),
    );
    body.into()
}

/// Parses a chat completion. `unsafe` is a high risk, and Qwen3Guard's `Controversial` a medium
/// one. A level blocks if it reaches `block_at`; `None` blocks nothing.
pub fn parse_verdict(
    body: &[u8],
    format: JudgeFormat,
    block_at: Option<Level>,
) -> Result<Verdict, GuardError> {
    let answer = lenient_json::parse_json(body)?;
    let content = answer["choices"][0]["message"]["content"]
        .as_str()
        .ok_or_else(|| GuardError::new("the completion has no content"))?;
    let (level, findings) = match format {
        JudgeFormat::LlamaGuard => llama_guard(content),
        JudgeFormat::Qwen3Guard => qwen3_guard(content),
    }
    .ok_or_else(|| GuardError::new("the completion is neither safe nor unsafe"))?;
    let is_blocked = level > Level::None && block_at.is_some_and(|lowest| level >= lowest);
    Ok(if is_blocked { Verdict::Block(findings) } else { Verdict::Pass })
}

/// Parses `safe`, or `unsafe` and then `S1,S9`.
fn llama_guard(content: &str) -> Option<(Level, Vec<Finding>)> {
    let mut words = content.split([' ', '\n', '\r', '\t', ',']).filter(|word| !word.is_empty());
    let word = words.next()?;
    if word.eq_ignore_ascii_case("safe") {
        // Llama Guard never continues after `safe`, so such an output is no verdict.
        return words.next().is_none().then(|| (Level::None, Vec::new()));
    }
    if !word.eq_ignore_ascii_case("unsafe") {
        return None;
    }
    let is_hazard = |word: &&str| {
        word.strip_prefix('S').is_some_and(|number| {
            (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let hazards = words.take_while(is_hazard).map(|hazard| (hazard, Dimension::Content));
    Some((Level::High, findings(Level::High, hazards, "unsafe")))
}

/// Parses `Safety: Unsafe`, `Categories: Violent, PII`, and the optional `Refusal: No`, each on a
/// line.
fn qwen3_guard(content: &str) -> Option<(Level, Vec<Finding>)> {
    let member = |name: &'static str| {
        content.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let levels = member("Safety").map(|value| {
        [("Safe", Level::None), ("Controversial", Level::Medium), ("Unsafe", Level::High)]
            .into_iter()
            .find(|(name, _)| value.eq_ignore_ascii_case(name))
            .map(|(_, level)| level)
    });
    // Of several levels the worst counts: the checked text may have injected another one.
    let level = levels.collect::<Option<Vec<Level>>>()?.into_iter().max()?;
    let named = member("Categories").flat_map(|list| list.split(',')).filter_map(|name| {
        QWEN_CATEGORIES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()))
    });
    let otherwise = if level == Level::Medium { "controversial" } else { "unsafe" };
    Some((level, findings(level, named, otherwise)))
}

/// Makes one finding of each distinct category, or one labeled `otherwise` if there is none.
fn findings<'a>(
    level: Level,
    categories: impl Iterator<Item = (&'a str, Dimension)>,
    otherwise: &str,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (name, dimension) in categories {
        if !findings.iter().any(|finding| finding.label == name) {
            findings.push(Finding { dimension, level, label: name.to_owned() });
        }
    }
    if findings.is_empty() {
        let label = otherwise.to_owned();
        findings.push(Finding { dimension: Dimension::Content, level, label });
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::settings::JudgeFormat;
    use crate::{Dimension, Level, Verdict};

    use super::{parse_verdict, request_body};

    /// Asserts a verdict by its labels; `None` is no verdict.
    #[track_caller]
    fn assert_verdict(
        format: JudgeFormat,
        block_at: Level,
        content: &str,
        expected: Option<&[&str]>,
    ) {
        let body =
            json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] });
        let found = parse_verdict(body.to_string().as_bytes(), format, Some(block_at));
        let found = found.ok().map(|verdict| match verdict {
            Verdict::Pass => Vec::new(),
            Verdict::Block(findings) => findings.into_iter().map(|one| one.label).collect(),
            Verdict::Mask(..) | Verdict::TooMany => panic!("nothing is masked"),
        });
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found, expected, "{content}");
    }

    #[test]
    fn llama_guard_output_is_parsed() {
        let assert_output = |content, expected| {
            assert_verdict(JudgeFormat::LlamaGuard, Level::High, content, expected);
        };
        assert_output("safe", Some(&[]));
        assert_output("\n\nsafe \n", Some(&[]));
        assert_output("unsafe\nS1,S9", Some(&["S1", "S9"]));
        assert_output("\nUnsafe\r\n S14 , S14", Some(&["S14"]));
        assert_output("unsafe", Some(&["unsafe"]));
        assert_output("unsafe\nS1 since it says sk-1234, S2", Some(&["S1"]));
        assert_output("unsafe\nSnake", Some(&["unsafe"]));
        for neither in ["", "\n", "safely", "safe to say that it is unsafe", "I cannot judge this."]
        {
            assert_output(neither, None);
        }
    }

    #[test]
    fn qwen3_guard_output_is_parsed() {
        let assert_output = |block_at, content, expected| {
            assert_verdict(JudgeFormat::Qwen3Guard, block_at, content, expected);
        };
        assert_output(Level::Low, "Safety: Safe\nCategories: None\nRefusal: Yes", Some(&[]));
        let controversial = "Safety: Controversial\nCategories: Politically Sensitive Topics";
        assert_output(Level::High, controversial, Some(&[]));
        assert_output(Level::Medium, controversial, Some(&["Politically Sensitive Topics"]));
        assert_output(
            Level::High,
            "safety:unsafe\nCategories: PII, Jailbreak, PII",
            Some(&["PII", "Jailbreak"]),
        );
        assert_output(Level::High, "Safety: Unsafe\nCategories: None", Some(&["unsafe"]));
        assert_output(
            Level::High,
            "Safety: Unsafe\nCategories: my number 139, Violent",
            Some(&["Violent"]),
        );
        assert_output(Level::High, "Safety: Safe\nSafety: Unsafe", Some(&["unsafe"]));
        assert_output(Level::High, "<think>\n\n</think>\nSafety: Safe", Some(&[]));
        for neither in ["", "safe", "Safety: Unsaf", "Safety:", "Categories: Violent"] {
            assert_output(Level::Low, neither, None);
        }
    }

    #[test]
    fn category_maps_to_dimension() {
        let body =
            br#"{"choices":[{"message":{"content":"Safety: Unsafe\nCategories: Jailbreak"}}]}"#;
        let Ok(Verdict::Block(findings)) =
            parse_verdict(body, JudgeFormat::Qwen3Guard, Some(Level::High))
        else {
            panic!("it is unsafe");
        };
        assert_eq!(
            (findings[0].dimension, findings[0].level),
            (Dimension::PromptAttack, Level::High)
        );
        assert_eq!(parse_verdict(body, JudgeFormat::Qwen3Guard, None), Ok(Verdict::Pass));
        assert!(parse_verdict(b"{\"choices\":[]}", JudgeFormat::LlamaGuard, None).is_err());
    }

    #[test]
    fn request_body_contains_only_input() {
        let ask = |format, question, answer| -> Value {
            serde_json::from_slice(&request_body("g\"8b", format, question, answer)).unwrap()
        };
        let user = json!({ "role": "user", "content": "a\n\"b\"" });
        let asked = ask(JudgeFormat::LlamaGuard, "a\n\"b\"", None);
        assert_eq!((&asked["model"], &asked["messages"]), (&"g\"8b".into(), &json!([user])));
        assert_eq!((&asked["temperature"], &asked["max_tokens"]), (&0.into(), &48.into()));
        let asked = ask(JudgeFormat::Qwen3Guard, "a\n\"b\"", Some("c"));
        let assistant = json!({ "role": "assistant", "content": "c" });
        assert_eq!(asked["messages"], json!([user, assistant]));
    }
}

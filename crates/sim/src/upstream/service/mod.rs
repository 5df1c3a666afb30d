//! Simulated guard services. They use the real wire formats.
//!
//! A service finds marks in a text, such as `[[high]]`, and words for which the scenario defines marks.
//! Each service defines the meaning of its marks. Failures come from the scripts of the upstream.

mod aliyun;
mod judge;
mod moderation;
mod signature;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

use super::answer::ProviderRequest;
use super::registry::Call;
use super::script::Script;

pub use aliyun::AliyunService;

/// Guard service that an upstream simulates.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Service {
    /// Alibaba Cloud's content safety; verifies every signature. Marks: `low`, `medium`, and `high` for
    /// content; `attack`, `url`, `hallucination`, and `custom`, each `…:LEVEL` and high by default; and
    /// `phone:NUMBER` for sensitive data, of which all but three characters are masked.
    Aliyun(AliyunService),
    /// `/v1/moderations`; other paths behave as for every provider. Marks: a category and its score, such as
    /// `violence:0.4`. The score is 0.98 by default; a category is flagged from 0.5.
    Moderation(RiskyWords),
    /// Model with the output format of Llama Guard. Marks: hazards, such as `S1`.
    LlamaGuard(RiskyWords),
    /// Model with the output format of Qwen3Guard. Marks: categories, such as `Violent`, or
    /// `Controversial:…` for those below unsafe.
    Qwen3Guard(RiskyWords),
}

/// Words that a service finds in addition to marks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskyWords {
    /// Mark by word: `"attack plan" = "high"`.
    pub risky: BTreeMap<String, String>,
}

/// Finding in a text.
struct Mark {
    what: String,
    /// Range of the finding in the text.
    at: Range<usize>,
}

impl Mark {
    /// Splits a mark at its colon.
    fn split(&self) -> (&str, Option<&str>) {
        self.what.split_once(':').map_or((&self.what, None), |(what, more)| (what, Some(more)))
    }
}

impl Service {
    /// Adds the verdict of the service to a script that defines neither a failure nor a body. `earlier` holds
    /// the calls before this one.
    pub fn apply(&self, script: &Script, call: &Call, earlier: &[Call]) -> Script {
        let fails = script.status.is_some_and(|status| status >= 300) || script.redirect.is_some();
        let has_body = script.raw.is_some()
            || script.json.is_some()
            || script.events.is_some()
            || script.answer.is_some();
        if fails || has_body {
            return script.clone();
        }
        let path = call.path.split('?').next().unwrap_or_default();
        match self {
            Self::Aliyun(aliyun) => {
                let (status, body) = aliyun.answer(call, earlier);
                Script { status: Some(status), json: Some(body), ..script.clone() }
            }
            Self::Moderation(finds) if path.ends_with("/moderations") => {
                let (status, body) = moderation::answer(&call.body, finds);
                Script { status: Some(status), json: Some(body), ..script.clone() }
            }
            Self::Moderation(_) => script.clone(),
            Self::LlamaGuard(finds) => {
                let prompt = ProviderRequest::parse(&call.path, &call.body).prompt_text;
                let answer = Some(judge::llama_guard(&marks(&prompt, &finds.risky)));
                Script { answer, ..script.clone() }
            }
            Self::Qwen3Guard(finds) => {
                let prompt = ProviderRequest::parse(&call.path, &call.body).prompt_text;
                let answer = Some(judge::qwen3_guard(&marks(&prompt, &finds.risky)));
                Script { answer, ..script.clone() }
            }
        }
    }
}

/// Finds marks and risky words in a text, in its order.
fn marks(text: &str, risky: &BTreeMap<String, String>) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (start, _) in text.match_indices("[[") {
        let start = start + 2;
        let Some(length) = text[start..].find("]]") else { break };
        let what = &text[start..start + length];
        // The range of a mark with a value is the value alone.
        let from = what.rfind(':').map_or(start, |colon| start + colon + 1);
        marks.push(Mark { what: what.to_owned(), at: from..start + length });
    }
    for (word, what) in risky.iter().filter(|(word, _)| !word.is_empty()) {
        for (at, _) in text.match_indices(word.as_str()) {
            marks.push(Mark { what: what.clone(), at: at..at + word.len() });
        }
    }
    marks.sort_by_key(|mark| mark.at.start);
    marks
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::Value;

    use super::Service;
    use crate::upstream::{Call, Ended, ProviderRequest, ResponsePlan, Script};

    fn call(path: &str, body: &str) -> Call {
        Call {
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
            ended: Ended::Open,
        }
    }

    fn ask(service: &str, script: &Script, path: &str, body: &str) -> (u16, Value) {
        let service: Service = toml::from_str(service).expect("a service");
        let call = call(path, body);
        let script = service.apply(script, &call, &[]);
        let plan = script.plan(&ProviderRequest::parse(path, call.body.as_ref())).expect("a plan");
        let ResponsePlan::Respond(response) = plan else { panic!("{plan:?}") };
        let body = serde_json::from_slice(&response.bytes()).unwrap_or_default();
        (response.status.as_u16(), body)
    }

    #[test]
    fn moderation_of_marked_texts_has_flags_and_scores() {
        let service = "kind = 'moderation'\nrisky = { 'attack plan' = 'violence' }";
        let ask = |body: &str| ask(service, &Script::default(), "/v1/moderations", body).1;
        let answer = ask(r#"{"input":["fine","my attack plan"]}"#);
        assert_eq!(answer["results"][0]["flagged"], false);
        assert_eq!(answer["results"][1]["categories"]["violence"], true);
        let answer = ask(r#"{"input":[{"type":"text","text":"[[hate:0.3]]"}]}"#);
        assert_eq!(answer["results"][0]["flagged"], false);
        assert_eq!(answer["results"][0]["category_scores"]["hate"], 0.3);
        assert_eq!(ask("{}")["error"]["type"], "invalid_request_error");
    }

    #[test]
    fn guard_models_answer_chat_requests_with_their_verdict() {
        let chat = |service: &str, prompt: &str| {
            let body =
                format!(r#"{{"model":"g","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
            let (_, answer) = ask(service, &Script::default(), "/v1/chat/completions", &body);
            answer["choices"][0]["message"]["content"].as_str().expect("content").to_owned()
        };
        let llama = "kind = 'llama-guard'\nrisky = { bomb = 'S9' }";
        assert_eq!(chat(llama, "hello"), "safe");
        assert_eq!(chat(llama, "[[S1]] bomb bomb"), "unsafe\nS1,S9");
        let qwen = "kind = 'qwen3-guard'";
        assert_eq!(chat(qwen, "hello"), "Safety: Safe\nCategories: None");
        assert_eq!(chat(qwen, "[[Violent]][[PII]]"), "Safety: Unsafe\nCategories: Violent, PII");
        assert_eq!(
            chat(qwen, "[[Controversial:Unethical Acts]]"),
            "Safety: Controversial\nCategories: Unethical Acts"
        );
    }

    #[test]
    fn script_with_a_body_or_failure_is_played_unchanged() {
        let assert_response = |script: &str, status: u16, json: &str| {
            let script: Script = toml::from_str(script).expect("a script");
            let (found, body) = ask("kind = 'aliyun'", &script, "/?Service=s", "");
            assert_eq!((found, body.to_string().as_str()), (status, json));
        };
        assert_response("json = { Code = 588 }", 200, r#"{"Code":588}"#);
        assert_response("raw = '{\"Code\":2'", 200, "null");
        let (status, _) = ask("kind = 'aliyun'", &Script::failing(500), "/", "");
        assert_eq!(status, 500);
    }
}

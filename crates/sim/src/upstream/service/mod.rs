//! Services that judge texts. They speak their true wire format and find what a scenario tells them
//! to, whatever else is asked.
//!
//! In a text they find marks, `[[high]]`, and words to which the scenario gives marks. What a mark
//! means is each service's own. How a service fails is in the upstream's scripts, as for every other.

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

/// Makes an upstream a service that judges texts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Service {
    /// Alibaba Cloud's content safety; every signature is verified. Marks: `low`, `medium` and `high`
    /// (what is said), `attack`, `url`, `hallucination`, `custom` (each `…:LEVEL`, high by default)
    /// and `phone:NUMBER` (sensitive data, of which all but three characters are masked).
    Aliyun(AliyunService),
    /// `/v1/moderations`; other paths answer as every provider does. Marks: a category and its score,
    /// `violence:0.4`, 0.98 by default; from 0.5 on it is flagged.
    Moderation(RiskyWords),
    /// A model that answers as Llama Guard does. Marks: hazards, `S1`.
    LlamaGuard(RiskyWords),
    /// A model that answers as Qwen3Guard does. Marks: categories, `Violent`; `Controversial:…` where
    /// they are less than unsafe.
    Qwen3Guard(RiskyWords),
}

/// What is found beside marks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskyWords {
    /// Marks by the words for which they stand: `"attack plan" = "high"`.
    pub risky: BTreeMap<String, String>,
}

/// Something that was found in a text.
struct Mark {
    what: String,
    /// The part of the text that shows it.
    at: Range<usize>,
}

impl Mark {
    /// What stands before a colon, and what behind it.
    fn split(&self) -> (&str, Option<&str>) {
        self.what.split_once(':').map_or((&self.what, None), |(what, more)| (what, Some(more)))
    }
}

impl Service {
    /// A script as the service fills it in: one that says neither how to fail nor what to answer gets
    /// the service's judgement. `earlier` are the calls before this one.
    pub fn apply(&self, script: &Script, call: &Call, earlier: &[Call]) -> Script {
        let fails = script.status.is_some_and(|status| status >= 300) || script.redirect.is_some();
        let says = script.raw.is_some()
            || script.json.is_some()
            || script.events.is_some()
            || script.answer.is_some();
        if fails || says {
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
                let said = ProviderRequest::parse(&call.path, &call.body).prompt_text;
                let answer = Some(judge::llama_guard(&marks(&said, &finds.risky)));
                Script { answer, ..script.clone() }
            }
            Self::Qwen3Guard(finds) => {
                let said = ProviderRequest::parse(&call.path, &call.body).prompt_text;
                let answer = Some(judge::qwen3_guard(&marks(&said, &finds.risky)));
                Script { answer, ..script.clone() }
            }
        }
    }
}

/// What there is to find in a text, in its order.
fn marks(text: &str, risky: &BTreeMap<String, String>) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (start, _) in text.match_indices("[[") {
        let start = start + 2;
        let Some(length) = text[start..].find("]]") else { break };
        let what = &text[start..start + length];
        // A mark with a value shows the value alone.
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
        let plan = script.plan(&ProviderRequest::parse(path, call.body.as_ref())).expect("a play");
        let ResponsePlan::Respond(response) = plan else { panic!("{plan:?}") };
        let body = serde_json::from_slice(&response.bytes()).unwrap_or_default();
        (response.status.as_u16(), body)
    }

    #[test]
    fn a_moderation_has_flags_and_scores() {
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
    fn judges_are_chat_models() {
        let chat = |service: &str, said: &str| {
            let body =
                format!(r#"{{"model":"g","messages":[{{"role":"user","content":"{said}"}}]}}"#);
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
    fn a_script_that_says_something_is_played_as_it_is() {
        let check = |script: &str, status: u16, json: &str| {
            let script: Script = toml::from_str(script).expect("a script");
            let (found, body) = ask("kind = 'aliyun'", &script, "/?Service=s", "");
            assert_eq!((found, body.to_string().as_str()), (status, json));
        };
        check("json = { Code = 588 }", 200, r#"{"Code":588}"#);
        check("raw = '{\"Code\":2'", 200, "null");
        let (status, _) = ask("kind = 'aliyun'", &Script::failing(500), "/", "");
        assert_eq!(status, 500);
    }
}

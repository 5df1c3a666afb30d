//! Demo provider: answers every request with its own name, and fails if the model's name requests it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{EndpointKind, ProviderRequest};
use super::registry::{Call, Ended};
use super::script::Script;
use super::service::{AliyunService, RiskyWords, Service};

/// Provider that the demo simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DemoProvider {
    Openai,
    Deepseek,
    /// Local model server.
    Local,
    /// Alibaba Cloud's content safety, with the access key id `testid` and its secret `testsecret`.
    Aliyun,
}

/// Pause between two words.
const WORD_DELAY: Duration = Duration::from_millis(20);
/// Pause between two words of a `-slow` model.
const SLOW_WORD_DELAY: Duration = Duration::from_millis(250);
/// Delay of the first word of a `-slow` model.
const SLOW_FIRST_WORD_DELAY: Duration = Duration::from_secs(2);
/// Number of events before the cut of a `-fail-cut` model.
const EVENTS_BEFORE_CUT: usize = 6;

impl DemoProvider {
    /// Parses the value of `--as`.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "openai" => Some(Self::Openai),
            "deepseek" => Some(Self::Deepseek),
            "local" => Some(Self::Local),
            "aliyun" => Some(Self::Aliyun),
            _ => None,
        }
    }

    /// Display name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Openai => "OpenAI",
            Self::Deepseek => "DeepSeek",
            Self::Local => "your own model server",
            Self::Aliyun => "Alibaba Cloud's content safety",
        }
    }

    /// Models that it lists by default.
    pub fn models(self) -> &'static [&'static str] {
        match self {
            Self::Openai => &["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"],
            Self::Deepseek => &["deepseek-chat", "deepseek-reasoner"],
            Self::Local => &["qwq-32b"],
            Self::Aliyun => &[],
        }
    }

    /// Returns the script of the response to a request.
    pub fn script(
        self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        models: &[String],
    ) -> Script {
        let request = ProviderRequest::parse(path, body);
        let guard_response = |service: Service| {
            let (method, path) = (method.to_owned(), path.to_owned());
            let (headers, body) = (headers.clone(), Bytes::copy_from_slice(body));
            let call = Call { method, path, headers, body, ended: Ended::Open };
            service.apply(&Script::default(), &call, &[])
        };
        match self {
            Self::Aliyun => return guard_response(Service::Aliyun(AliyunService::default())),
            Self::Openai | Self::Deepseek | Self::Local => {}
        }
        let path = path.split('?').next().unwrap_or_default();
        if method == "GET" && path.ends_with("/models") {
            return Script { json: Some(self.list(models)), ..Script::default() };
        }
        if method == "POST" && path.ends_with("/moderations") {
            return guard_response(Service::Moderation(RiskyWords::default()));
        }
        let known = ["/chat/completions", "/completions", "/embeddings", "/responses", "/messages"];
        if method != "POST" || !known.iter().any(|known| path.ends_with(known)) {
            let message =
                format!("The simulated provider {} has no {method} {path}.", self.title());
            let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": "unknown_url" });
            return Script { json: Some(json!({ "error": error })), ..Script::failing(404) };
        }
        let model = &request.model;
        let (title, prompt) = (self.title(), &request.prompt_text);
        let text =
            format!("I am the simulated provider {title} (model {model}). You said: {prompt}");
        let is_paced = request.stream && request.kind.streams();
        let fine =
            Script { answer: Some(text), gap: is_paced.then_some(WORD_DELAY), ..Script::default() };
        let Some((_, fault)) = model.rsplit_once("-fail-") else {
            if model.ends_with("-slow") {
                return Script {
                    gap: Some(SLOW_WORD_DELAY),
                    first_token_delay: Some(SLOW_FIRST_WORD_DELAY),
                    ..fine
                };
            }
            return fine;
        };
        match fault {
            "connect" => Script { refuse: true, ..fine },
            "timeout" => Script { hang: true, ..fine },
            "cut" if is_paced => Script { cut_after: Some(EVENTS_BEFORE_CUT), reset: true, ..fine },
            "cut" => Script { cut_at: Some(40), reset: true, ..fine },
            "429" => Script {
                headers: [("retry-after".to_owned(), "1".to_owned())].into(),
                ..Script::failing(429)
            },
            status => match status.parse() {
                Ok(status @ 400..=599) => Script::failing(status),
                _ => fine,
            },
        }
    }

    fn list(self, models: &[String]) -> Value {
        let entry = |id: &str| json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": self.title() });
        let data: Vec<Value> = if models.is_empty() {
            self.models().iter().map(|id| entry(id)).collect()
        } else {
            models.iter().map(|id| entry(id)).collect()
        };
        json!({ "object": "list", "data": data })
    }
}

impl EndpointKind {
    /// Whether responses of this endpoint can be streams.
    pub fn streams(self) -> bool {
        match self {
            Self::Chat | Self::Text | Self::Messages | Self::Responses => true,
            Self::Embeddings | Self::TokenCount => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::DemoProvider;
    use crate::upstream::Script;

    fn script(model: &str) -> Script {
        let body = format!(
            r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Hi"}}]}}"#
        );
        DemoProvider::Openai.script(
            "POST",
            "/v1/chat/completions",
            &HeaderMap::new(),
            body.as_bytes(),
            &[],
        )
    }

    #[test]
    fn script_of_a_chat_request_answers_with_provider_and_prompt() {
        let answer = script("gpt-4o").answer;
        assert_eq!(
            answer.as_deref(),
            Some("I am the simulated provider OpenAI (model gpt-4o). You said: Hi")
        );
    }

    #[test]
    fn script_of_a_model_with_a_fault_suffix_has_that_fault() {
        assert_eq!(script("gpt-4o-fail-429").status, Some(429));
        assert_eq!(script("gpt-4o-fail-503").status, Some(503));
        assert!(script("gpt-4o-fail-connect").refuse && script("gpt-4o-fail-timeout").hang);
        assert!(script("gpt-4o-fail-cut").cut_after.is_some());
        assert!(script("gpt-4o-slow").first_token_delay.is_some());
        assert_eq!(script("gpt-4o-fail-nothing").status, None);
    }

    #[test]
    fn script_of_every_protocol_answers() {
        for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
            let body = br#"{"model":"gpt-4o","stream":true,"messages":[],"input":"Hi"}"#;
            let script = DemoProvider::Openai.script("POST", path, &HeaderMap::new(), body, &[]);
            assert!(script.status.is_none() && script.answer.is_some(), "{path}");
        }
    }

    #[test]
    fn script_of_other_paths_lists_models_or_fails_with_404() {
        let list = DemoProvider::Local.script(
            "GET",
            "/v1/models",
            &HeaderMap::new(),
            b"",
            &["mine".to_owned()],
        );
        assert_eq!(list.json.expect("a list")["data"][0]["id"], "mine");
        assert_eq!(
            DemoProvider::Local
                .script("GET", "/v1/chat/completions", &HeaderMap::new(), b"", &[])
                .status,
            Some(404)
        );
    }

    #[test]
    fn script_of_a_guard_request_has_a_verdict() {
        let ask = |provider: DemoProvider, path: &str, body: &[u8]| {
            provider.script("POST", path, &HeaderMap::new(), body, &[]).json.expect("JSON")
        };
        let flagged = ask(DemoProvider::Openai, "/v1/moderations", br#"{"input":"[[violence]]"}"#);
        assert_eq!(flagged["results"][0]["flagged"], true);
        assert_eq!(ask(DemoProvider::Aliyun, "/?Service=s", b"")["Code"], "MissingParameter");
    }
}

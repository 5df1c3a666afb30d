//! A provider that anyone can talk to: the demo's stand-ins. It answers everything, says who it is,
//! and fails when a model's name asks for it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{EndpointKind, ProviderRequest};
use super::registry::{Call, Ended};
use super::script::Script;
use super::service::{AliyunService, RiskyWords, Service};

/// Whom the stand-in stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DemoProvider {
    /// OpenAI.
    Openai,
    /// DeepSeek.
    Deepseek,
    /// A model server of one's own.
    Local,
    /// Alibaba Cloud's content safety, with the key `testid` and its secret `testsecret`.
    Aliyun,
}

/// The pause between two words.
const WORD_DELAY: Duration = Duration::from_millis(20);
/// The pause between two words of a model that is called slow.
const SLOW_WORD_DELAY: Duration = Duration::from_millis(250);
/// The wait for the first word of a model that is called slow.
const SLOW_FIRST_WORD_DELAY: Duration = Duration::from_secs(2);
/// How many events come before the cut that a model's name asks for.
const EVENTS_BEFORE_CUT: usize = 6;

impl DemoProvider {
    /// Finds a persona by what is typed.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "openai" => Some(Self::Openai),
            "deepseek" => Some(Self::Deepseek),
            "local" => Some(Self::Local),
            "aliyun" => Some(Self::Aliyun),
            _ => None,
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Openai => "OpenAI",
            Self::Deepseek => "DeepSeek",
            Self::Local => "your own model server",
            Self::Aliyun => "Alibaba Cloud's content safety",
        }
    }

    /// The models it lists unless told otherwise.
    pub fn models(self) -> &'static [&'static str] {
        match self {
            Self::Openai => &["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"],
            Self::Deepseek => &["deepseek-chat", "deepseek-reasoner"],
            Self::Local => &["qwq-32b"],
            Self::Aliyun => &[],
        }
    }

    /// What a request gets.
    pub fn script(
        self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        models: &[String],
    ) -> Script {
        let request = ProviderRequest::parse(path, body);
        let judged = |service: Service| {
            let (method, path) = (method.to_owned(), path.to_owned());
            let (headers, body) = (headers.clone(), Bytes::copy_from_slice(body));
            let call = Call { method, path, headers, body, ended: Ended::Open };
            service.apply(&Script::default(), &call, &[])
        };
        match self {
            Self::Aliyun => return judged(Service::Aliyun(AliyunService::default())),
            Self::Openai | Self::Deepseek | Self::Local => {}
        }
        let path = path.split('?').next().unwrap_or_default();
        if method == "GET" && path.ends_with("/models") {
            return Script { json: Some(self.list(models)), ..Script::default() };
        }
        if method == "POST" && path.ends_with("/moderations") {
            return judged(Service::Moderation(RiskyWords::default()));
        }
        let known = ["/chat/completions", "/completions", "/embeddings"];
        if method != "POST" || !known.iter().any(|known| path.ends_with(known)) {
            return Script::failing(404);
        }
        let model = &request.model;
        let (who, said) = (self.title(), &request.prompt_text);
        let text = format!("I am the stand-in for {who} (model {model}). You said: {said}");
        let is_paced = request.stream && request.kind.streams();
        let fine =
            Script { answer: Some(text), gap: is_paced.then_some(WORD_DELAY), ..Script::default() };
        let Some((_, wish)) = model.rsplit_once("-fail-") else {
            if model.ends_with("-slow") {
                return Script {
                    gap: Some(SLOW_WORD_DELAY),
                    first_token_delay: Some(SLOW_FIRST_WORD_DELAY),
                    ..fine
                };
            }
            return fine;
        };
        match wish {
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
    /// Whether the call can be streamed.
    pub fn streams(self) -> bool {
        match self {
            Self::Chat | Self::Text => true,
            Self::Embeddings => false,
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
    fn it_says_who_it_is() {
        let answer = script("gpt-4o").answer;
        assert_eq!(
            answer.as_deref(),
            Some("I am the stand-in for OpenAI (model gpt-4o). You said: Hi")
        );
    }

    #[test]
    fn it_fails_as_the_models_name_asks() {
        assert_eq!(script("gpt-4o-fail-429").status, Some(429));
        assert_eq!(script("gpt-4o-fail-503").status, Some(503));
        assert!(script("gpt-4o-fail-connect").refuse && script("gpt-4o-fail-timeout").hang);
        assert!(script("gpt-4o-fail-cut").cut_after.is_some());
        assert!(script("gpt-4o-slow").first_token_delay.is_some());
        assert_eq!(script("gpt-4o-fail-nothing").status, None);
    }

    #[test]
    fn it_lists_models_and_knows_its_paths() {
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
    fn it_judges_texts() {
        let ask = |provider: DemoProvider, path: &str, body: &[u8]| {
            provider.script("POST", path, &HeaderMap::new(), body, &[]).json.expect("JSON")
        };
        let flagged = ask(DemoProvider::Openai, "/v1/moderations", br#"{"input":"[[violence]]"}"#);
        assert_eq!(flagged["results"][0]["flagged"], true);
        assert_eq!(ask(DemoProvider::Aliyun, "/?Service=s", b"")["Code"], "MissingParameter");
    }
}

//! Endpoint of a request, by method and path.
//!
//! Base URLs of callers vary: with and without `/v1`, behind a prefix, with a slash at the end, or with a
//! whole endpoint pasted into them. The end of the path therefore decides.

use std::borrow::Cow;

use http::{HeaderMap, Method};
use json::percent;
use openai::Endpoint;
use protocol::model::Protocol;

use super::original::ANTHROPIC_VERSION;
use crate::error::{Refusal, UnservedApi};
use crate::record::{
    COUNT_TOKENS_OPERATION, FEEDBACK_OPERATION, MODELS_OPERATION, STORED_RESPONSE_OPERATION,
};

const HEALTH_SEGMENTS: [&str; 1] = ["healthz"];
/// End of the path of feedback.
const FEEDBACK_SEGMENTS: [&str; 2] = ["v1", "feedback"];

/// Maximum number of path segments that are looked at; longer paths have no endpoint.
const MAX_SEGMENTS: usize = 64;

/// An endpoint of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GatewayEndpoint {
    /// `GET /healthz`, without a key.
    Health,
    /// An endpoint of a provider's API, with a key.
    Api(ApiEndpoint),
}

/// An endpoint of the APIs of OpenAI and Anthropic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiEndpoint {
    /// `GET …/models`
    Models,
    /// `GET …/models/ID`
    Model(String),
    /// A call to a model.
    Inference(InferenceCall),
    /// `POST …/messages/count_tokens` or `POST …/responses/input_tokens`: the tokens of a prompt.
    CountTokens(Protocol),
    /// `POST …/v1/feedback`: feedback of a consumer about an answer.
    Feedback,
    /// `…/responses/ID`, and the paths below it.
    StoredResponse(StoredResponseCall),
}

/// A call about a response that a provider stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredResponseCall {
    /// The tagged id.
    pub id: String,
    /// The method of the call.
    pub method: Method,
    /// The path behind the id: empty, `/cancel`, or `/input_items`.
    pub action: &'static str,
}

/// A call to a model, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InferenceCall {
    /// The endpoint; a chat in any of the protocols is one.
    pub endpoint: Endpoint,
    /// The caller's protocol.
    pub protocol: Protocol,
    /// Model that the path names, as Azure's does. It overrides the model of the body.
    pub deployment: Option<String>,
}

impl ApiEndpoint {
    /// Name in records, after OpenTelemetry's `gen_ai.operation.name`.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Models | Self::Model(_) => MODELS_OPERATION,
            Self::Inference(call) => call.endpoint.operation(),
            Self::CountTokens(_) => COUNT_TOKENS_OPERATION,
            Self::Feedback => FEEDBACK_OPERATION,
            Self::StoredResponse(_) => STORED_RESPONSE_OPERATION,
        }
    }

    /// Protocol of the caller. Lists of models have one path for all, and clients of Anthropic's API name its
    /// version.
    pub(crate) fn protocol(&self, headers: &HeaderMap) -> Protocol {
        match self {
            Self::Models | Self::Model(_) if headers.contains_key(ANTHROPIC_VERSION) => {
                Protocol::Messages
            }
            Self::Models | Self::Model(_) | Self::Feedback => Protocol::Chat,
            Self::Inference(call) => call.protocol,
            Self::CountTokens(protocol) => *protocol,
            Self::StoredResponse(_) => Protocol::Responses,
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Models | Self::Model(_) => Method::GET,
            Self::Inference(_) | Self::CountTokens(_) | Self::Feedback => Method::POST,
            Self::StoredResponse(call) => call.method.clone(),
        }
    }
}

impl GatewayEndpoint {
    /// Parses method and path. Empty segments count as none, so `//` and a slash at the end have no
    /// meaning.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, Refusal> {
        let segments: Vec<&str> = non_empty_segments(path).take(MAX_SEGMENTS + 1).collect();
        if segments.len() > MAX_SEGMENTS {
            return Err(Refusal::UnknownUrl);
        }
        // HEAD is allowed wherever GET is (RFC 9110, section 9.3.2).
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        if segments == HEALTH_SEGMENTS {
            return if is_read { Ok(Self::Health) } else { Err(not_allowed(&Method::GET)) };
        }
        if let Some(call) = stored_response(&segments, method) {
            return Ok(Self::Api(ApiEndpoint::StoredResponse(call)));
        }
        let inference = inference_endpoint(&segments);
        let foreign = foreign_protocol(&segments, is_read).filter(|_| inference.is_none());
        if let Some(protocol) = foreign {
            return Err(Refusal::UnservedApi(protocol));
        }
        let endpoint = match (model_endpoint(&segments), inference) {
            // The id of a model may end like a path: only one of the two has the request's method.
            (Some(models), Some(inference)) => {
                if is_read {
                    models
                } else {
                    inference
                }
            }
            (Some(found), None) | (None, Some(found)) => found,
            (None, None) => return Err(Refusal::UnknownUrl),
        };
        let allow = endpoint.method();
        if *method == allow || (allow == Method::GET && is_read) {
            Ok(Self::Api(endpoint))
        } else {
            Err(not_allowed(&allow))
        }
    }
}

/// Whether a request only asks if the gateway has a configuration.
pub(crate) fn is_health_check<B>(request: &http::Request<B>) -> bool {
    non_empty_segments(request.uri().path()).eq(HEALTH_SEGMENTS)
}

fn non_empty_segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn not_allowed(allow: &Method) -> Refusal {
    Refusal::MethodNotAllowed { allow: if *allow == Method::POST { "POST" } else { "GET, HEAD" } }
}

/// Ends of paths in other protocols than Chat.
const PROTOCOL_PATHS: [(&[&str], Protocol, bool); 4] = [
    (&["responses"], Protocol::Responses, false),
    (&["responses", "input_tokens"], Protocol::Responses, true),
    (&["messages"], Protocol::Messages, false),
    (&["messages", "count_tokens"], Protocol::Messages, true),
];

/// A call to a model: the last segments are an endpoint's path.
fn inference_endpoint(segments: &[&str]) -> Option<ApiEndpoint> {
    if segments.ends_with(&FEEDBACK_SEGMENTS) {
        return Some(ApiEndpoint::Feedback);
    }
    // Messages of OpenAI's assistants are below a thread.
    if !segments.contains(&"threads")
        && let Some((_, protocol, is_count)) =
            PROTOCOL_PATHS.iter().find(|(path, ..)| segments.ends_with(path))
    {
        return Some(match is_count {
            true => ApiEndpoint::CountTokens(*protocol),
            false => ApiEndpoint::Inference(InferenceCall {
                endpoint: Endpoint::ChatCompletions,
                protocol: *protocol,
                deployment: None,
            }),
        });
    }
    // `/chat/completions` ends with `/completions`, and stands before it in the list.
    let (endpoint, before) = Endpoint::ALL.into_iter().find_map(|endpoint| {
        let path: Vec<&str> = endpoint.path().split('/').skip(1).collect();
        Some((endpoint, segments.strip_suffix(path.as_slice())?))
    })?;
    let deployment = deployment(before);
    Some(ApiEndpoint::Inference(InferenceCall { endpoint, protocol: Protocol::Chat, deployment }))
}

/// The protocol of an error for a path without an endpoint, or with another method.
pub(crate) fn error_protocol(path: &str) -> Protocol {
    let segments: Vec<&str> = non_empty_segments(path).take(MAX_SEGMENTS).collect();
    near_protocol(&segments).unwrap_or(Protocol::Chat)
}

/// The protocol whose name stands near the end of a path.
fn near_protocol(segments: &[&str]) -> Option<Protocol> {
    let has = |name: &str| segments.contains(&name);
    let is_near_end = |name: &str| {
        let at = segments.iter().rposition(|segment| *segment == name);
        at.is_some_and(|at| segments.len() - at <= 3)
    };
    if is_near_end("responses") && !has("models") {
        return Some(Protocol::Responses);
    }
    let is_messages = is_near_end("messages") && !has("threads") && !has("models");
    (is_messages || segments.ends_with(&["v1", "complete"])).then_some(Protocol::Messages)
}

/// A call about a stored response, if the method belongs to the path.
fn stored_response(segments: &[&str], method: &Method) -> Option<StoredResponseCall> {
    let at = segments.iter().rposition(|segment| *segment == "responses")?;
    if segments.contains(&"models") {
        return None;
    }
    let (id, action) = match (&segments[at + 1..], method) {
        ([id], &Method::GET | &Method::DELETE) => (id, ""),
        ([id, "cancel"], &Method::POST) => (id, "/cancel"),
        ([id, "input_items"], &Method::GET) => (id, "/input_items"),
        _ => return None,
    };
    Some(StoredResponseCall { id: decoded(&[*id]), method: method.clone(), action })
}

/// The model of `…/deployments/NAME` (Azure) or `…/engines/NAME` (OpenAI's clients before 1.0). A name may
/// contain slashes, encoded or not.
fn deployment(segments: &[&str]) -> Option<String> {
    let at = segments.iter().rposition(|segment| matches!(*segment, "deployments" | "engines"))?;
    // A later version segment belongs to a base URL that names no deployment.
    let name = &segments[at + 1..];
    (!name.is_empty() && !name.contains(&"v1")).then(|| decoded(name))
}

/// The list of models, or one model: `models` with the id after it, which may contain slashes.
fn model_endpoint(segments: &[&str]) -> Option<ApiEndpoint> {
    let after_version = segments.windows(2).position(|pair| pair == ["v1", "models"]);
    let start = match after_version {
        Some(version) => version + 1,
        None => segments.iter().position(|segment| *segment == "models")?,
    };
    match &segments[start + 1..] {
        // The list's whole URL, pasted as the base URL.
        [] | ["models"] | [.., "v1", "models"] => Some(ApiEndpoint::Models),
        id => Some(ApiEndpoint::Model(decoded(id))),
    }
}

/// The protocol of a path that the gateway does not serve.
fn foreign_protocol(segments: &[&str], is_read: bool) -> Option<UnservedApi> {
    let has = |name: &str| segments.contains(&name);
    // Google's OpenAI-compatible API is below `/v1beta/openai`.
    if (has("v1beta") || has("v1alpha")) && !has("openai") {
        return Some(UnservedApi::Gemini);
    }
    // Ids of models may contain a colon too, but only Google posts to them.
    let (last, before) = segments.split_last()?;
    if !is_read && last.contains(':') && before.contains(&"models") {
        return Some(UnservedApi::Gemini);
    }
    match near_protocol(segments)? {
        Protocol::Chat => None,
        Protocol::Responses => Some(UnservedApi::Responses),
        Protocol::Messages => Some(UnservedApi::Messages),
    }
}

/// Segments as one decoded name. A broken escape remains as it is.
fn decoded(segments: &[&str]) -> String {
    let joined = segments.join("/");
    percent::decode(&joined).map_or_else(|| joined.clone(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use openai::Endpoint;

    use protocol::model::Protocol;

    use super::{ApiEndpoint, GatewayEndpoint, InferenceCall, StoredResponseCall, error_protocol};
    use crate::error::{Refusal, UnservedApi};
    use crate::request::original::ANTHROPIC_VERSION;

    fn parse(method: Method, path: &str) -> Option<ApiEndpoint> {
        match GatewayEndpoint::parse(&method, path) {
            Ok(GatewayEndpoint::Api(api)) => Some(api),
            Ok(GatewayEndpoint::Health) => panic!("{path} is the health check"),
            Err(Refusal::UnknownUrl) => None,
            Err(refusal) => panic!("{path}: {refusal:?}"),
        }
    }

    #[track_caller]
    fn assert_inference(path: &str, expected: Endpoint, model: Option<&str>) {
        let deployment = model.map(str::to_owned);
        let call = InferenceCall { endpoint: expected, protocol: Protocol::Chat, deployment };
        assert_eq!(parse(Method::POST, path), Some(ApiEndpoint::Inference(call)), "{path}");
    }

    #[track_caller]
    fn assert_model(path: &str, id: &str) {
        assert_eq!(parse(Method::GET, path), Some(ApiEndpoint::Model(id.to_owned())), "{path}");
    }

    #[test]
    fn feedback_is_posted_below_v1() {
        for path in ["/v1/feedback", "/team/a/v1/feedback/"] {
            assert_eq!(parse(Method::POST, path), Some(ApiEndpoint::Feedback), "{path}");
            let refused = GatewayEndpoint::parse(&Method::GET, path);
            assert!(matches!(refused, Err(Refusal::MethodNotAllowed { allow: "POST" })), "{path}");
        }
        assert_eq!(parse(Method::POST, "/feedback"), None);
    }

    #[test]
    fn end_of_path_selects_endpoint() {
        for base in [
            "",
            "/v1",
            "/v1/",
            "/v1//",
            "//v1",
            "/team/a/v1",
            "/v1/v1",
            "/openai/v1",
            "/api/paas/v4",
            "/v1beta/openai",
            "/v1/chat/completions",
            "/v1/models",
            "/v1/responses",
            "/v1/messages",
            "/v1/completions/",
            "/models",
        ] {
            assert_inference(&format!("{base}/chat/completions"), Endpoint::ChatCompletions, None);
            assert_inference(
                &format!("{base}//chat//completions/"),
                Endpoint::ChatCompletions,
                None,
            );
            assert_inference(&format!("{base}/embeddings//"), Endpoint::Embeddings, None);
            assert_eq!(
                parse(Method::GET, &format!("{base}/models/")),
                Some(ApiEndpoint::Models),
                "{base}"
            );
        }
        assert_inference("/team/a/v1/completions", Endpoint::Completions, None);
        assert_inference("/completions/", Endpoint::Completions, None);
    }

    #[test]
    fn unknown_path_is_refused() {
        for path in ["/", "/v1", "/v1/", "/v1/chat", "/x/healthz", "/v1/files", "/v1/xcompletions"]
        {
            assert_eq!(parse(Method::POST, path), None, "{path}");
        }
        assert_eq!(parse(Method::POST, &format!("{}/completions", "/a".repeat(64))), None);
    }

    #[test]
    fn health_check_is_at_the_root_only() {
        for path in ["/healthz", "/healthz/", "//healthz"] {
            for method in [Method::GET, Method::HEAD] {
                let found = GatewayEndpoint::parse(&method, path);
                assert_eq!(found.ok(), Some(GatewayEndpoint::Health), "{path}");
            }
        }
    }

    #[test]
    fn model_id_may_contain_slashes_and_escapes() {
        assert_model("/v1/models/gpt-4o", "gpt-4o");
        assert_model("/v1/models/gpt-4o/", "gpt-4o");
        assert_model("/models/gpt-4o", "gpt-4o");
        assert_model("/team/v1//models//deepseek/chat", "deepseek/chat");
        assert_model("/v1/models/deepseek%2Fchat", "deepseek/chat");
        assert_model("/v1/models/a%20b%zz", "a%20b%zz");
        assert_model(
            "/v1/models/accounts/fireworks/models/llama",
            "accounts/fireworks/models/llama",
        );
        assert_model("/models/v1/models/x", "x");
        assert_model("/v1/models/some/embeddings", "some/embeddings");
        assert_model("/v1/chat/completions/models/gpt-4o", "gpt-4o");
    }

    #[test]
    fn deployment_of_path_names_model() {
        let chat = Endpoint::ChatCompletions;
        assert_inference("/openai/deployments/gpt-4o/chat/completions", chat, Some("gpt-4o"));
        assert_inference("/v1/deployments/gpt-4o/chat/completions/", chat, Some("gpt-4o"));
        assert_inference("/deployments/a%2Fb/embeddings", Endpoint::Embeddings, Some("a/b"));
        assert_inference("/openai/deployments/a/b/chat/completions", chat, Some("a/b"));
        assert_inference("/v1/engines/davinci/completions", Endpoint::Completions, Some("davinci"));
        assert_inference("/openai/deployments/chat/completions", chat, None);
        assert_inference("/deployments/v1/chat/completions", chat, None);
    }

    #[test]
    fn end_of_path_selects_protocol() {
        for (path, protocol, is_count) in [
            ("/v1/responses", Protocol::Responses, false),
            ("/responses/", Protocol::Responses, false),
            ("/team/a/v1/responses/input_tokens", Protocol::Responses, true),
            ("/v1/messages", Protocol::Messages, false),
            ("/v1/v1/messages", Protocol::Messages, false),
            ("/v1//messages/count_tokens", Protocol::Messages, true),
        ] {
            let call =
                InferenceCall { endpoint: Endpoint::ChatCompletions, protocol, deployment: None };
            let expected = match is_count {
                true => ApiEndpoint::CountTokens(protocol),
                false => ApiEndpoint::Inference(call),
            };
            assert_eq!(parse(Method::POST, path), Some(expected), "{path}");
        }
        let version =
            HeaderMap::from_iter([(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"))]);
        for (endpoint, expected) in [
            (ApiEndpoint::Models, Protocol::Messages),
            (ApiEndpoint::CountTokens(Protocol::Responses), Protocol::Responses),
        ] {
            assert_eq!(endpoint.protocol(&version), expected);
        }
        assert_eq!(ApiEndpoint::Models.protocol(&HeaderMap::new()), Protocol::Chat);
        for (path, expected) in [
            ("/v1/messages/batches", Protocol::Messages),
            ("/v1/responses/resp_1/other", Protocol::Responses),
            ("/v1/threads/t/messages", Protocol::Chat),
        ] {
            assert_eq!(error_protocol(path), expected, "{path}");
        }
    }

    #[test]
    fn stored_response_is_named_by_its_path() {
        for (method, path, action) in [
            (Method::GET, "/v1/responses/resp_1.ab", ""),
            (Method::DELETE, "/responses/resp_1.ab/", ""),
            (Method::POST, "/v1/responses/resp_1.ab/cancel", "/cancel"),
            (Method::GET, "/v1/responses/resp_1%2Eab/input_items", "/input_items"),
        ] {
            let id = "resp_1.ab".to_owned();
            let call = StoredResponseCall { id, method: method.clone(), action };
            assert_eq!(parse(method, path), Some(ApiEndpoint::StoredResponse(call)), "{path}");
        }
    }

    #[test]
    fn path_of_other_protocol_is_recognized() {
        use UnservedApi::{Gemini, Messages, Responses};
        for (method, path, expected) in [
            (Method::POST, "/v1/responses/resp_1", Responses),
            (Method::POST, "/v1/responses/resp_1/other", Responses),
            (Method::POST, "/v1/messages/batches", Messages),
            (Method::POST, "/v1/complete", Messages),
            (Method::POST, "/v1/models/gemini-2.5-flash:generateContent", Gemini),
            (Method::POST, "/v1beta/models/gemini-2.5-flash:streamGenerateContent", Gemini),
            (Method::GET, "/v1beta/models", Gemini),
            (Method::GET, "/v1beta/models/x", Gemini),
            (Method::POST, "/v1alpha/cachedContents", Gemini),
        ] {
            let found = GatewayEndpoint::parse(&method, path);
            assert!(
                matches!(found, Err(Refusal::UnservedApi(found)) if found == expected),
                "{method} {path}: {found:?}"
            );
        }
        assert_model("/v1/models/llama3:8b", "llama3:8b");
        assert_model("/v1/models/responses", "responses");
        assert_model("/v1beta/openai/models/x", "x");
        assert_eq!(parse(Method::POST, "/v1/threads/t/messages"), None);
    }

    #[test]
    fn wrong_method_is_refused_with_the_allowed_ones() {
        for (method, path, expected) in [
            (Method::GET, "/v1/chat/completions", "POST"),
            (Method::GET, "/chat/completions/", "POST"),
            (Method::GET, "/v1/messages", "POST"),
            (Method::GET, "/v1/responses", "POST"),
            (Method::POST, "/healthz", "GET, HEAD"),
            (Method::POST, "/models", "GET, HEAD"),
            (Method::DELETE, "/v1/models/x", "GET, HEAD"),
        ] {
            let found = GatewayEndpoint::parse(&method, path);
            assert!(
                matches!(found, Err(Refusal::MethodNotAllowed { allow }) if allow == expected),
                "{method} {path}: {found:?}"
            );
        }
    }
}

//! `/providers/{provider}/test`, `/providers/test`, and `/providers/{provider}/models`.
//!
//! A test is one request through a gateway that has the provider and nothing else. So its outcome is judged by
//! the same rules as any request's, and it is neither counted nor logged.

use std::time::Duration;

use bytes::Bytes;
use config::{Config, secret_names};
use http::{Method, StatusCode};
use ledger::{BookId, Rule, Window};
use secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config_loader::{GatewaySecrets, add_vault_keys};
use crate::gateway::Gateway;
use crate::host::body::Body;
use crate::host::{GATEWAY_USER_AGENT, Host, futures};
use crate::live_config::VersionStore;
use crate::telemetry::record_tap::RecordTap;
use crate::telemetry::usage::request_log::LoggedRequest;
use crate::upstream::request::add_key;

use super::AdminRequest;
use super::config::{head_unavailable, load_document, parse_value};
use super::ledger_unit::LedgerUnit;
use super::request_body::parse_object;
use super::response::{AdminError, AdminResponse, AdminResult};

/// Calls to providers that operators may cause in a minute.
const MAX_CALLS_PER_MINUTE: u64 = 10;

/// Longest test: some hosts end a request after 30 s.
const TEST_TIMEOUT: Duration = Duration::from_secs(25);
const MODELS_TIMEOUT: Duration = Duration::from_secs(10);

const MAX_ANSWER_BYTES: usize = 256 << 10;
const MAX_MODELS_BYTES: usize = 1 << 20;
const MAX_MODELS: usize = 2_000;
const MAX_TEXT_CHARS: usize = 2_000;

const DEFAULT_PROMPT: &str = "Reply with the word OK.";

/// Name of the secret that stands for a key that is not saved.
const UNSAVED_KEY: &str = "SERIN_UNSAVED_KEY";

/// Id of the route of a test.
const TEST_ROUTE: &str = "test";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestRequest {
    model: String,
    #[serde(default)]
    stream: bool,
    prompt: Option<String>,
    /// Position of the provider's key.
    key: Option<usize>,
}

// No `Debug`: it holds a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnsavedTestRequest {
    provider: Value,
    key: Option<String>,
    model: String,
    #[serde(default)]
    stream: bool,
    prompt: Option<String>,
}

/// `POST /providers/{provider}/test`
pub(super) async fn test<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let wanted: TestRequest = parse_object(&request.body)?;
    let mut provider = find_provider(request).await?;
    if let Some(position) = wanted.key {
        let key = provider["keys"].get(position).cloned();
        let key = key.ok_or_else(|| {
            AdminError::invalid("key", position.to_string(), "the position of a key, from 0")
        })?;
        provider["keys"] = json!([key]);
    }
    let question = Question { model: wanted.model, stream: wanted.stream, prompt: wanted.prompt };
    run_test(request, provider, None, question).await
}

/// `POST /providers/test`: a provider that is not saved.
pub(super) async fn test_unsaved<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let wanted: UnsavedTestRequest = parse_object(&request.body)?;
    let mut provider = wanted.provider;
    if !provider.is_object() {
        return Err(AdminError::invalid("provider", "another value", "an object of `providers`"));
    }
    let key = wanted.key.map(|key| Secret::new(&key));
    if key.is_some() {
        provider["keys"] = json!([format!("secret:{UNSAVED_KEY}")]);
    }
    let question = Question { model: wanted.model, stream: wanted.stream, prompt: wanted.prompt };
    run_test(request, provider, key, question).await
}

/// `GET /providers/{provider}/models`: the provider's own list.
pub(super) async fn models<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let config = request.context.config;
    let id = request.path_argument(0);
    let provider = config.providers.iter().find(|provider| provider.id == id);
    let provider = provider.ok_or_else(not_found)?;
    spend_call(request).await?;
    let mut call = http::Request::new(Bytes::new());
    *call.method_mut() = Method::GET;
    *call.uri_mut() = format!("{}/models", provider.base_url)
        .try_into()
        .map_err(|_| AdminError::unknown_url())?;
    let headers = call.headers_mut();
    headers.insert(http::header::USER_AGENT, GATEWAY_USER_AGENT);
    headers.insert(http::header::ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
    add_key(headers, provider, provider.keys.first());
    let exchange = async {
        let response = request.host.fetch(call).await.ok()?;
        let status = response.status();
        Some((status, response.into_body().collect(MAX_MODELS_BYTES).await.ok()?))
    };
    let answer = futures::timeout(request.host, MODELS_TIMEOUT, exchange).await.flatten();
    let Some((status, body)) = answer else {
        let message = "The provider did not answer in time, or the connection failed.";
        return Err(AdminError::new(StatusCode::BAD_GATEWAY, "provider_unavailable", message));
    };
    let list: Option<Value> = json::from_bytes(&body).ok();
    let list =
        list.as_ref().and_then(|list| list["data"].as_array()).filter(|_| status.is_success());
    let Some(list) = list else {
        let message =
            format!("The provider has no list of models at /models (status {}).", status.as_u16());
        return Err(AdminError::new(StatusCode::NOT_IMPLEMENTED, "models_not_offered", message));
    };
    let ids = list.iter().filter_map(|model| model["id"].as_str()).take(MAX_MODELS);
    let data: Vec<Value> = ids.map(|id| json!({ "id": id })).collect();
    Ok(AdminResponse::json(&json!({ "data": data })))
}

struct Question {
    model: String,
    stream: bool,
    prompt: Option<String>,
}

/// The provider of the path, as the document in force has it.
async fn find_provider<P: Host>(request: &AdminRequest<'_, P>) -> Result<Value, AdminError> {
    let versions = VersionStore(request.host);
    let head = versions.head().await.map_err(head_unavailable)?;
    let document = parse_value(&load_document(&versions, &head).await?)?;
    let providers = document["providers"].as_array().into_iter().flatten();
    let mut named = providers.filter(|provider| provider["id"] == request.path_argument(0));
    named.next().cloned().ok_or_else(not_found)
}

fn not_found() -> AdminError {
    let message = "The configuration does not define this provider.";
    AdminError::not_found("provider_not_found", message)
}

async fn spend_call<P: Host>(request: &AdminRequest<'_, P>) -> Result<(), AdminError> {
    let unit = LedgerUnit {
        book: BookId::new("admin".to_owned()),
        account: "provider-calls",
        rule: Rule { max: MAX_CALLS_PER_MINUTE, window: Window::Sliding(60_000) },
    };
    unit.spend(request.host).await?.map_err(|denied| {
        let seconds = denied.wait.unwrap_or(60_000).div_ceil(1_000).max(1);
        let message = format!(
            "At most {MAX_CALLS_PER_MINUTE} calls to providers in a minute. Try again in {seconds} s."
        );
        AdminError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tests", message)
            .with_header("retry-after", seconds.to_string())
    })
}

async fn run_test<P: Host>(
    request: &AdminRequest<'_, P>,
    provider: Value,
    key: Option<Secret>,
    question: Question,
) -> AdminResult {
    if question.model.trim().is_empty() {
        return Err(AdminError::invalid("model", "nothing", "the name of a model at the provider"));
    }
    let id = provider["id"].as_str().unwrap_or_default().to_owned();
    let seconds = TEST_TIMEOUT.as_secs();
    let (first, total) = (format!("{}s", seconds - 1), format!("{seconds}s"));
    let document = json!({
        "auth": { "required": false },
        "providers": [provider],
        "routes": [{
            "id": TEST_ROUTE, "models": ["*"], "targets": [{ "provider": id }], "retries": { "attempts": 0 },
            "timeouts": { "first_byte": first, "answer": first, "idle": first, "total": total },
        }],
    })
    .to_string();
    let config = load_provider(request, &document, key).await?;
    spend_call(request).await?;
    let target = format!("provider/{id}");
    let detail = json!({ "model": question.model });
    let call = async { Ok(call_provider(request.host, config, &question).await) };
    let (record, text) = request.run_audited("provider.test", target, detail, call).await?;
    Ok(AdminResponse::json(&result_json(record.as_ref(), &text)))
}

/// A configuration with one provider, and the secrets that it names.
async fn load_provider<P: Host>(
    request: &AdminRequest<'_, P>,
    document: &str,
    unsaved: Option<Secret>,
) -> Result<Config, AdminError> {
    let mut secrets: Vec<(String, Secret)> = Vec::new();
    for name in secret_names(document) {
        if config::RESERVED_SECRETS.contains(&name.as_str()) {
            continue;
        }
        let found = match &unsaved {
            Some(key) if name == UNSAVED_KEY => Some(key.clone()),
            _ => request.host.secret(&name).await.map_err(|_| {
                AdminError::unavailable(
                    "settings_unavailable",
                    "Reading the host's secrets failed.",
                )
            })?,
        };
        secrets.extend(found.map(|secret| (name, secret)));
    }
    let key = request.context.vault_key;
    add_vault_keys(request.host, key, document, &mut secrets)
        .await
        .map_err(|_| AdminError::ledger_unavailable())?;
    let lookup = |name: &str| {
        secrets.iter().find(|(known, _)| known == name).map(|(_, secret)| secret.clone())
    };
    Config::from_json(document, &lookup).map_err(|problems| {
        AdminError::problems(&problems)
            .with_status(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration")
    })
}

/// Sends the question. Returns the record and the text of the answer.
async fn call_provider<P: Host>(
    host: &P,
    config: Config,
    question: &Question,
) -> (Option<LoggedRequest>, String) {
    let prompt = question.prompt.as_deref().unwrap_or(DEFAULT_PROMPT);
    let body = json!({
        "model": question.model,
        "messages": [{ "role": "user", "content": prompt }],
        "stream": question.stream,
    });
    let call = http::Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Body::from(Bytes::from(body.to_string())))
        .expect("the parts are right");
    let (gateway, tap) = (Gateway::new(config, GatewaySecrets::default()), RecordTap::new(false));
    let answer = async {
        let response = gateway.handle_for_operator(host.clone(), call, tap.clone()).await;
        response.into_body().collect(MAX_ANSWER_BYTES).await.unwrap_or_default()
    };
    let bytes = futures::timeout(host, TEST_TIMEOUT, answer).await.unwrap_or_default();
    (tap.take(), answer_text(&String::from_utf8_lossy(&bytes)))
}

/// The text of an answer, or the message of an error, streamed or not.
fn answer_text(body: &str) -> String {
    let events = body.lines().filter_map(|line| line.strip_prefix("data:"));
    let whole = if body.trim_start().starts_with('{') { Some(body) } else { None };
    let mut text = String::new();
    for json in events.chain(whole) {
        let Ok(value) = json::from_text::<Value>(json.trim()) else { continue };
        let choice = &value["choices"][0];
        let found = [
            &choice["delta"]["content"],
            &choice["message"]["content"],
            &value["error"]["message"],
        ];
        text.extend(found.into_iter().filter_map(Value::as_str));
    }
    text.chars().take(MAX_TEXT_CHARS).collect()
}

fn result_json(record: Option<&LoggedRequest>, text: &str) -> Value {
    let Some(record) = record else {
        return json!({ "ok": false, "error": { "result": "timeout", "detail": null, "message": text } });
    };
    let attempt = record.attempts.last();
    let is_answered = record.outcome == "answered" && record.status.is_some_and(|it| it < 400);
    let error = (!is_answered).then(|| {
        json!({
            "result": attempt.map(|attempt| &attempt.result),
            "detail": attempt.and_then(|attempt| attempt.detail.as_ref()),
            "message": text,
        })
    });
    json!({
        "ok": is_answered,
        "status": attempt.and_then(|attempt| attempt.http_status),
        "first_token_ms": record.first_token_ms,
        "total_ms": record.total_ms,
        "tokens": { "input": record.input_tokens, "output": record.output_tokens },
        "usage_reported": record.counted == "reported",
        "text": if is_answered { text } else { "" },
        "error": error,
    })
}

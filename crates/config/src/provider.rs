//! Providers as parsed, and the table of built-in kinds: base URL, authentication, and endpoints.
//!
//! All kinds use OpenAI's formats at these paths, so no body is translated here. Hosts and paths follow
//! Higress's table, and the providers' own documentation where it differs.

use std::borrow::Cow;

use http::{HeaderName, Uri};
use openai::{Endpoint, OutputField};
use secret::Secret;

use super::permission::Parameter;

/// `[[providers]]`
#[derive(Debug)]
pub struct Provider {
    /// Its name in routes, records, and `x-serin-target`.
    pub id: String,
    /// Its row of the table of kinds, which selects the vocabulary of its errors.
    pub kind: &'static str,
    /// Scheme, host, and path prefix without a trailing slash: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Presentation of a key.
    pub authentication: Authentication,
    /// Used in turn. Empty if calls carry no key.
    pub keys: Vec<Secret>,
    /// Whether the document names keys and none of them is set: the provider cannot be called.
    pub lacks_keys: bool,
    /// The endpoints that it offers.
    pub paths: Paths,
    /// Whether it accepts `stream_options.include_usage`.
    pub stream_usage: bool,
    /// The field that bounds the tokens of a chat's answer.
    pub output_field: OutputField,
    /// Parameters that no caller may send to it.
    pub forbidden: Vec<Parameter>,
}

impl Provider {
    /// The URL of an endpoint for a model. `None` if the provider does not offer the endpoint.
    pub fn url(&self, endpoint: Endpoint, model: &str) -> Option<Uri> {
        let path = self.paths.path(endpoint)?;
        let mut url = String::with_capacity(self.base_url.len() + path.len() + model.len());
        url.push_str(&self.base_url);
        match path.split_once("{model}") {
            None => url.push_str(path),
            Some((before, after)) => {
                url.push_str(before);
                json::percent::encode(model, &json::percent::UNRESERVED, &mut url);
                url.push_str(after);
            }
        }
        url.try_into().ok()
    }
}

/// Presentation of a key to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// `Authorization: Bearer KEY`
    Bearer,
    /// The key alone, in a header of this name.
    Header(HeaderName),
}

/// The path of each endpoint after the base URL; `{model}` stands for the model's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Chat completions.
    pub chat: Option<Cow<'static, str>>,
    /// Completions of a prompt.
    pub completions: Option<Cow<'static, str>>,
    /// Embeddings.
    pub embeddings: Option<Cow<'static, str>>,
}

impl Paths {
    /// The path of an endpoint. `None` if the provider does not offer it.
    pub fn path(&self, endpoint: Endpoint) -> Option<&str> {
        match endpoint {
            Endpoint::ChatCompletions => self.chat.as_deref(),
            Endpoint::Completions => self.completions.as_deref(),
            Endpoint::Embeddings => self.embeddings.as_deref(),
        }
    }
}

/// A kind of provider: one row of the table.
#[derive(Debug)]
pub(super) struct ProviderKind {
    /// The value of `kind`. An `id` of this value implies the kind.
    pub(super) name: &'static str,
    /// The base URL; `{account}` stands for the account. `None` if the configuration must set it.
    pub(super) base_url: Option<&'static str>,
    /// The header that takes the key; `None` is a bearer token in `Authorization`.
    pub(super) header: Option<&'static str>,
    /// Whether it accepts calls without a key.
    pub(super) keyless: bool,
    /// Whether it accepts `stream_options.include_usage`.
    pub(super) stream_usage: bool,
    /// The field that bounds the tokens of a chat's answer.
    pub(super) output_field: OutputField,
    /// Parameters that select another model than the request's `model`.
    pub(super) forbid: &'static [&'static str],
    paths: EndpointPaths,
    /// The paths of calls with an `api_version`, which replaces `{api_version}`.
    versioned_paths: Option<EndpointPaths>,
}

#[derive(Clone, Copy, Debug)]
struct EndpointPaths {
    chat: &'static str,
    completions: Option<&'static str>,
    embeddings: Option<&'static str>,
}

const CHAT: EndpointPaths =
    EndpointPaths { chat: "/chat/completions", completions: None, embeddings: None };
const CHAT_AND_COMPLETIONS: EndpointPaths =
    EndpointPaths { completions: Some("/completions"), ..CHAT };
const CHAT_AND_EMBEDDINGS: EndpointPaths =
    EndpointPaths { embeddings: Some("/embeddings"), ..CHAT };
const ALL_ENDPOINTS: EndpointPaths =
    EndpointPaths { embeddings: Some("/embeddings"), ..CHAT_AND_COMPLETIONS };

/// Defaults of a row: a required bearer token, and usage in streams on request.
const DEFAULTS: ProviderKind = ProviderKind {
    name: "",
    base_url: None,
    header: None,
    keyless: false,
    stream_usage: true,
    output_field: OutputField::MaxTokens,
    forbid: &[],
    paths: CHAT,
    versioned_paths: None,
};

const fn provider_kind(
    name: &'static str,
    base_url: &'static str,
    offers: EndpointPaths,
) -> ProviderKind {
    ProviderKind { name, base_url: Some(base_url), paths: offers, ..DEFAULTS }
}

/// Every built-in kind.
static PROVIDER_KINDS: [ProviderKind; 27] = [
    ProviderKind {
        output_field: OutputField::MaxCompletionTokens,
        ..provider_kind("openai", "https://api.openai.com/v1", ALL_ENDPOINTS)
    },
    // The base URL is the resource (https://NAME.openai.azure.com), since the paths of both forms begin there.
    ProviderKind {
        name: "azure",
        output_field: OutputField::MaxCompletionTokens,
        header: Some("api-key"),
        paths: EndpointPaths {
            chat: "/openai/v1/chat/completions",
            completions: Some("/openai/v1/completions"),
            embeddings: Some("/openai/v1/embeddings"),
        },
        versioned_paths: Some(EndpointPaths {
            chat: "/openai/deployments/{model}/chat/completions?api-version={api_version}",
            completions: Some("/openai/deployments/{model}/completions?api-version={api_version}"),
            embeddings: Some("/openai/deployments/{model}/embeddings?api-version={api_version}"),
        }),
        ..DEFAULTS
    },
    provider_kind("deepseek", "https://api.deepseek.com/v1", CHAT),
    provider_kind("qwen", "https://dashscope.aliyuncs.com/compatible-mode/v1", ALL_ENDPOINTS),
    provider_kind("zhipuai", "https://open.bigmodel.cn/api/paas/v4", CHAT_AND_EMBEDDINGS),
    provider_kind("moonshot", "https://api.moonshot.cn/v1", CHAT),
    provider_kind("doubao", "https://ark.cn-beijing.volces.com/api/v3", CHAT_AND_EMBEDDINGS),
    provider_kind("baidu", "https://qianfan.baidubce.com/v2", CHAT_AND_EMBEDDINGS),
    provider_kind("hunyuan", "https://api.hunyuan.cloud.tencent.com/v1", CHAT_AND_EMBEDDINGS),
    provider_kind(
        "minimax",
        "https://api.minimax.chat/v1",
        EndpointPaths { chat: "/text/chatcompletion_v2", ..CHAT },
    ),
    provider_kind("stepfun", "https://api.stepfun.com/v1", CHAT),
    provider_kind("baichuan", "https://api.baichuan-ai.com/v1", CHAT_AND_EMBEDDINGS),
    provider_kind("yi", "https://api.lingyiwanwu.com/v1", CHAT),
    // Its key is "APIKey:APISecret", presented unchanged.
    provider_kind("spark", "https://spark-api-open.xf-yun.com/v1", CHAT),
    provider_kind("groq", "https://api.groq.com/openai/v1", CHAT),
    // Answered 400 "Argument not supported: stream_options" (cline/cline#2764).
    ProviderKind {
        stream_usage: false,
        ..provider_kind("grok", "https://api.x.ai/v1", CHAT_AND_COMPLETIONS)
    },
    // Answers 422 to `stream_options.include_usage` and reports usage unasked
    // (yetone/avante.nvim#2347, dnakov/anon-kode#53).
    ProviderKind {
        stream_usage: false,
        ..provider_kind("mistral", "https://api.mistral.ai/v1", CHAT_AND_EMBEDDINGS)
    },
    provider_kind("together-ai", "https://api.together.xyz/v1", ALL_ENDPOINTS),
    provider_kind("fireworks", "https://api.fireworks.ai/inference/v1", ALL_ENDPOINTS),
    // Its `models` are fallbacks of the caller's choice, and a preset may name a model
    // (openrouter.ai/docs/features/model-routing, openrouter.ai/docs/features/presets).
    ProviderKind {
        forbid: &["models", "preset"],
        ..provider_kind("openrouter", "https://openrouter.ai/api/v1", ALL_ENDPOINTS)
    },
    // Its compatibility API rejects `stream_options`
    // (strandsagents.com/docs/user-guide/concepts/model-providers/cohere).
    ProviderKind {
        stream_usage: false,
        ..provider_kind("cohere", "https://api.cohere.ai/compatibility/v1", CHAT_AND_EMBEDDINGS)
    },
    provider_kind(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        CHAT_AND_EMBEDDINGS,
    ),
    provider_kind(
        "cloudflare",
        "https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1",
        CHAT_AND_EMBEDDINGS,
    ),
    // This host replaces models.inference.ai.azure.com, which took the bare token. It takes a bearer token
    // (docs.github.com/rest/models/inference).
    provider_kind("github", "https://models.github.ai/inference", CHAT_AND_EMBEDDINGS),
    ProviderKind {
        keyless: true,
        ..provider_kind("ollama", "http://127.0.0.1:11434/v1", ALL_ENDPOINTS)
    },
    ProviderKind { name: "vllm", keyless: true, paths: ALL_ENDPOINTS, ..DEFAULTS },
    ProviderKind { name: "openai-compatible", keyless: true, paths: ALL_ENDPOINTS, ..DEFAULTS },
];

impl ProviderKind {
    /// Finds a kind by its name.
    pub(super) fn lookup(name: &str) -> Option<&'static Self> {
        PROVIDER_KINDS.iter().find(|kind| kind.name == name)
    }

    /// The names of all kinds.
    pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
        PROVIDER_KINDS.iter().map(|kind| kind.name)
    }

    /// Whether its base URL contains an account.
    pub(super) fn has_account(&self) -> bool {
        self.base_url.is_some_and(|url| url.contains("{account}"))
    }

    /// Whether it accepts an `api_version`.
    pub(super) fn has_versions(&self) -> bool {
        self.versioned_paths.is_some()
    }

    /// Presentation of a key.
    pub(super) fn authentication(&self) -> Authentication {
        self.header.map_or(Authentication::Bearer, |name| {
            Authentication::Header(HeaderName::from_static(name))
        })
    }

    /// Its endpoints, with or without an `api_version`.
    pub(super) fn paths(&self, api_version: Option<&str>) -> Paths {
        let (offer, version) = match (self.versioned_paths, api_version) {
            (Some(offer), Some(version)) => (offer, version),
            _ => (self.paths, ""),
        };
        let path = |template: &'static str| match template.split_once("{api_version}") {
            None => Cow::Borrowed(template),
            Some((before, after)) => Cow::Owned([before, version, after].concat()),
        };
        Paths {
            chat: Some(path(offer.chat)),
            completions: offer.completions.map(path),
            embeddings: offer.embeddings.map(path),
        }
    }
}

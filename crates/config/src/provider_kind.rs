//! The kinds of providers: a table of what is known about each.
//!
//! Hosts and paths follow Higress's table, and the providers' own documentation where it differs.

use std::borrow::Cow;

use http::HeaderName;
use openai::OutputField;
use protocol::model::Protocol;
use protocol::request::{EndUserField, ReasoningField};

use super::provider::{Authentication, ChatExtensions, Paths};

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
    /// The protocols in which it takes a chat, the preferred one first.
    pub(super) protocols: &'static [Protocol],
    /// Fields of Chat beyond those of all providers.
    pub(super) chat_extensions: ChatExtensions,
    /// Parameters that select another model than the request's `model`.
    pub(super) forbid: &'static [&'static str],
    paths: EndpointPaths,
    /// The paths of calls with an `api_version`, which replaces `{api_version}`.
    versioned_paths: Option<EndpointPaths>,
}

#[derive(Clone, Copy, Debug)]
struct EndpointPaths {
    chat: &'static str,
    responses: &'static str,
    completions: Option<&'static str>,
    embeddings: Option<&'static str>,
}

const CHAT: EndpointPaths = EndpointPaths {
    chat: "/chat/completions",
    responses: "/responses",
    completions: None,
    embeddings: None,
};
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
    protocols: &[Protocol::Chat],
    chat_extensions: PLAIN_CHAT,
    forbid: &[],
    paths: CHAT,
    versioned_paths: None,
};

const PLAIN_CHAT: ChatExtensions = ChatExtensions {
    reasoning: ReasoningField::None,
    end_user: EndUserField::User,
    custom_tools: false,
};
/// Fields of OpenAI's own service.
const OPENAI_CHAT: ChatExtensions =
    ChatExtensions { end_user: EndUserField::SafetyIdentifier, custom_tools: true, ..PLAIN_CHAT };
/// Fields of providers whose documentation on thinking asks for the thoughts of earlier turns.
const THINKING_CHAT: ChatExtensions =
    ChatExtensions { reasoning: ReasoningField::ReasoningContent, ..PLAIN_CHAT };

/// The protocols of OpenAI's own service.
const CHAT_AND_RESPONSES: &[Protocol] = &[Protocol::Chat, Protocol::Responses];

const fn provider_kind(
    name: &'static str,
    base_url: &'static str,
    offers: EndpointPaths,
) -> ProviderKind {
    ProviderKind { name, base_url: Some(base_url), paths: offers, ..DEFAULTS }
}

/// A kind that asks for the thoughts of earlier turns.
const fn thinking(kind: ProviderKind) -> ProviderKind {
    ProviderKind { chat_extensions: THINKING_CHAT, ..kind }
}

/// Every built-in kind.
static PROVIDER_KINDS: [ProviderKind; 28] = [
    ProviderKind {
        output_field: OutputField::MaxCompletionTokens,
        protocols: CHAT_AND_RESPONSES,
        chat_extensions: OPENAI_CHAT,
        ..provider_kind("openai", "https://api.openai.com/v1", ALL_ENDPOINTS)
    },
    // The base URL is the resource (https://NAME.openai.azure.com), since the paths of both forms begin there.
    ProviderKind {
        name: "azure",
        output_field: OutputField::MaxCompletionTokens,
        protocols: CHAT_AND_RESPONSES,
        chat_extensions: OPENAI_CHAT,
        header: Some("api-key"),
        paths: EndpointPaths {
            chat: "/openai/v1/chat/completions",
            responses: "/openai/v1/responses",
            completions: Some("/openai/v1/completions"),
            embeddings: Some("/openai/v1/embeddings"),
        },
        versioned_paths: Some(EndpointPaths {
            chat: "/openai/deployments/{model}/chat/completions?api-version={api_version}",
            responses: "/openai/responses?api-version={api_version}",
            completions: Some("/openai/deployments/{model}/completions?api-version={api_version}"),
            embeddings: Some("/openai/deployments/{model}/embeddings?api-version={api_version}"),
        }),
        ..DEFAULTS
    },
    ProviderKind {
        header: Some("x-api-key"),
        protocols: &[Protocol::Messages],
        ..provider_kind("anthropic", "https://api.anthropic.com/v1", CHAT)
    },
    thinking(provider_kind("deepseek", "https://api.deepseek.com/v1", CHAT)),
    thinking(provider_kind(
        "qwen",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        ALL_ENDPOINTS,
    )),
    thinking(provider_kind("zhipuai", "https://open.bigmodel.cn/api/paas/v4", CHAT_AND_EMBEDDINGS)),
    thinking(provider_kind("moonshot", "https://api.moonshot.cn/v1", CHAT)),
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
        chat_extensions: ChatExtensions {
            reasoning: ReasoningField::ReasoningDetails,
            ..PLAIN_CHAT
        },
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

/// A kind of provider, for forms.
#[derive(Clone, Debug)]
pub struct KindSummary {
    /// The value of `kind`.
    pub name: &'static str,
    /// The base URL; `{account}` stands for the account. `None` if the configuration must set it.
    pub base_url: Option<&'static str>,
    /// The endpoints that it offers: `chat`, `completions`, `embeddings`.
    pub endpoints: Vec<&'static str>,
    /// Whether `account` must be set.
    pub needs_account: bool,
    /// Whether `api_version` may be set.
    pub takes_api_version: bool,
    /// Whether it accepts calls without a key.
    pub keyless: bool,
}

/// Every built-in kind, in the order of the documentation.
pub fn provider_kinds() -> impl Iterator<Item = KindSummary> {
    PROVIDER_KINDS.iter().map(|kind| {
        let optional =
            [("completions", kind.paths.completions), ("embeddings", kind.paths.embeddings)];
        let optional = optional.into_iter().filter_map(|(name, path)| path.map(|_| name));
        KindSummary {
            name: kind.name,
            base_url: kind.base_url,
            endpoints: std::iter::once("chat").chain(optional).collect(),
            needs_account: kind.has_account(),
            takes_api_version: kind.has_versions(),
            keyless: kind.keyless,
        }
    })
}

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

    /// Its endpoints behind a base URL, with or without an `api_version`.
    pub(super) fn paths(&self, base_url: &str, api_version: Option<&str>) -> Paths {
        let (offer, version) = match (self.versioned_paths, api_version) {
            (Some(offer), Some(version)) => (offer, version),
            _ => (self.paths, ""),
        };
        let path = |template: &'static str| match template.split_once("{api_version}") {
            None => Cow::Borrowed(template),
            Some((before, after)) => Cow::Owned([before, version, after].concat()),
        };
        // Anthropic's clients take the address without the version, and others with it.
        let is_version =
            |segment: &str| segment.starts_with('v') && segment[1..].parse::<u32>().is_ok();
        let has_version = base_url.rsplit('/').next().is_some_and(is_version);
        Paths {
            chat: Some(path(offer.chat)),
            responses: Some(path(offer.responses)),
            messages: Some(if has_version { "/messages" } else { "/v1/messages" }.into()),
            completions: offer.completions.map(path),
            embeddings: offer.embeddings.map(path),
        }
    }
}

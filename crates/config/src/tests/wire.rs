//! Literal URLs of every built-in provider.

use http::HeaderName;
use openai::Endpoint;
use protocol::model::Protocol;

use crate::provider_kind::ProviderKind;
use crate::{Authentication, Provider};

use super::load;

fn provider(fields: &str) -> Provider {
    let mut config = load(&format!("[[providers]]\n{fields}")).expect("the provider is right");
    config.providers.remove(0)
}

#[track_caller]
fn assert_urls(fields: &str, expected: [&str; 3]) {
    let provider = provider(fields);
    let found = Endpoint::ALL.map(|endpoint| {
        let protocol = provider.protocol_for(endpoint, Protocol::Chat);
        provider.url(endpoint, protocol, "a/b").map(|url| url.to_string()).unwrap_or_default()
    });
    assert_eq!(found, expected, "{fields}");
}

/// URLs of chat, completions, and embeddings of every kind with its required fields; "" if not offered.
const EVERY_KIND: [(&str, &str, [&str; 3]); 28] = [
    (
        "openai",
        "",
        [
            "https://api.openai.com/v1/chat/completions",
            "https://api.openai.com/v1/completions",
            "https://api.openai.com/v1/embeddings",
        ],
    ),
    (
        "azure",
        "base_url = \"https://name.openai.azure.com/\"",
        [
            "https://name.openai.azure.com/openai/v1/chat/completions",
            "https://name.openai.azure.com/openai/v1/completions",
            "https://name.openai.azure.com/openai/v1/embeddings",
        ],
    ),
    ("anthropic", "", ["https://api.anthropic.com/v1/messages", "", ""]),
    ("deepseek", "", ["https://api.deepseek.com/v1/chat/completions", "", ""]),
    (
        "qwen",
        "",
        [
            "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions",
            "https://dashscope.aliyuncs.com/compatible-mode/v1/completions",
            "https://dashscope.aliyuncs.com/compatible-mode/v1/embeddings",
        ],
    ),
    (
        "zhipuai",
        "",
        [
            "https://open.bigmodel.cn/api/paas/v4/chat/completions",
            "",
            "https://open.bigmodel.cn/api/paas/v4/embeddings",
        ],
    ),
    ("moonshot", "", ["https://api.moonshot.cn/v1/chat/completions", "", ""]),
    (
        "doubao",
        "",
        [
            "https://ark.cn-beijing.volces.com/api/v3/chat/completions",
            "",
            "https://ark.cn-beijing.volces.com/api/v3/embeddings",
        ],
    ),
    (
        "baidu",
        "",
        [
            "https://qianfan.baidubce.com/v2/chat/completions",
            "",
            "https://qianfan.baidubce.com/v2/embeddings",
        ],
    ),
    (
        "hunyuan",
        "",
        [
            "https://api.hunyuan.cloud.tencent.com/v1/chat/completions",
            "",
            "https://api.hunyuan.cloud.tencent.com/v1/embeddings",
        ],
    ),
    ("minimax", "", ["https://api.minimax.chat/v1/text/chatcompletion_v2", "", ""]),
    ("stepfun", "", ["https://api.stepfun.com/v1/chat/completions", "", ""]),
    (
        "baichuan",
        "",
        [
            "https://api.baichuan-ai.com/v1/chat/completions",
            "",
            "https://api.baichuan-ai.com/v1/embeddings",
        ],
    ),
    ("yi", "", ["https://api.lingyiwanwu.com/v1/chat/completions", "", ""]),
    ("spark", "", ["https://spark-api-open.xf-yun.com/v1/chat/completions", "", ""]),
    ("groq", "", ["https://api.groq.com/openai/v1/chat/completions", "", ""]),
    ("grok", "", ["https://api.x.ai/v1/chat/completions", "https://api.x.ai/v1/completions", ""]),
    (
        "mistral",
        "",
        ["https://api.mistral.ai/v1/chat/completions", "", "https://api.mistral.ai/v1/embeddings"],
    ),
    (
        "together-ai",
        "",
        [
            "https://api.together.xyz/v1/chat/completions",
            "https://api.together.xyz/v1/completions",
            "https://api.together.xyz/v1/embeddings",
        ],
    ),
    (
        "fireworks",
        "",
        [
            "https://api.fireworks.ai/inference/v1/chat/completions",
            "https://api.fireworks.ai/inference/v1/completions",
            "https://api.fireworks.ai/inference/v1/embeddings",
        ],
    ),
    (
        "openrouter",
        "",
        [
            "https://openrouter.ai/api/v1/chat/completions",
            "https://openrouter.ai/api/v1/completions",
            "https://openrouter.ai/api/v1/embeddings",
        ],
    ),
    (
        "cohere",
        "",
        [
            "https://api.cohere.ai/compatibility/v1/chat/completions",
            "",
            "https://api.cohere.ai/compatibility/v1/embeddings",
        ],
    ),
    (
        "gemini",
        "",
        [
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
            "",
            "https://generativelanguage.googleapis.com/v1beta/openai/embeddings",
        ],
    ),
    (
        "cloudflare",
        "account = \"0a1b\"",
        [
            "https://api.cloudflare.com/client/v4/accounts/0a1b/ai/v1/chat/completions",
            "",
            "https://api.cloudflare.com/client/v4/accounts/0a1b/ai/v1/embeddings",
        ],
    ),
    (
        "github",
        "",
        [
            "https://models.github.ai/inference/chat/completions",
            "",
            "https://models.github.ai/inference/embeddings",
        ],
    ),
    (
        "ollama",
        "",
        [
            "http://127.0.0.1:11434/v1/chat/completions",
            "http://127.0.0.1:11434/v1/completions",
            "http://127.0.0.1:11434/v1/embeddings",
        ],
    ),
    (
        "vllm",
        "base_url = \"http://10.0.0.1:8000/v1//\"",
        [
            "http://10.0.0.1:8000/v1/chat/completions",
            "http://10.0.0.1:8000/v1/completions",
            "http://10.0.0.1:8000/v1/embeddings",
        ],
    ),
    (
        "openai-compatible",
        "base_url = \"https://[::1]:8443\"",
        [
            "https://[::1]:8443/chat/completions",
            "https://[::1]:8443/completions",
            "https://[::1]:8443/embeddings",
        ],
    ),
];

#[test]
fn url_of_every_kind_is_its_endpoint() {
    assert!(EVERY_KIND.iter().map(|(name, _, _)| *name).eq(ProviderKind::names()));
    for (name, more, expected) in EVERY_KIND {
        assert_urls(
            &format!("id = \"mine\"\nkind = \"{name}\"\nkeys = [\"secret:A\"]\n{more}"),
            expected,
        );
        assert_urls(&format!("id = \"{name}\"\nkeys = [\"secret:A\"]\n{more}"), expected);
    }
}

#[test]
fn azure_url_with_api_version_is_a_deployment() {
    assert_urls(
        "id = \"azure\"\nkeys = [\"secret:A\"]\nbase_url = \"https://n.openai.azure.com\"\n\
         api_version = \"2024-10-21\"",
        [
            "https://n.openai.azure.com/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21",
            "https://n.openai.azure.com/openai/deployments/a%2Fb/completions?api-version=2024-10-21",
            "https://n.openai.azure.com/openai/deployments/a%2Fb/embeddings?api-version=2024-10-21",
        ],
    );
}

#[test]
fn url_of_a_count_is_below_its_endpoint() {
    for (fields, protocol, expected) in [
        ("id = \"anthropic\"", Protocol::Chat, None),
        (
            "id = \"anthropic\"",
            Protocol::Messages,
            Some("https://api.anthropic.com/v1/messages/count_tokens"),
        ),
        (
            "id = \"azure\"\nbase_url = \"https://n.openai.azure.com\"\napi_version = \"2024-10-21\"",
            Protocol::Responses,
            Some("https://n.openai.azure.com/openai/responses/input_tokens?api-version=2024-10-21"),
        ),
    ] {
        let provider = provider(&format!("{fields}\nkeys = [\"secret:A\"]"));
        let url = provider.count_url(protocol, "m").map(|url| url.to_string());
        assert_eq!(url.as_deref(), expected, "{fields}");
    }
}

#[test]
fn base_url_replaces_the_built_in_one() {
    assert_urls(
        "id = \"minimax\"\nbase_url = \"http://127.0.0.1:9100/x/\"",
        ["http://127.0.0.1:9100/x/text/chatcompletion_v2", "", ""],
    );
    assert_urls(
        "id = \"cloudflare\"\nbase_url = \"http://127.0.0.1:9100\"",
        ["http://127.0.0.1:9100/chat/completions", "", "http://127.0.0.1:9100/embeddings"],
    );
}

#[test]
fn authentication_of_every_kind_is_its_own() {
    for (name, more, _) in EVERY_KIND {
        let fields = format!("id = \"{name}\"\nkeys = [\"secret:A\"]\n{more}");
        let expected = match name {
            "azure" => Authentication::Header(HeaderName::from_static("api-key")),
            "anthropic" => Authentication::Header(HeaderName::from_static("x-api-key")),
            _ => Authentication::Bearer,
        };
        assert_eq!(provider(&fields).authentication, expected, "{name}");
    }
}

#[test]
fn stream_usage_overrides_the_kind() {
    for (name, more, _) in EVERY_KIND {
        let fields = format!("id = \"{name}\"\nkeys = [\"secret:A\"]\n{more}");
        let expected = !matches!(name, "grok" | "mistral" | "cohere");
        assert_eq!(provider(&fields).stream_usage, expected, "{name}");
        let told = provider(&format!("{fields}\nstream_usage = {}", !expected));
        assert_eq!(told.stream_usage, !expected, "{name}");
    }
}

#[test]
fn forbidden_parameters_override_the_kind() {
    for (name, more, _) in EVERY_KIND {
        let fields = format!("id = \"{name}\"\nkeys = [\"secret:A\"]\n{more}");
        let forbidden = |fields: &str| {
            let forbidden = provider(fields).forbidden.into_iter();
            forbidden.map(|parameter| parameter.path).collect::<Vec<_>>()
        };
        let expected: &[&str] = if name == "openrouter" { &["models", "preset"] } else { &[] };
        assert_eq!(forbidden(&fields), expected, "{name}");
        assert_eq!(forbidden(&format!("{fields}\nforbid = []")), [""; 0], "{name}");
        assert_eq!(forbidden(&format!("{fields}\nforbid = [\"a.b\"]")), ["a.b"], "{name}");
    }
}

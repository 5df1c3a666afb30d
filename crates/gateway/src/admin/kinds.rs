//! `/kinds`: the catalogue of provider kinds, for forms.

use config::provider_kinds;
use serde_json::{Value, json};

use crate::host::Host;

use super::AdminRequest;
use super::response::{AdminResponse, AdminResult};

/// Kind, title in English and in Chinese, and the page with the provider's keys.
const TITLES: [(&str, &str, &str, Option<&str>); 28] = [
    ("openai", "OpenAI", "OpenAI", Some("https://platform.openai.com/api-keys")),
    ("azure", "Azure OpenAI", "Azure OpenAI", Some("https://portal.azure.com/")),
    ("anthropic", "Anthropic", "Anthropic", Some("https://platform.claude.com/settings/keys")),
    ("deepseek", "DeepSeek", "深度求索 DeepSeek", Some("https://platform.deepseek.com/api_keys")),
    ("qwen", "Qwen (Alibaba Cloud)", "通义千问", Some("https://bailian.console.aliyun.com/")),
    ("zhipuai", "Zhipu AI", "智谱 AI", Some("https://open.bigmodel.cn/usercenter/apikeys")),
    (
        "moonshot",
        "Moonshot AI (Kimi)",
        "月之暗面 Kimi",
        Some("https://platform.moonshot.cn/console/api-keys"),
    ),
    (
        "doubao",
        "Doubao (Volcengine)",
        "豆包（火山方舟）",
        Some("https://console.volcengine.com/ark"),
    ),
    ("baidu", "Baidu Qianfan", "百度千帆", Some("https://console.bce.baidu.com/qianfan")),
    ("hunyuan", "Tencent Hunyuan", "腾讯混元", Some("https://console.cloud.tencent.com/hunyuan")),
    ("minimax", "MiniMax", "MiniMax", Some("https://platform.minimaxi.com/")),
    ("stepfun", "StepFun", "阶跃星辰", Some("https://platform.stepfun.com/")),
    ("baichuan", "Baichuan", "百川智能", Some("https://platform.baichuan-ai.com/")),
    ("yi", "01.AI Yi", "零一万物", Some("https://platform.lingyiwanwu.com/")),
    ("spark", "iFlytek Spark", "讯飞星火", Some("https://console.xfyun.cn/")),
    ("groq", "Groq", "Groq", Some("https://console.groq.com/keys")),
    ("grok", "xAI Grok", "xAI Grok", Some("https://console.x.ai/")),
    ("mistral", "Mistral AI", "Mistral AI", Some("https://console.mistral.ai/api-keys")),
    (
        "together-ai",
        "Together AI",
        "Together AI",
        Some("https://api.together.ai/settings/api-keys"),
    ),
    ("fireworks", "Fireworks AI", "Fireworks AI", Some("https://fireworks.ai/account/api-keys")),
    ("openrouter", "OpenRouter", "OpenRouter", Some("https://openrouter.ai/settings/keys")),
    ("cohere", "Cohere", "Cohere", Some("https://dashboard.cohere.com/api-keys")),
    ("gemini", "Google Gemini", "谷歌 Gemini", Some("https://aistudio.google.com/apikey")),
    (
        "cloudflare",
        "Cloudflare Workers AI",
        "Cloudflare Workers AI",
        Some("https://dash.cloudflare.com/profile/api-tokens"),
    ),
    ("github", "GitHub Models", "GitHub Models", Some("https://github.com/settings/tokens")),
    ("ollama", "Ollama", "Ollama", None),
    ("vllm", "vLLM", "vLLM", None),
    ("openai-compatible", "OpenAI-compatible server", "OpenAI 兼容服务", None),
];

/// `GET /kinds`
pub(super) fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let kinds = provider_kinds().map(|kind| {
        let title = TITLES.iter().find(|(name, ..)| *name == kind.name);
        let (_, en, zh, keys_url) =
            title.copied().unwrap_or((kind.name, kind.name, kind.name, None));
        json!({
            "name": kind.name,
            "title": { "en": en, "zh": zh },
            "base_url": kind.base_url,
            "endpoints": kind.endpoints,
            "needs_base_url": kind.base_url.is_none(),
            "needs_account": kind.needs_account,
            "takes_api_version": kind.takes_api_version,
            "keyless": kind.keyless,
            "keys_url": keys_url,
        })
    });
    Ok(AdminResponse::json(&json!({ "data": kinds.collect::<Vec<Value>>() })))
}

#[cfg(test)]
mod tests {
    use config::provider_kinds;

    use super::TITLES;

    #[test]
    fn every_kind_has_a_title() {
        let kinds: Vec<&str> = provider_kinds().map(|kind| kind.name).collect();
        assert_eq!(kinds, TITLES.map(|(name, ..)| name));
    }
}

//! Hints for kinds of providers that other gateways have, or name otherwise.

/// Names of kinds in other gateways, each with the kind here.
const OTHER_NAMES: [(&str, &str); 46] = [
    ("01-ai", "yi"),
    ("aliyun", "qwen"),
    ("ark", "doubao"),
    ("azure-ai", "azure"),
    ("azure-openai", "azure"),
    ("bigmodel", "zhipuai"),
    ("cerebras", "openai-compatible"),
    ("claude", "anthropic"),
    ("custom", "openai-compatible"),
    ("custom-openai", "openai-compatible"),
    ("dashscope", "qwen"),
    ("deepinfra", "openai-compatible"),
    ("ernie", "baidu"),
    ("fireworks-ai", "fireworks"),
    ("github-models", "github"),
    ("glm", "zhipuai"),
    ("google", "gemini"),
    ("google-ai", "gemini"),
    ("huggingface", "openai-compatible"),
    ("iflytek", "spark"),
    ("kimi", "moonshot"),
    ("litellm", "openai-compatible"),
    ("llama.cpp", "openai-compatible"),
    ("llamacpp", "openai-compatible"),
    ("lm-studio", "openai-compatible"),
    ("lmstudio", "openai-compatible"),
    ("localai", "openai-compatible"),
    ("mistralai", "mistral"),
    ("nvidia-nim", "openai-compatible"),
    ("openai-compat", "openai-compatible"),
    ("openai-like", "openai-compatible"),
    ("perplexity", "openai-compatible"),
    ("qianfan", "baidu"),
    ("sglang", "openai-compatible"),
    ("siliconflow", "openai-compatible"),
    ("tencent", "hunyuan"),
    ("text-completion-openai", "openai"),
    ("tgi", "openai-compatible"),
    ("together", "together-ai"),
    ("togetherai", "together-ai"),
    ("tongyi", "qwen"),
    ("volcengine", "doubao"),
    ("workers-ai", "cloudflare"),
    ("x-ai", "grok"),
    ("xai", "grok"),
    ("zhipu", "zhipuai"),
];

/// The expected value in place of a kind that other gateways have. `None` if the name is not one of those.
pub(super) fn other_kind(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let unsupported = |format: &str, base_url: &str| {
        Some(format!(
            "another kind: {format} is not supported yet. Its API with OpenAI's format works as kind = \
             \"openai-compatible\", base_url = \"{base_url}\""
        ))
    };
    match name.as_str() {
        "bedrock" | "aws-bedrock" | "amazon-bedrock" | "aws" => unsupported(
            "the format of Bedrock's Converse API",
            "https://bedrock-runtime.REGION.amazonaws.com/openai/v1",
        ),
        "vertex" | "vertex-ai" | "google-vertex" | "vertexai" => Some(
            "another kind: Vertex AI is not supported yet, since its tokens expire after an hour. Google's models \
             work as kind = \"gemini\", with a key of AI Studio"
                .to_owned(),
        ),
        _ => {
            let (_, kind) = OTHER_NAMES.iter().find(|(other, _)| *other == name)?;
            let address = if *kind == "openai-compatible" { ", with a `base_url`" } else { "" };
            Some(format!("one of the kinds (did you mean {kind}{address}?)"))
        }
    }
}

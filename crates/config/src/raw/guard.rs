//! `[[guards]]`

use std::collections::BTreeMap;

use serde::Deserialize;

use super::units::finite_number;
use super::{SecretText, Span};

/// Allowed values of `kind`.
pub(crate) const GUARD_KINDS: [&str; 5] = ["aliyun", "openai-moderation", "llm", "words", "pii"];
/// Allowed items of `check`.
pub(crate) const PHASES: [&str; 2] = ["request", "response"];
/// Allowed values of `look_at`.
pub(crate) const LOOKS: [&str; 3] = ["last", "new", "all"];
/// Allowed values of `block_at`.
pub(crate) const LEVELS: [&str; 3] = ["low", "medium", "high"];
/// Allowed values of `on_error`.
pub(crate) const ON_ERROR: [&str; 2] = ["open", "closed"];
/// Allowed values of `on_block.format`.
pub(crate) const BLOCK_FORMATS: [&str; 3] = ["message", "structured", "error"];
/// Allowed values of `action` for `aliyun`.
pub(crate) const ALIYUN_ACTIONS: [&str; 2] = ["TextModerationPlus", "MultiModalGuard"];
/// Allowed values of `format`.
pub(crate) const JUDGE_FORMATS: [&str; 2] = ["llama-guard", "qwen3guard"];
/// Allowed items of `detect`.
pub(crate) const PII_KINDS: [&str; 6] = ["email", "phone", "cn_id", "card", "ip", "api_key"];
/// Allowed values of `action` for `pii`.
pub(crate) const PII_ACTIONS: [&str; 3] = ["replace", "hash", "refuse"];

/// A check of requests, answers, or both for unsafe content.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Guard {
    /// Its name in records.
    pub(crate) id: String,
    /// The detector: a service (`aliyun`, `openai-moderation`, `llm`), a list of `words`, or `pii` patterns.
    #[cfg_attr(feature = "author", schemars(extend("enum" = GUARD_KINDS)))]
    pub(crate) kind: String,
    /// The ids of the routes that it checks. Default: every route.
    pub(crate) routes: Option<Vec<String>>,
    /// The checked texts: the request, the response, or both. Default: both.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": PHASES })))]
    pub(crate) check: Option<Vec<String>>,
    /// The checked part of a request: the user's `last` message, the `new` messages after the model's last
    /// one, or `all`. Default: `new`, or `all` for a guard that masks.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["last", "new", "all", null])))]
    pub(crate) look_at: Option<String>,
    /// The lowest risk level that blocks, for services that return levels. Default: `high`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", null])))]
    pub(crate) block_at: Option<String>,
    /// The response to a caller whose request or answer is blocked.
    #[serde(default)]
    pub(crate) on_block: OnBlock,
    /// Behavior if a check fails: `open` passes the text and records the failure, `closed` refuses with 503.
    /// Default: `open`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["open", "closed", null])))]
    pub(crate) on_error: Option<String>,
    /// Timeout of one check. Default: 2s.
    pub(crate) timeout: Option<Span>,
    /// Characters of a stream to hold back and check together, at most 100,000. Default: 200, or 1 for a guard
    /// without a service.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 100_000)))]
    pub(crate) stream_window: Option<u32>,
    /// The longest wait for more text of a stream before a check. Default: 1s.
    pub(crate) stream_delay: Option<Span>,
    /// Characters of rejected text to store with the verdict, at most 10,000. Default: 0.
    #[cfg_attr(feature = "author", schemars(range(max = 10_000)))]
    pub(crate) keep_content: Option<u32>,
    /// Exceptions for some consumers or groups. The first match decides.
    #[serde(default)]
    pub(crate) overrides: Vec<Override>,
    /// aliyun: the region of the service, such as `cn-shanghai`.
    pub(crate) region: Option<String>,
    /// aliyun: the service's URL. Default: the URL of the region.
    pub(crate) endpoint: Option<String>,
    /// aliyun: the id of the access key.
    pub(crate) access_key_id: Option<SecretText>,
    /// aliyun: the access key's secret.
    pub(crate) access_key: Option<SecretText>,
    /// aliyun: the token of a temporary key (STS).
    pub(crate) security_token: Option<SecretText>,
    /// aliyun: the action of the service; default: `TextModerationPlus`. pii: the treatment of findings;
    /// default: `replace`.
    #[cfg_attr(
        feature = "author",
        schemars(extend("enum" = ["TextModerationPlus", "MultiModalGuard", "replace", "hash", "refuse", null]))
    )]
    pub(crate) action: Option<String>,
    /// aliyun: the services by name.
    pub(crate) services: Option<Services>,
    /// aliyun: the lowest level that blocks, for each kind of risk. MultiModalGuard only.
    pub(crate) bars: Option<Bars>,
    /// aliyun: whether sensitive data is masked with the service's text instead of blocked. MultiModalGuard only.
    /// Default: false.
    pub(crate) mask: Option<bool>,
    /// openai-moderation, llm: the id of the provider to call.
    pub(crate) provider: Option<String>,
    /// openai-moderation, llm: the model to call.
    pub(crate) model: Option<String>,
    /// openai-moderation: the lowest score that blocks, from 0.001 to 1, by category. Any other category
    /// blocks if the provider flags it.
    pub(crate) thresholds: Option<BTreeMap<String, Score>>,
    /// llm: the format of the model's prompt and verdict.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["llama-guard", "qwen3guard", null])))]
    pub(crate) format: Option<String>,
    /// words: words and phrases that are not allowed.
    pub(crate) words: Option<Vec<String>>,
    /// words: the name of a list in the store.
    #[cfg_attr(feature = "author", schemars(extend("pattern" = "^[a-z0-9-]+$")))]
    pub(crate) list: Option<String>,
    /// pii: the kinds of personal data to detect. Default: all.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": PII_KINDS })))]
    pub(crate) detect: Option<Vec<String>>,
    /// pii: further patterns to detect.
    pub(crate) custom: Option<Vec<CustomPii>>,
    /// pii: whether placeholders in an answer are replaced by the original text of the request. Default: true
    /// for `replace`.
    pub(crate) restore: Option<bool>,
}

/// The response to a caller whose request or answer is blocked.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OnBlock {
    /// The HTTP status. Default: 200, or 400 for the format `error`.
    #[cfg_attr(feature = "author", schemars(range(min = 200, max = 599)))]
    pub(crate) status: Option<u16>,
    /// The text of the assistant's message or of the error.
    pub(crate) message: Option<String>,
    /// The body: `message` is a completion with the message, `structured` adds the details, `error` is OpenAI's
    /// `content_filter`. Default: `message`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["message", "structured", "error", null])))]
    pub(crate) format: Option<String>,
}

/// A guard's exception for some callers.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Override {
    /// The consumers that it covers: exact ids, `prefix*`, `*`, or `~regex`.
    pub(crate) consumers: Vec<String>,
    /// The groups that it covers, likewise.
    pub(crate) groups: Vec<String>,
    /// Whether the guard skips these callers. Default: false.
    pub(crate) off: Option<bool>,
    /// The lowest risk level that blocks. Default: the guard's own.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", null])))]
    pub(crate) block_at: Option<String>,
    /// aliyun: the services by name. Default: the guard's own.
    pub(crate) services: Option<OverrideServices>,
}

/// The names of Alibaba Cloud's services to call.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Services {
    /// For requests. Default: `llm_query_moderation`, or `query_security_check` with MultiModalGuard.
    pub(crate) request: Option<String>,
    /// For answers. Default: `llm_response_moderation`, or `response_security_check` with MultiModalGuard.
    pub(crate) response: Option<String>,
    /// For images, such as `img_query_security_check`. MultiModalGuard only. Default: images are not checked.
    pub(crate) image: Option<String>,
}

/// The services for some callers.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OverrideServices {
    /// For requests.
    pub(crate) request: Option<String>,
    /// For answers.
    pub(crate) response: Option<String>,
}

/// The lowest level that blocks, for each kind of risk: `low`, `medium`, `high`, or `never`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bars {
    /// Unsafe content. Default: the value of `block_at`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) content: Option<String>,
    /// Prompt attacks. Default: `never`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) prompt_attack: Option<String>,
    /// Personal data and secrets; also `S1` to `S3`. Default: `never`.
    #[cfg_attr(
        feature = "author",
        schemars(extend("enum" = ["low", "medium", "high", "S1", "S2", "S3", "never", null]))
    )]
    pub(crate) sensitive_data: Option<String>,
    /// Malicious URLs. Default: `never`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) malicious_url: Option<String>,
    /// Hallucinations of the model. Default: `never`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) hallucination: Option<String>,
    /// Labels that the operator defined in the service. Default: `never`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) custom_label: Option<String>,
}

/// A pattern of the operator's own.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomPii {
    /// Its name in records.
    pub(crate) name: String,
    /// The regular expression to detect.
    pub(crate) pattern: String,
    /// The replacement, with `$1` or `$name` for groups. Default: a placeholder with the pattern's name.
    pub(crate) replace: Option<String>,
}

/// A category's score.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "author", schemars(transparent))]
pub(crate) struct Score(
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0.001, max = 1)))]
    pub(crate) f64,
);

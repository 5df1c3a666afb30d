//! `[[guards]]`

use std::collections::BTreeMap;

use serde::Deserialize;

use super::units::finite_number;
use super::{SecretText, Span};

/// What `kind` may say.
pub(crate) const GUARD_KINDS: [&str; 5] = ["aliyun", "openai-moderation", "llm", "words", "pii"];
/// What `check` may list.
pub(crate) const PHASES: [&str; 2] = ["request", "response"];
/// What `look_at` may say.
pub(crate) const LOOKS: [&str; 3] = ["last", "new", "all"];
/// What `block_at` may say.
pub(crate) const LEVELS: [&str; 3] = ["low", "medium", "high"];
/// What `on_error` may say.
pub(crate) const ON_ERROR: [&str; 2] = ["open", "closed"];
/// What `on_block.format` may say.
pub(crate) const BLOCK_FORMATS: [&str; 3] = ["message", "structured", "error"];
/// What an `action` of `aliyun` may say.
pub(crate) const ALIYUN_ACTIONS: [&str; 2] = ["TextModerationPlus", "MultiModalGuard"];
/// What `format` may say.
pub(crate) const JUDGE_FORMATS: [&str; 2] = ["llama-guard", "qwen3guard"];
/// What `detect` may list.
pub(crate) const PII_KINDS: [&str; 6] = ["email", "phone", "cn_id", "card", "ip", "api_key"];
/// What an `action` of `pii` may say.
pub(crate) const PII_ACTIONS: [&str; 3] = ["replace", "hash", "refuse"];

/// A check of what is asked or answered.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Guard {
    /// Its name in records.
    pub(crate) id: String,
    /// Who checks.
    #[cfg_attr(feature = "author", schemars(extend("enum" = GUARD_KINDS)))]
    pub(crate) kind: String,
    /// The ids of the routes it watches; every route unless said otherwise.
    pub(crate) routes: Option<Vec<String>>,
    /// What it looks at: the request, the response, or both. Both unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": PHASES })))]
    pub(crate) check: Option<Vec<String>>,
    /// How much of a request it looks at: the user's `last` message, the `new` messages after the
    /// model's last one, or `all`. New unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["last", "new", "all", null])))]
    pub(crate) look_at: Option<String>,
    /// The least risk that blocks, where the service speaks of levels. High unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", null])))]
    pub(crate) block_at: Option<String>,
    /// What a blocked caller gets.
    #[serde(default)]
    pub(crate) on_block: OnBlock,
    /// `open` lets through and records, `closed` refuses with 503, when a check fails. Open unless
    /// said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["open", "closed", null])))]
    pub(crate) on_error: Option<String>,
    /// How long one check may take. 2s unless said otherwise.
    pub(crate) timeout: Option<Span>,
    /// Characters of a stream that are held back until they are checked together, 100,000 at most.
    /// 200 unless said otherwise.
    #[cfg_attr(feature = "author", schemars(range(min = 1, max = 100_000)))]
    pub(crate) stream_window: Option<u32>,
    /// How long text of a stream waits for more before it is checked alone. 1s unless said otherwise.
    pub(crate) stream_delay: Option<Span>,
    /// How many characters of what did not pass are kept with the verdict, 10,000 at most. None
    /// unless said otherwise.
    #[cfg_attr(feature = "author", schemars(range(max = 10_000)))]
    pub(crate) keep_content: Option<u32>,
    /// Otherwise for some consumers or groups; the first that fits decides.
    #[serde(default)]
    pub(crate) overrides: Vec<Override>,
    /// aliyun: the region of the service, such as `cn-shanghai`.
    pub(crate) region: Option<String>,
    /// aliyun: where the service is; the region's own address unless said otherwise.
    pub(crate) endpoint: Option<String>,
    /// aliyun: the id of the access key.
    pub(crate) access_key_id: Option<SecretText>,
    /// aliyun: the access key's secret.
    pub(crate) access_key: Option<SecretText>,
    /// aliyun: the token of a temporary key (STS).
    pub(crate) security_token: Option<SecretText>,
    /// aliyun: what the service is asked, `TextModerationPlus` unless said otherwise. pii: what
    /// happens to what is found, `replace` unless said otherwise.
    #[cfg_attr(
        feature = "author",
        schemars(extend("enum" = ["TextModerationPlus", "MultiModalGuard", "replace", "hash", "refuse", null]))
    )]
    pub(crate) action: Option<String>,
    /// aliyun: the services by name.
    pub(crate) services: Option<Services>,
    /// aliyun: the least level that blocks, by what a risk is about. MultiModalGuard only.
    pub(crate) bars: Option<Bars>,
    /// aliyun: sensitive data is masked as the service says instead of blocked. MultiModalGuard only.
    pub(crate) mask: Option<bool>,
    /// openai-moderation, llm: the id of the provider that is asked.
    pub(crate) provider: Option<String>,
    /// openai-moderation, llm: the model that is asked.
    pub(crate) model: Option<String>,
    /// openai-moderation: the least score that blocks, from 0.001 to 1, by category. Categories that are
    /// not named block where the provider flags them.
    pub(crate) thresholds: Option<BTreeMap<String, Score>>,
    /// llm: how the model speaks.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["llama-guard", "qwen3guard", null])))]
    pub(crate) format: Option<String>,
    /// words: what may not be said.
    pub(crate) words: Option<Vec<String>>,
    /// words: the name of a list that is kept in the store.
    #[cfg_attr(feature = "author", schemars(extend("pattern" = "^[a-z0-9-]+$")))]
    pub(crate) list: Option<String>,
    /// pii: what is looked for; everything unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": PII_KINDS })))]
    pub(crate) detect: Option<Vec<String>>,
    /// pii: what else is looked for.
    pub(crate) custom: Option<Vec<CustomPii>>,
    /// pii: whether an answer shows again what was replaced in its question. True unless said
    /// otherwise.
    pub(crate) restore: Option<bool>,
}

/// What a blocked caller gets.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OnBlock {
    /// The status; 200 unless said otherwise, 400 for an error.
    #[cfg_attr(feature = "author", schemars(range(min = 200, max = 599)))]
    pub(crate) status: Option<u16>,
    /// The assistant's message.
    pub(crate) message: Option<String>,
    /// `message`: the assistant says it. `structured`: the details stand beside it. `error`: OpenAI's
    /// `content_filter`. Message unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["message", "structured", "error", null])))]
    pub(crate) format: Option<String>,
}

/// A guard's other ways for some callers.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Override {
    /// The consumers that it is for: an exact id, `prefix*`, `*` or `~regex`.
    pub(crate) consumers: Vec<String>,
    /// The groups that it is for, likewise.
    pub(crate) groups: Vec<String>,
    /// They are not checked at all. False unless said otherwise.
    pub(crate) off: Option<bool>,
    /// The least risk that blocks; as the guard says unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", null])))]
    pub(crate) block_at: Option<String>,
    /// aliyun: the services by name; as the guard says unless said otherwise.
    pub(crate) services: Option<OverrideServices>,
}

/// The services of Alibaba Cloud that are asked, by name.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Services {
    /// For requests; `llm_query_moderation`, or `query_security_check` with MultiModalGuard, unless
    /// said otherwise.
    pub(crate) request: Option<String>,
    /// For answers; `llm_response_moderation`, or `response_security_check` with MultiModalGuard,
    /// unless said otherwise.
    pub(crate) response: Option<String>,
    /// For images, such as `img_query_security_check`, with MultiModalGuard only. They are not checked
    /// unless it is there.
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

/// The least level that blocks, by what a risk is about: `low`, `medium`, `high` or `never`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bars {
    /// What is said; `block_at` unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) content: Option<String>,
    /// Attempts to misuse the model. Never unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) prompt_attack: Option<String>,
    /// Personal data and secrets, `S1` to `S3` as well. Never unless said otherwise.
    #[cfg_attr(
        feature = "author",
        schemars(extend("enum" = ["low", "medium", "high", "S1", "S2", "S3", "never", null]))
    )]
    pub(crate) sensitive_data: Option<String>,
    /// Addresses that do harm. Never unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) malicious_url: Option<String>,
    /// What the model made up. Never unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", "never", null])))]
    pub(crate) hallucination: Option<String>,
    /// What the service was taught. Never unless said otherwise.
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
    /// A regular expression of what is looked for.
    pub(crate) pattern: String,
    /// What replaces it, with `$1` or `$name` for groups; a placeholder with its name unless said
    /// otherwise.
    pub(crate) replace: Option<String>,
}

/// A score of a category.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "author", schemars(transparent))]
pub(crate) struct Score(
    #[serde(deserialize_with = "finite_number")]
    #[cfg_attr(feature = "author", schemars(range(min = 0.001, max = 1)))]
    pub(crate) f64,
);

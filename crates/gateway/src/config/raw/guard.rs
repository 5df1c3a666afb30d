//! `[[guards]]`

use serde::Deserialize;

use super::SecretText;

/// What `kind` may say.
pub(in crate::config) const GUARD_KINDS: [&str; 4] =
    ["aliyun", "openai-moderation", "words", "pii"];
/// What `check` may list.
pub(in crate::config) const PHASES: [&str; 2] = ["request", "response"];
/// What `block_at` may say.
pub(in crate::config) const LEVELS: [&str; 3] = ["low", "medium", "high"];
/// What `on_error` may say.
pub(in crate::config) const ON_ERROR: [&str; 2] = ["open", "closed"];

/// A check of what is asked or answered.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Guard {
    /// Its name in records.
    pub(in crate::config) id: String,
    /// Who checks.
    #[cfg_attr(feature = "author", schemars(extend("enum" = GUARD_KINDS)))]
    pub(in crate::config) kind: String,
    /// aliyun: the region of the service.
    pub(in crate::config) region: Option<String>,
    /// aliyun: the id of the access key.
    pub(in crate::config) access_key_id: Option<SecretText>,
    /// aliyun: the access key's secret.
    pub(in crate::config) access_key: Option<SecretText>,
    /// openai-moderation: the key of the service.
    pub(in crate::config) key: Option<SecretText>,
    /// words: what may not be said.
    pub(in crate::config) words: Option<Vec<String>>,
    /// The ids of the routes it watches; every route unless said otherwise.
    pub(in crate::config) routes: Option<Vec<String>>,
    /// What it looks at: the request, the response, or both.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": PHASES })))]
    pub(in crate::config) check: Option<Vec<String>>,
    /// The least risk that blocks.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["low", "medium", "high", null])))]
    pub(in crate::config) block_at: Option<String>,
    /// What a blocked caller gets.
    pub(in crate::config) on_block: Option<OnBlock>,
    /// `open` lets through and records, `closed` refuses with 503, when it cannot be reached.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ["open", "closed", null])))]
    pub(in crate::config) on_error: Option<String>,
    /// Characters held back while a stream is being checked.
    pub(in crate::config) stream_window: Option<u32>,
}

/// What a blocked caller gets.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct OnBlock {
    /// The status; 200 unless said otherwise.
    #[cfg_attr(feature = "author", schemars(range(min = 200, max = 599)))]
    pub(in crate::config) status: Option<u16>,
    /// The assistant's message.
    pub(in crate::config) message: Option<String>,
}

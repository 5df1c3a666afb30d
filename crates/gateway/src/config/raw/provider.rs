//! `[[providers]]`

use serde::Deserialize;

use super::SecretText;

/// Somebody who answers.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Provider {
    /// Its name in routes and records. A built-in name brings `kind`, `base_url` and the way to
    /// authenticate.
    pub(in crate::config) id: String,
    /// A built-in name, or `openai-compatible` for any server that speaks OpenAI.
    #[cfg_attr(feature = "author", schemars(extend("enum" = kinds())))]
    pub(in crate::config) kind: Option<String>,
    /// Where it is, up to and without the endpoint: `http://127.0.0.1:9100/v1`.
    pub(in crate::config) base_url: Option<String>,
    /// Its keys, used in turn; one that it refuses rests.
    #[serde(default)]
    pub(in crate::config) keys: Vec<SecretText>,
    /// azure: calls deployments with this version of the API instead of the v1 form.
    pub(in crate::config) api_version: Option<String>,
    /// cloudflare: the account that Workers AI belongs to.
    pub(in crate::config) account: Option<String>,
    /// Whether it understands `stream_options.include_usage`; known for built-in kinds.
    pub(in crate::config) stream_usage: Option<bool>,
}

/// What `kind` may say; `null` is how JSON spells that it says nothing.
#[cfg(feature = "author")]
fn kinds() -> Vec<Option<&'static str>> {
    crate::config::provider::ProviderKind::names().map(Some).chain([None]).collect()
}

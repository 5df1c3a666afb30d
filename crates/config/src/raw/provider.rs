//! `[[providers]]`

use serde::Deserialize;

use super::SecretText;

/// Somebody who answers.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// Its name in routes and records. A built-in name brings `kind`, `base_url` and the way to
    /// authenticate.
    pub(crate) id: String,
    /// A built-in name, or `openai-compatible` for any server that speaks OpenAI.
    #[cfg_attr(feature = "author", schemars(extend("enum" = kinds())))]
    pub(crate) kind: Option<String>,
    /// Where it is, up to and without the endpoint: `http://127.0.0.1:9100/v1`.
    pub(crate) base_url: Option<String>,
    /// Its keys, used in turn; one that it refuses rests.
    #[serde(default)]
    pub(crate) keys: Vec<SecretText>,
    /// azure: calls deployments with this version of the API instead of the v1 form.
    pub(crate) api_version: Option<String>,
    /// cloudflare: the account that Workers AI belongs to.
    pub(crate) account: Option<String>,
    /// Whether it understands `stream_options.include_usage`; known for built-in kinds.
    pub(crate) stream_usage: Option<bool>,
}

/// What `kind` may say; `null` is how JSON spells that it says nothing.
#[cfg(feature = "author")]
fn kinds() -> Vec<Option<&'static str>> {
    crate::provider::ProviderKind::names().map(Some).chain([None]).collect()
}

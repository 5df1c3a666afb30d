//! `[[providers]]`

#[cfg(feature = "author")]
use protocol::model::Protocol;
use serde::Deserialize;

use super::SecretText;

/// A service that serves models over the API of OpenAI or Anthropic.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// Its name in routes and records. A built-in name implies `kind`, `base_url`, and the authentication.
    pub(crate) id: String,
    /// A built-in name, or `openai-compatible` for any server with OpenAI's API. Default: the value of `id`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = kinds())))]
    pub(crate) kind: Option<String>,
    /// Its URL without the endpoint's path: `http://127.0.0.1:9100/v1`. Default: the URL of a built-in kind.
    pub(crate) base_url: Option<String>,
    /// Its keys, used in turn: `secret:NAME` of the host, or `vault:name` of the admin API. A key that the provider
    /// refuses cools down.
    #[cfg_attr(
        feature = "author",
        schemars(extend("items" = { "type": "string", "pattern": "^(secret:[A-Za-z][A-Za-z0-9_]*|vault:[a-z0-9_-][a-z0-9._-]{0,63})$" }))
    )]
    #[serde(default)]
    pub(crate) keys: Vec<SecretText>,
    /// azure: the API version for calls to deployments. Default: none, which selects the v1 API.
    pub(crate) api_version: Option<String>,
    /// cloudflare: the account of Workers AI.
    pub(crate) account: Option<String>,
    /// The protocols in which it takes a chat, the preferred one first: `chat`, `responses`, `messages`. A
    /// caller's own protocol is used if it is among them, else the first one. Default: known for each built-in
    /// kind.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": Protocol::ALL.map(Protocol::id) })))]
    pub(crate) protocols: Option<Vec<String>>,
    /// Whether it accepts `stream_options.include_usage`. Default: known for each built-in kind.
    pub(crate) stream_usage: Option<bool>,
    /// Parameters that no caller may send to it, such as those that select other models. Default: known for
    /// each built-in kind.
    pub(crate) forbid: Option<Vec<String>>,
}

/// Allowed values of `kind`; `null` stands for an absent one in JSON.
#[cfg(feature = "author")]
fn kinds() -> Vec<Option<&'static str>> {
    crate::provider_kind::ProviderKind::names().map(Some).chain([None]).collect()
}

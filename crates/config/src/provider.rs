//! Providers as parsed: address, authentication, protocols, and endpoints.

use std::borrow::Cow;

use http::{HeaderName, Uri};
use openai::{Endpoint, OutputField};
use protocol::model::Protocol;
use protocol::request::{EndUserField, ReasoningField};
use secret::Secret;

use super::permission::Parameter;

/// `[[providers]]`
#[derive(Debug)]
pub struct Provider {
    /// Its name in routes, records, and `x-serin-target`.
    pub id: String,
    /// Its row of the table of kinds, which selects the vocabulary of its errors.
    pub kind: &'static str,
    /// Scheme, host, and path prefix without a trailing slash: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Presentation of a key.
    pub authentication: Authentication,
    /// Used in turn. Empty if calls carry no key.
    pub keys: Vec<Secret>,
    /// Whether the document names keys and none of them is set: the provider cannot be called.
    pub lacks_keys: bool,
    /// The protocols in which it takes a chat, the preferred one first. Never empty.
    pub protocols: Vec<Protocol>,
    /// Name under which its seals are wrapped for callers of other protocols.
    pub seal_maker: String,
    /// Fields of Chat beyond those of all providers.
    pub chat_extensions: ChatExtensions,
    /// The endpoints that it offers.
    pub paths: Paths,
    /// Whether it accepts `stream_options.include_usage`.
    pub stream_usage: bool,
    /// The field that bounds the tokens of a chat's answer.
    pub output_field: OutputField,
    /// Parameters that no caller may send to it.
    pub forbidden: Vec<Parameter>,
}

impl Provider {
    /// The protocol of a call: the caller's own if the provider takes it, else the provider's first.
    pub fn protocol_for(&self, endpoint: Endpoint, caller: Protocol) -> Protocol {
        match endpoint {
            Endpoint::ChatCompletions if self.protocols.contains(&caller) => caller,
            Endpoint::ChatCompletions => self.protocols[0],
            // These endpoints have one form only.
            Endpoint::Completions | Endpoint::Embeddings => Protocol::Chat,
        }
    }

    /// The URL of an endpoint in a protocol, for a model. `None` if the provider does not offer it.
    pub fn url(&self, endpoint: Endpoint, protocol: Protocol, model: &str) -> Option<Uri> {
        self.expand(self.paths.path(endpoint, protocol)?, model).try_into().ok()
    }

    /// The URL that counts the tokens of a request in a protocol. `None` if there is none.
    pub fn count_url(&self, protocol: Protocol, model: &str) -> Option<Uri> {
        let end = match protocol {
            Protocol::Chat => return None,
            Protocol::Responses => "/input_tokens",
            Protocol::Messages => "/count_tokens",
        };
        let path = self.paths.path(Endpoint::ChatCompletions, protocol)?;
        let at = path.find('?').unwrap_or(path.len());
        self.expand(&[&path[..at], end, &path[at..]].concat(), model).try_into().ok()
    }

    /// The base URL with a path for a model.
    fn expand(&self, path: &str, model: &str) -> String {
        let mut url = String::with_capacity(self.base_url.len() + path.len() + model.len());
        url.push_str(&self.base_url);
        match path.split_once("{model}") {
            None => url.push_str(path),
            Some((before, after)) => {
                url.push_str(before);
                json::percent::encode(model, &json::percent::UNRESERVED, &mut url);
                url.push_str(after);
            }
        }
        url
    }
}

/// Fields of Chat that only some providers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatExtensions {
    /// Field for the thoughts of earlier turns.
    pub reasoning: ReasoningField,
    /// Field for the end user.
    pub end_user: EndUserField,
    /// Whether tools may take free text.
    pub custom_tools: bool,
}

/// Presentation of a key to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// `Authorization: Bearer KEY`
    Bearer,
    /// The key alone, in a header of this name.
    Header(HeaderName),
}

/// The path of each endpoint after the base URL; `{model}` stands for the model's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Chat completions.
    pub chat: Option<Cow<'static, str>>,
    /// OpenAI's Responses.
    pub responses: Option<Cow<'static, str>>,
    /// Anthropic's Messages.
    pub messages: Option<Cow<'static, str>>,
    /// Completions of a prompt.
    pub completions: Option<Cow<'static, str>>,
    /// Embeddings.
    pub embeddings: Option<Cow<'static, str>>,
}

impl Paths {
    /// The path of an endpoint in a protocol. `None` if the provider does not offer it.
    pub fn path(&self, endpoint: Endpoint, protocol: Protocol) -> Option<&str> {
        match (endpoint, protocol) {
            (Endpoint::ChatCompletions, Protocol::Chat) => self.chat.as_deref(),
            (Endpoint::ChatCompletions, Protocol::Responses) => self.responses.as_deref(),
            (Endpoint::ChatCompletions, Protocol::Messages) => self.messages.as_deref(),
            (Endpoint::Completions, _) => self.completions.as_deref(),
            (Endpoint::Embeddings, _) => self.embeddings.as_deref(),
        }
    }
}

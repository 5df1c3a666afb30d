//! Tags of ids of stored responses: an id returns to the provider's key that made it, and belongs to the
//! consumer that asked.
//!
//! The tag is a keyed hash of the consumer and the id under the provider's key. It needs no storage, and holds
//! at once in every isolate. A response of a key that is no longer configured cannot be found.

use config::{Config, Provider, ProviderIndex, Route};
use hmac::{Hmac, Mac};
use openai::Endpoint;
use protocol::model::Protocol;
use sha2::Sha256;

use crate::error::Refusal;
use crate::request::parse::ParsedRequest;

/// Bytes of a tag: enough that none is guessed.
const TAG_BYTES: usize = 16;

/// Maximum length of a provider's id of a response.
const MAX_ID_BYTES: usize = 256;
/// Separates the purposes of keyed hashes.
const PURPOSE: &[u8] = b"serin stored response";

/// Tagger of the ids of one provider key and one consumer.
#[derive(Clone)]
pub(crate) struct ResponseTagger {
    mac: Hmac<Sha256>,
}

/// A stored response, by its tagged id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredResponse {
    /// The provider that stores it.
    pub provider: ProviderIndex,
    /// The provider's key that made it.
    pub key: usize,
    /// The id at the provider.
    pub id: String,
}

impl ResponseTagger {
    /// Creates the tagger of a provider's key; `None` without a key, since anybody could make its tags.
    /// `consumer` is empty for anonymous callers.
    pub(crate) fn new(provider: &Provider, key: Option<usize>, consumer: &str) -> Option<Self> {
        let secret = provider.keys[key?].reveal();
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes keys of any length (RFC 2104)");
        for part in [PURPOSE, provider.id.as_bytes(), consumer.as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Some(Self { mac })
    }

    /// Adds the tag to an id.
    pub(crate) fn tag(&self, id: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(id.as_bytes());
        let hash = mac.finalize().into_bytes();
        format!("{id}.{}", base16ct::lower::encode_string(&hash[..TAG_BYTES]))
    }

    fn is_tagged(&self, id: &str, tag: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        mac.update(id.as_bytes());
        tag.len() == TAG_BYTES && mac.verify_truncated_left(tag).is_ok()
    }
}

impl std::fmt::Debug for ResponseTagger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseTagger").finish_non_exhaustive()
    }
}

/// Finds the stored response of a tagged id. `None` if the id has no tag of this consumer.
pub(crate) fn find_stored(config: &Config, consumer: &str, tagged: &str) -> Option<StoredResponse> {
    let (id, tag) = tagged.rsplit_once('.').filter(|(id, _)| is_response_id(id))?;
    let mut bytes = [0; TAG_BYTES];
    let tag = base16ct::lower::decode(tag, &mut bytes).ok()?;
    config.providers_with_index().find_map(|(index, provider)| {
        if !provider.protocols.contains(&Protocol::Responses) {
            return None;
        }
        let mut keys = (0..provider.keys.len()).filter(|key| {
            let tagger = ResponseTagger::new(provider, Some(*key), consumer);
            tagger.is_some_and(|tagger| tagger.is_tagged(id, tag))
        });
        let key = keys.next()?;
        Some(StoredResponse { provider: index, key, id: id.to_owned() })
    })
}

/// Whether a text can be the id of a response: it stands in URLs, and is hashed for each key.
fn is_response_id(id: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(is_part)
}

/// The stored response that a request continues. Its provider must be a target of the route. `None` if the
/// request continues none, or if no target speaks Responses: the translation refuses the reference then.
pub(crate) fn continued_response(
    config: &Config,
    route: &Route,
    consumer: &str,
    request: &ParsedRequest,
) -> Result<Option<StoredResponse>, Refusal> {
    let Some(stored) = request.original().map(|original| &original.stored) else { return Ok(None) };
    let targets = || route.reachable_targets().map(|target| target.provider);
    let speaks_responses = |provider: ProviderIndex| {
        let provider = config.provider(provider);
        provider.protocol_for(Endpoint::ChatCompletions, request.protocol()) == Protocol::Responses
    };
    if !targets().any(speaks_responses) {
        return Ok(None);
    }
    if stored.has_conversation {
        return Err(Refusal::StoredResponseNotFound { param: Some("conversation") });
    }
    if stored.is_background {
        return Err(Refusal::Background);
    }
    let Some(id) = &stored.previous_response else { return Ok(None) };
    find_stored(config, consumer, id)
        .filter(|found| targets().any(|provider| provider == found.provider))
        .map(Some)
        .ok_or(Refusal::StoredResponseNotFound { param: Some("previous_response_id") })
}

#[cfg(test)]
mod tests {
    use config::Config;
    use secret::Secret;

    use super::{ResponseTagger, find_stored};

    fn config() -> Config {
        let document = r#"{
            "providers": [
                { "id": "chat", "kind": "deepseek", "keys": ["secret:A"] },
                { "id": "openai", "keys": ["secret:A", "secret:B"] },
                { "id": "local", "kind": "openai-compatible", "base_url": "http://127.0.0.1:1/v1", "protocols": ["responses"] }
            ],
            "routes": [{ "id": "r", "models": ["m"], "targets": [{ "provider": "openai" }] }],
            "consumers": [{ "id": "app", "keys": ["secret:APP"] }]
        }"#;
        Config::from_json(document, &|name| Some(Secret::new(name))).expect("it is right")
    }

    #[test]
    fn id_returns_to_its_key_and_consumer() {
        let config = config();
        let (index, provider) = config.providers_with_index().nth(1).expect("the provider");
        for key in [0, 1] {
            let tagger = ResponseTagger::new(provider, Some(key), "app").expect("a key");
            let tagged = tagger.tag("resp_a");
            let found = find_stored(&config, "app", &tagged).expect("it is tagged");
            assert_eq!((found.provider, found.key, found.id.as_str()), (index, key, "resp_a"));
            assert_eq!(find_stored(&config, "other", &tagged), None);
            let other = tagged.replace("resp_a", "resp_c");
            assert_eq!(find_stored(&config, "app", &other), None);
            // These would leave the path of stored responses, or cost much.
            for id in ["..", "a/b", &"a".repeat(257)] {
                assert_eq!(find_stored(&config, "app", &tagger.tag(id)), None);
            }
        }
        for id in ["resp_1", "resp_1.", "resp_1.aaaa", ""] {
            assert_eq!(find_stored(&config, "app", id), None, "{id}");
        }
    }

    #[test]
    fn provider_without_keys_makes_no_tags() {
        let config = config();
        let (_, provider) = config.providers_with_index().nth(2).expect("the provider");
        assert!(ResponseTagger::new(provider, None, "app").is_none());
    }
}

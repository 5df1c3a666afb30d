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
    /// The provider's key that made it; `None` if calls carry none.
    pub key: Option<usize>,
    /// The id at the provider.
    pub id: String,
}

impl ResponseTagger {
    /// Creates the tagger of a provider's key. `consumer` is empty for anonymous callers.
    pub(crate) fn new(provider: &Provider, key: Option<usize>, consumer: &str) -> Self {
        let secret = key.map_or("", |position| provider.keys[position].reveal());
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes keys of any length (RFC 2104)");
        for part in [PURPOSE, provider.id.as_bytes(), consumer.as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Self { mac }
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
    let (id, tag) = tagged.rsplit_once('.')?;
    let tag = base16ct::lower::decode_vec(tag).ok()?;
    config.providers_with_index().find_map(|(index, provider)| {
        if !provider.protocols.contains(&Protocol::Responses) {
            return None;
        }
        let keys =
            (0..provider.keys.len()).map(Some).chain(provider.keys.is_empty().then_some(None));
        let mut keys =
            keys.filter(|key| ResponseTagger::new(provider, *key, consumer).is_tagged(id, &tag));
        let key = keys.next()?;
        Some(StoredResponse { provider: index, key, id: id.to_owned() })
    })
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
    let targets = || {
        let weighted = route.targets.all().iter().map(|weighted| &weighted.target);
        weighted.chain(&route.fallback).map(|target| target.provider)
    };
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
        for (provider, key) in [(1, Some(0)), (1, Some(1)), (2, None)] {
            let (index, provider) =
                config.providers_with_index().nth(provider).expect("the provider");
            let tagged = ResponseTagger::new(provider, key, "app").tag("resp_a.b");
            let found = find_stored(&config, "app", &tagged).expect("it is tagged");
            assert_eq!((found.provider, found.key, found.id.as_str()), (index, key, "resp_a.b"));
            assert_eq!(find_stored(&config, "other", &tagged), None);
            let other = tagged.replace("resp_a", "resp_c");
            assert_eq!(find_stored(&config, "app", &other), None);
        }
        for id in ["resp_1", "resp_1.", "resp_1.AAAA", ""] {
            assert_eq!(find_stored(&config, "app", id), None, "{id}");
        }
    }
}

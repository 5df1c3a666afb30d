//! Facts that writers of answers need and that the crate cannot find out: it has no clock, no
//! chance, and no configuration.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::echo::ResponseEcho;
use crate::model::{Protocol, Seal, SealMaker};

/// Longest id of a call that every protocol takes.
const MAX_CALL_ID_BYTES: usize = 64;

/// Facts for the writer of an answer.
#[derive(Clone, Debug, Default)]
pub struct AnswerContext {
    /// Seed of the ids that the writer mints: 128 random bits for each answer.
    pub id_seed: u128,
    /// Present time, in seconds from the Unix epoch, for answers that have none.
    pub now_epoch_seconds: u64,
    /// Maker under whose name the provider's seals are wrapped; `None` leaves them out.
    pub seal_maker: Option<String>,
    /// Estimate of the prompt's tokens, until the provider reports them.
    pub estimated_input_tokens: u64,
    /// Whether a stream of Chat ends with a chunk of usage (`stream_options.include_usage`).
    pub includes_usage: bool,
    /// Settings of the request that an answer of Responses repeats.
    pub echo: ResponseEcho,
}

impl AnswerContext {
    /// Id of the answer.
    pub(crate) fn answer_id(&self, prefix: &str) -> String {
        format!("{prefix}{:032x}", self.id_seed)
    }

    /// Id of one of the answer's items.
    pub(crate) fn item_id(&self, prefix: &str, number: usize) -> String {
        format!("{prefix}{:032x}{number:04x}", self.id_seed)
    }

    /// Id of a call: the provider's, if every protocol takes it, else one derived from it, so that
    /// an id has one counterpart. Providers use ids of up to 1411 characters
    /// (github.com/weave-os/router/issues/333).
    pub(crate) fn call_id<'i>(&self, id: &'i str, number: usize) -> Cow<'i, str> {
        let is_portable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if id.is_empty() {
            Cow::Owned(self.item_id("call_", number))
        } else if id.len() <= MAX_CALL_ID_BYTES && id.bytes().all(is_portable) {
            Cow::Borrowed(id)
        } else {
            Cow::Owned(format!("call_{:024x}", hash(id) >> 32))
        }
    }

    /// Bytes of a seal for a caller of the protocol: as they are for their own protocol, else
    /// wrapped with their maker's name, so that they are recognized when they come back. `None` if
    /// the maker has no name.
    pub(crate) fn sealed_bytes<'s>(
        &self,
        seal: &'s Seal<'_>,
        caller: Protocol,
    ) -> Option<Cow<'s, str>> {
        let maker = match &seal.maker {
            SealMaker::Protocol(maker) if *maker == caller => {
                return Some(Cow::Borrowed(&*seal.bytes));
            }
            SealMaker::Protocol(_) => self.seal_maker.as_deref()?,
            SealMaker::Named(maker) => &**maker,
        };
        Some(Cow::Owned(format!("sr1.{maker}.{}", URL_SAFE_NO_PAD.encode(&*seal.bytes))))
    }
}

/// Seal of reasoning that its maker has not sealed. Clients of Messages send back a signature with
/// each thought; this one is removed then.
pub(crate) const EMPTY_SEAL: &str = "sr1.none.";

/// FNV-1a with 128 bits (draft-eastlake-fnv). Ids are no secrets, and a forged one harms its
/// forger alone.
fn hash(text: &str) -> u128 {
    let step = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul((1 << 88) + 0x13b);
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step)
}

#[cfg(test)]
mod tests {
    use super::{AnswerContext, hash};
    use crate::model::{Protocol, Seal, SealMaker};

    #[test]
    fn call_id_is_kept_or_derived_from_the_id() {
        let context = AnswerContext { id_seed: 7, ..AnswerContext::default() };
        assert_eq!(context.call_id("call_1-A", 0), "call_1-A");
        let long = "x".repeat(1411);
        let derived = context.call_id(&long, 0).into_owned();
        assert_eq!(derived.len(), "call_".len() + 24);
        assert_eq!(AnswerContext::default().call_id(&long, 3), derived);
        assert_ne!(context.call_id("functions.get:0", 0), context.call_id("functions.get:1", 0));
        assert_ne!(context.call_id("", 0), context.call_id("", 1));
        assert_eq!(hash(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(hash("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn foreign_seal_is_wrapped() {
        let own =
            AnswerContext { seal_maker: Some("openai-1".to_owned()), ..AnswerContext::default() };
        let mut seal =
            Seal { maker: SealMaker::Protocol(Protocol::Responses), bytes: "a+/=".into() };
        assert_eq!(own.sealed_bytes(&seal, Protocol::Responses).as_deref(), Some("a+/="));
        let wrapped = Some("sr1.openai-1.YSsvPQ");
        assert_eq!(own.sealed_bytes(&seal, Protocol::Messages).as_deref(), wrapped);
        assert_eq!(AnswerContext::default().sealed_bytes(&seal, Protocol::Messages), None);
        seal.maker = SealMaker::Named("claude-2".into());
        let wrapped = Some("sr1.claude-2.YSsvPQ");
        assert_eq!(own.sealed_bytes(&seal, Protocol::Messages).as_deref(), wrapped);
    }
}

//! Facts that writers of answers need and that the crate cannot find out: it has no clock, no
//! chance, and no configuration.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sha2::{Digest, Sha256};

use crate::echo::ResponseEcho;
use crate::model::{Protocol, Seal, SealMaker};
use crate::tool_name::{ToolName, ToolNames};

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
    /// Tools that the provider knows under another name or in another form.
    pub tools: ToolNames,
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
    pub(crate) fn call_id<'i>(&self, id: &'i str, number: usize, caller: Protocol) -> Cow<'i, str> {
        let is_portable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if id.is_empty() {
            let is_messages = caller == Protocol::Messages;
            Cow::Owned(self.item_id(if is_messages { "toolu_" } else { "call_" }, number))
        } else if id.len() <= MAX_CALL_ID_BYTES && id.bytes().all(is_portable) {
            Cow::Borrowed(id)
        } else {
            let hash = Sha256::digest(id);
            let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
            Cow::Owned(format!("call_{hex}"))
        }
    }

    fn tool(&self, written: &str) -> Option<&ToolName> {
        self.tools.get(written)
    }

    /// Name of a tool in the caller's request.
    pub(crate) fn tool_name<'n>(&'n self, written: &'n str) -> &'n str {
        self.tool(written).map_or(written, |tool| &tool.name)
    }

    /// Namespace of a tool in the caller's request.
    pub(crate) fn namespace(&self, written: &str) -> Option<&str> {
        self.tool(written)?.namespace.as_deref()
    }

    /// Whether some tool is a custom one in the caller's request.
    pub(crate) fn has_custom_tools(&self) -> bool {
        self.tools.iter().any(|tool| tool.is_custom)
    }

    /// Names at the provider of the custom tools.
    pub(crate) fn custom_tools(&self) -> BTreeSet<String> {
        let custom = self.tools.iter().filter(|tool| tool.is_custom);
        custom.map(|tool| tool.written.clone()).collect()
    }

    /// Whether a tool is a custom one in the caller's request.
    pub(crate) fn is_custom(&self, written: &str) -> bool {
        self.tool(written).is_some_and(|tool| tool.is_custom)
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

#[cfg(test)]
mod tests {
    use super::AnswerContext;
    use crate::model::{Protocol, Seal, SealMaker};

    #[test]
    fn call_id_is_kept_or_derived_from_the_id() {
        const CALLER: Protocol = Protocol::Chat;
        let context = AnswerContext { id_seed: 7, ..AnswerContext::default() };
        assert_eq!(context.call_id("call_1-A", 0, CALLER), "call_1-A");
        let long = "x".repeat(1411);
        let derived = context.call_id(&long, 0, CALLER).into_owned();
        assert_eq!(derived.len(), "call_".len() + 24);
        assert_eq!(AnswerContext::default().call_id(&long, 3, CALLER), derived);
        assert_ne!(
            context.call_id("functions.get:0", 0, CALLER),
            context.call_id("functions.get:1", 0, CALLER)
        );
        assert_ne!(context.call_id("", 0, CALLER), context.call_id("", 1, CALLER));
        assert!(context.call_id("", 0, Protocol::Messages).starts_with("toolu_"));
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

//! Translations of a request for its targets, each made once.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use config::{Provider, Route};
use openai::{Endpoint, Request};
use protocol::ToolNames;
use protocol::model::Protocol;
use protocol::request::{
    BodyChanges, EndUserField, InvalidRequest, MaxTokensField, ReasoningField, Target,
    Untranslatable, read_request, rewrite, splice_seals, write_request,
};

use crate::error::Refusal;

use super::parse::ParsedRequest;

/// Tokens of an answer for Messages, which requires a maximum, if the caller names none.
const DEFAULT_MAX_TOKENS: u64 = 8_192;

/// Request in the protocol of a provider. Its model is the caller's.
#[derive(Debug)]
pub(crate) struct Translation {
    body: Bytes,
    protocol: Protocol,
    /// Steering fields of a body in Chat.
    pub(crate) chat_fields: Option<Request>,
    /// Paths of members that were left out.
    pub(crate) shed: Vec<String>,
    /// Tools that the provider knows under another name or in another form.
    pub(crate) tools: ToolNames,
}

/// Reason for which a request has no form for a provider.
#[derive(Clone, Debug)]
pub(crate) enum NoTranslation {
    /// The body breaks its own protocol.
    Invalid(InvalidRequest),
    /// The provider's protocol cannot express a member.
    Untranslatable(Untranslatable),
}

impl From<NoTranslation> for Refusal {
    fn from(reason: NoTranslation) -> Self {
        match reason {
            NoTranslation::Invalid(invalid) => Self::InvalidForProtocol(invalid),
            NoTranslation::Untranslatable(reason) => Self::Untranslatable(Box::new(reason)),
        }
    }
}

type Outcome = Result<Rc<Translation>, NoTranslation>;

/// Translations of one request so far: for each provider, by its maker of seals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translations(RefCell<Vec<(String, Protocol, Outcome)>>);

impl Translation {
    /// The body in the provider's protocol, with these changes.
    pub(crate) fn body_with(&self, changes: BodyChanges<'_>) -> Bytes {
        rewrite(self.protocol, &self.body, changes).map_or_else(|| self.body.clone(), Bytes::from)
    }

    /// The body.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }
}

impl ParsedRequest {
    /// Whether a provider can take the request in a protocol. The abilities of models change what is shed
    /// and not what is refused, so that one translation shows it for all providers of the protocol.
    pub(crate) fn check_translatable(
        &self,
        provider: &Provider,
        protocol: Protocol,
        route: &Route,
    ) -> Result<(), NoTranslation> {
        if self.endpoint() != Endpoint::ChatCompletions || protocol == self.protocol() {
            return Ok(());
        }
        let is_same = |(_, other, _): &&(String, Protocol, Outcome)| *other == protocol;
        let known = self.translations.0.borrow().iter().find(is_same).map(|(.., it)| it.clone());
        known.unwrap_or_else(|| self.translate(provider, protocol, route)).map(drop)
    }

    /// Translates the request into the protocol of a provider.
    pub(crate) fn translate(
        &self,
        provider: &Provider,
        protocol: Protocol,
        route: &Route,
    ) -> Result<Rc<Translation>, NoTranslation> {
        let is_same = |(maker, other, _): &&(String, Protocol, Outcome)| {
            *other == protocol && *maker == provider.seal_maker
        };
        let known = self.translations.0.borrow().iter().find(is_same).map(|(.., it)| it.clone());
        if let Some(known) = known {
            return known;
        }
        let outcome = self.translate_for(&target(provider, protocol), route).map(Rc::new);
        let entry = (provider.seal_maker.clone(), protocol, outcome.clone());
        self.translations.0.borrow_mut().push(entry);
        outcome
    }

    fn translate_for(
        &self,
        target: &Target<'_>,
        route: &Route,
    ) -> Result<Translation, NoTranslation> {
        let protocol = target.protocol;
        let (source, body) = match (self.untouched_original(), self.original()) {
            (Some(original), _) => (original.protocol, &original.bytes[..]),
            (None, Some(original)) if original.is_view_lossy => {
                return Err(NoTranslation::Untranslatable(changed_text(original.protocol)));
            }
            (None, _) => (Protocol::Chat, self.body()),
        };
        let request = read_request(source, body).map_err(NoTranslation::Invalid)?;
        let written = write_request(&request, target, &route.translation.options())
            .map_err(NoTranslation::Untranslatable)?;
        let chat_fields = match protocol {
            Protocol::Chat => Request::parse(Endpoint::ChatCompletions, &written.body).ok(),
            Protocol::Responses | Protocol::Messages => None,
        };
        Ok(Translation {
            body: written.body.into(),
            protocol,
            chat_fields,
            shed: written.shed,
            tools: written.tool_names.into_iter().collect(),
        })
    }

    /// Translates the request for a provider that only counts its tokens.
    pub(crate) fn translate_count(
        &self,
        provider: &Provider,
        protocol: Protocol,
        route: &Route,
    ) -> Result<Translation, NoTranslation> {
        self.translate_for(&Target { is_count: true, ..target(provider, protocol) }, route)
    }

    /// The caller's own body for a provider of its protocol, with these changes and without the seals of
    /// other makers. `None` if the caller speaks Chat, or if a step has changed the texts.
    pub(crate) fn own_body_for(
        &self,
        provider: &Provider,
        changes: BodyChanges<'_>,
    ) -> Option<Bytes> {
        let original = self.untouched_original()?;
        let maker = Some(provider.seal_maker.as_str());
        // Without a seal of another maker the body needs no change.
        let spliced = splice_seals(original.protocol, &original.bytes, maker).ok().flatten();
        let body = spliced.map_or_else(|| original.bytes.clone(), Bytes::from);
        Some(rewrite(original.protocol, &body, changes).map_or(body, Bytes::from))
    }
}

/// Untranslatable body whose texts a guard or the history has changed in its Chat form.
fn changed_text(protocol: Protocol) -> Untranslatable {
    Untranslatable {
        path: match protocol {
            Protocol::Responses => "input".to_owned(),
            Protocol::Chat | Protocol::Messages => "messages".to_owned(),
        },
        lossy_path: String::new(),
        target: Protocol::Chat,
        reason: "a guard masks text or the gateway adds earlier turns, and the conversation has parts that only \
                 its own protocol has",
        remedy: "Leave these parts out",
    }
}

/// Abilities of a provider's models in a protocol.
fn target(provider: &Provider, protocol: Protocol) -> Target<'_> {
    let max_tokens_field = match provider.output_field {
        openai::OutputField::MaxTokens => MaxTokensField::MaxTokens,
        openai::OutputField::MaxCompletionTokens => MaxTokensField::MaxCompletionTokens,
    };
    let is_openai = matches!(provider.kind, "openai" | "azure");
    Target {
        seal_maker: Some(&provider.seal_maker),
        default_max_tokens: DEFAULT_MAX_TOKENS,
        max_tokens_field,
        reasoning_field: match provider.kind {
            // Their documentation on thinking asks for the thoughts of earlier turns.
            "deepseek" | "qwen" | "moonshot" | "zhipuai" | "minimax" => {
                ReasoningField::ReasoningContent
            }
            "openrouter" => ReasoningField::ReasoningDetails,
            _ => ReasoningField::None,
        },
        end_user_field: if is_openai { EndUserField::SafetyIdentifier } else { EndUserField::User },
        accepts_custom_tools: is_openai,
        // The dispatcher asks, unless the provider refuses it.
        asks_for_usage: false,
        ..Target::new(protocol)
    }
}

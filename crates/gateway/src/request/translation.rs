//! Translations of a request for its targets, each made once.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use config::{ChatExtensions, Provider, Route};
use openai::{Endpoint, Request};
use protocol::ToolNames;
use protocol::model::Protocol;
use protocol::request::{
    BodyChanges, InvalidRequest, MaxTokensField, Problem, Target, ThinkingForm, Untranslatable,
    read_request, rewrite, write_request,
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

/// A translation for the models of one provider that think in one form.
#[derive(Clone, Debug)]
struct KnownTranslation {
    seal_maker: String,
    protocol: Protocol,
    thinking_form: ThinkingForm,
    outcome: Outcome,
}

/// Translations of one request so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translations(RefCell<Vec<KnownTranslation>>);

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
    /// Checks that a provider's model can take the request in a protocol.
    pub(crate) fn check_translatable(
        &self,
        (provider, model): (&Provider, &str),
        protocol: Protocol,
        route: &Route,
    ) -> Result<(), NoTranslation> {
        let stays = protocol == self.protocol()
            && (self.original().is_none() || self.untouched_original().is_some());
        if stays || self.endpoint() != Endpoint::ChatCompletions {
            return Ok(());
        }
        self.translate((provider, model), protocol, route).map(drop)
    }

    /// Translates the request into the protocol of a provider, for one of its models.
    pub(crate) fn translate(
        &self,
        (provider, model): (&Provider, &str),
        protocol: Protocol,
        route: &Route,
    ) -> Outcome {
        let thinking_form = thinking_form(model);
        let is_same = |known: &&KnownTranslation| {
            (known.protocol, known.thinking_form) == (protocol, thinking_form)
                && known.seal_maker == provider.seal_maker
        };
        let known = self.translations.0.borrow().iter().find(is_same).map(|it| it.outcome.clone());
        if let Some(known) = known {
            return known;
        }
        let target = target((provider, model), protocol);
        let outcome = self.translate_for(&target, route).map(Rc::new);
        self.translations.0.borrow_mut().push(KnownTranslation {
            seal_maker: provider.seal_maker.clone(),
            protocol,
            thinking_form,
            outcome: outcome.clone(),
        });
        outcome
    }

    /// Translates the request for a provider that only counts its tokens.
    pub(crate) fn translate_count(
        &self,
        (provider, model): (&Provider, &str),
        protocol: Protocol,
        route: &Route,
    ) -> Result<Translation, NoTranslation> {
        let target = Target { is_count: true, ..target((provider, model), protocol) };
        self.translate_for(&target, route)
    }

    fn translate_for(
        &self,
        target: &Target<'_>,
        route: &Route,
    ) -> Result<Translation, NoTranslation> {
        let protocol = target.protocol;
        let (source, body) = match (self.untouched_original(), self.original()) {
            (Some(original), _) => (original.protocol, &original.bytes[..]),
            (None, Some(original)) if original.is_form_lossy => {
                return Err(NoTranslation::Untranslatable(changed_text(original.protocol)));
            }
            (None, _) => (Protocol::Chat, self.body()),
        };
        let request = read_request(source, body).map_err(NoTranslation::Invalid)?;
        let written = write_request(&request, target, &route.translation.options())
            .map_err(NoTranslation::Untranslatable)?;
        let chat_fields = match protocol {
            Protocol::Chat => {
                let fields = Request::parse(Endpoint::ChatCompletions, &written.body);
                Some(fields.map_err(|error| {
                    let problem = Problem::NotJson(error.to_string());
                    NoTranslation::Invalid(InvalidRequest { path: String::new(), problem })
                })?)
            }
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

    /// The caller's own body for a provider of its protocol, with these changes and without the seals of
    /// other makers. `None` if the caller speaks Chat, or if a step has changed the texts.
    pub(crate) fn own_body_for(
        &self,
        provider: &Provider,
        changes: BodyChanges<'_>,
    ) -> Option<Bytes> {
        Some(self.untouched_original()?.body_for(&provider.seal_maker, changes))
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

/// Abilities of a provider's model in a protocol.
fn target<'a>((provider, model): (&'a Provider, &str), protocol: Protocol) -> Target<'a> {
    let max_tokens_field = match provider.output_field {
        openai::OutputField::MaxTokens => MaxTokensField::MaxTokens,
        openai::OutputField::MaxCompletionTokens => MaxTokensField::MaxCompletionTokens,
    };
    let ChatExtensions { reasoning, end_user, custom_tools } = provider.chat_extensions;
    let usual = Target::new(protocol);
    Target {
        seal_maker: Some(&provider.seal_maker),
        default_max_tokens: DEFAULT_MAX_TOKENS,
        max_tokens_field,
        reasoning_field: reasoning,
        end_user_field: end_user,
        thinking_form: thinking_form(model),
        accepts_custom_tools: usual.accepts_custom_tools
            && (custom_tools || protocol == Protocol::Responses),
        // The dispatcher asks, unless the provider refuses it.
        asks_for_usage: false,
        ..usual
    }
}

/// Versions of Claude before 4.6, which take a budget of thinking and no effort (Anthropic, "Adaptive
/// thinking").
const BUDGET_VERSIONS: [&str; 7] =
    ["claude-3", "-4-0", "-4-1", "-4-2025", "-4-5", "claude-opus-4@", "claude-sonnet-4@"];

fn thinking_form(model: &str) -> ThinkingForm {
    match BUDGET_VERSIONS.iter().any(|version| model.contains(version)) {
        true => ThinkingForm::Budget,
        false => ThinkingForm::Adaptive,
    }
}

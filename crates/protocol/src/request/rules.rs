//! Rules of carrying, shedding, and refusing, as tables: one for the features of the model, one for
//! members that the model has no place for.

use crate::model::Protocol::{self, Chat, Messages, Responses};

/// Loss of a member that a target's protocol cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// No loss: the target carries the member, or the member has no meaning in a request.
    None,
    /// The loss changes cost, speed, or bookkeeping: the member is left out and reported.
    Shed,
    /// The loss changes the distribution of answers: the route decides.
    Sampling,
    /// The loss changes the meaning: the request is untranslatable.
    Refuse,
    /// As `Refuse`, except for these values, which ask for nothing.
    RefuseUnless(&'static [&'static str]),
    /// As `Shed`, but these values, which ask for nothing, are not reported.
    ShedUnless(&'static [&'static str]),
}

/// Feature of the model that some protocols lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named by its path in FEATURE_RULES")]
pub enum Feature {
    Count,
    Logprobs,
    LogitBias,
    Seed,
    PresencePenalty,
    FrequencyPenalty,
    Temperature,
    TopP,
    TopK,
    Stop,
    JsonObject,
    SchemaDescription,
    Verbosity,
    ReasoningEffort,
    ReasoningDisplay,
    ThinkingBetweenTools,
    EndUser,
    LastCacheBreakpoint,
    Obfuscation,
    ToolChoice,
}

/// Rule of a feature. Its lists have a column for each protocol: Chat, Responses, Messages.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRule {
    /// The feature.
    pub feature: Feature,
    /// Path in the caller's body; empty if the protocol lacks it.
    pub paths: [&'static str; 3],
    /// Loss toward a target.
    pub losses: [Loss; 3],
    /// Reason of a refusal.
    pub reason: &'static str,
    /// Remedy of a refusal.
    pub remedy: &'static str,
}

impl Feature {
    /// Returns the rule. The table has the order of the enum, and a test compares them.
    pub fn rule(self) -> &'static FeatureRule {
        &FEATURE_RULES[self as usize]
    }
}

const NO_COUNTERPART: &str = "the protocol has no counterpart";

const fn feature(
    feature: Feature,
    paths: [&'static str; 3],
    losses: [Loss; 3],
    remedy: &'static str,
) -> FeatureRule {
    FeatureRule { feature, paths, losses, reason: NO_COUNTERPART, remedy }
}

/// Rules of the features.
pub const FEATURE_RULES: [FeatureRule; 20] = {
    use Loss::{None, Refuse, Sampling, Shed};
    [
        feature(Feature::Count, ["n", "", ""], [None, Refuse, Refuse], "Send n requests"),
        feature(
            Feature::Logprobs,
            ["logprobs", "top_logprobs", ""],
            [None, None, Refuse],
            "Leave it out",
        ),
        feature(Feature::LogitBias, ["logit_bias", "", ""], [None, Refuse, Refuse], "Leave it out"),
        feature(Feature::Seed, ["seed", "", ""], [None, Shed, Shed], ""),
        feature(
            Feature::PresencePenalty,
            ["presence_penalty", "", ""],
            [None, Sampling, Sampling],
            "Leave it out",
        ),
        feature(
            Feature::FrequencyPenalty,
            ["frequency_penalty", "", ""],
            [None, Sampling, Sampling],
            "Leave it out",
        ),
        feature(Feature::Temperature, ["temperature"; 3], [None; 3], "Leave it out"),
        feature(Feature::TopP, ["top_p"; 3], [None; 3], "Leave it out"),
        feature(Feature::TopK, ["top_k"; 3], [Sampling, Sampling, None], "Leave it out"),
        feature(
            Feature::Stop,
            ["stop", "", "stop_sequences"],
            [None, Refuse, None],
            "Send fewer stop sequences or none",
        ),
        feature(
            Feature::JsonObject,
            ["response_format.type", "text.format.type", ""],
            [None, None, Refuse],
            "Use json_schema",
        ),
        feature(
            Feature::SchemaDescription,
            ["response_format.json_schema.description", "text.format.description", ""],
            [None, None, Shed],
            "",
        ),
        feature(Feature::Verbosity, ["verbosity", "text.verbosity", ""], [None, None, Shed], ""),
        feature(
            Feature::ReasoningEffort,
            ["reasoning_effort", "reasoning.effort", "thinking"],
            [None; 3],
            "",
        ),
        feature(
            Feature::ReasoningDisplay,
            ["", "reasoning.summary", "thinking.display"],
            [Shed, None, None],
            "",
        ),
        feature(Feature::ThinkingBetweenTools, ["", "", "thinking.type"], [Shed, Shed, None], ""),
        feature(
            Feature::EndUser,
            ["safety_identifier", "safety_identifier", "metadata.user_id"],
            [None; 3],
            "",
        ),
        feature(Feature::LastCacheBreakpoint, ["", "", "cache_control"], [Shed, Shed, None], ""),
        feature(
            Feature::Obfuscation,
            ["stream_options.include_obfuscation", "stream_options.include_obfuscation", ""],
            [None, None, Shed],
            "",
        ),
        feature(
            Feature::ToolChoice,
            ["tool_choice"; 3],
            [None; 3],
            "Choose a function that the request defines",
        ),
    ]
};

/// Kind of object that has a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The body.
    Body,
    /// Settings of thinking.
    Reasoning,
    /// Message, or item of Responses.
    Message,
    /// Part of a message, or call of a tool.
    Part,
    /// Tool.
    Tool,
    /// Any other object.
    Other,
}

/// Rule of a member that the model has no place for.
#[derive(Clone, Copy, Debug)]
pub struct MemberRule {
    /// Protocols of callers that have the member.
    pub protocols: &'static [Protocol],
    /// Object of the member.
    pub scope: Scope,
    /// Name.
    pub name: &'static str,
    /// Protocols of targets that have the same member. A member of the body goes back to its own
    /// protocol in any case.
    pub carried_to: &'static [Protocol],
    /// Loss toward the other targets.
    pub loss: Loss,
    /// Remedy of a refusal.
    pub remedy: &'static str,
}

const OPENAI: &[Protocol] = &[Chat, Responses];
const ANY: &[Protocol] = &[Chat, Responses, Messages];

const fn shared(name: &'static str, loss: Loss) -> MemberRule {
    let (protocols, carried_to) = (OPENAI, OPENAI);
    MemberRule { protocols, scope: Scope::Body, name, carried_to, loss, remedy: "Leave it out" }
}

const fn shed(protocols: &'static [Protocol], scope: Scope, name: &'static str) -> MemberRule {
    MemberRule { protocols, scope, name, carried_to: &[], loss: Loss::Shed, remedy: "" }
}

const fn shed_unless(
    protocols: &'static [Protocol],
    name: &'static str,
    harmless: &'static [&'static str],
) -> MemberRule {
    let loss = Loss::ShedUnless(harmless);
    MemberRule { protocols, scope: Scope::Body, name, carried_to: &[], loss, remedy: "" }
}

const fn ignored(protocols: &'static [Protocol], scope: Scope, name: &'static str) -> MemberRule {
    MemberRule { protocols, scope, name, carried_to: &[], loss: Loss::None, remedy: "" }
}

const fn refused(
    protocol: &'static [Protocol],
    scope: Scope,
    name: &'static str,
    harmless: &'static [&'static str],
    remedy: &'static str,
) -> MemberRule {
    let loss = Loss::RefuseUnless(harmless);
    MemberRule { protocols: protocol, scope, name, carried_to: &[], loss, remedy }
}

const WHOLE_CONVERSATION: &str = "Send the whole conversation in 'input'";
const DIRECT_CALLERS: &[&str] = &["[\"direct\"]", "[]"];

/// Rules of the members.
pub const MEMBER_RULES: &[MemberRule] = &[
    // Fields that agents send and that change no meaning.
    shed(ANY, Scope::Body, "client_metadata"),
    shed(ANY, Scope::Body, "context_management"),
    shed(ANY, Scope::Body, "anthropic_beta"),
    shed(ANY, Scope::Body, "anthropic_version"),
    // Body of Chat Completions and Responses.
    shared("prompt_cache_key", Loss::Shed),
    shared("prompt_cache_options", Loss::Shed),
    shared("prompt_cache_retention", Loss::Shed),
    shared("metadata", Loss::Shed),
    shared("service_tier", Loss::ShedUnless(&["\"auto\"", "\"default\""])),
    shared("moderation", Loss::Refuse),
    shed(&[Messages], Scope::Body, "prompt_cache_key"),
    shed_unless(OPENAI, "store", &["false"]),
    // Body of Chat Completions.
    shed(&[Chat], Scope::Body, "prediction"),
    shed(&[Chat], Scope::Body, "web_search_options"),
    refused(&[Chat], Scope::Body, "modalities", &["[\"text\"]"], "Ask for text only"),
    refused(&[Chat], Scope::Body, "audio", &[], "Ask for text only"),
    refused(&[Chat], Scope::Body, "functions", &["[]"], "Use 'tools'"),
    refused(&[Chat], Scope::Body, "function_call", &[], "Use 'tool_choice'"),
    // Body of Responses.
    refused(&[Responses], Scope::Body, "previous_response_id", &[], WHOLE_CONVERSATION),
    refused(&[Responses], Scope::Body, "conversation", &[], WHOLE_CONVERSATION),
    refused(&[Responses], Scope::Body, "prompt", &[], "Send the prompt's text"),
    refused(&[Responses], Scope::Body, "background", &["false"], "Wait for the answer"),
    refused(&[Responses], Scope::Body, "image", &[], "Leave it out"),
    shed(&[Responses], Scope::Body, "background_options"),
    shed_unless(&[Responses], "truncation", &["\"disabled\""]),
    shed(&[Responses], Scope::Body, "max_tool_calls"),
    shed_unless(&[Responses], "include", &["[\"reasoning.encrypted_content\"]"]),
    shed(&[Responses], Scope::Body, "access_programs"),
    refused(&[Responses], Scope::Reasoning, "mode", &["\"standard\""], "Use the standard mode"),
    shed(&[Responses], Scope::Reasoning, "context"),
    shed(&[Responses], Scope::Reasoning, "generate_summary"),
    // Body of Messages.
    refused(&[Messages], Scope::Body, "container", &[], "Leave it out"),
    shed_unless(&[Messages], "service_tier", &["\"auto\""]),
    shed_unless(&[Messages], "speed", &["\"standard\""]),
    shed(&[Messages], Scope::Body, "inference_geo"),
    shed(&[Messages], Scope::Body, "diagnostics"),
    shed(&[Messages], Scope::Body, "mcp_servers"),
    shed(&[Messages], Scope::Body, "fallbacks"),
    // Messages and items: members of answers that clients send back.
    ignored(ANY, Scope::Message, "id"),
    ignored(&[Responses], Scope::Message, "status"),
    ignored(&[Responses], Scope::Message, "created_by"),
    shed(&[Chat], Scope::Message, "annotations"),
    shed(&[Chat], Scope::Message, "name"),
    refused(&[Chat], Scope::Message, "audio", &[], "Send the transcript as text"),
    refused(&[Chat], Scope::Message, "function_call", &[], "Use 'tool_calls'"),
    // Parts and calls.
    ignored(&[Chat], Scope::Part, "index"),
    ignored(&[Responses], Scope::Part, "logprobs"),
    shed(&[Responses], Scope::Part, "annotations"),
    refused(&[Messages], Scope::Part, "context", &[], "Send it as a text block"),
    refused(&[Messages], Scope::Part, "citations", &["{\"enabled\":false}"], "Leave it out"),
    refused(&[Messages], Scope::Part, "transformations", &["[]"], "Leave it out"),
    refused(&[Messages], Scope::Part, "caller", &["{\"type\":\"direct\"}"], "Leave it out"),
    refused(&[Messages], Scope::Part, "toolset_name", &[], "Leave it out"),
    // Tools.
    shed(&[Messages], Scope::Tool, "input_examples"),
    shed(&[Messages], Scope::Tool, "eager_input_streaming"),
    shed(&[Responses, Messages], Scope::Tool, "defer_loading"),
    refused(&[Responses, Messages], Scope::Tool, "allowed_callers", DIRECT_CALLERS, "Leave it out"),
    shed(&[Responses], Scope::Tool, "output_schema"),
    // Description of a namespace: its functions have their own.
    shed(&[Responses], Scope::Tool, "description"),
];

/// Returns the rule of a member.
pub(super) fn member_rule(
    protocol: Protocol,
    scope: Scope,
    name: &str,
) -> Option<&'static MemberRule> {
    let mut rules = MEMBER_RULES.iter();
    rules
        .find(|rule| rule.scope == scope && rule.name == name && rule.protocols.contains(&protocol))
}

#[cfg(test)]
mod tests {
    use super::{FEATURE_RULES, Loss, MEMBER_RULES};

    #[test]
    fn features_stand_in_the_order_of_their_enum() {
        for (index, rule) in FEATURE_RULES.iter().enumerate() {
            assert_eq!(rule.feature as usize, index, "{:?}", rule.feature);
            assert!(rule.losses.contains(&Loss::None));
        }
    }

    #[test]
    fn member_has_one_rule() {
        for (index, rule) in MEMBER_RULES.iter().enumerate() {
            let mut others = MEMBER_RULES[..index].iter();
            assert!(
                !others.any(|other| other.scope == rule.scope
                    && other.name == rule.name
                    && rule.protocols.iter().any(|protocol| other.protocols.contains(protocol))),
                "{}",
                rule.name
            );
        }
    }
}

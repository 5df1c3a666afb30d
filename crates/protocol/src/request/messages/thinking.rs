//! Thinking: `thinking` and `output_config` (Anthropic guides, "Extended thinking", "Effort").

use crate::model::{
    Effort, OutputFormat, PartKind, Protocol, ReasoningDisplay, Role, ThinkingBudget, ToolChoice,
};
use crate::request::report::Written;
use crate::request::rules::{Feature, Loss};
use crate::request::target::ThinkingForm;
use crate::request::writing::Writing;

/// Thinking as the target's model accepts it.
pub(super) struct ThinkingPlan {
    budget: Option<ThinkingBudget>,
    effort: Option<Effort>,
    /// Tokens to add to the maximum, since the budget is the writer's and not the caller's.
    pub(super) added_tokens: u64,
}

pub(super) fn plan_thinking(writing: &mut Writing<'_, '_>) -> Written<ThinkingPlan> {
    let reasoning = writing.request.reasoning;
    let is_messages = writing.request.protocol == Protocol::Messages;
    let effort = reasoning.effort_in_words().filter(|effort| *effort != Effort::None);
    let is_off = reasoning.effort_in_words() == Some(Effort::None);
    let is_shown = reasoning.display.is_some_and(|display| display != ReasoningDisplay::Hidden);
    let mut plan = ThinkingPlan { budget: None, effort: None, added_tokens: 0 };
    if is_off {
        plan.budget = Some(ThinkingBudget::Off);
        plan.effort = reasoning.effort.filter(|effort| is_messages && *effort != Effort::None);
        return Ok(plan);
    }
    let is_wanted = reasoning.budget.is_some() || !is_messages && (effort.is_some() || is_shown);
    match writing.target.thinking_form {
        ThinkingForm::Adaptive => {
            plan.effort = effort.map(|effort| effort.max(Effort::Low));
            plan.budget = match reasoning.budget {
                Some(ThinkingBudget::BetweenTools) => Some(ThinkingBudget::BetweenTools),
                _ => is_wanted.then_some(ThinkingBudget::Adaptive),
            };
        }
        ThinkingForm::Budget => {
            plan.effort = reasoning.effort.filter(|_| is_messages);
            let is_forced = matches!(
                writing.tools.choice,
                Some(
                    ToolChoice::Any
                        | ToolChoice::Tool(_)
                        | ToolChoice::Among { is_required: true, .. }
                )
            );
            if is_wanted && !is_messages && (is_forced || is_resumed_without_thoughts(writing)) {
                // Thinking with a budget accepts the choices auto and none only, and results only for
                // calls that follow a thought ("Extended thinking with tool use").
                writing.report.lose(Feature::ReasoningEffort, Loss::Shed)?;
            } else if let Some(ThinkingBudget::Tokens(tokens)) = reasoning.budget {
                plan.budget = Some(ThinkingBudget::Tokens(tokens));
            } else if is_wanted {
                let tokens = effort.unwrap_or(Effort::Medium).budget();
                plan.budget = Some(ThinkingBudget::Tokens(tokens));
                plan.added_tokens = tokens;
            }
        }
    }
    Ok(plan)
}

/// Whether the conversation ends with results for a turn of the model without readable thoughts.
fn is_resumed_without_thoughts(writing: &Writing<'_, '_>) -> bool {
    let mut turns = writing.turns.iter().rev().peekable();
    let mut has_result = false;
    while let Some(turn) = turns.next_if(|turn| turn.role != Role::Assistant) {
        let mut parts = turn.parts.iter();
        has_result |= parts.any(|part| matches!(part.part.kind, PartKind::ToolResult { .. }));
    }
    let model = turns.take_while(|turn| turn.role == Role::Assistant);
    let mut thoughts = model.flat_map(|turn| &turn.parts).filter(|located| {
        matches!(located.part.kind, PartKind::Reasoning { .. })
            && writing.seal(located.part.seal.as_ref()).is_some()
    });
    has_result && thoughts.next().is_none()
}

pub(super) fn write_thinking(writing: &mut Writing<'_, '_>, plan: &ThinkingPlan) {
    let Some(budget) = plan.budget else { return };
    let json = &mut writing.json;
    json.name("thinking");
    match budget {
        ThinkingBudget::Off => json.begin_typed("disabled"),
        ThinkingBudget::BetweenTools => json.begin_typed("between_tools"),
        ThinkingBudget::Adaptive => json.begin_typed("adaptive"),
        ThinkingBudget::Tokens(tokens) => {
            json.begin_typed("enabled");
            json.integer_member("budget_tokens", tokens);
        }
    }
    let has_display = matches!(budget, ThinkingBudget::Adaptive | ThinkingBudget::Tokens(_));
    if let Some(display) = writing.request.reasoning.display.filter(|_| has_display) {
        let is_hidden = display == ReasoningDisplay::Hidden;
        json.member("display", if is_hidden { "omitted" } else { "summarized" });
    }
    json.end_object();
}

pub(super) fn write_output_config(writing: &mut Writing<'_, '_>, plan: &ThinkingPlan) -> Written {
    let schema = match &writing.request.output_format {
        OutputFormat::JsonSchema(schema) => Some(schema),
        OutputFormat::Text | OutputFormat::JsonObject => None,
    };
    if plan.effort.is_none() && schema.is_none() {
        return Ok(());
    }
    let json = &mut writing.json;
    json.name("output_config");
    json.begin_object();
    if let Some(effort) = plan.effort {
        json.member("effort", effort.name());
    }
    if let Some(schema) = schema {
        json.name("format");
        json.begin_typed("json_schema");
        if let Some(schema) = schema.schema {
            json.raw_member("schema", schema);
        }
        json.end_object();
        if schema.description.is_some() {
            writing.report.carries(Feature::SchemaDescription)?;
        }
    }
    writing.json.end_object();
    Ok(())
}

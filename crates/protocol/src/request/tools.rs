//! Tools that a target receives, and the choice among them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::json_writer::JsonWriter;
use super::names::fit_tool_name;
use super::report::{Report, Written};
use super::rules::{Feature, Loss};
use super::target::Target;
use crate::model::{CustomFormat, Protocol, Request, Tool, ToolChoice, ToolKind};
use crate::tool_name::ToolName;

/// Schema of a custom tool that is written as a function.
pub(super) const CUSTOM_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;

/// Tools that a target receives.
pub(super) struct ToolPlan<'w, 'a> {
    pub(super) kept: Vec<&'w Tool<'a>>,
    pub(super) names: Vec<ToolName>,
    /// Names of the kept tools with free text.
    pub(super) customs: BTreeSet<&'w str>,
    /// The choice. `None` if there is none, or no tool to choose.
    pub(super) choice: Option<&'w ToolChoice<'a>>,
}

/// Decides on the tools. A hosted tool that the target lacks is shed if the caller only offers it.
pub(super) fn plan_tools<'w, 'a>(
    request: &'w Request<'a>,
    target: &Target<'_>,
    report: &mut Report<'_>,
) -> Written<ToolPlan<'w, 'a>> {
    let mut plan =
        ToolPlan { kept: Vec::new(), names: Vec::new(), customs: BTreeSet::new(), choice: None };
    let mut written_names = BTreeSet::new();
    let filter = match &request.tool_choice {
        // Messages has no list of allowed tools.
        Some(ToolChoice::Among { names, .. }) if target.protocol == Protocol::Messages => {
            let mut allowed: BTreeSet<&str> = BTreeSet::new();
            allowed.extend(names.iter().map(AsRef::as_ref));
            Some(allowed)
        }
        _ => None,
    };
    for tool in &request.tools {
        let (name, namespace, is_custom) = match &tool.kind {
            ToolKind::Hosted { protocol, name, raw } => {
                if *protocol == target.protocol {
                    plan.kept.push(tool);
                } else {
                    report.keep_unread(raw);
                    report.shed(tool.place, name);
                }
                continue;
            }
            ToolKind::Function { name, namespace, .. } => (name, *namespace, false),
            ToolKind::Custom { name, namespace, format, .. } => {
                let is_function = !target.accepts_custom_tools;
                if is_function && matches!(format, CustomFormat::Grammar { .. }) {
                    let reason = "the grammar of a custom tool cannot be enforced";
                    let remedy = "Use a custom tool without a grammar";
                    report.refuse_member(tool.place, format_path(request), reason, remedy)?;
                }
                (name, *namespace, is_function)
            }
        };
        if filter.as_ref().is_some_and(|names| !names.contains(name.as_ref())) {
            continue;
        }
        let written = fit_tool_name(name, target.max_tool_name());
        if !written_names.insert(written.to_string()) {
            let reason = "two tools have the same name";
            report.refuse_member(tool.place, "name", reason, "Rename one of them")?;
            continue;
        }
        if written != *name || namespace.is_some() || is_custom {
            let split =
                namespace.and_then(|length| Some((name.get(..length)?, name.get(length + 2..)?)));
            let (namespace, name) = match split {
                Some((namespace, name)) => (Some(namespace.to_owned()), name),
                None => (None, name.as_ref()),
            };
            let (written, name) = (written.into_owned(), name.to_owned());
            plan.names.push(ToolName { written, name, namespace, is_custom });
        }
        if matches!(tool.kind, ToolKind::Custom { .. }) {
            plan.customs.insert(name);
        }
        plan.kept.push(tool);
    }
    plan.choice = plan_choice(request, target, &plan, &written_names, report)?;
    Ok(plan)
}

fn format_path(request: &Request<'_>) -> &'static str {
    if request.protocol == Protocol::Chat { "custom.format" } else { "format" }
}

fn plan_choice<'w, 'a>(
    request: &'w Request<'a>,
    target: &Target<'_>,
    plan: &ToolPlan<'w, 'a>,
    written_names: &BTreeSet<String>,
    report: &mut Report<'_>,
) -> Written<Option<&'w ToolChoice<'a>>> {
    let Some(choice) = &request.tool_choice else { return Ok(None) };
    let is_same_protocol = request.protocol == target.protocol;
    let is_kept =
        |name: &str| written_names.contains(fit_tool_name(name, target.max_tool_name()).as_ref());
    let is_possible = match choice {
        ToolChoice::Auto | ToolChoice::None => {
            return Ok((!plan.kept.is_empty()).then_some(choice));
        }
        ToolChoice::Any => !plan.kept.is_empty(),
        ToolChoice::Tool(name) => is_same_protocol || is_kept(name),
        ToolChoice::Among { names, .. } => names.iter().all(|name| is_kept(name)),
        ToolChoice::Hosted(_) => is_same_protocol,
    };
    if is_possible {
        return Ok(Some(choice));
    }
    report.lose(Feature::ToolChoice, Loss::Refuse)?;
    Ok(None)
}

pub(super) fn write_description(json: &mut JsonWriter, description: Option<&str>) {
    if let Some(description) = description {
        json.member("description", description);
    }
}

/// Returns the description of a custom tool that is written as a function. A grammar becomes a part of
/// it, if the route permits the loss of its enforcement.
pub(super) fn describe_custom<'t>(
    description: Option<&'t str>,
    format: &CustomFormat<'_>,
) -> Option<Cow<'t, str>> {
    match format {
        CustomFormat::Text => description.map(Cow::Borrowed),
        CustomFormat::Grammar { syntax, definition } => {
            let description = description.unwrap_or_default();
            let grammar = format!("The input must match this {syntax} grammar:\n{definition}");
            Some(Cow::Owned(format!("{description}\n\n{grammar}").trim_start().to_owned()))
        }
    }
}

/// Returns the arguments of a custom tool's call that is written as a function's.
pub(super) fn write_custom_input(text: &str) -> String {
    let mut json = JsonWriter::default();
    json.begin_object();
    json.member("input", text);
    json.end_object();
    String::from_utf8(json.finish()).expect("JSON text is UTF-8")
}

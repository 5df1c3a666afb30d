//! Writer of tools and of the choice among them.

use json::Members;

use super::blocks::write_breakpoint;
use crate::model::{ToolChoice, ToolKind};
use crate::request::json_writer::JsonWriter;
use crate::request::names::fit_tool_name;
use crate::request::tools::{CUSTOM_SCHEMA, describe_custom, write_description};
use crate::request::writing::Writing;

/// Schema of a function without parameters.
const EMPTY_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;

pub(super) fn write_tools(writing: &mut Writing<'_, '_>) {
    if writing.tools.kept.is_empty() {
        return;
    }
    writing.json.name("tools");
    writing.json.begin_list();
    for tool in writing.tools.kept.clone() {
        let cache = writing.breakpoint(tool.cache, tool.place);
        let max_name = writing.target.max_tool_name();
        let json = &mut writing.json;
        match &tool.kind {
            ToolKind::Hosted { raw, .. } => {
                json.raw(raw);
                continue;
            }
            ToolKind::Function { name, description, schema, is_strict, .. } => {
                json.begin_object();
                json.member("name", &fit_tool_name(name, max_name));
                write_description(json, description.as_deref());
                json.name("input_schema");
                write_schema(json, schema.unwrap_or(EMPTY_SCHEMA));
                if let Some(is_strict) = is_strict {
                    json.flag_member("strict", *is_strict);
                }
            }
            ToolKind::Custom { name, description, format, .. } => {
                json.begin_object();
                json.member("name", &fit_tool_name(name, max_name));
                let description = describe_custom(description.as_deref(), format);
                write_description(json, description.as_deref());
                json.raw_member("input_schema", CUSTOM_SCHEMA);
            }
        }
        if let Some(cache) = cache {
            write_breakpoint(json, cache);
        }
        json.end_object();
    }
    writing.json.end_list();
}

/// Writes a schema. Messages requires `type` at its root.
fn write_schema(json: &mut JsonWriter, schema: &str) {
    let has_type = json::from_text::<Members<'_>>(schema)
        .is_ok_and(|Members(members)| members.iter().any(|(name, _)| name == "type"));
    let rest = schema.strip_prefix('{').map(str::trim_start);
    match rest {
        Some("}") if !has_type => json.raw(EMPTY_SCHEMA),
        Some(rest) if !has_type => json.raw(&[r#"{"type":"object","#, rest].concat()),
        _ => json.raw(schema),
    }
}

pub(super) fn write_tool_choice(writing: &mut Writing<'_, '_>) {
    let max_name = writing.target.max_tool_name();
    let Writing { json, tools, request, .. } = writing;
    let parallel = request.parallel_tool_calls;
    let is_serial = parallel == Some(false) && !tools.kept.is_empty();
    let choice = match tools.choice {
        None if !is_serial => return,
        None => &ToolChoice::Auto,
        Some(choice) => choice,
    };
    json.name("tool_choice");
    let is_none = match choice {
        ToolChoice::Hosted(raw) => return json.raw(raw),
        ToolChoice::None => {
            json.begin_typed("none");
            true
        }
        ToolChoice::Auto | ToolChoice::Among { is_required: false, .. } => {
            json.begin_typed("auto");
            false
        }
        ToolChoice::Any | ToolChoice::Among { is_required: true, .. } => {
            json.begin_typed("any");
            false
        }
        ToolChoice::Tool(name) => {
            json.begin_typed("tool");
            json.member("name", &fit_tool_name(name, max_name));
            false
        }
    };
    if let Some(parallel) = parallel.filter(|_| !is_none) {
        json.flag_member("disable_parallel_tool_use", !parallel);
    }
    json.end_object();
}

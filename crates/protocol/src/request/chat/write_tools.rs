//! Writer of tools and of the choice among them.

use crate::model::{CustomFormat, ToolChoice, ToolKind};
use crate::request::json_writer::JsonWriter;
use crate::request::names::fit_tool_name;
use crate::request::tools::{CUSTOM_SCHEMA, describe_custom, write_description};
use crate::request::writing::Writing;

pub(super) fn write_tools(writing: &mut Writing<'_, '_>) {
    if writing.tools.kept.is_empty() {
        return;
    }
    writing.json.name("tools");
    writing.json.begin_list();
    for tool in writing.tools.kept.clone() {
        writing.shed_breakpoint(tool.cache, tool.place);
        let json = &mut writing.json;
        let max_name = writing.target.max_tool_name();
        match &tool.kind {
            ToolKind::Hosted { raw, .. } => json.raw(raw),
            ToolKind::Function { name, description, schema, is_strict, .. } => {
                json.begin_typed("function");
                json.name("function");
                json.begin_object();
                json.member("name", &fit_tool_name(name, max_name));
                write_description(json, description.as_deref());
                if let Some(schema) = schema {
                    json.raw_member("parameters", schema);
                }
                if let Some(is_strict) = is_strict {
                    json.flag_member("strict", *is_strict);
                }
                json.end_object();
                json.end_object();
            }
            ToolKind::Custom { name, description, format, .. } => {
                let is_custom = writing.target.accepts_custom_tools;
                let name = fit_tool_name(name, max_name);
                let kind = if is_custom { "custom" } else { "function" };
                json.begin_typed(kind);
                json.name(kind);
                json.begin_object();
                json.member("name", &name);
                if is_custom {
                    write_description(json, description.as_deref());
                    write_format(json, format);
                } else {
                    let description = describe_custom(description.as_deref(), format);
                    write_description(json, description.as_deref());
                    json.raw_member("parameters", CUSTOM_SCHEMA);
                }
                json.end_object();
                json.end_object();
            }
        }
    }
    writing.json.end_list();
}

fn write_format(json: &mut JsonWriter, format: &CustomFormat<'_>) {
    if let CustomFormat::Grammar { syntax, definition } = format {
        json.name("format");
        json.begin_typed("grammar");
        json.name("grammar");
        json.begin_object();
        json.member("syntax", syntax);
        json.member("definition", definition);
        json.end_object();
        json.end_object();
    }
}

pub(super) fn write_tool_choice(writing: &mut Writing<'_, '_>) {
    let max_name = writing.target.max_tool_name();
    let accepts_custom = writing.target.accepts_custom_tools;
    let Writing { json, tools, request, .. } = writing;
    let write_tool = |json: &mut JsonWriter, name: &str| {
        let kind =
            if accepts_custom && tools.customs.contains(name) { "custom" } else { "function" };
        json.begin_typed(kind);
        json.name(kind);
        json.begin_object();
        json.member("name", &fit_tool_name(name, max_name));
        json.end_object();
        json.end_object();
    };
    match tools.choice {
        None => {}
        Some(ToolChoice::Auto) => json.member("tool_choice", "auto"),
        Some(ToolChoice::None) => json.member("tool_choice", "none"),
        Some(ToolChoice::Any) => json.member("tool_choice", "required"),
        Some(ToolChoice::Hosted(raw)) => json.raw_member("tool_choice", raw),
        Some(ToolChoice::Tool(name)) => {
            json.name("tool_choice");
            write_tool(json, name);
        }
        Some(ToolChoice::Among { is_required, names }) => {
            json.name("tool_choice");
            json.begin_typed("allowed_tools");
            json.name("allowed_tools");
            json.begin_object();
            json.member("mode", if *is_required { "required" } else { "auto" });
            json.name("tools");
            json.begin_list();
            names.iter().for_each(|name| write_tool(json, name));
            json.end_list();
            json.end_object();
            json.end_object();
        }
    }
    if let Some(parallel) = request.parallel_tool_calls.filter(|_| !tools.kept.is_empty()) {
        json.flag_member("parallel_tool_calls", parallel);
    }
}

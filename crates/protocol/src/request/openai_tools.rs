//! Tools in the two forms of OpenAI: the members of a tool are in an object under its type's name
//! (Chat), or beside the type (Responses).

use serde_json::value::RawValue;

use super::invalid::InvalidRequest;
use super::json_writer::JsonWriter;
use super::names::fit_tool_name;
use super::object::{Object, string};
use super::tools::{CUSTOM_SCHEMA, describe_custom, write_description};
use super::writing::Writing;
use crate::model::{CustomFormat, Protocol, ToolChoice, ToolKind};

/// Place of the members of a typed object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In an object under the type's name (Chat).
    Nested,
    /// Beside the type (Responses).
    Flat,
}

impl Form {
    fn of(writing: &Writing<'_, '_>) -> Self {
        match writing.target.protocol {
            Protocol::Chat => Self::Nested,
            Protocol::Responses | Protocol::Messages => Self::Flat,
        }
    }

    /// Writes an object of a type with these members.
    fn write(self, json: &mut JsonWriter, kind: &str, members: impl FnOnce(&mut JsonWriter)) {
        json.begin_typed(kind);
        if self == Self::Nested {
            json.name(kind);
            json.begin_object();
        }
        members(json);
        if self == Self::Nested {
            json.end_object();
        }
        json.end_object();
    }

    fn write_format(self, json: &mut JsonWriter, format: &CustomFormat<'_>) {
        if let CustomFormat::Grammar { syntax, definition } = format {
            json.name("format");
            self.write(json, "grammar", |json| {
                json.member("syntax", syntax);
                json.member("definition", definition);
            });
        }
    }
}

pub(super) fn write_tools(writing: &mut Writing<'_, '_>) {
    if writing.tools.kept.is_empty() {
        return;
    }
    let form = Form::of(writing);
    // Responses is strict by default, unlike the other protocols.
    let is_other = form == Form::Flat && writing.request.protocol != Protocol::Responses;
    let default_strict = is_other.then_some(false);
    writing.json.name("tools");
    writing.json.begin_list();
    for tool in writing.tools.kept.clone() {
        writing.shed_breakpoint(tool.cache, tool.place);
        let json = &mut writing.json;
        let max_name = writing.target.max_tool_name();
        match &tool.kind {
            ToolKind::Hosted { raw, .. } => json.raw(raw),
            ToolKind::Function { name, description, schema, is_strict, .. } => {
                form.write(json, "function", |json| {
                    json.member("name", &fit_tool_name(name, max_name));
                    write_description(json, description.as_deref());
                    if let Some(schema) = schema {
                        json.raw_member("parameters", schema);
                    }
                    if let Some(is_strict) = is_strict.or(default_strict) {
                        json.flag_member("strict", is_strict);
                    }
                });
            }
            ToolKind::Custom { name, description, format, .. } => {
                let name = fit_tool_name(name, max_name);
                if writing.target.accepts_custom_tools {
                    form.write(json, "custom", |json| {
                        json.member("name", &name);
                        write_description(json, description.as_deref());
                        form.write_format(json, format);
                    });
                } else {
                    form.write(json, "function", |json| {
                        json.member("name", &name);
                        let description = describe_custom(description.as_deref(), format);
                        write_description(json, description.as_deref());
                        json.raw_member("parameters", CUSTOM_SCHEMA);
                    });
                }
            }
        }
    }
    writing.json.end_list();
}

pub(super) fn write_tool_choice(writing: &mut Writing<'_, '_>) {
    let form = Form::of(writing);
    let max_name = writing.target.max_tool_name();
    let accepts_custom = writing.target.accepts_custom_tools;
    let Writing { json, tools, request, .. } = writing;
    let write_tool = |json: &mut JsonWriter, name: &str| {
        let is_custom = accepts_custom && tools.customs.contains(name);
        form.write(json, if is_custom { "custom" } else { "function" }, |json| {
            json.member("name", &fit_tool_name(name, max_name));
        });
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
            form.write(json, "allowed_tools", |json| {
                json.member("mode", if *is_required { "required" } else { "auto" });
                json.name("tools");
                json.begin_list();
                names.iter().for_each(|name| write_tool(json, name));
                json.end_list();
            });
        }
    }
    if let Some(parallel) = request.parallel_tool_calls.filter(|_| !tools.kept.is_empty()) {
        json.flag_member("parallel_tool_calls", parallel);
    }
}

/// Reads a choice that is a word. `None` if it is an object.
pub(super) fn read_choice_word(
    body: &Object<'_>,
    choice: &RawValue,
) -> Result<Option<ToolChoice<'static>>, InvalidRequest> {
    let Some(word) = string(choice) else { return Ok(None) };
    match word.as_ref() {
        "auto" => Ok(Some(ToolChoice::Auto)),
        "none" => Ok(Some(ToolChoice::None)),
        "required" => Ok(Some(ToolChoice::Any)),
        _ => Err(body.expected("tool_choice", "auto, none, required or an object")),
    }
}

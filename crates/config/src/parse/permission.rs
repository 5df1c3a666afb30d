//! `routes`, `params` and `addresses` of consumers and groups.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::ip_access::{CidrBlock, IpAccessList};
use super::super::permission::{Parameter, ParameterRule, Permissions};
use super::super::raw::{self, Bounds};
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::ids::IdIndex;

/// Fields that the gateway interprets, or forwards whole. Bounds on them would have no effect.
const FORBID_ONLY_FIELDS: [&str; 4] = ["messages", "prompt", "input", "stream_options"];

/// Two names of one parameter. A bound on one applies to both, or a caller would use the other.
const MAX_TOKENS_ALIASES: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Parses the permissions of a consumer or a group.
pub(super) fn permissions(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    ids: Option<&[String]>,
    parameters: Option<&raw::Parameters>,
    addresses: Option<&raw::Addresses>,
    routes: &IdIndex<'_>,
) -> Permissions {
    let routes = diagnostics.routes(&path.field("routes"), ids, routes);
    let parameters = parameters
        .map(|raw| self::parameters(diagnostics, &path.field("params"), raw))
        .unwrap_or_default();
    let addresses = self::addresses(diagnostics, &path.field("addresses"), addresses);
    Permissions { routes, parameters, ip_access: addresses }
}

/// Parses lists of addresses. Without them, all addresses may call.
pub(super) fn addresses(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: Option<&raw::Addresses>,
) -> IpAccessList {
    let Some(raw) = raw else { return IpAccessList::default() };
    let allow = path.field("allow");
    if raw.allow.as_ref().is_some_and(Vec::is_empty) {
        diagnostics.report(&allow, "an empty list", "at least one address, or no `allow` for all");
    }
    IpAccessList {
        allow: blocks(diagnostics, &allow, raw.allow.as_deref().unwrap_or_default()),
        deny: blocks(diagnostics, &path.field("deny"), &raw.deny),
    }
}

fn blocks(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    texts: &[String],
) -> Vec<CidrBlock> {
    let read = |(index, text): (usize, &String)| {
        let block = text.parse().ok();
        if block.is_none() {
            let expected = "an address, or a block such as \"10.0.0.0/8\"";
            diagnostics.report(&path.item(index), quoted(text), expected);
        }
        block
    };
    texts.iter().enumerate().filter_map(read).collect()
}

fn parameters(
    diagnostics: &mut Diagnostics<'_>,
    doc_path: &DocPath<'_>,
    raw: &raw::Parameters,
) -> Vec<Parameter> {
    let mut rules: BTreeMap<&str, ParameterRule> = BTreeMap::new();
    for (path, bounds) in &raw.bounds {
        let doc_path = doc_path.field(path);
        if !check_parameter_path(diagnostics, &doc_path, path) {
            continue;
        }
        if let Some(forbidden) =
            raw.forbid.iter().find(|forbidden| is_same_or_nested(path, forbidden))
        {
            let found = format!("bounds on a parameter, and {} in `forbid`", quoted(forbidden));
            diagnostics.report(&doc_path, found, "one or the other");
        } else if let Some(rule) = rule(diagnostics, &doc_path, path, bounds) {
            rules.insert(path, rule);
        }
    }
    let forbidden = raw.forbid.iter().map(String::as_str);
    for path in forbidden_paths(diagnostics, &doc_path.field("forbid"), forbidden) {
        rules.insert(path, ParameterRule::Forbid);
    }
    for (name, other) in [
        (MAX_TOKENS_ALIASES[0], MAX_TOKENS_ALIASES[1]),
        (MAX_TOKENS_ALIASES[1], MAX_TOKENS_ALIASES[0]),
    ] {
        let bound = match rules.get(name) {
            Some(ParameterRule::Forbid) | None => continue,
            Some(rule @ (ParameterRule::Range { .. } | ParameterRule::Allow(_))) => rule.clone(),
        };
        rules.entry(other).or_insert(bound);
    }
    let parameter = |(path, rule): (&str, _)| Parameter { path: path.to_owned(), rule };
    rules.into_iter().map(parameter).collect()
}

/// Parses a list of forbidden parameters.
pub(super) fn forbidden_parameters<'r>(
    diagnostics: &mut Diagnostics<'_>,
    list: &DocPath<'_>,
    paths: impl Iterator<Item = &'r str>,
) -> Vec<Parameter> {
    let paths = forbidden_paths(diagnostics, list, paths).into_iter();
    paths.map(|path| Parameter { path: path.to_owned(), rule: ParameterRule::Forbid }).collect()
}

/// Checks a list of forbidden parameters, and returns those that are paths.
fn forbidden_paths<'r>(
    diagnostics: &mut Diagnostics<'_>,
    list: &DocPath<'_>,
    paths: impl Iterator<Item = &'r str>,
) -> Vec<&'r str> {
    let mut found = Vec::new();
    for (index, path) in paths.enumerate() {
        let doc_path = list.item(index);
        if !check_parameter_path(diagnostics, &doc_path, path) {
            continue;
        }
        if is_same_or_nested(path, "model") {
            let expected = "another parameter: every request needs a model";
            diagnostics.report(&doc_path, quoted(path), expected);
        }
        found.push(path);
    }
    found
}

fn rule(
    diagnostics: &mut Diagnostics<'_>,
    doc_path: &DocPath<'_>,
    path: &str,
    bounds: &Bounds,
) -> Option<ParameterRule> {
    if FORBID_ONLY_FIELDS.iter().any(|whole| is_same_or_nested(path, whole)) {
        diagnostics.report(
            doc_path,
            "bounds on a field that cannot be bounded",
            "the field in `forbid`, or no rule",
        );
        return None;
    }
    if is_same_or_nested(path, "model") && (path != "model" || bounds.allow.is_none()) {
        diagnostics.report(doc_path, "bounds other than `allow`", "`model` with `allow` alone");
        return None;
    }
    let Bounds { min, max, allow } = bounds;
    match (min, max, allow) {
        (None, None, None) => {
            diagnostics.report(doc_path, "no bound", "`min`, `max`, both, or `allow`");
        }
        (Some(min), Some(max), None) if min > max => {
            diagnostics.report(doc_path, format!("min {min} above max {max}"), "min up to max");
        }
        (min, max, None) => return Some(ParameterRule::Range { min: *min, max: *max }),
        (None, None, Some(values)) => {
            check_values(diagnostics, &doc_path.field("allow"), values);
            return Some(ParameterRule::Allow(values.clone()));
        }
        (_, _, Some(_)) => {
            diagnostics.report(doc_path, "`allow` beside `min` or `max`", "one or the other");
        }
    }
    None
}

fn check_values(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, values: &[Value]) {
    if values.is_empty() {
        diagnostics.report(path, "an empty list", "at least one value, or the name in `forbid`");
    }
    for (index, value) in values.iter().enumerate() {
        let found = match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => continue,
            Value::Null => "nothing",
            Value::Array(_) => "a list",
            Value::Object(_) => "a table",
        };
        diagnostics.report(&path.item(index), found, "a text, a finite number, true or false");
    }
}

/// Whether a path is `whole` or a field in it.
fn is_same_or_nested(path: &str, whole: &str) -> bool {
    path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn check_parameter_path(
    diagnostics: &mut Diagnostics<'_>,
    doc_path: &DocPath<'_>,
    path: &str,
) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_path = path.split('.').all(|step| !step.is_empty() && step.bytes().all(fits));
    if !is_path {
        let expected = "the name of a parameter, or a path such as \"response_format.type\"";
        diagnostics.report(doc_path, quoted(path), expected);
    }
    is_path
}

//! `guards.overrides`: a guard's exceptions for some callers.

use regex_lite::Regex;

use super::super::guard::Override;
use super::super::limit::ValuePattern;
use super::super::raw;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::guard_source::LEVELS;
use super::ids::check_name;
use super::limit::covered;

/// Parses a guard's overrides.
pub(super) fn overrides(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    guard: &raw::Guard,
) -> Vec<Override> {
    let mut overrides: Vec<Override> = Vec::with_capacity(guard.overrides.len());
    let mut match_all = None;
    for (index, raw) in guard.overrides.iter().enumerate() {
        let path = path.item(index);
        if let Some(before) = match_all {
            let found =
                format!("an override after overrides[{before}], which matches every caller");
            diagnostics.report(&path, found, "it before that one, since the first match decides");
        } else if raw.groups.is_empty() && raw.consumers.iter().any(|one| one == "*") {
            match_all = Some(index);
        }
        overrides.push(guard_override(diagnostics, &path, raw, guard));
    }
    overrides
}

fn guard_override(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Override,
    guard: &raw::Guard,
) -> Override {
    if raw.consumers.is_empty() && raw.groups.is_empty() {
        diagnostics.report(path, "no consumer and no group", "`consumers`, `groups` or both");
    }
    let consumers = value_patterns(diagnostics, &path.field("consumers"), &raw.consumers);
    let groups = value_patterns(diagnostics, &path.field("groups"), &raw.groups);
    let off = raw.off.unwrap_or(false);
    let block_at = raw.block_at.as_deref();
    let level = diagnostics.choice(&path.field("block_at"), block_at, &raw::LEVELS, LEVELS);
    let services = path.field("services");
    if raw.services.is_some() && guard.kind != "aliyun" {
        let expected = "no `services`: it belongs to guards of the kind aliyun";
        diagnostics.report(&services, "`services`", expected);
    }
    let service = |diagnostics: &mut Diagnostics<'_>, field, service: Option<&String>| {
        let service = service?;
        check_name(diagnostics, &services.field(field), service);
        Some(service.clone())
    };
    let given = raw.services.as_ref();
    let request = service(diagnostics, "request", given.and_then(|all| all.request.as_ref()));
    let response = service(diagnostics, "response", given.and_then(|all| all.response.as_ref()));
    let differs = block_at.is_some() || request.is_some() || response.is_some();
    if off && differs {
        let expected = "`off` alone, since a guard that is off uses no other setting";
        diagnostics.report(path, "`off` with other settings", expected);
    } else if !off && !differs {
        let expected = "`off = true`, `block_at` or, with aliyun, `services`";
        diagnostics.report(path, "an override that changes nothing", expected);
    }
    Override {
        consumers,
        groups,
        off,
        block_at: level,
        request_service: request,
        response_service: response,
    }
}

fn value_patterns(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    written: &[String],
) -> Vec<ValuePattern> {
    let read =
        |(index, text): (usize, &String)| value_pattern(diagnostics, &path.item(index), text);
    written.iter().enumerate().filter_map(read).collect()
}

fn value_pattern(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    text: &str,
) -> Option<ValuePattern> {
    if !text.starts_with('~')
        && let Some(prefix) = text.strip_suffix('*').filter(|prefix| !prefix.is_empty())
    {
        check_name(diagnostics, path, prefix);
        let expression = format!("^{}", regex_lite::escape(prefix));
        let regex = Regex::new(&expression).ok();
        if regex.is_none() {
            diagnostics.report(path, quoted(text), "a shorter prefix");
        }
        return regex.map(ValuePattern::Regex);
    }
    let covered = covered(diagnostics, path, text, false)?;
    // Ids have no other characters, so another text would match no consumer.
    if let ValuePattern::Exact(id) = &covered {
        check_name(diagnostics, path, id);
    }
    Some(covered)
}

//! `guards.overrides`: whom a guard treats otherwise, and how.

use regex_lite::Regex;

use super::super::guard::Override;
use super::super::limit::ValuePattern;
use super::super::raw;
use super::guard::LEVELS;
use super::ids::check_name;
use super::limit::covered;
use super::{Diagnostics, DocPath, quoted};

/// Reads a guard's overrides.
pub(super) fn overrides(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    guard: &raw::Guard,
) -> Vec<Override> {
    let mut read: Vec<Override> = Vec::with_capacity(guard.overrides.len());
    let mut for_everybody = None;
    for (index, raw) in guard.overrides.iter().enumerate() {
        let place = place.item(index);
        if let Some(before) = for_everybody {
            let found = format!("an override after overrides[{before}], which is for everybody");
            review.report(&place, found, "it before that one: the first that fits decides");
        } else if raw.groups.is_empty() && raw.consumers.iter().any(|one| one == "*") {
            for_everybody = Some(index);
        }
        read.push(guard_override(review, &place, raw, guard));
    }
    read
}

fn guard_override(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    raw: &raw::Override,
    guard: &raw::Guard,
) -> Override {
    if raw.consumers.is_empty() && raw.groups.is_empty() {
        review.report(place, "an override for nobody", "`consumers`, `groups` or both");
    }
    let consumers = value_patterns(review, &place.field("consumers"), &raw.consumers);
    let groups = value_patterns(review, &place.field("groups"), &raw.groups);
    let off = raw.off.unwrap_or(false);
    let block_at = raw.block_at.as_deref();
    let level = review.choice(&place.field("block_at"), block_at, &raw::LEVELS, LEVELS);
    let services = place.field("services");
    if raw.services.is_some() && guard.kind != "aliyun" {
        let expected = "none, since services belongs to guards of the kind aliyun";
        review.report(&services, "`services`", expected);
    }
    let service = |review: &mut Diagnostics<'_>, field, service: Option<&String>| {
        let service = service?;
        check_name(review, &services.field(field), service);
        Some(service.clone())
    };
    let given = raw.services.as_ref();
    let request = service(review, "request", given.and_then(|all| all.request.as_ref()));
    let response = service(review, "response", given.and_then(|all| all.response.as_ref()));
    let differs = block_at.is_some() || request.is_some() || response.is_some();
    if off && differs {
        let expected = "`off` alone: where nothing is checked, nothing blocks";
        review.report(place, "`off` and something else", expected);
    } else if !off && !differs {
        let expected = "`off = true`, `block_at` or, with aliyun, `services`";
        review.report(place, "an override that changes nothing", expected);
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
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    written: &[String],
) -> Vec<ValuePattern> {
    let read = |(index, text): (usize, &String)| value_pattern(review, &place.item(index), text);
    written.iter().enumerate().filter_map(read).collect()
}

fn value_pattern(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    text: &str,
) -> Option<ValuePattern> {
    if !text.starts_with('~')
        && let Some(prefix) = text.strip_suffix('*').filter(|prefix| !prefix.is_empty())
    {
        check_name(review, place, prefix);
        let expression = format!("^{}", regex_lite::escape(prefix));
        let regex = Regex::new(&expression).ok();
        if regex.is_none() {
            review.report(place, quoted(text), "a shorter beginning");
        }
        return regex.map(ValuePattern::Regex);
    }
    let covered = covered(review, place, text, false)?;
    // Ids are made of these alone, so anything else would fit nobody.
    if let ValuePattern::Exact(id) = &covered {
        check_name(review, place, id);
    }
    Some(covered)
}

//! `translate` and `listed` of a route.

use protocol::request::{SamplingPolicy, UnknownPolicy};

use super::super::model_index::ModelPattern;
use super::super::problem::with_hint;
use super::super::raw::{self, LOSS_POLICIES};
use super::super::route::LossPolicy;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;

/// Parses the losses of a translation.
pub(super) fn translation(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Translate,
) -> Option<LossPolicy> {
    let mut is_shed = |field: &str, value: &Option<String>, default: &str| {
        let value = value.as_deref().unwrap_or(default);
        if !LOSS_POLICIES.contains(&value) {
            let expected = with_hint("refuse or shed", value, LOSS_POLICIES.into_iter());
            diagnostics.report(&path.field(field), quoted(value), expected);
            return None;
        }
        Some(value == "shed")
    };
    let unknown = is_shed("unknown", &raw.unknown, "refuse");
    let sampling = is_shed("sampling", &raw.sampling, "shed");
    let lossy = path.field("lossy");
    for (index, _) in raw.lossy.iter().enumerate().filter(|(_, path)| path.is_empty()) {
        diagnostics.report(&lossy.item(index), "an empty text", "a path such as \"n\"");
    }
    Some(LossPolicy {
        lossy: raw.lossy.clone(),
        unknown: if unknown? { UnknownPolicy::Shed } else { UnknownPolicy::Refuse },
        sampling: if sampling? { SamplingPolicy::Shed } else { SamplingPolicy::Refuse },
    })
}

/// Checks that the route's own patterns match the names that it lists.
pub(super) fn check_listed(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    listed: &[String],
    patterns: &[ModelPattern],
) {
    for (index, name) in listed.iter().enumerate() {
        let is_served = patterns.iter().any(|pattern| pattern.matches(name));
        if !openai::is_model_name(name) || !is_served {
            let expected = "a name that a pattern in `models` of this route matches";
            diagnostics.report(&path.item(index), quoted(name), expected);
        }
    }
}

//! `[[guards]]` and `[cache]`, which are checked here and act in a later version.

use super::super::raw::{self, Guard};
use super::{Names, Place, Review, Span, quoted};

/// Checks every guard.
pub(super) fn guards(
    review: &mut Review<'_>,
    place: &Place<'_>,
    raw: &[Guard],
    routes: &Names<'_>,
) {
    for (index, raw) in raw.iter().enumerate() {
        let place = place.item(index);
        guard(review, &place, raw, routes);
        review.inactive(&place);
    }
}

fn guard(review: &mut Review<'_>, place: &Place<'_>, raw: &Guard, routes: &Names<'_>) {
    if review.one_of(&place.field("kind"), &raw.kind, &raw::GUARD_KINDS).is_some() {
        fields(review, place, raw);
    }
    for (name, secret) in
        [("access_key_id", &raw.access_key_id), ("access_key", &raw.access_key), ("key", &raw.key)]
    {
        if let Some(secret) = secret {
            review.secret(&place.field(name), secret);
        }
    }
    let words = place.field("words");
    if raw.words.as_ref().is_some_and(Vec::is_empty) {
        review.problem(&words, "an empty list", "at least one word");
    }
    for (index, word) in raw.words.iter().flatten().enumerate() {
        if word.trim().is_empty() {
            review.problem(&words.item(index), quoted(word), "a word");
        }
    }
    review.routes(&place.field("routes"), raw.routes.as_deref(), routes);
    let check = place.field("check");
    if raw.check.as_ref().is_some_and(Vec::is_empty) {
        review.problem(&check, "an empty list", "request, response or both");
    }
    for (index, phase) in raw.check.iter().flatten().enumerate() {
        review.one_of(&check.item(index), phase, &raw::PHASES);
    }
    if let Some(level) = &raw.block_at {
        review.one_of(&place.field("block_at"), level, &raw::LEVELS);
    }
    if let Some(choice) = &raw.on_error {
        review.one_of(&place.field("on_error"), choice, &raw::ON_ERROR);
    }
    let status = raw.on_block.as_ref().and_then(|on_block| on_block.status);
    if let Some(status) = status.filter(|status| !(200..=599).contains(status)) {
        let on_block = place.field("on_block");
        review.problem(&on_block.field("status"), status.to_string(), "a status from 200 to 599");
    }
    if raw.stream_window == Some(0) {
        review.problem(&place.field("stream_window"), "0", "a number of characters above zero");
    }
}

/// Checks that a guard has what its kind needs, and nothing that belongs to another kind.
fn fields(review: &mut Review<'_>, place: &Place<'_>, raw: &Guard) {
    let fields = [
        ("region", raw.region.is_some(), "aliyun"),
        ("access_key_id", raw.access_key_id.is_some(), "aliyun"),
        ("access_key", raw.access_key.is_some(), "aliyun"),
        ("key", raw.key.is_some(), "openai-moderation"),
        ("words", raw.words.is_some(), "words"),
    ];
    for (field, is_there, kind) in fields {
        if kind == raw.kind && !is_there {
            review.problem(place, format!("no `{field}`"), format!("one, since {kind} needs it"));
        } else if kind != raw.kind && is_there {
            let expected = format!("none, since {field} belongs to guards of the kind {kind}");
            review.problem(&place.field(field), format!("`{field}`"), expected);
        }
    }
    if let Some(region) = &raw.region {
        super::name::name(review, &place.field("region"), region);
    }
}

/// Checks `[cache]`.
pub(super) fn cache(
    review: &mut Review<'_>,
    place: &Place<'_>,
    raw: &raw::Cache,
    routes: &Names<'_>,
) {
    review.routes(&place.field("routes"), raw.routes.as_deref(), routes);
    match raw.ttl.duration() {
        Some(ttl) if !ttl.is_zero() => {}
        Some(_) => review.problem(&place.field("ttl"), "zero", "a duration above zero"),
        None => review.problem(&place.field("ttl"), quoted(&raw.ttl.0), Span::EXPECTED),
    }
    if let Some(scope) = &raw.scope {
        review.one_of(&place.field("scope"), scope, &raw::SCOPES);
    }
    review.inactive(place);
}

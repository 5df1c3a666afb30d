//! `[[consumers]]`: who they are, the digests of their keys, and what they may use.

use crate::secret::KeyDigest;

use super::super::parsed::Consumer;
use super::super::permission::Permissions;
use super::super::raw;
use super::name::name;
use super::{Names, Place, Review, quoted};

/// The name of callers without a key, which therefore nobody else may have.
const ANONYMOUS: &str = "anonymous";

/// Reads every consumer.
pub(super) fn consumers(
    review: &mut Review<'_>,
    place: &Place<'_>,
    raw: &[raw::Consumer],
    routes: &Names<'_>,
) -> Vec<Consumer> {
    let mut read: Vec<Consumer> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let consumer = consumer(review, &place.item(index), raw, routes, &read);
        read.push(consumer);
    }
    read
}

fn consumer(
    review: &mut Review<'_>,
    place: &Place<'_>,
    raw: &raw::Consumer,
    routes: &Names<'_>,
    before: &[Consumer],
) -> Consumer {
    if raw.id == ANONYMOUS {
        let expected = "another id, since callers without a key have this one";
        review.problem(&place.field("id"), quoted(ANONYMOUS), expected);
    }
    if let Some(group) = &raw.group {
        name(review, &place.field("group"), group);
    }
    let keys_place = place.field("keys");
    let mut keys = Vec::with_capacity(raw.keys.len());
    for (index, text) in raw.keys.iter().enumerate() {
        let place = keys_place.item(index);
        let Some(secret) = review.secret(&place, text) else { continue };
        let digest = KeyDigest::of(secret.reveal());
        let has_it = |other: &&Consumer| other.keys.iter().any(|key| key.matches(&digest).into());
        if let Some(other) = before.iter().find(has_it) {
            let expected = format!("a key of its own for each of {} and {}", other.id, raw.id);
            review.problem(&place, format!("the key of {}", other.id), expected);
        }
        keys.push(digest);
    }
    let routes = review.routes(&place.field("routes"), raw.routes.as_deref(), routes);
    if let Some(parameters) = &raw.params {
        let place = place.field("params");
        check(review, &place, parameters);
        review.inactive(&place);
    }
    let permissions = Permissions { routes, ..Permissions::default() };
    Consumer { id: raw.id.clone(), group: raw.group.clone(), keys, permissions }
}

fn check(review: &mut Review<'_>, place: &Place<'_>, parameters: &raw::Parameters) {
    for (name, range) in parameters.ranges() {
        let Some(range) = range else { continue };
        let place = place.field(name);
        match (range.min, range.max) {
            (None, None) => review.problem(&place, "no bound", "`min`, `max` or both"),
            (Some(min), Some(max)) if min > max => {
                review.problem(&place, format!("min {min} above max {max}"), "min up to max");
            }
            _ => {}
        }
        if parameters.forbid.iter().any(|forbidden| forbidden == name) {
            review.problem(&place, "bounds on a parameter that is forbidden", "one or the other");
        }
    }
    let list = place.field("forbid");
    for (index, parameter) in parameters.forbid.iter().enumerate() {
        name(review, &list.item(index), parameter);
    }
}

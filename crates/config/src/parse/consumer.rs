//! `[[consumers]]` and `[[groups]]`: ids, digests of keys, and permissions.

use secret::KeyDigest;

use super::super::consumer::{Consumer, Group};
use super::super::raw;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::ids::IdIndex;
use super::ids::check_name;
use super::permission::permissions;

/// The consumer of callers without a key; the id is therefore reserved.
const ANONYMOUS: &str = "anonymous";

/// Parses every consumer.
pub(super) fn consumers(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Consumer],
    routes: &IdIndex<'_>,
) -> Vec<Consumer> {
    let mut read: Vec<Consumer> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let path = path.item(index);
        let keys = keys(diagnostics, &path.field("keys"), raw, &read);
        let consumer = consumer(diagnostics, &path, raw, routes);
        read.push(Consumer { keys, ..consumer });
    }
    read
}

/// Parses every group.
pub(super) fn groups(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Group],
    routes: &IdIndex<'_>,
) -> Vec<Group> {
    let read = |(index, raw): (usize, &raw::Group)| {
        let raw::Group { id, routes: ids, params, addresses } = raw;
        let (ids, params, addresses) = (ids.as_deref(), params.as_ref(), addresses.as_ref());
        let path = path.item(index);
        let permissions = permissions(diagnostics, &path, ids, params, addresses, routes);
        Group { id: id.clone(), permissions }
    };
    raw.iter().enumerate().map(read).collect()
}

/// Parses a single consumer of the admin API, which must not contain keys.
pub(super) fn consumer_without_keys(
    diagnostics: &mut Diagnostics<'_>,
    raw: &raw::Consumer,
    routes: &IdIndex<'_>,
) -> Consumer {
    let path = &DocPath::ROOT;
    check_name(diagnostics, &path.field("id"), &raw.id);
    if !raw.keys.is_empty() {
        diagnostics.report(
            &path.field("keys"),
            "keys",
            "no `keys`: the admin API issues them separately",
        );
    }
    consumer(diagnostics, path, raw, routes)
}

fn consumer(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Consumer,
    routes: &IdIndex<'_>,
) -> Consumer {
    if raw.id == ANONYMOUS {
        let expected = "another id: \"anonymous\" is reserved for callers without a key";
        diagnostics.report(&path.field("id"), quoted(ANONYMOUS), expected);
    }
    if let Some(group) = &raw.group {
        check_name(diagnostics, &path.field("group"), group);
    }
    let (ids, params, addresses) =
        (raw.routes.as_deref(), raw.params.as_ref(), raw.addresses.as_ref());
    let permissions = permissions(diagnostics, path, ids, params, addresses, routes);
    Consumer {
        id: raw.id.clone(),
        group: raw.group.clone(),
        disabled: raw.disabled,
        keys: Vec::new(),
        permissions,
    }
}

/// Digests a consumer's keys. A key of an earlier consumer is a problem.
fn keys(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Consumer,
    before: &[Consumer],
) -> Vec<KeyDigest> {
    let mut keys = Vec::with_capacity(raw.keys.len());
    for (index, text) in raw.keys.iter().enumerate() {
        let path = path.item(index);
        let Some(secret) = diagnostics.secret(&path, text) else { continue };
        let digest = KeyDigest::new(secret.reveal());
        let has_key = |other: &&Consumer| other.keys.iter().any(|key| key.matches(&digest).into());
        if let Some(other) = before.iter().find(has_key) {
            let expected = format!("a key of its own for each of {} and {}", other.id, raw.id);
            diagnostics.report(&path, format!("the key of {}", other.id), expected);
        }
        keys.push(digest);
    }
    keys
}

//! Ids: what they may look like, that there is one of each, and what refers to them.

use std::collections::BTreeMap;

use super::super::problem::with_hint;
use super::{Place, Review, quoted};

/// The ids of one section.
pub(super) struct Names<'a> {
    section: &'static str,
    in_order: Vec<&'a str>,
    positions: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    /// Gathers the ids of a section, each of them once.
    pub(super) fn of(
        review: &mut Review<'_>,
        root: &Place<'_>,
        section: &'static str,
        ids: impl Iterator<Item = &'a str>,
    ) -> Self {
        let place = root.field(section);
        let mut names = Self { section, in_order: ids.collect(), positions: BTreeMap::new() };
        for (index, id) in names.in_order.iter().enumerate() {
            let item = place.item(index);
            name(review, &item.field("id"), id);
            if let Some(first) = names.positions.get(id) {
                let expected = format!("another id than that of {section}[{first}]");
                review.problem(&item.field("id"), quoted(id), expected);
            } else {
                names.positions.insert(id, index);
            }
        }
        names
    }

    /// Takes the ids of a section that has been read.
    pub(super) fn known(section: &'static str, ids: impl Iterator<Item = &'a str>) -> Self {
        let mut names = Self { section, in_order: ids.collect(), positions: BTreeMap::new() };
        for (index, id) in names.in_order.iter().enumerate() {
            names.positions.insert(id, index);
        }
        names
    }

    /// The position of the one that is meant.
    pub(super) fn find(
        &self,
        review: &mut Review<'_>,
        place: &Place<'_>,
        id: &str,
    ) -> Option<usize> {
        let position = self.positions.get(id).copied();
        if position.is_none() {
            let expected = match self.in_order.as_slice() {
                [] => format!("the id of one of the {}, of which there are none", self.section),
                ids => format!("the id of one of the {}: {}", self.section, ids.join(", ")),
            };
            let expected = with_hint(&expected, id, self.in_order.iter().copied());
            review.problem(place, quoted(id), expected);
        }
        position
    }
}

/// Checks that a name can stand in headers, paths and metrics without being escaped.
pub(super) fn name(review: &mut Review<'_>, place: &Place<'_>, name: &str) {
    if let Some(expected) = expected_of_id(name) {
        review.problem(place, quoted(name), expected);
    }
}

/// What is expected in the place of an id; `None`: it is one.
pub(crate) fn expected_of_id(id: &str) -> Option<&'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if id.is_empty() || !id.bytes().all(fits) {
        return Some("letters, digits, \".\", \"_\" and \"-\", at least one");
    }
    // Clients take these two for steps in a path, and never ask for them.
    matches!(id, "." | "..").then_some("a name that is no step in a path")
}

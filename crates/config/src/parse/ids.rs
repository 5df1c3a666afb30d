//! Ids: what they may look like, that there is one of each, and what refers to them.

use std::collections::BTreeMap;

use super::super::problem::with_hint;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;

/// The ids of one section.
pub(super) struct IdIndex<'a> {
    section: &'static str,
    in_order: Vec<&'a str>,
    positions: BTreeMap<&'a str, usize>,
}

impl<'a> IdIndex<'a> {
    /// Gathers the ids of a section, each of them once.
    pub(super) fn collect(
        diagnostics: &mut Diagnostics<'_>,
        root: &DocPath<'_>,
        section: &'static str,
        ids: impl Iterator<Item = &'a str>,
    ) -> Self {
        let path = root.field(section);
        let mut id_index = Self { section, in_order: ids.collect(), positions: BTreeMap::new() };
        for (index, id) in id_index.in_order.iter().enumerate() {
            let item = path.item(index);
            check_name(diagnostics, &item.field("id"), id);
            if let Some(first) = id_index.positions.get(id) {
                let expected = format!("another id than that of {section}[{first}]");
                diagnostics.report(&item.field("id"), quoted(id), expected);
            } else {
                id_index.positions.insert(id, index);
            }
        }
        id_index
    }

    /// Takes the ids of a section that has been read.
    pub(super) fn from_known(section: &'static str, ids: impl Iterator<Item = &'a str>) -> Self {
        let mut id_index = Self { section, in_order: ids.collect(), positions: BTreeMap::new() };
        for (index, id) in id_index.in_order.iter().enumerate() {
            id_index.positions.insert(id, index);
        }
        id_index
    }

    /// The position of the one that is meant.
    pub(super) fn resolve(
        &self,
        diagnostics: &mut Diagnostics<'_>,
        path: &DocPath<'_>,
        id: &str,
    ) -> Option<usize> {
        let position = self.positions.get(id).copied();
        if position.is_none() {
            let expected = match self.in_order.as_slice() {
                [] => format!("the id of one of the {}, of which there are none", self.section),
                ids => format!("the id of one of the {}: {}", self.section, ids.join(", ")),
            };
            let expected = with_hint(&expected, id, self.in_order.iter().copied());
            diagnostics.report(path, quoted(id), expected);
        }
        position
    }
}

/// Checks that a name can stand in headers, paths and metrics without being escaped.
pub(super) fn check_name(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, name: &str) {
    if let Some(expected) = expected_id_format(name) {
        diagnostics.report(path, quoted(name), expected);
    }
}

/// What is expected in the place of an id; `None`: it is one.
pub fn expected_id_format(id: &str) -> Option<&'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if id.is_empty() || !id.bytes().all(fits) {
        return Some("letters, digits, \".\", \"_\" and \"-\", at least one");
    }
    // Clients take these two for steps in a path, and never ask for them.
    matches!(id, "." | "..").then_some("a name that is no step in a path")
}

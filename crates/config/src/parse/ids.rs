//! Ids: format, uniqueness, and references.

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
    /// Collects the ids of a section. A repeated id is a problem.
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

    /// Collects the ids of a section that is already parsed.
    pub(super) fn from_known(section: &'static str, ids: impl Iterator<Item = &'a str>) -> Self {
        let mut id_index = Self { section, in_order: ids.collect(), positions: BTreeMap::new() };
        for (index, id) in id_index.in_order.iter().enumerate() {
            id_index.positions.insert(id, index);
        }
        id_index
    }

    /// The position of an id.
    pub(super) fn resolve(
        &self,
        diagnostics: &mut Diagnostics<'_>,
        path: &DocPath<'_>,
        id: &str,
    ) -> Option<usize> {
        let position = self.positions.get(id).copied();
        if position.is_none() {
            let expected = match self.in_order.as_slice() {
                [] => format!("the id of one of the {}, but the document has none", self.section),
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

/// The expected form of an id. `None` if the id is valid.
pub fn expected_id_format(id: &str) -> Option<&'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if id.is_empty() || !id.bytes().all(fits) {
        return Some("letters, digits, \".\", \"_\" and \"-\", at least one");
    }
    // HTTP clients remove these two path segments.
    matches!(id, "." | "..").then_some("a name other than \".\" and \"..\"")
}

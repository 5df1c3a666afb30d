//! Lookup of the route that serves a model.

use regex_lite::Regex;

use super::index::RouteIndex;

/// A pattern of model names.
#[derive(Clone, Debug)]
pub enum ModelPattern {
    /// This name and no other.
    Exact(String),
    /// Every name with this prefix (written `prefix*`).
    Prefix(String),
    /// Every name in which the expression matches anywhere (written `~regex`).
    Regex(Regex),
}

impl ModelPattern {
    /// Whether a model's name matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == exact,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

/// Finds the route of a model: exact name, else longest prefix, else first regular expression.
#[derive(Debug, Default)]
pub struct ModelIndex {
    /// Sorted by name.
    pub(super) exact: Vec<(String, RouteIndex)>,
    /// Longest first.
    pub(super) prefixes: Vec<(String, RouteIndex)>,
    /// In the order of the document.
    pub(super) patterns: Vec<(Regex, RouteIndex)>,
}

impl ModelIndex {
    /// Whether a route names a model exactly.
    pub fn has_exact(&self, model: &str) -> bool {
        self.exact(model).is_some()
    }

    fn exact(&self, model: &str) -> Option<RouteIndex> {
        let found = self.exact.binary_search_by(|(name, _)| name.as_str().cmp(model));
        found.ok().map(|at| self.exact[at].1)
    }

    /// The route that serves a model. `None` if no pattern matches.
    pub fn route(&self, model: &str) -> Option<RouteIndex> {
        let exact = self.exact(model);
        if exact.is_some() {
            return exact;
        }
        let prefix = self.prefixes.iter().find(|(prefix, _)| model.starts_with(prefix.as_str()));
        let pattern = || {
            self.patterns.iter().find(|(regex, _)| regex.is_match(model)).map(|(_, route)| *route)
        };
        prefix.map(|(_, route)| *route).or_else(pattern)
    }
}

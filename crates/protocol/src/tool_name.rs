//! Tools that have another name or form at the provider than in the caller's request.

use std::collections::BTreeMap;

/// Tools by their names at the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolNames(BTreeMap<String, ToolName>);

impl ToolNames {
    /// Returns the tool with this name at the provider.
    pub(crate) fn get(&self, written: &str) -> Option<&ToolName> {
        self.0.get(written)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all tools, in the order of their names at the provider.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ToolName> {
        self.0.values()
    }
}

impl FromIterator<ToolName> for ToolNames {
    fn from_iter<T: IntoIterator<Item = ToolName>>(tools: T) -> Self {
        Self(tools.into_iter().map(|tool| (tool.written.clone(), tool)).collect())
    }
}

/// Tool that was written to the provider under another name or in another form than the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolName {
    /// Name at the provider.
    pub written: String,
    /// Name in the caller's request, without the namespace.
    pub name: String,
    /// Namespace in the caller's request (Responses).
    pub namespace: Option<String>,
    /// Whether the caller's tool is a custom one that was written as a function with one member
    /// `input`.
    pub is_custom: bool,
}

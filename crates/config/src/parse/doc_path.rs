//! Path of a value in the document: a linked list of steps, formatted only for a problem.

use std::fmt;

/// A path in the document: `routes[0].targets[1].provider`.
#[derive(Clone, Copy)]
pub(super) struct DocPath<'a> {
    parent: Option<&'a DocPath<'a>>,
    step: PathStep<'a>,
}

#[derive(Clone, Copy)]
enum PathStep<'a> {
    Root,
    Field(&'a str),
    Item(usize),
}

impl<'a> DocPath<'a> {
    /// The document itself.
    pub(super) const ROOT: Self = Self { parent: None, step: PathStep::Root };

    /// A field of the table at this path.
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: PathStep::Field(name) }
    }

    /// An item of the list at this path.
    pub(super) fn item(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: PathStep::Item(index) }
    }
}

impl fmt::Display for DocPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            PathStep::Root => Ok(()),
            PathStep::Item(index) => write!(f, "[{index}]"),
            PathStep::Field(name) => {
                let below_root =
                    self.parent.is_none_or(|parent| matches!(parent.step, PathStep::Root));
                write!(f, "{}{name}", if below_root { "" } else { "." })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DocPath;

    #[test]
    fn path_of_nested_field_is_formatted_like_code() {
        let routes = DocPath::ROOT.field("routes");
        let targets = routes.item(0);
        let targets = targets.field("targets");
        let target = targets.item(1);
        assert_eq!(target.field("provider").to_string(), "routes[0].targets[1].provider");
        assert_eq!(DocPath::ROOT.to_string(), "");
    }
}

//! Where in the document a reading is: a list of steps that becomes text only where it is needed.

use std::fmt;

/// A place in the document: `routes[0].targets[1].provider`.
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

    /// A field of what is here.
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: PathStep::Field(name) }
    }

    /// An item of the list that is here.
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
    fn a_place_reads_like_code() {
        let routes = DocPath::ROOT.field("routes");
        let targets = routes.item(0);
        let targets = targets.field("targets");
        let target = targets.item(1);
        assert_eq!(target.field("provider").to_string(), "routes[0].targets[1].provider");
        assert_eq!(DocPath::ROOT.to_string(), "");
    }
}

//! Content that a caller's protocol cannot express.

/// Names of content that a writer left out, each once. The text of an answer is never among it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shed(Vec<&'static str>);

impl Shed {
    pub(crate) fn add(&mut self, name: &'static str) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// The names, in the order in which they were met.
    pub fn names(&self) -> &[&'static str] {
        &self.0
    }
}

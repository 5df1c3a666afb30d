//! Places in a caller's body, by which errors and reports name a member.

use std::fmt;

/// Deepest level of a place: `messages[1].content[2].content[3].source`.
const MAX_LEVELS: usize = 4;

/// Place of an object in a body: up to four names, each with a position if it is a list's element.
///
/// All places are equal, since equal models may come from bodies in different orders.
#[derive(Clone, Copy, Default)]
pub struct Place {
    levels: [(&'static str, Option<u32>); MAX_LEVELS],
    depth: u8,
}

impl Place {
    /// Place of the body itself.
    pub(crate) const ROOT: Self = Self { levels: [("", None); MAX_LEVELS], depth: 0 };

    /// Returns the place of a member. Members below the deepest level have the deepest level's place.
    #[must_use]
    pub(crate) fn member(self, name: &'static str) -> Self {
        self.push(name, None)
    }

    /// Returns the place of an element of the list `name`.
    #[must_use]
    pub(crate) fn element(self, name: &'static str, position: usize) -> Self {
        self.push(name, u32::try_from(position).ok())
    }

    fn push(mut self, name: &'static str, position: Option<u32>) -> Self {
        if let Some(level) = self.levels.get_mut(usize::from(self.depth)) {
            *level = (name, position);
            self.depth += 1;
        }
        self
    }

    /// Returns the JSON path of a member of this place.
    pub(crate) fn path_to(&self, name: &str) -> String {
        join(self.to_string(), name)
    }

    /// Returns the path of a member without positions: `messages.content.audio`.
    pub(crate) fn key_to(&self, name: &str) -> String {
        let names: Vec<&str> = self.levels().iter().map(|(name, _)| *name).collect();
        join(names.join("."), name)
    }

    /// Whether the place is an element of one of the body's lists: a message, an item, a tool.
    pub(crate) fn is_top_element(&self) -> bool {
        self.depth == 1
    }

    fn levels(&self) -> &[(&'static str, Option<u32>)] {
        &self.levels[..usize::from(self.depth)]
    }
}

fn join(mut path: String, name: &str) -> String {
    if !path.is_empty() && !name.is_empty() {
        path.push('.');
    }
    path.push_str(name);
    path
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, position)) in self.levels().iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            write!(f, "{dot}{name}")?;
            if let Some(position) = position {
                write!(f, "[{position}]")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn path_has_positions_and_key_has_none() {
        let place = Place::ROOT.element("messages", 1).element("content", 2);
        assert_eq!(place.path_to("source"), "messages[1].content[2].source");
        assert_eq!(place.key_to("audio"), "messages.content.audio");
        assert_eq!(Place::ROOT.path_to("n"), "n");
        assert_eq!(place.path_to(""), "messages[1].content[2]");
    }
}

//! A list of words, and whether a text has one of them.

/// Words that may not be said.
#[derive(Debug, Default)]
pub struct Lexicon {
    words: Vec<String>,
}

impl Lexicon {
    /// Takes in words; those that are empty but for spaces are left out.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = words.into_iter().map(str::trim).filter(|word| !word.is_empty());
        Self { words: words.map(str::to_owned).collect() }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

//! Look-up of words in the tables of a language.

use std::collections::{BTreeMap, BTreeSet};

/// Classes of synonyms and pairs of antonyms, by the form under which words are compared.
#[derive(Debug, Default)]
pub(crate) struct Lexicon {
    /// The first member of a word's class.
    classes: BTreeMap<String, &'static str>,
    antonyms: BTreeMap<String, BTreeSet<String>>,
}

impl Lexicon {
    /// Builds the tables. `form` is the form under which words are compared.
    pub(crate) fn new(
        synonyms: &'static [&'static str],
        antonyms: &'static [&'static str],
        form: fn(&str) -> String,
    ) -> Self {
        let mut lexicon = Self::default();
        for class in synonyms {
            let mut members = class.split(' ');
            let first = members.next().unwrap_or_default();
            for member in class.split(' ') {
                lexicon.classes.insert(form(member), first);
            }
        }
        for line in antonyms {
            let Some((left, right)) = line.split_once('|') else { continue };
            for (left, right) in left.split(' ').flat_map(|l| right.split(' ').map(move |r| (l, r)))
            {
                let (left, right) = (form(left), form(right));
                lexicon.antonyms.entry(left.clone()).or_default().insert(right.clone());
                lexicon.antonyms.entry(right).or_default().insert(left);
            }
        }
        lexicon
    }

    /// The name of a word's class; the word itself if it has none.
    pub(crate) fn class<'a>(&'a self, form: &'a str) -> &'a str {
        self.classes.get(form).copied().unwrap_or(form)
    }

    /// Whether a word of one side has an antonym among those of the other side.
    pub(crate) fn has_antonyms(&self, left: &BTreeSet<&str>, right: &BTreeSet<&str>) -> bool {
        let opposes = |word: &&&str| {
            self.antonyms
                .get(**word)
                .is_some_and(|all| all.iter().any(|a| right.contains(a.as_str())))
        };
        left.iter().any(|word| opposes(&word))
    }

    /// Words of all antonyms and classes.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().chain(self.antonyms.keys()).map(String::as_str)
    }
}

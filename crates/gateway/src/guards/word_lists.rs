//! Lists of words that are kept in the store, as they were read last.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use guards::WordList;

use crate::host::{Clock, KvStore};

/// How the names of lists begin. A list is text, one word in each line.
pub const WORD_LIST_PREFIX: &str = "words/";

/// For so long a list is not read again: a change holds everywhere a minute later, with what the
/// store itself may be behind.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// The lists that were read. The configuration names them, so there are few.
#[derive(Debug, Default)]
pub struct WordLists {
    cached: RefCell<BTreeMap<String, CachedWordList>>,
}

#[derive(Debug)]
struct CachedWordList {
    read_at: Timestamp,
    text: Option<Vec<u8>>,
    words: Option<Rc<WordList>>,
}

impl WordLists {
    /// A list; `None` where there is none that can be read. While the store is away the last one that was read counts.
    pub async fn get(&self, host: &(impl Clock + KvStore), name: &str) -> Option<Rc<WordList>> {
        let now = host.now();
        let fresh = |kept: &&CachedWordList| now.since(kept.read_at) < FRESH_FOR;
        if let Some(kept) = self.cached.borrow().get(name).filter(fresh) {
            return kept.words.clone();
        }
        let found = host.get(&format!("{WORD_LIST_PREFIX}{name}")).await;
        let mut read = self.cached.borrow_mut();
        let before = read.remove(name);
        let text = match (found, before) {
            (Ok(text), Some(before)) if text.as_deref() == before.text.as_deref() => {
                let lexicon = before.words.clone();
                read.insert(name.to_owned(), CachedWordList { read_at: now, ..before });
                return lexicon;
            }
            (Ok(text), _) => text.map(Vec::from),
            (Err(_), Some(before)) => {
                let lexicon = before.words.clone();
                read.insert(name.to_owned(), CachedWordList { read_at: now, ..before });
                return lexicon;
            }
            (Err(_), None) => return None,
        };
        // What is no text is no list that has nothing in it.
        let list = text.as_deref().and_then(|text| str::from_utf8(text).ok());
        let lexicon = list.map(|list| Rc::new(WordList::new(list.lines())));
        read.insert(name.to_owned(), CachedWordList { read_at: now, text, words: lexicon.clone() });
        lexicon
    }
}

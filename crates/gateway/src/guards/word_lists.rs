//! Word lists from the store, cached in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use guards::WordList;

use crate::host::{Clock, KvStore};

/// Prefix of the keys of word lists. A list is text with one word per line.
pub(crate) const WORD_LIST_PREFIX: &str = "words/";

/// Time for which a list is not read again: a change takes effect everywhere within a minute, plus
/// the store's own delay.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// Lists read so far. The configuration names them, so there are few.
#[derive(Debug, Default)]
pub(crate) struct WordLists {
    cached: RefCell<BTreeMap<String, CachedWordList>>,
}

#[derive(Debug)]
struct CachedWordList {
    read_at: Timestamp,
    text: Option<Vec<u8>>,
    words: Option<Rc<WordList>>,
}

impl WordLists {
    /// A list; `None` if there is none that can be read. While the store is unavailable the last
    /// state is used.
    pub(crate) async fn get(
        &self,
        host: &(impl Clock + KvStore),
        name: &str,
    ) -> Option<Rc<WordList>> {
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
        // Bytes that are not text are no list, rather than an empty one.
        let list = text.as_deref().and_then(|text| str::from_utf8(text).ok());
        let lexicon = list.map(|list| Rc::new(WordList::new(list.lines())));
        read.insert(name.to_owned(), CachedWordList { read_at: now, text, words: lexicon.clone() });
        lexicon
    }
}

//! Lists of words that are kept in the store, as they were read last.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::guard::Lexicon;
use crate::platform::{Clock, Store};
use crate::time::Timestamp;

/// How the names of lists begin. A list is text, one word in each line.
pub const NAMES: &str = "words/";

/// For so long a list is not read again: a change holds everywhere a minute later, with what the
/// store itself may be behind.
const FRESH: Duration = Duration::from_secs(30);

/// The lists that were read. The configuration names them, so there are few.
#[derive(Debug, Default)]
pub struct Lists {
    read: RefCell<BTreeMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    at: Timestamp,
    text: Option<Vec<u8>>,
    lexicon: Option<Rc<Lexicon>>,
}

impl Lists {
    /// A list; `None` where there is none that can be read. While the store is away the last one that was read counts.
    pub async fn read(&self, platform: &(impl Clock + Store), name: &str) -> Option<Rc<Lexicon>> {
        let now = platform.now();
        let fresh = |kept: &&Kept| now.since(kept.at) < FRESH;
        if let Some(kept) = self.read.borrow().get(name).filter(fresh) {
            return kept.lexicon.clone();
        }
        let found = platform.get(&format!("{NAMES}{name}")).await;
        let mut read = self.read.borrow_mut();
        let before = read.remove(name);
        let text = match (found, before) {
            (Ok(text), Some(before)) if text.as_deref() == before.text.as_deref() => {
                let lexicon = before.lexicon.clone();
                read.insert(name.to_owned(), Kept { at: now, ..before });
                return lexicon;
            }
            (Ok(text), _) => text.map(Vec::from),
            (Err(_), Some(before)) => {
                let lexicon = before.lexicon.clone();
                read.insert(name.to_owned(), Kept { at: now, ..before });
                return lexicon;
            }
            (Err(_), None) => return None,
        };
        // What is no text is no list that has nothing in it.
        let list = text.as_deref().and_then(|text| str::from_utf8(text).ok());
        let lexicon = list.map(|list| Rc::new(Lexicon::new(list.lines())));
        read.insert(name.to_owned(), Kept { at: now, text, lexicon: lexicon.clone() });
        lexicon
    }
}

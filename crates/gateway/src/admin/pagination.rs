//! Pages of a size that the operator chooses, independent of the store's page size.

use std::rc::Rc;

use crate::auth::keys::KeyStore;
use crate::host::{Clock, KvStore};

use super::response::AdminError;

/// Some names of a listing, and the cursor of the next page.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Names without their common prefix.
    pub(super) names: Vec<String>,
    /// Cursor of the next page; `None` at the end.
    pub(super) cursor: Option<String>,
    /// For each name, the store's cursor of the page that held it.
    store_cursors: Vec<Option<Rc<str>>>,
}

impl Page {
    /// The cursor if only the first `taken` names (at least one) are used.
    pub(super) fn cursor_after(&self, taken: usize) -> Option<String> {
        if taken == self.names.len() {
            return self.cursor.clone();
        }
        let origin = self.store_cursors[taken - 1].as_deref().unwrap_or_default();
        Some(format!("{}~{origin}", self.names[taken - 1]))
    }
}

/// Reads the next names with this prefix.
///
/// A cursor is the last name that was returned and, after a `~`, the store's own cursor of its page.
/// Names that are added meanwhile shift nothing.
pub(super) async fn read_page<P: Clock + KvStore>(
    key_store: &KeyStore<'_, P>,
    prefix: &str,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page, AdminError> {
    let (last, at) = match cursor {
        None => (None, ""),
        Some(cursor) => {
            let parts = cursor.split_once('~');
            let (last, at) = parts.ok_or_else(|| {
                AdminError::invalid(
                    "cursor",
                    format!("{cursor:?}"),
                    "a cursor from a previous response",
                )
            })?;
            (Some(last), at)
        }
    };
    let mut at: Option<Rc<str>> = Some(at).filter(|at| !at.is_empty()).map(Rc::from);
    let mut page = Page::default();
    loop {
        let listing = key_store.list(prefix, at.as_deref()).await?;
        for name in &listing.names {
            let name = name.strip_prefix(prefix).unwrap_or(name);
            if last.is_some_and(|last| name <= last) {
                continue;
            }
            if page.names.len() == limit {
                let origin =
                    page.store_cursors.last().and_then(Option::as_deref).unwrap_or_default();
                page.cursor = page.names.last().map(|last| format!("{last}~{origin}"));
                return Ok(page);
            }
            page.names.push(name.to_owned());
            page.store_cursors.push(at.clone());
        }
        match listing.cursor {
            None => return Ok(page),
            Some(next) => at = Some(next.into()),
        }
    }
}

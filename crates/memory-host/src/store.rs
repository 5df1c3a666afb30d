//! Key-value store.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;

/// Longest name that every host accepts.
const MAX_NAME_BYTES: usize = 512;

/// Key-value store. Every read sees the newest state.
///
/// An expired value cannot be read, but listings include its name, as on Spin.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(BTreeMap<String, StoredValue>);

/// Value with its time to live.
#[derive(Clone, Debug)]
pub struct StoredValue {
    /// The stored bytes.
    pub value: Bytes,
    /// Time to live since the value was stored; `None` if it does not expire.
    pub ttl: Option<Duration>,
    expires_at: Option<Timestamp>,
}

impl MemoryStore {
    /// Returns the value of a name, unless it expired.
    pub fn get(&self, now: Timestamp, name: &str) -> Option<Bytes> {
        let stored = self.0.get(name)?;
        stored.expires_at.is_none_or(|end| end > now).then(|| stored.value.clone())
    }

    /// Stores a value. Panics if the hosts refuse such a name.
    #[track_caller]
    pub fn put(
        &mut self,
        now: Timestamp,
        name: &str,
        value: impl Into<Bytes>,
        ttl: Option<Duration>,
    ) {
        let is_valid =
            name.len() <= MAX_NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(is_valid, "invalid name of a store entry: {name:?}");
        let stored = StoredValue { value: value.into(), ttl, expires_at: ttl.map(|ttl| now + ttl) };
        self.0.insert(name.to_owned(), stored);
    }

    /// Deletes a name, if it exists.
    pub fn delete(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Lists at most `page_size` names with a prefix, in order, after a cursor. Also returns the cursor of
    /// the next page; `None` at the end.
    pub fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        page_size: usize,
    ) -> (Vec<String>, Option<String>) {
        let start = cursor.map_or(Bound::Included(prefix), Bound::Excluded);
        let following = self.0.range::<str, _>((start, Bound::Unbounded));
        let mut names =
            following.map(|(name, _)| name).take_while(|name| name.starts_with(prefix)).cloned();
        let page: Vec<String> = names.by_ref().take(page_size).collect();
        let cursor = names.next().and(page.last().cloned());
        (page, cursor)
    }

    /// Returns all names with their values, in order, expired ones included.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &StoredValue)> {
        self.0.iter().map(|(name, stored)| (name.as_str(), stored))
    }

    /// Replaces every value whose name has a prefix. Their times of expiry stay.
    pub fn overwrite_all(&mut self, prefix: &str, value: &Bytes) {
        let matching = self.0.iter_mut().filter(|(name, _)| name.starts_with(prefix));
        matching.for_each(|(_, stored)| stored.value = value.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use civil_time::Timestamp;

    use super::MemoryStore;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn store_of(names: &[&str]) -> MemoryStore {
        let mut store = MemoryStore::default();
        names.iter().for_each(|name| store.put(NOW, name, (*name).to_owned(), None));
        store
    }

    #[test]
    fn get_after_the_time_to_live_returns_nothing() {
        let mut store = store_of(&["kept"]);
        store.put(NOW, "short", "value", Some(MINUTE));
        let read = |seconds| store.get(NOW + Duration::from_secs(seconds), "short");
        assert_eq!((read(59), read(60)), (Some(Bytes::from_static(b"value")), None));
        assert!(store.get(NOW + MINUTE, "kept").is_some());
        assert_eq!(store.list("", None, 9).0, ["kept", "short"]);
    }

    #[test]
    fn put_and_delete_change_what_is_read() {
        let mut store = store_of(&["a"]);
        store.put(NOW, "a", "new", None);
        assert_eq!(store.get(NOW, "a"), Some(Bytes::from_static(b"new")));
        store.delete("a");
        store.delete("missing");
        assert_eq!(store.get(NOW, "a"), None);
    }

    #[test]
    fn list_returns_each_name_with_the_prefix_once() {
        let store = store_of(&["a", "b/1", "b/2", "b/3", "b/4", "c"]);
        let page = |cursor, size| store.list("b/", cursor, size);
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(page(None, 3), (owned(&["b/1", "b/2", "b/3"]), Some("b/3".to_owned())));
        assert_eq!(page(Some("b/3"), 3), (owned(&["b/4"]), None));
        assert_eq!(page(Some("b/2"), 2), (owned(&["b/3", "b/4"]), None), "a full last page");
        assert_eq!(page(Some("b/4"), 2), (vec![], None));
    }

    #[test]
    fn overwrite_all_keeps_other_names_and_times_to_live() {
        let mut store = store_of(&["a/1", "b/1"]);
        store.put(NOW, "a/2", "value", Some(MINUTE));
        store.overwrite_all("a/", &Bytes::from_static(b"{"));
        let stored: Vec<_> = store.entries().map(|(_, it)| (&it.value[..], it.ttl)).collect();
        assert_eq!(stored, [(&b"{"[..], None), (b"{", Some(MINUTE)), (b"b/1", None)]);
        assert_eq!(store.get(NOW + MINUTE, "a/2"), None);
    }

    #[test]
    #[should_panic(expected = "invalid name")]
    fn put_with_a_space_in_the_name_panics() {
        store_of(&["a b"]);
    }
}

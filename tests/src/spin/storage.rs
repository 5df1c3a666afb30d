//! Key-value store of an app: in memory, optionally with a file.
//!
//! The file is a log in its own format and not SQLite, whose C code would double this host's build
//! time. Each change is appended before it is confirmed; a program that is killed loses nothing. A
//! machine that loses power may, and two hosts must not use one file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use tokio::sync::mpsc;

/// Marker of a deleted name, in place of a value's length.
const DELETED_LENGTH: u32 = u32::MAX;

/// Minimum size of a log that is rewritten, in bytes; it must also exceed four times its contents.
const COMPACTION_SLACK: usize = 1 << 20;

/// Values of an app, shared by its instances. Each method is atomic.
#[derive(Default)]
pub(crate) struct Storage(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    values: BTreeMap<String, Vec<u8>>,
    log: Option<StorageLog>,
}

struct StorageLog {
    path: PathBuf,
    file: File,
    length: usize,
}

impl Storage {
    /// Opens a file, which need not exist. An incomplete record at its end, from a program that was
    /// killed, was never confirmed: it is dropped.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let explain = || format!("cannot use the storage file {}", path.display());
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(explain),
        };
        let mut values = BTreeMap::new();
        let mut rest = bytes.as_slice();
        while let Some((name, value)) = record(&mut rest) {
            match value {
                Some(value) => values.insert(name, value),
                None => values.remove(&name),
            };
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(explain)?;
        }
        let log = StorageLog::write(path, &values).with_context(explain)?;
        Ok(Self(Mutex::new(Inner { values, log: Some(log) })))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.with(|inner| inner.values.get(name).cloned())
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|inner| inner.values.keys().cloned().collect())
    }

    /// Sends all names in order, and holds the lock meanwhile: so does Spin's SQLite store (4.1).
    pub(crate) fn send_names(&self, names: &mpsc::Sender<String>) {
        let inner = self.lock();
        for name in inner.values.keys() {
            if names.blocking_send(name.clone()).is_err() {
                return;
            }
        }
    }

    /// Stores a value.
    pub(crate) fn set(&self, name: &str, value: Vec<u8>) -> io::Result<()> {
        self.with(|inner| inner.set(name, value))
    }

    /// Deletes a name.
    pub(crate) fn delete(&self, name: &str) -> io::Result<()> {
        self.with(|inner| {
            inner.append(name, None)?;
            inner.values.remove(name);
            Ok(())
        })
    }

    /// Stores a value if the present one equals `expected`, and returns whether it did.
    ///
    /// If `expected` is `None`, the swap always succeeds, whatever the present value: so does Spin's
    /// SQLite store (4.1), and a component that relies on more would fail there and not here.
    pub(crate) fn swap(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        value: Vec<u8>,
    ) -> io::Result<bool> {
        self.with(|inner| {
            if expected.is_some() && expected != inner.values.get(name).map(Vec::as_slice) {
                return Ok(false);
            }
            inner.set(name, value)?;
            Ok(true)
        })
    }

    /// Adds to an integer of eight bytes, little-endian. A missing one counts as zero.
    pub(crate) fn increment(&self, name: &str, delta: i64) -> io::Result<i64> {
        self.with(|inner| {
            let number = match inner.values.get(name) {
                None => 0,
                Some(value) => {
                    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "not a number");
                    i64::from_le_bytes(value.as_slice().try_into().map_err(wrong)?)
                }
            };
            let sum = number.wrapping_add(delta);
            inner.set(name, sum.to_le_bytes().to_vec())?;
            Ok(sum)
        })
    }

    /// Runs an operation under the lock. Like Spin, it blocks the instance, and leaves the thread to
    /// the runtime's other tasks, such as connections.
    fn with<T>(&self, operation: impl FnOnce(&mut Inner) -> T) -> T {
        tokio::task::block_in_place(|| operation(&mut self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set(&mut self, name: &str, value: Vec<u8>) -> io::Result<()> {
        self.append(name, Some(&value))?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    fn append(&mut self, name: &str, value: Option<&[u8]>) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        if log.length > COMPACTION_SLACK {
            let held: usize =
                self.values.iter().map(|(name, value)| name.len() + value.len()).sum();
            if log.length > 4 * held {
                *log = StorageLog::write(&log.path, &self.values)?;
            }
        }
        log.append(name, value)
    }
}

impl StorageLog {
    /// Replaces a file by one that holds only these values, without their history.
    fn write(path: &Path, values: &BTreeMap<String, Vec<u8>>) -> io::Result<Self> {
        let fresh = path.with_extension("new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&fresh)?;
        let mut log = Self { path: path.to_owned(), file, length: 0 };
        for (name, value) in values {
            log.append(name, Some(value))?;
        }
        fs::rename(&fresh, path)?;
        Ok(log)
    }

    fn append(&mut self, name: &str, value: Option<&[u8]>) -> io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        let mut record = Vec::new();
        record.extend_from_slice(&length(name.as_bytes())?.to_le_bytes());
        record.extend_from_slice(&value.map_or(Ok(DELETED_LENGTH), length)?.to_le_bytes());
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(value.unwrap_or_default());
        // A single write, so that a kill leaves at most one incomplete record.
        self.file.write_all(&record)?;
        self.length += record.len();
        Ok(())
    }
}

/// Takes one record from the front, if it is complete.
fn record(rest: &mut &[u8]) -> Option<(String, Option<Vec<u8>>)> {
    let (name, after) = rest.split_first_chunk::<4>()?;
    let (value, after) = after.split_first_chunk::<4>()?;
    let name_length = usize::try_from(u32::from_le_bytes(*name)).ok()?;
    let value_length = match u32::from_le_bytes(*value) {
        DELETED_LENGTH => None,
        length => Some(usize::try_from(length).ok()?),
    };
    let (name, after) = after.split_at_checked(name_length)?;
    let (value, after) = after.split_at_checked(value_length.unwrap_or(0))?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    *rest = after;
    Some((name, value_length.map(|_| value.to_vec())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::scratch::ScratchDirectory;

    use super::{COMPACTION_SLACK, Storage};

    #[test]
    fn swap_of_a_changed_value_fails() {
        let storage = Storage::default();
        storage.set("name", b"one".to_vec()).expect("memory");
        storage.set("name", b"two".to_vec()).expect("memory");
        let swap = |expected: Option<&[u8]>| storage.swap("name", expected, b"three".to_vec());
        assert!(!swap(Some(b"one")).expect("memory"));
        assert_eq!(storage.get("name").as_deref(), Some(b"two".as_slice()));
        assert!(swap(Some(b"two")).expect("memory"));
        assert_eq!(storage.get("name").as_deref(), Some(b"three".as_slice()));
        storage.delete("name").expect("memory");
        assert!(!swap(Some(b"three")).expect("memory"));
        assert!(swap(None).expect("memory"));
    }

    #[test]
    fn increment_of_a_number_adds_and_of_other_bytes_fails() {
        let storage = Storage::default();
        assert_eq!(storage.increment("number", 2).expect("memory"), 2);
        assert_eq!(storage.increment("number", -5).expect("memory"), -3);
        storage.set("text", b"text".to_vec()).expect("memory");
        assert!(storage.increment("text", 1).is_err());
    }

    #[test]
    fn reopened_file_has_the_last_values() {
        let scratch = ScratchDirectory::new("last").expect("a directory");
        let file = scratch.path().join("store/app.log");
        let storage = Storage::open(&file).expect("a fresh file");
        storage.set("a", b"1".to_vec()).expect("a file");
        storage.set("b", Vec::new()).expect("a file");
        storage.set("a", b"2".to_vec()).expect("a file");
        storage.set("c", b"3".to_vec()).expect("a file");
        storage.delete("c").expect("a file");
        drop(storage);
        let again = Storage::open(&file).expect("the same file");
        assert_eq!(again.names(), ["a", "b"]);
        assert_eq!(again.get("a").as_deref(), Some(b"2".as_slice()));
        assert_eq!(again.get("b").as_deref(), Some(b"".as_slice()));
    }

    #[test]
    fn incomplete_last_record_is_dropped() {
        let scratch = ScratchDirectory::new("halves").expect("a directory");
        let file = scratch.path().join("store/app.log");
        let storage = Storage::open(&file).expect("a fresh file");
        storage.set("a", b"first".to_vec()).expect("a file");
        storage.set("a", b"second".to_vec()).expect("a file");
        drop(storage);
        let bytes = fs::read(&file).expect("the file exists");
        fs::write(&file, &bytes[..bytes.len() - 1]).expect("the file is writable");
        let again = Storage::open(&file).expect("the same file");
        assert_eq!(again.get("a").as_deref(), Some(b"first".as_slice()));
    }

    #[test]
    fn file_with_many_overwrites_stays_small() {
        let scratch = ScratchDirectory::new("past").expect("a directory");
        let file = scratch.path().join("store/app.log");
        let storage = Storage::open(&file).expect("a fresh file");
        for _ in 0..100 {
            storage.set("a", vec![7; COMPACTION_SLACK / 10]).expect("a file");
        }
        let length = fs::metadata(&file).expect("the file exists").len();
        assert!(length < 2 * COMPACTION_SLACK as u64, "{length}");
    }
}

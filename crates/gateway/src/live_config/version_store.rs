//! Stored versions: the commit protocol, and lookups.
//!
//! 1. `config/document/<hash>`: the document, kept forever. Nothing refers to it yet.
//! 2. `config/version/<number, counting down>-<nonce>`: the version's metadata, kept forever. Nothing
//!    refers to it yet.
//! 3. The register `config` of the ledger: this is the commit. A concurrent second writer gets a
//!    conflict.
//! 4. `config/current`: metadata and document, the copy that every isolate polls.
//!
//! A crash before step 3 changes nothing. After it, the next reader of the register completes step 4.
//! Each version's metadata names the attempt before it, so a lost attempt is never taken for a version,
//! and the history is read without a listing.

use std::time::Duration;

use bytes::Bytes;
use ledger::{Operation, Register};

use crate::host::Host;
use crate::host::error::HostError;
use crate::limits::ledger_client::call_register;

use super::version::{VersionInfo, attempt_key, attempts_prefix, document_hash};

/// Name of the register, and of its book.
const REGISTER_NAME: &str = "config";
/// Store key of the copy that every isolate polls.
const CURRENT_KEY: &str = "config/current";
/// Attempts to commit; a repeated commit changes nothing.
const COMMIT_TRIES: u32 = 3;
/// Background attempts to write the polled copy, and the delay before the first one; the delay doubles.
/// Workers KV accepts one write of a key per second.
const PUBLISH_TRIES: u32 = 5;
const PUBLISH_BACKOFF: Duration = Duration::from_millis(1_500);

/// The versions of one gateway, shared by all its isolates.
#[derive(Debug)]
pub(crate) struct VersionStore<'a, P>(pub(crate) &'a P);

/// Result of a commit.
#[derive(Debug)]
pub(crate) enum CommitOutcome {
    /// The version is in force.
    Committed,
    /// Another writer committed this version first.
    Conflict(VersionInfo),
    /// The ledger did not reply: the version may or may not be in force.
    Unknown,
}

impl<P: Host> VersionStore<'_, P> {
    /// The version in force according to the ledger, which is never stale.
    pub(crate) async fn head(&self) -> Result<VersionInfo, HostError> {
        let register = call_register(
            self.0,
            REGISTER_NAME,
            &Operation::ReadRegister { register: REGISTER_NAME.to_owned() },
        )
        .await?;
        if register.number == 0 {
            return Ok(VersionInfo::deployed(&self.0.document().await?));
        }
        let mut info: VersionInfo = json::from_text(&register.text).map_err(corrupt)?;
        if info.follows {
            info.hash = document_hash(&self.0.document().await?);
        }
        Ok(info)
    }

    /// The copy that isolates poll, with the deployed document if the version follows it; `None` if no
    /// document was ever put. It may be stale.
    pub(crate) async fn current(&self) -> Result<Option<(VersionInfo, String)>, HostError> {
        let Some(bytes) = self.0.get(CURRENT_KEY).await? else { return Ok(None) };
        let text = str::from_utf8(&bytes).map_err(corrupt)?;
        let (info, document) =
            text.split_once('\n').ok_or_else(|| corrupt("no line break after the metadata"))?;
        let mut info: VersionInfo = json::from_text(info).map_err(corrupt)?;
        if document_hash(document) != info.hash {
            return Err(corrupt("the document does not match its hash"));
        }
        if info.follows {
            let deployed = self.0.document().await?.into_owned();
            info.hash = document_hash(&deployed);
            return Ok(Some((info, deployed)));
        }
        Ok(Some((info, document.to_owned())))
    }

    /// The document of a version; `None` if the store does not show it yet.
    pub(crate) async fn document(&self, info: &VersionInfo) -> Result<Option<String>, HostError> {
        if info.is_deployed() {
            let deployed = self.0.document().await?;
            // An earlier version that followed has the document of its time in the store.
            if info.version == 0 || document_hash(&deployed) == info.hash {
                return Ok(Some(deployed.into_owned()));
            }
        }
        let document = self.0.get(&info.document_key()).await?;
        document.map(to_text).transpose()
    }

    /// The version before another one; `None` before version 0.
    pub(crate) async fn previous(
        &self,
        info: &VersionInfo,
    ) -> Result<Option<VersionInfo>, HostError> {
        match info.version.checked_sub(1) {
            None => Ok(None),
            Some(version) => self.get(version, &info.previous).await.map(Some),
        }
    }

    pub(crate) async fn get(&self, version: u64, nonce: &str) -> Result<VersionInfo, HostError> {
        let found = self.get_if_exists(version, nonce).await?;
        found.ok_or_else(|| corrupt(attempt_key(version, nonce)))
    }

    pub(crate) async fn get_if_exists(
        &self,
        version: u64,
        nonce: &str,
    ) -> Result<Option<VersionInfo>, HostError> {
        if version == 0 {
            return Ok(Some(VersionInfo::deployed(&self.0.document().await?)));
        }
        let bytes = self.0.get(&attempt_key(version, nonce)).await?;
        bytes.map(|bytes| json::from_bytes(&bytes).map_err(corrupt)).transpose()
    }

    /// Returns a version by its number, which is at most that of `head`.
    ///
    /// If a number was attempted more than once, follows the links back from a later version.
    pub(crate) async fn get_by_number(
        &self,
        version: u64,
        head: &VersionInfo,
    ) -> Result<VersionInfo, HostError> {
        let mut from = version;
        let mut found = loop {
            if from >= head.version {
                break head.clone();
            }
            let nonce = if from == 0 { Some(String::new()) } else { self.only_nonce(from).await? };
            if let Some(nonce) = nonce {
                break self.get(from, &nonce).await?;
            }
            from += 1;
        };
        while found.version > version {
            found = self.get(found.version - 1, &found.previous).await?;
        }
        Ok(found)
    }

    /// The nonce of a number that, as far as the store shows, was attempted once.
    async fn only_nonce(&self, version: u64) -> Result<Option<String>, HostError> {
        let prefix = attempts_prefix(version);
        let mut names = self.0.list(&prefix, None).await?.names.into_iter();
        let first = names.next().and_then(|name| Some(name.strip_prefix(&prefix)?.to_owned()));
        Ok(first.filter(|_| names.next().is_none()))
    }

    /// Steps 1 and 2: stores the document and the metadata of an attempt.
    pub(crate) async fn prepare(
        &self,
        info: &VersionInfo,
        document: &str,
    ) -> Result<(), HostError> {
        self.0.put(&info.document_key(), document.as_bytes().to_vec(), None).await?;
        self.0.put(&info.entry_key(), to_line(info), None).await
    }

    /// Step 3: puts a prepared version in force, unless the one before it was replaced meanwhile.
    pub(crate) async fn commit(&self, info: &VersionInfo) -> CommitOutcome {
        let text = String::from_utf8(to_line(info)).expect("JSON is text");
        let (register, after) = (REGISTER_NAME.to_owned(), info.version - 1);
        let operation = Operation::Exchange { register, after, text };
        for _ in 0..COMMIT_TRIES {
            // A repeated exchange changes nothing and returns the current value.
            let Ok(Register { text, .. }) = call_register(self.0, REGISTER_NAME, &operation).await
            else {
                continue;
            };
            let Ok(now) = json::from_text::<VersionInfo>(&text) else { continue };
            return self.resolve_outcome(info, now).await.unwrap_or(CommitOutcome::Unknown);
        }
        CommitOutcome::Unknown
    }

    /// Determines whether an attempt was committed. If the reply was lost, it may have been committed
    /// and replaced since.
    async fn resolve_outcome(
        &self,
        info: &VersionInfo,
        now: VersionInfo,
    ) -> Result<CommitOutcome, HostError> {
        let mut same = now.clone();
        while same.version > info.version {
            same = self.get(same.version - 1, &same.previous).await?;
        }
        if same == *info {
            return Ok(CommitOutcome::Committed);
        }
        // The attempt lost. If this delete fails, the entry does no harm.
        let _ = self.0.delete(&info.entry_key()).await;
        Ok(CommitOutcome::Conflict(now))
    }

    /// Step 4: writes the copy that isolates poll. A slow writer that has overwritten a newer version
    /// writes that one again.
    async fn write_current(&self, info: &VersionInfo, document: &str) -> Result<(), HostError> {
        let (mut info, mut document) = (info.clone(), document.to_owned());
        loop {
            let mut value = to_line(&info);
            value.push(b'\n');
            value.extend_from_slice(document.as_bytes());
            self.0.put(CURRENT_KEY, value, None).await?;
            let head = self.head().await?;
            if head.version <= info.version {
                return Ok(());
            }
            let Some(newer) = self.document(&head).await? else {
                return Err(corrupt("the document of the newest version is missing"));
            };
            (info, document) = (head, newer);
        }
    }

    /// Step 4, retried in the background if the store fails.
    pub(crate) async fn publish(&self, info: &VersionInfo, document: &str) {
        if self.write_current(info, document).await.is_ok() {
            return;
        }
        let (task_host, info, document) = (self.0.clone(), info.clone(), document.to_owned());
        self.0.defer(async move {
            for attempt in 0..PUBLISH_TRIES {
                task_host.sleep(PUBLISH_BACKOFF * (1 << attempt)).await;
                if VersionStore(&task_host).write_current(&info, &document).await.is_ok() {
                    return;
                }
            }
            task_host.warn(
                "The configuration was changed, but the copy that isolates poll could not be written: the store is unavailable.",
            );
        });
    }
}

/// Serializes a version's metadata in one line.
fn to_line(info: &VersionInfo) -> Vec<u8> {
    serde_json::to_vec(info).expect("all members are plain")
}

fn to_text(bytes: Bytes) -> Result<String, HostError> {
    String::from_utf8(bytes.to_vec()).map_err(corrupt)
}

fn corrupt(reason: impl std::fmt::Display) -> HostError {
    HostError::new(format!("corrupt configuration version: {reason}"))
}

#[cfg(test)]
mod tests {
    use crate::live_config::VersionInfo;
    use crate::testing::fake_host::{FakeHost, block_on};

    use super::{CommitOutcome, VersionStore};

    fn info(version: u64, nonce: &str, previous: &str) -> VersionInfo {
        let (nonce, previous) = (nonce.to_owned(), previous.to_owned());
        VersionInfo { version, nonce, previous, ..VersionInfo::deployed(&format!("{version}")) }
    }

    fn attempt(fake_host: &FakeHost, info: &VersionInfo) -> CommitOutcome {
        block_on(VersionStore(fake_host).prepare(info, &info.version.to_string()))
            .expect("the store is there");
        block_on(VersionStore(fake_host).commit(info))
    }

    #[test]
    fn attempt_after_conflict_is_no_version() {
        let fake_host = FakeHost::new();
        assert!(matches!(attempt(&fake_host, &info(1, "a", "")), CommitOutcome::Committed));
        let CommitOutcome::Conflict(winner) = attempt(&fake_host, &info(1, "b", "")) else {
            panic!("the first attempt won")
        };
        assert_eq!(winner, info(1, "a", ""));
        assert!(!fake_host.entries().contains_key(&info(1, "b", "").entry_key()));
        // The attempt of an isolate that crashed stays, and is skipped.
        block_on(VersionStore(&fake_host).prepare(&info(1, "0", ""), "1"))
            .expect("the store is there");
        assert!(matches!(attempt(&fake_host, &info(2, "c", "a")), CommitOutcome::Committed));
        assert!(matches!(attempt(&fake_host, &info(3, "d", "c")), CommitOutcome::Committed));
        let head = block_on(VersionStore(&fake_host).head()).expect("the ledger is there");
        for (version, expected) in [(3, "d"), (2, "c"), (1, "a"), (0, "")] {
            let found = block_on(VersionStore(&fake_host).get_by_number(version, &head))
                .expect("it is there");
            assert_eq!((found.version, found.nonce.as_str()), (version, expected));
        }
    }

    #[test]
    fn repeated_commit_of_replaced_version_is_committed() {
        let fake_host = FakeHost::new();
        let first = info(1, "a", "");
        assert!(matches!(attempt(&fake_host, &first), CommitOutcome::Committed));
        assert!(matches!(attempt(&fake_host, &info(2, "b", "a")), CommitOutcome::Committed));
        // The reply was lost, and another version followed.
        assert!(matches!(
            block_on(VersionStore(&fake_host).commit(&first)),
            CommitOutcome::Committed
        ));
        assert!(
            fake_host.entries().contains_key(&first.entry_key()),
            "the entry is part of the history"
        );
        let late = block_on(VersionStore(&fake_host).commit(&info(1, "z", "")));
        assert!(matches!(late, CommitOutcome::Conflict(now) if now.version == 2));
    }

    #[test]
    fn slow_publish_of_older_version_keeps_newer_version() {
        let fake_host = FakeHost::new();
        let (first, second) = (info(1, "a", ""), info(2, "b", "a"));
        attempt(&fake_host, &first);
        attempt(&fake_host, &second);
        block_on(VersionStore(&fake_host).publish(&second, "2"));
        block_on(VersionStore(&fake_host).publish(&first, "1"));
        let shown = block_on(VersionStore(&fake_host).current()).expect("the store is there");
        assert_eq!(shown, Some((second, "2".to_owned())));
    }

    #[test]
    fn current_copy_with_wrong_hash_is_an_error() {
        let fake_host = FakeHost::new();
        let first = info(1, "a", "");
        attempt(&fake_host, &first);
        block_on(VersionStore(&fake_host).publish(&first, "something else"));
        assert!(block_on(VersionStore(&fake_host).current()).is_err());
    }
}

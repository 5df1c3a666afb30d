//! Versions as they are kept: the order of the steps in which one comes to be, and what finds them.
//!
//! 1. `config/document/<hash>`: the document, for ever. Nobody is led to it yet.
//! 2. `config/version/<number, counting down>-<nonce>`: the stamp, for ever. Nobody is led to it yet.
//! 3. The register `config` of the ledger: this is the change. Who was second is told so.
//! 4. `config/current`: stamp and document, which every isolate follows.
//!
//! A crash before the third step has changed nothing; after it, whoever looks at the register next does
//! the fourth. Each stamp names the attempt before it, so that one which lost is not taken for a
//! version, and a history is read without a listing.

use std::time::Duration;

use bytes::Bytes;
use ledger::{BookId, LedgerReply, Operation, Register};

use crate::host::Host;
use crate::host::error::HostError;
use crate::limits::ledger_client;

use super::version::{VersionInfo, attempt_key, attempts_prefix, document_hash};

/// The place and the name of the register.
const REGISTER_NAME: &str = "config";
/// What every isolate follows.
const CURRENT_KEY: &str = "config/current";
/// How often the ledger is asked again whether something was written.
const COMMIT_TRIES: u32 = 3;
/// How often the copy that isolates follow is written where it does not succeed, off anybody's path,
/// and the wait before; it doubles. Workers KV takes one write of a name in a second.
const PUBLISH_TRIES: u32 = 5;
const PUBLISH_BACKOFF: Duration = Duration::from_millis(1_500);

/// The versions of one gateway, wherever its isolates are.
#[derive(Debug)]
pub(crate) struct VersionStore<'a, P>(pub(crate) &'a P);

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum CommitOutcome {
    /// It is in force.
    Committed,
    /// Somebody else was first, with this version.
    Conflict(VersionInfo),
    /// Nobody can say: the ledger did not answer.
    Unknown,
}

impl<P: Host> VersionStore<'_, P> {
    /// The version in force, by the ledger, which is never behind.
    pub(crate) async fn head(&self) -> Result<VersionInfo, HostError> {
        let register = self
            .call_register(&Operation::ReadRegister { register: REGISTER_NAME.to_owned() })
            .await?;
        if register.number == 0 {
            return Ok(VersionInfo::deployed(&self.0.document().await?));
        }
        json::from_text(&register.text).map_err(corrupt)
    }

    /// What isolates follow: `None` where no document was ever put. It may be behind.
    pub(crate) async fn current(&self) -> Result<Option<(VersionInfo, String)>, HostError> {
        let Some(bytes) = self.0.get(CURRENT_KEY).await? else { return Ok(None) };
        let text = str::from_utf8(&bytes).map_err(corrupt)?;
        let (stamp, document) = text.split_once('\n').ok_or_else(|| corrupt("no end of line"))?;
        let version: VersionInfo = json::from_text(stamp).map_err(corrupt)?;
        if document_hash(document) != version.hash {
            return Err(corrupt("another document than its stamp says"));
        }
        Ok(Some((version, document.to_owned())))
    }

    /// The document of a version; `None` where the store does not show it yet.
    pub(crate) async fn document(
        &self,
        version: &VersionInfo,
    ) -> Result<Option<String>, HostError> {
        if version.version == 0 {
            return Ok(Some(self.0.document().await?.into_owned()));
        }
        let document = self.0.get(&version.document_key()).await?;
        document.map(to_text).transpose()
    }

    /// The version before another one; `None` before the first of all.
    pub(crate) async fn previous(
        &self,
        version_info: &VersionInfo,
    ) -> Result<Option<VersionInfo>, HostError> {
        match version_info.version.checked_sub(1) {
            None => Ok(None),
            Some(version) => self.get(version, &version_info.previous).await.map(Some),
        }
    }

    /// A version by its number and nonce.
    pub(crate) async fn get(&self, version: u64, nonce: &str) -> Result<VersionInfo, HostError> {
        let found = self.get_if_exists(version, nonce).await?;
        found.ok_or_else(|| corrupt(attempt_key(version, nonce)))
    }

    /// A version by its number and nonce, if there is one.
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

    /// A version by its number, at most that of `head`.
    ///
    /// Where a number was attempted more than once, the way leads back from a later version.
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

    /// The nonce of a number that was attempted once, as far as the store shows.
    async fn only_nonce(&self, version: u64) -> Result<Option<String>, HostError> {
        let prefix = attempts_prefix(version);
        let mut names = self.0.list(&prefix, None).await?.names.into_iter();
        let first = names.next().and_then(|name| Some(name.strip_prefix(&prefix)?.to_owned()));
        Ok(first.filter(|_| names.next().is_none()))
    }

    /// Writes down what a version will be. It is none yet.
    pub(crate) async fn prepare(
        &self,
        version: &VersionInfo,
        document: &str,
    ) -> Result<(), HostError> {
        self.0.put(&version.document_key(), document.as_bytes().to_vec(), None).await?;
        self.0.put(&version.entry_key(), to_line(version), None).await
    }

    /// Puts a prepared version in force, unless the one before it is not in force any more.
    pub(crate) async fn commit(&self, version: &VersionInfo) -> CommitOutcome {
        let text = String::from_utf8(to_line(version)).expect("JSON is text");
        let (register, after) = (REGISTER_NAME.to_owned(), version.version - 1);
        let operation = Operation::Exchange { register, after, text };
        for _ in 0..COMMIT_TRIES {
            // Said again it does nothing, and tells all the same what stands there.
            let Ok(Register { text, .. }) = self.call_register(&operation).await else { continue };
            let Ok(now) = json::from_text::<VersionInfo>(&text) else { continue };
            return self.resolve_outcome(version, now).await.unwrap_or(CommitOutcome::Unknown);
        }
        CommitOutcome::Unknown
    }

    /// Whether an attempt was the one that counted. It may have been, and not be in force any more,
    /// where the answer to it was lost.
    async fn resolve_outcome(
        &self,
        version: &VersionInfo,
        now: VersionInfo,
    ) -> Result<CommitOutcome, HostError> {
        let mut same = now.clone();
        while same.version > version.version {
            same = self.get(same.version - 1, &same.previous).await?;
        }
        if same == *version {
            return Ok(CommitOutcome::Committed);
        }
        // It was one attempt too many. Whoever finds it all the same is not misled.
        let _ = self.0.delete(&version.entry_key()).await;
        Ok(CommitOutcome::Conflict(now))
    }

    /// Shows a version in force to those who follow. Whoever was slow, and so has hidden a newer one,
    /// puts that right.
    async fn write_current(&self, version: &VersionInfo, document: &str) -> Result<(), HostError> {
        let (mut version, mut document) = (version.clone(), document.to_owned());
        loop {
            let mut value = to_line(&version);
            value.push(b'\n');
            value.extend_from_slice(document.as_bytes());
            self.0.put(CURRENT_KEY, value, None).await?;
            let head = self.head().await?;
            if head.version <= version.version {
                return Ok(());
            }
            let Some(newer) = self.document(&head).await? else { return Err(corrupt("hidden")) };
            (version, document) = (head, newer);
        }
    }

    /// Shows a version in force to those who follow, later where the store does not take it now.
    pub(crate) async fn publish(&self, version: &VersionInfo, document: &str) {
        if self.write_current(version, document).await.is_ok() {
            return;
        }
        let (task_host, version, document) = (self.0.clone(), version.clone(), document.to_owned());
        self.0.defer(async move {
            for attempt in 0..PUBLISH_TRIES {
                task_host.sleep(PUBLISH_BACKOFF * (1 << attempt)).await;
                if VersionStore(&task_host).write_current(&version, &document).await.is_ok() {
                    return;
                }
            }
            task_host.warn(
                "The configuration was changed, but the store did not take it for the others.",
            );
        });
    }

    async fn call_register(&self, operation: &Operation) -> Result<Register, HostError> {
        match ledger_client::call(self.0, &BookId::new(REGISTER_NAME.to_owned()), operation).await?
        {
            LedgerReply::Register(register) => Ok(register),
            LedgerReply::Granted(_)
            | LedgerReply::Denied(_)
            | LedgerReply::Done
            | LedgerReply::Balances(_)
            | LedgerReply::Usage(_) => Err(HostError::new("the ledger spoke of something else")),
        }
    }
}

/// A stamp in one line.
fn to_line(version: &VersionInfo) -> Vec<u8> {
    serde_json::to_vec(version).expect("a stamp has only plain members")
}

fn to_text(bytes: Bytes) -> Result<String, HostError> {
    String::from_utf8(bytes.to_vec()).map_err(corrupt)
}

fn corrupt(reason: impl std::fmt::Display) -> HostError {
    HostError::new(format!("a version of the configuration is not what it was: {reason}"))
}

#[cfg(test)]
mod tests {
    use crate::live_config::VersionInfo;
    use crate::testing::fake_host::{FakeHost, block_on};

    use super::{CommitOutcome, VersionStore};

    fn stamp(version: u64, nonce: &str, previous: &str) -> VersionInfo {
        let (nonce, previous) = (nonce.to_owned(), previous.to_owned());
        VersionInfo { version, nonce, previous, ..VersionInfo::deployed(&format!("{version}")) }
    }

    fn attempt(fake_host: &FakeHost, version: &VersionInfo) -> CommitOutcome {
        block_on(VersionStore(fake_host).prepare(version, &version.version.to_string()))
            .expect("the store is there");
        block_on(VersionStore(fake_host).commit(version))
    }

    #[test]
    fn an_attempt_that_lost_is_no_version() {
        let fake_host = FakeHost::new();
        assert!(matches!(attempt(&fake_host, &stamp(1, "a", "")), CommitOutcome::Committed));
        let CommitOutcome::Conflict(winner) = attempt(&fake_host, &stamp(1, "b", "")) else {
            panic!("somebody was first")
        };
        assert_eq!(winner, stamp(1, "a", ""));
        assert!(!fake_host.entries().contains_key(&stamp(1, "b", "").entry_key()));
        // One whose isolate died stays, and is passed over.
        block_on(VersionStore(&fake_host).prepare(&stamp(1, "0", ""), "1"))
            .expect("the store is there");
        assert!(matches!(attempt(&fake_host, &stamp(2, "c", "a")), CommitOutcome::Committed));
        assert!(matches!(attempt(&fake_host, &stamp(3, "d", "c")), CommitOutcome::Committed));
        let head = block_on(VersionStore(&fake_host).head()).expect("the ledger is there");
        for (version, expected) in [(3, "d"), (2, "c"), (1, "a"), (0, "")] {
            let found = block_on(VersionStore(&fake_host).get_by_number(version, &head))
                .expect("it is there");
            assert_eq!((found.version, found.nonce.as_str()), (version, expected));
        }
    }

    #[test]
    fn who_was_first_is_told_so_later_too() {
        let fake_host = FakeHost::new();
        let first = stamp(1, "a", "");
        assert!(matches!(attempt(&fake_host, &first), CommitOutcome::Committed));
        assert!(matches!(attempt(&fake_host, &stamp(2, "b", "a")), CommitOutcome::Committed));
        // The answer was lost, and meanwhile there was another version.
        assert!(matches!(
            block_on(VersionStore(&fake_host).commit(&first)),
            CommitOutcome::Committed
        ));
        assert!(
            fake_host.entries().contains_key(&first.entry_key()),
            "it is a part of the history"
        );
        let late = block_on(VersionStore(&fake_host).commit(&stamp(1, "z", "")));
        assert!(matches!(late, CommitOutcome::Conflict(now) if now.version == 2));
    }

    #[test]
    fn who_was_slow_does_not_hide_a_newer_version() {
        let fake_host = FakeHost::new();
        let (first, second) = (stamp(1, "a", ""), stamp(2, "b", "a"));
        attempt(&fake_host, &first);
        attempt(&fake_host, &second);
        block_on(VersionStore(&fake_host).publish(&second, "2"));
        block_on(VersionStore(&fake_host).publish(&first, "1"));
        let shown = block_on(VersionStore(&fake_host).current()).expect("the store is there");
        assert_eq!(shown, Some((second, "2".to_owned())));
    }

    #[test]
    fn a_copy_that_is_not_whole_is_not_followed() {
        let fake_host = FakeHost::new();
        let first = stamp(1, "a", "");
        attempt(&fake_host, &first);
        block_on(VersionStore(&fake_host).publish(&first, "something else"));
        assert!(block_on(VersionStore(&fake_host).current()).is_err());
    }
}

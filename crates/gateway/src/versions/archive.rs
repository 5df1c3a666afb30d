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

use crate::json;
use crate::ledger::{Operation, Place, Register, Reply};
use crate::outage::Outage;
use crate::platform::Platform;
use crate::rooms::notary;

use super::stamp::{Stamp, entries, entry, hash};

/// The place and the name of the register.
const REGISTER: &str = "config";
/// What every isolate follows.
const CURRENT: &str = "config/current";
/// How often the ledger is asked again whether something was written.
const TRIES: u32 = 3;
/// How often the copy that isolates follow is written where it does not succeed, off anybody's path,
/// and the wait before; it doubles. Workers KV takes one write of a name in a second.
const LATER_TRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(1_500);

/// The versions of one gateway, wherever its isolates are.
#[derive(Debug)]
pub(crate) struct Archive<'a, P>(pub(crate) &'a P);

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Committed {
    /// It is in force.
    Done,
    /// Somebody else was first, with this version.
    Beaten(Stamp),
    /// Nobody can say: the ledger did not answer.
    Unknown,
}

impl<P: Platform> Archive<'_, P> {
    /// The version in force, by the ledger, which is never behind.
    pub(crate) async fn head(&self) -> Result<Stamp, Outage> {
        let register = self.ask(&Operation::Look { register: REGISTER.to_owned() }).await?;
        if register.number == 0 {
            return Ok(Stamp::of_deployed(&self.0.document().await?));
        }
        json::from_text(&register.text).map_err(broken)
    }

    /// What isolates follow: `None` where no document was ever put. It may be behind.
    pub(crate) async fn current(&self) -> Result<Option<(Stamp, String)>, Outage> {
        let Some(bytes) = self.0.get(CURRENT).await? else { return Ok(None) };
        let text = str::from_utf8(&bytes).map_err(broken)?;
        let (stamp, document) = text.split_once('\n').ok_or_else(|| broken("no end of line"))?;
        let stamp: Stamp = json::from_text(stamp).map_err(broken)?;
        if hash(document) != stamp.hash {
            return Err(broken("another document than its stamp says"));
        }
        Ok(Some((stamp, document.to_owned())))
    }

    /// The document of a version; `None` where the store does not show it yet.
    pub(crate) async fn document(&self, stamp: &Stamp) -> Result<Option<String>, Outage> {
        if stamp.version == 0 {
            return Ok(Some(self.0.document().await?.into_owned()));
        }
        let document = self.0.get(&stamp.document()).await?;
        document.map(text).transpose()
    }

    /// The version before another one; `None` before the first of all.
    pub(crate) async fn before(&self, stamp: &Stamp) -> Result<Option<Stamp>, Outage> {
        match stamp.version.checked_sub(1) {
            None => Ok(None),
            Some(version) => self.read(version, &stamp.previous).await.map(Some),
        }
    }

    /// A version by its number and nonce.
    pub(crate) async fn read(&self, version: u64, nonce: &str) -> Result<Stamp, Outage> {
        let found = self.look(version, nonce).await?;
        found.ok_or_else(|| broken(entry(version, nonce)))
    }

    /// A version by its number and nonce, if there is one.
    pub(crate) async fn look(&self, version: u64, nonce: &str) -> Result<Option<Stamp>, Outage> {
        if version == 0 {
            return Ok(Some(Stamp::of_deployed(&self.0.document().await?)));
        }
        let bytes = self.0.get(&entry(version, nonce)).await?;
        bytes.map(|bytes| json::from_bytes(&bytes).map_err(broken)).transpose()
    }

    /// A version by its number, at most that of `head`.
    ///
    /// Where a number was attempted more than once, the way leads back from a later version.
    pub(crate) async fn find(&self, version: u64, head: &Stamp) -> Result<Stamp, Outage> {
        let mut from = version;
        let mut found = loop {
            if from >= head.version {
                break head.clone();
            }
            let nonce = if from == 0 { Some(String::new()) } else { self.only(from).await? };
            if let Some(nonce) = nonce {
                break self.read(from, &nonce).await?;
            }
            from += 1;
        };
        while found.version > version {
            found = self.read(found.version - 1, &found.previous).await?;
        }
        Ok(found)
    }

    /// The nonce of a number that was attempted once, as far as the store shows.
    async fn only(&self, version: u64) -> Result<Option<String>, Outage> {
        let prefix = entries(version);
        let mut names = self.0.list(&prefix, None).await?.names.into_iter();
        let first = names.next().and_then(|name| Some(name.strip_prefix(&prefix)?.to_owned()));
        Ok(first.filter(|_| names.next().is_none()))
    }

    /// Writes down what a version will be. It is none yet.
    pub(crate) async fn prepare(&self, stamp: &Stamp, document: &str) -> Result<(), Outage> {
        self.0.put(&stamp.document(), document.as_bytes().to_vec(), None).await?;
        self.0.put(&stamp.entry(), line(stamp), None).await
    }

    /// Puts a prepared version in force, unless the one before it is not in force any more.
    pub(crate) async fn commit(&self, stamp: &Stamp) -> Committed {
        let text = String::from_utf8(line(stamp)).expect("JSON is text");
        let (register, after) = (REGISTER.to_owned(), stamp.version - 1);
        let operation = Operation::Exchange { register, after, text };
        for _ in 0..TRIES {
            // Said again it does nothing, and tells all the same what stands there.
            let Ok(Register { text, .. }) = self.ask(&operation).await else { continue };
            let Ok(now) = json::from_text::<Stamp>(&text) else { continue };
            return self.judge(stamp, now).await.unwrap_or(Committed::Unknown);
        }
        Committed::Unknown
    }

    /// Whether an attempt was the one that counted. It may have been, and not be in force any more,
    /// where the answer to it was lost.
    async fn judge(&self, stamp: &Stamp, now: Stamp) -> Result<Committed, Outage> {
        let mut same = now.clone();
        while same.version > stamp.version {
            same = self.read(same.version - 1, &same.previous).await?;
        }
        if same == *stamp {
            return Ok(Committed::Done);
        }
        // It was one attempt too many. Whoever finds it all the same is not misled.
        let _ = self.0.delete(&stamp.entry()).await;
        Ok(Committed::Beaten(now))
    }

    /// Shows a version in force to those who follow. Whoever was slow, and so has hidden a newer one,
    /// puts that right.
    async fn show(&self, stamp: &Stamp, document: &str) -> Result<(), Outage> {
        let (mut stamp, mut document) = (stamp.clone(), document.to_owned());
        loop {
            let mut value = line(&stamp);
            value.push(b'\n');
            value.extend_from_slice(document.as_bytes());
            self.0.put(CURRENT, value, None).await?;
            let head = self.head().await?;
            if head.version <= stamp.version {
                return Ok(());
            }
            let Some(newer) = self.document(&head).await? else { return Err(broken("hidden")) };
            (stamp, document) = (head, newer);
        }
    }

    /// Shows a version in force to those who follow, later where the store does not take it now.
    pub(crate) async fn publish(&self, stamp: &Stamp, document: &str) {
        if self.show(stamp, document).await.is_ok() {
            return;
        }
        let (host, stamp, document) = (self.0.clone(), stamp.clone(), document.to_owned());
        self.0.defer(async move {
            for attempt in 0..LATER_TRIES {
                host.sleep(BACKOFF * (1 << attempt)).await;
                if Archive(&host).show(&stamp, &document).await.is_ok() {
                    return;
                }
            }
            host.warn(
                "The configuration was changed, but the store did not take it for the others.",
            );
        });
    }

    async fn ask(&self, operation: &Operation) -> Result<Register, Outage> {
        match notary::ask(self.0, &Place::new(REGISTER.to_owned()), operation).await? {
            Reply::Register(register) => Ok(register),
            Reply::Granted(_)
            | Reply::Refused(_)
            | Reply::Done
            | Reply::Levels(_)
            | Reply::Tallies(_) => Err(Outage::new("the ledger spoke of something else")),
        }
    }
}

/// A stamp in one line.
fn line(stamp: &Stamp) -> Vec<u8> {
    serde_json::to_vec(stamp).expect("a stamp has only plain members")
}

fn text(bytes: Bytes) -> Result<String, Outage> {
    String::from_utf8(bytes.to_vec()).map_err(broken)
}

fn broken(reason: impl std::fmt::Display) -> Outage {
    Outage::new(format!("a version of the configuration is not what it was: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::{Archive, Committed};
    use crate::keys::fake::{Fake, run};
    use crate::versions::Stamp;

    fn stamp(version: u64, nonce: &str, previous: &str) -> Stamp {
        let (nonce, previous) = (nonce.to_owned(), previous.to_owned());
        Stamp { version, nonce, previous, ..Stamp::of_deployed(&format!("{version}")) }
    }

    fn attempt(fake: &Fake, stamp: &Stamp) -> Committed {
        run(Archive(fake).prepare(stamp, &stamp.version.to_string())).expect("the store is there");
        run(Archive(fake).commit(stamp))
    }

    #[test]
    fn an_attempt_that_lost_is_no_version() {
        let fake = Fake::new();
        assert!(matches!(attempt(&fake, &stamp(1, "a", "")), Committed::Done));
        let Committed::Beaten(winner) = attempt(&fake, &stamp(1, "b", "")) else {
            panic!("somebody was first")
        };
        assert_eq!(winner, stamp(1, "a", ""));
        assert!(!fake.entries().contains_key(&stamp(1, "b", "").entry()));
        // One whose isolate died stays, and is passed over.
        run(Archive(&fake).prepare(&stamp(1, "0", ""), "1")).expect("the store is there");
        assert!(matches!(attempt(&fake, &stamp(2, "c", "a")), Committed::Done));
        assert!(matches!(attempt(&fake, &stamp(3, "d", "c")), Committed::Done));
        let head = run(Archive(&fake).head()).expect("the ledger is there");
        for (version, expected) in [(3, "d"), (2, "c"), (1, "a"), (0, "")] {
            let found = run(Archive(&fake).find(version, &head)).expect("it is there");
            assert_eq!((found.version, found.nonce.as_str()), (version, expected));
        }
    }

    #[test]
    fn who_was_first_is_told_so_later_too() {
        let fake = Fake::new();
        let first = stamp(1, "a", "");
        assert!(matches!(attempt(&fake, &first), Committed::Done));
        assert!(matches!(attempt(&fake, &stamp(2, "b", "a")), Committed::Done));
        // The answer was lost, and meanwhile there was another version.
        assert!(matches!(run(Archive(&fake).commit(&first)), Committed::Done));
        assert!(fake.entries().contains_key(&first.entry()), "it is a part of the history");
        let late = run(Archive(&fake).commit(&stamp(1, "z", "")));
        assert!(matches!(late, Committed::Beaten(now) if now.version == 2));
    }

    #[test]
    fn who_was_slow_does_not_hide_a_newer_version() {
        let fake = Fake::new();
        let (first, second) = (stamp(1, "a", ""), stamp(2, "b", "a"));
        attempt(&fake, &first);
        attempt(&fake, &second);
        run(Archive(&fake).publish(&second, "2"));
        run(Archive(&fake).publish(&first, "1"));
        let shown = run(Archive(&fake).current()).expect("the store is there");
        assert_eq!(shown, Some((second, "2".to_owned())));
    }

    #[test]
    fn a_copy_that_is_not_whole_is_not_followed() {
        let fake = Fake::new();
        let first = stamp(1, "a", "");
        attempt(&fake, &first);
        run(Archive(&fake).publish(&first, "something else"));
        assert!(run(Archive(&fake).current()).is_err());
    }
}

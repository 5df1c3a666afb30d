//! The store as whoever changes it sees it: what was written here counts at once, however long the
//! host goes on to show what was there before.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json;
use crate::outage::Outage;
use crate::platform::{Clock, Listing, Store};

use super::directory::Directory;
use super::kept::{KeptConsumer, KeyCard, KeyEntry};
use super::pepper::KeyHash;

/// The entries that keys are made of. Whatever is written through it, its directory knows at once.
#[derive(Debug)]
pub struct Shelf<'a, P> {
    platform: &'a P,
    directory: &'a Directory,
}

impl<'a, P: Clock + Store> Shelf<'a, P> {
    /// Opens the store of a host.
    pub fn new(platform: &'a P, directory: &'a Directory) -> Self {
        Self { platform, directory }
    }

    /// What is known of a key.
    pub async fn key(&self, hash: &KeyHash) -> Result<Option<KeyEntry>, Outage> {
        self.read(&KeyEntry::name(hash)).await
    }

    /// Makes a key work, or changes it.
    pub async fn put_key(&self, hash: &KeyHash, entry: &KeyEntry) -> Result<(), Outage> {
        self.write(KeyEntry::name(hash), entry).await?;
        self.directory.forget(hash);
        Ok(())
    }

    /// Ends a key.
    pub async fn delete_key(&self, hash: &KeyHash) -> Result<(), Outage> {
        self.delete(KeyEntry::name(hash)).await?;
        self.directory.forget(hash);
        Ok(())
    }

    /// What an operator sees of a key.
    pub async fn card(&self, consumer: &str, id: &str) -> Result<Option<KeyCard>, Outage> {
        self.read(&KeyCard::name(consumer, id)).await
    }

    /// Shows a key to operators, or what has changed of it.
    pub async fn put_card(&self, consumer: &str, id: &str, card: &KeyCard) -> Result<(), Outage> {
        self.write(KeyCard::name(consumer, id), card).await
    }

    /// Takes a key out of the operators' sight.
    pub async fn delete_card(&self, consumer: &str, id: &str) -> Result<(), Outage> {
        self.delete(KeyCard::name(consumer, id)).await
    }

    /// A consumer that the configuration does not define.
    pub async fn consumer(&self, id: &str) -> Result<Option<KeptConsumer>, Outage> {
        self.read(&KeptConsumer::name(id)).await
    }

    /// Keeps a consumer.
    pub async fn put_consumer(&self, id: &str, consumer: &KeptConsumer) -> Result<(), Outage> {
        self.write(KeptConsumer::name(id), consumer).await?;
        self.directory.forget_consumer(id);
        Ok(())
    }

    /// Forgets a consumer, and with it whatever key it may still have.
    pub async fn delete_consumer(&self, id: &str) -> Result<(), Outage> {
        self.delete(KeptConsumer::name(id)).await?;
        self.directory.forget_consumer(id);
        Ok(())
    }

    /// Names that begin so. One that was deleted here is not among them; one that was written here
    /// may be missing for as long as the host takes.
    pub async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, Outage> {
        let mut listing = self.platform.list(prefix, cursor).await?;
        let now = self.platform.now();
        listing.names.retain(|name| self.directory.written(name, now) != Some(None));
        Ok(listing)
    }

    async fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Outage> {
        let bytes = match self.directory.written(name, self.platform.now()) {
            Some(written) => written,
            None => {
                let read = self.platform.get(name).await;
                // What was written meanwhile counts, even where the host could not be asked.
                match self.directory.written(name, self.platform.now()) {
                    Some(written) => written,
                    None => read?,
                }
            }
        };
        let broken = |error| Outage::new(format!("the entry {name} is not what it was: {error}"));
        bytes.map(|bytes| json::from_bytes(&bytes).map_err(broken)).transpose()
    }

    async fn write(&self, name: String, value: &impl Serialize) -> Result<(), Outage> {
        let value = serde_json::to_vec(value).expect("entries have only plain members");
        self.platform.put(&name, value.clone(), None).await?;
        self.directory.note(name, Some(Bytes::from(value)), self.platform.now());
        Ok(())
    }

    async fn delete(&self, name: String) -> Result<(), Outage> {
        self.platform.delete(&name).await?;
        self.directory.note(name, None, self.platform.now());
        Ok(())
    }
}

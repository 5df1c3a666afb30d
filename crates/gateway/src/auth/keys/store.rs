//! Store of keys and consumers, for writers: changes made here count at once, even while the host
//! still returns older values.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::error::HostError;
use crate::host::{Clock, KvStore, Listing};

use super::hashing::KeyHash;
use super::lookup::KeyCache;
use super::records::{DeletedConsumer, KeyMetadata, StoredConsumer, StoredKey};

/// Store of keys and consumers. Every write updates the key cache.
#[derive(Debug)]
pub(crate) struct KeyStore<'a, P> {
    host: &'a P,
    key_cache: &'a KeyCache,
}

impl<'a, P: Clock + KvStore> KeyStore<'a, P> {
    /// Opens the store of a host.
    pub(crate) fn new(host: &'a P, key_cache: &'a KeyCache) -> Self {
        Self { host, key_cache }
    }

    /// Reads a key's record.
    pub(crate) async fn get_key(&self, hash: &KeyHash) -> Result<Option<StoredKey>, HostError> {
        self.get_json(&StoredKey::storage_key(hash)).await
    }

    /// Writes a key's record: the key works afterwards.
    pub(crate) async fn put_key(&self, hash: &KeyHash, entry: &StoredKey) -> Result<(), HostError> {
        self.put_json(StoredKey::storage_key(hash), entry).await?;
        self.key_cache.invalidate(hash);
        Ok(())
    }

    /// Deletes a key's record: the key does not work afterwards.
    pub(crate) async fn delete_key(&self, hash: &KeyHash) -> Result<(), HostError> {
        self.delete(StoredKey::storage_key(hash)).await?;
        self.key_cache.invalidate(hash);
        Ok(())
    }

    /// Reads a key's metadata.
    pub(crate) async fn get_metadata(
        &self,
        consumer: &str,
        id: &str,
    ) -> Result<Option<KeyMetadata>, HostError> {
        self.get_json(&KeyMetadata::storage_key(consumer, id)).await
    }

    /// Writes a key's metadata.
    pub(crate) async fn put_metadata(
        &self,
        consumer: &str,
        id: &str,
        metadata: &KeyMetadata,
    ) -> Result<(), HostError> {
        self.put_json(KeyMetadata::storage_key(consumer, id), metadata).await
    }

    /// Deletes a key's metadata.
    pub(crate) async fn delete_metadata(&self, consumer: &str, id: &str) -> Result<(), HostError> {
        self.delete(KeyMetadata::storage_key(consumer, id)).await
    }

    /// Reads a consumer of the admin API.
    pub(crate) async fn get_consumer(&self, id: &str) -> Result<Option<StoredConsumer>, HostError> {
        self.get_json(&StoredConsumer::storage_key(id)).await
    }

    /// Writes a consumer.
    pub(crate) async fn put_consumer(
        &self,
        id: &str,
        consumer: &StoredConsumer,
    ) -> Result<(), HostError> {
        self.put_json(StoredConsumer::storage_key(id), consumer).await?;
        self.key_cache.invalidate_consumer(id);
        Ok(())
    }

    /// Deletes a consumer and invalidates its cached keys.
    pub(crate) async fn delete_consumer(&self, id: &str) -> Result<(), HostError> {
        self.delete(StoredConsumer::storage_key(id)).await?;
        self.key_cache.invalidate_consumer(id);
        Ok(())
    }

    /// Records that a consumer was deleted: tokens that name it are refused until it exists again.
    pub(crate) async fn put_deleted(&self, id: &str) -> Result<(), HostError> {
        let deleted = DeletedConsumer { deleted: self.host.now() };
        self.put_json(DeletedConsumer::storage_key(id), &deleted).await
    }

    /// Whether a consumer of this name was deleted.
    pub(crate) async fn is_deleted(&self, id: &str) -> Result<bool, HostError> {
        let found: Option<DeletedConsumer> =
            self.get_json(&DeletedConsumer::storage_key(id)).await?;
        Ok(found.is_some())
    }

    /// Lists names with a prefix. Names deleted here are left out; names written here may be
    /// missing until the host shows them.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<Listing, HostError> {
        let mut listing = self.host.list(prefix, cursor).await?;
        let now = self.host.now();
        listing.names.retain(|name| self.key_cache.recent_write(name, now) != Some(None));
        Ok(listing)
    }

    async fn get_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, HostError> {
        let bytes = match self.key_cache.recent_write(name, self.host.now()) {
            Some(written) => written,
            None => {
                let read = self.host.get(name).await;
                // A value written meanwhile counts, even if the read failed.
                match self.key_cache.recent_write(name, self.host.now()) {
                    Some(written) => written,
                    None => read?,
                }
            }
        };
        let broken = |error| HostError::new(format!("stored entry {name} is corrupt: {error}"));
        bytes.map(|bytes| json::from_bytes(&bytes).map_err(broken)).transpose()
    }

    async fn put_json(&self, name: String, value: &impl Serialize) -> Result<(), HostError> {
        let value = serde_json::to_vec(value).expect("entries have only plain members");
        self.host.put(&name, value.clone(), None).await?;
        self.key_cache.record_write(name, Some(Bytes::from(value)), self.host.now());
        Ok(())
    }

    async fn delete(&self, name: String) -> Result<(), HostError> {
        self.host.delete(&name).await?;
        self.key_cache.record_write(name, None, self.host.now());
        Ok(())
    }
}

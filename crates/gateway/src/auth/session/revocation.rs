//! Revoked sessions: `session/revoked/<id>` of one, `session/epoch/<operator>` of all before a time.
//!
//! A result is remembered for [`FRESH_FOR`], as for keys. So a session that was revoked elsewhere ends
//! after this time plus the age of the host's cache.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use json::percent::{self, UNRESERVED};

use crate::fifo_cache::FifoCache;
use crate::host::error::HostError;
use crate::host::recent_writes::{RecentWrites, StoreUnavailable};
use crate::host::{Clock, KvStore, futures};

use super::signed::Session;

/// Time for which a result is used again.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// Maximum age of a result while the store is unavailable.
const STALE_FOR: Duration = Duration::from_secs(5 * 60);

const MAX_SESSIONS: usize = 256;

/// This isolate's knowledge about sessions.
#[derive(Debug)]
pub(crate) struct SessionCache(RefCell<FifoCache<String, SessionState>>);

#[derive(Clone, Copy, Debug)]
struct SessionState {
    is_revoked: bool,
    read_at: Timestamp,
}

impl Default for SessionCache {
    fn default() -> Self {
        Self(RefCell::new(FifoCache::new(MAX_SESSIONS)))
    }
}

impl SessionCache {
    /// Whether a session was revoked. Reads the store twice if the answer is not remembered.
    pub(crate) async fn is_revoked(
        &self,
        host: &(impl Clock + KvStore),
        recent_writes: &RecentWrites,
        session: &Session,
    ) -> Result<bool, StoreUnavailable> {
        let known = self.0.borrow_mut().get_mut(&session.id).copied();
        let is_younger = |state: &SessionState, limit: Duration| {
            // A result must not last longer because the clock went back.
            let now = host.now();
            state.read_at <= now && now.since(state.read_at) < limit
        };
        if let Some(state) = known.filter(|it| it.is_revoked || is_younger(it, FRESH_FOR)) {
            return Ok(state.is_revoked);
        }
        let names = [revoked_key(&session.id), epoch_key(&session.operator)];
        let read_at = host.now();
        let reads = names.iter().map(|name| recent_writes.get(host, name)).collect();
        let reads: Result<Vec<Option<Bytes>>, StoreUnavailable> =
            futures::join_all(reads).await.into_iter().collect();
        let Ok(read) = reads else {
            let state = known.filter(|it| is_younger(it, STALE_FOR));
            return state.map(|it| it.is_revoked).ok_or(StoreUnavailable);
        };
        let [revoked, epoch] = read.as_slice() else { return Err(StoreUnavailable) };
        let epoch = epoch.as_ref().and_then(|text| str::from_utf8(text).ok()?.parse().ok());
        let ended = epoch.is_some_and(|epoch| session.issued <= Timestamp::from_millis(epoch));
        let is_revoked = revoked.is_some() || ended;
        self.0.borrow_mut().insert(session.id.clone(), SessionState { is_revoked, read_at });
        Ok(is_revoked)
    }

    /// Revokes one session, which would last at most `total` longer.
    pub(crate) async fn revoke(
        &self,
        host: &(impl Clock + KvStore),
        recent_writes: &RecentWrites,
        id: &str,
        total: Duration,
    ) -> Result<(), HostError> {
        let value = b"1".to_vec();
        host.put(&revoked_key(id), value.clone(), Some(total)).await?;
        recent_writes.record_write(revoked_key(id), Some(Bytes::from(value)), host.now());
        let state = SessionState { is_revoked: true, read_at: host.now() };
        self.0.borrow_mut().insert(id.to_owned(), state);
        Ok(())
    }

    /// Revokes every session of an operator that was opened until now.
    pub(crate) async fn revoke_all(
        &self,
        host: &(impl Clock + KvStore),
        recent_writes: &RecentWrites,
        operator: &str,
        total: Duration,
    ) -> Result<(), HostError> {
        let (name, now) = (epoch_key(operator), host.now());
        let value = now.as_millis().to_string().into_bytes();
        host.put(&name, value.clone(), Some(total)).await?;
        recent_writes.record_write(name, Some(Bytes::from(value)), now);
        // Sessions do not name their operator here.
        self.0.borrow_mut().retain(|state| state.is_revoked);
        Ok(())
    }
}

fn revoked_key(id: &str) -> String {
    format!("session/revoked/{id}")
}

fn epoch_key(operator: &str) -> String {
    let mut name = "session/epoch/".to_owned();
    percent::encode(operator, &UNRESERVED, &mut name);
    name
}

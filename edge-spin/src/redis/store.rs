//! `KvStore` in Redis.
//!
//! An index, a sorted set, holds the names of all values, so that a page of a listing reads only its own
//! names. It may list names of expired values until they are read.

use std::time::Duration;

use bytes::Bytes;
use gateway::host::Listing;
use gateway::host::error::HostError;
use spin_sdk::redis::{RedisParameter, RedisResult};

use super::connection::{RedisPlace, text};
use crate::store::{MIN_TTL, PAGE_SIZE};

/// Stores a value and its name. KEYS: the value, the index. ARGV: the value, its time to live in
/// milliseconds (0: for ever), the name.
const PUT: &str = "\
if ARGV[2] == '0' then redis.call('SET', KEYS[1], ARGV[1]) \
else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end \
redis.call('ZADD', KEYS[2], 0, ARGV[3]) return 1";

/// Reads a value, and removes its name from the index if it has expired. KEYS: the value, the index.
/// ARGV: the name.
const GET: &str = "\
local value = redis.call('GET', KEYS[1]) \
if not value then redis.call('ZREM', KEYS[2], ARGV[1]) end \
return value";

/// Deletes a value and its name. KEYS: the value, the index. ARGV: the name.
const DELETE: &str = "redis.call('DEL', KEYS[1]) redis.call('ZREM', KEYS[2], ARGV[1]) return 1";

/// The store in a Redis server.
pub(crate) struct RedisStore(pub(crate) RedisPlace);

impl RedisStore {
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        match self.run(GET, name, vec![text(name)]).await? {
            RedisResult::Binary(value) => Ok(Some(value.into())),
            RedisResult::Nil => Ok(None),
            RedisResult::Int64(_) | RedisResult::Status(_) => Err(unexpected_reply()),
        }
    }

    pub(crate) async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError> {
        let ttl =
            keep.map_or(0, |keep| i64::try_from(keep.max(MIN_TTL).as_millis()).unwrap_or(i64::MAX));
        let arguments = vec![RedisParameter::Binary(value), RedisParameter::Int64(ttl), text(name)];
        self.run(PUT, name, arguments).await.map(drop)
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), HostError> {
        self.run(DELETE, name, vec![text(name)]).await.map(drop)
    }

    pub(crate) async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<Listing, HostError> {
        let start = match cursor.filter(|cursor| *cursor >= prefix) {
            Some(cursor) => format!("({cursor}"),
            None => format!("[{prefix}"),
        };
        // Names are printable ASCII, so no name with the prefix is above this.
        let end = format!("[{prefix}\u{7f}");
        let count = i64::try_from(PAGE_SIZE + 1).expect("a page is small");
        let arguments = vec![
            text(&self.index()),
            text(&start),
            text(&end),
            text("LIMIT"),
            RedisParameter::Int64(0),
            RedisParameter::Int64(count),
        ];
        let found = self.0.connection.execute("ZRANGEBYLEX", arguments).await?;
        let mut names = Vec::with_capacity(found.len());
        for one in found {
            let RedisResult::Binary(name) = one else { return Err(unexpected_reply()) };
            names.push(String::from_utf8(name).map_err(|_| unexpected_reply())?);
        }
        let has_more = names.len() > PAGE_SIZE;
        names.truncate(PAGE_SIZE);
        let cursor = names.last().filter(|_| has_more).cloned();
        Ok(Listing { names, cursor })
    }

    /// Runs a script over a value and the index.
    async fn run(
        &self,
        script: &str,
        name: &str,
        arguments: Vec<RedisParameter>,
    ) -> Result<RedisResult, HostError> {
        let key = format!("{}:store:{name}", self.0.prefix);
        let keys = [text(script), RedisParameter::Int64(2), text(&key), text(&self.index())];
        let arguments = keys.into_iter().chain(arguments).collect();
        let results = self.0.connection.execute("EVAL", arguments).await?;
        results.into_iter().next().ok_or_else(unexpected_reply)
    }

    fn index(&self) -> String {
        format!("{}:names", self.0.prefix)
    }
}

fn unexpected_reply() -> HostError {
    HostError::new("Redis: unexpected reply to a command of the store")
}

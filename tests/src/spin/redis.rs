//! `spin:redis` of an app, with the client and the traits of Spin 4.1: every opened connection is one of its
//! own, an instance keeps it until it drops the handle, commands are pipelined on it without TCP_NODELAY, and
//! nothing has a timeout. A bound on the connections of an app makes further ones wait.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Client, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Accessor, HasSelf, Linker, Resource};

use super::allowed::AllowedHosts;
use super::bindings::spin::redis::redis as wit;
use super::state::State;

/// Connections without a bound of the operator's.
const UNBOUNDED: usize = Semaphore::MAX_PERMITS;

/// Outbound Redis of an app.
#[derive(Clone)]
pub(crate) struct OutboundRedis {
    allowed_hosts: Arc<AllowedHosts>,
    permits: Arc<Semaphore>,
}

impl OutboundRedis {
    /// `max_connections` is that of `[outbound_redis]` in Spin's runtime configuration.
    pub(crate) fn new(allowed_hosts: Arc<AllowedHosts>, max_connections: Option<usize>) -> Self {
        let permits = Arc::new(Semaphore::new(max_connections.unwrap_or(UNBOUNDED)));
        Self { allowed_hosts, permits }
    }

    async fn connect(&self, address: &str) -> Result<RedisConnection, wit::Error> {
        let uri = address.parse().map_err(|_| wit::Error::InvalidAddress)?;
        if !self.allowed_hosts.permits(&uri) {
            return Err(wit::Error::InvalidAddress);
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| wit::Error::TooManyConnections)?;
        let client = Client::open(address).map_err(|_| wit::Error::InvalidAddress)?;
        let connection = client.get_multiplexed_async_connection().await.map_err(other)?;
        Ok(RedisConnection { connection, _permit: permit })
    }
}

/// An open connection of an instance.
#[expect(unreachable_pub, reason = "the bindings, which are public in their module, name it")]
pub struct RedisConnection {
    connection: MultiplexedConnection,
    _permit: OwnedSemaphorePermit,
}

/// Adds the interface to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

fn other(error: impl std::fmt::Display) -> wit::Error {
    wit::Error::Other(error.to_string())
}

type RedisReply<T> = wasmtime::Result<Result<T, wit::Error>>;

impl wit::Host for State {}

impl wit::HostConnection for State {
    fn drop(&mut self, connection: Resource<RedisConnection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send + 'static> wit::HostConnectionWithStore<T> for HasSelf<State> {
    async fn open(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> RedisReply<Resource<RedisConnection>> {
        let redis = accessor.with(|mut access| access.get().redis.clone());
        match redis.connect(&address).await {
            Ok(connection) => {
                accessor.with(|mut access| Ok(Ok(access.get().table.push(connection)?)))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<RedisConnection>,
        command: String,
        arguments: Vec<wit::RedisParameter>,
    ) -> RedisReply<Vec<wit::RedisResult>> {
        let mut connection = accessor.with(|mut access| {
            access.get().table.get(&connection).map(|open| open.connection.clone())
        })?;
        let mut command = redis::cmd(&command);
        for argument in arguments {
            match argument {
                wit::RedisParameter::Int64(number) => command.arg(number),
                wit::RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let reply = command.query_async::<Value>(&mut connection).await;
        let mut results = Vec::new();
        Ok(reply.map_err(other).and_then(|reply| flatten(reply, &mut results)).map(|()| results))
    }
}

/// Appends a reply to a flat list, as Spin does.
fn flatten(reply: Value, results: &mut Vec<wit::RedisResult>) -> Result<(), wit::Error> {
    let one = match reply {
        Value::Nil => wit::RedisResult::Nil,
        Value::Int(number) => wit::RedisResult::Int64(number),
        Value::BulkString(bytes) => wit::RedisResult::Binary(bytes),
        Value::SimpleString(text) => wit::RedisResult::Status(text),
        Value::Okay => wit::RedisResult::Status("OK".to_owned()),
        Value::Array(all) => return all.into_iter().try_for_each(|one| flatten(one, results)),
        unsupported => return Err(other(format_args!("unsupported reply {unsupported:?}"))),
    };
    results.push(one);
    Ok(())
}

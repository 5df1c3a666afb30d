//! A real Redis server on loopback, for one test.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

use crate::scratch::ScratchDirectory;
use crate::wait::EVENT_TIMEOUT;

/// Ports that are tried: another process may take one between its choice and its use.
const MAX_PORTS: usize = 20;
const PASSWORD: &str = "password-of-this-test";

/// Data that survive a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    None,
    /// Every write, by its append-only file.
    AppendOnlyFile,
}

/// A server and its data. Dropping it ends the process and removes the data.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    persistence: Persistence,
    data: ScratchDirectory,
}

impl RedisServer {
    /// Starts a server on a free port.
    pub async fn start(persistence: Persistence) -> anyhow::Result<Self> {
        let data = ScratchDirectory::new("redis")?;
        let mut server = Self { child: None, port: 0, persistence, data };
        for _ in 0..MAX_PORTS {
            server.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if server.restart().await.is_ok() {
                return Ok(server);
            }
        }
        server.restart().await?;
        Ok(server)
    }

    /// Starts the server again, on the same port and with the same data.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let append_only =
            if self.persistence == Persistence::AppendOnlyFile { "yes" } else { "no" };
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--requirepass", PASSWORD])
            .args(["--appendonly", append_only, "--save", "", "--daemonize", "no", "--dir"])
            .arg(self.data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start redis-server: `cargo xtask test` installs it on Debian")?;
        self.child = Some(child);
        let until = Instant::now() + EVENT_TIMEOUT;
        loop {
            if let Ok(mut connection) = self.connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return Ok(());
            }
            let child = self.child.as_mut().context("the server was just started")?;
            if let Some(status) = child.try_wait()? {
                bail!("redis-server ended on port {}: {status}", self.port);
            }
            if Instant::now() >= until {
                bail!("redis-server does not respond on port {}", self.port);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Address of a database of the server, with its password.
    pub fn url(&self, database: u8) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection of the test's own.
    pub async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        let client = redis::Client::open(self.url(0))?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    /// Number of connections of hosts, without the test's own.
    pub async fn hosts_connections(
        connection: &mut MultiplexedConnection,
    ) -> anyhow::Result<usize> {
        let mut command = redis::cmd("CLIENT");
        let list: String = command.arg("LIST").query_async(connection).await?;
        Ok(list.lines().count().saturating_sub(1))
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops the process without closing its connections.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal("-STOP")
    }

    /// Continues a paused process.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("the server does not run")?;
        let status = Command::new("kill").arg(signal).arg(child.id().to_string()).status()?;
        anyhow::ensure!(status.success(), "kill {signal}: {status}");
        Ok(())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

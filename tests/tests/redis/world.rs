//! Two hosts that share a Redis server, and the provider behind both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::{Script, UpstreamSpec};
use tests::caller::{Answer, call};
use tests::component::Wasmtime;
use tests::edge::{App, Edge};
use tests::redis_server::{Persistence, RedisServer};
use tests::wait::EVENT_TIMEOUT;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub(crate) const ADMIN: &str = "admin-token-of-this-test";
pub(crate) const KEY: &str = "app-key-of-this-test";
/// Connections that each host may open. Some that are closing still count in the server.
const MAX_CONNECTIONS: usize = 6;

const NAME: &str = "shared";

/// Two hosts over one Redis server.
pub(crate) struct World {
    pub(crate) redis: RedisServer,
    hosts: [Option<Wasmtime>; 2],
    _upstream: Arc<Server>,
}

impl World {
    /// Starts everything, with these limits and a script of the provider.
    pub(crate) async fn start(
        persistence: Persistence,
        limits: Value,
        script: &str,
    ) -> anyhow::Result<Self> {
        let redis = RedisServer::start(persistence).await?;
        let upstream = Arc::new(Server::start().await?);
        let script: Script = toml::from_str(script)?;
        let big = UpstreamSpec { script: vec![script], ..UpstreamSpec::default() };
        upstream.register(NAME, [("big".to_owned(), big)].into());
        let app = app(&upstream.base(NAME), &redis, &limits);
        let [first, second] = [app.clone(), app].map(start_host);
        let hosts = [Some(first.await?), Some(second.await?)];
        Ok(Self { redis, hosts, _upstream: upstream })
    }

    /// Address of a host.
    pub(crate) fn address(&self, host: usize) -> SocketAddr {
        self.hosts[host].as_ref().expect("the host runs").address(NAME)
    }

    /// Ends a host in the middle of its work.
    pub(crate) fn kill_host(&mut self, host: usize) {
        self.hosts[host].take();
    }

    /// Sends requests to the running hosts in turn, at most `concurrent` at once; returns their
    /// answers.
    pub(crate) async fn send(&self, requests: usize, concurrent: usize) -> Vec<Answer> {
        let addresses: Vec<SocketAddr> =
            self.hosts.iter().flatten().map(|host| host.address(NAME)).collect();
        let (mut running, mut answers) = (JoinSet::new(), Vec::new());
        for number in 0..requests {
            if running.len() >= concurrent {
                answers.extend(running.join_next().await);
            }
            running.spawn(ask(addresses[number % addresses.len()]));
        }
        answers.extend(running.join_all().await.into_iter().map(Ok));
        answers.into_iter().filter_map(|answer| answer.ok()?.ok()).collect()
    }

    /// State of the limit `l` of the consumer.
    pub(crate) async fn balance(&self, host: usize, measure: &str) -> anyhow::Result<Value> {
        let path = "/admin/v1/limits/l/app";
        let answer = call(self.address(host), "GET", path, ADMIN, &Value::Null).await?;
        let limit = answer.json();
        let quotas = limit["quotas"].as_array().with_context(|| format!("{answer:?}"))?;
        let quota = quotas.iter().find(|quota| quota["measure"] == measure);
        quota.cloned().with_context(|| format!("{limit}"))
    }

    /// The same, once no reservation is open.
    pub(crate) async fn settled(&self, host: usize, measure: &str) -> anyhow::Result<Value> {
        let until = Instant::now() + EVENT_TIMEOUT;
        loop {
            let balance = self.balance(host, measure).await?;
            if balance["held"] == 0 {
                return Ok(balance);
            }
            ensure!(Instant::now() < until, "a reservation is open: {balance}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Requests of the usage report of a host.
    pub(crate) async fn reported_requests(&self, host: usize) -> anyhow::Result<u64> {
        let usage = call(self.address(host), "GET", "/admin/v1/usage", ADMIN, &Value::Null).await?;
        ensure!(usage.status == 200, "{usage:?}");
        Ok(usage.json()["data"][0]["requests"].as_u64().unwrap_or_default())
    }
}

async fn start_host(app: App) -> anyhow::Result<Wasmtime> {
    let start = || {
        Wasmtime::start_with(&[app], None, |app| app.max_redis_connections = Some(MAX_CONNECTIONS))
    };
    tokio::task::spawn_blocking(start).await?
}

fn app(base: &str, redis: &RedisServer, limits: &Value) -> App {
    let document = json!({
        "providers": [
            { "id": "big", "kind": "openai-compatible", "base_url": format!("{base}/big/v1") },
        ],
        "routes": [{
            "id": "all", "models": ["*"], "targets": [{ "provider": "big" }],
            "retries": { "attempts": 0 },
        }],
        "consumers": [{ "id": "app", "keys": ["secret:APP_KEY"] }],
        "limits": limits,
        "ledger": { "redis": "secret:REDIS_URL" },
        "store": { "redis": "secret:REDIS_URL" },
    });
    let secrets = [
        ("APP_KEY", KEY.to_owned()),
        ("ADMIN_TOKEN", ADMIN.to_owned()),
        ("KEY_PEPPER", "pepper-of-this-test-0123456789abcdef".to_owned()),
        ("REDIS_URL", redis.url(0)),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value)).into();
    App { name: NAME.to_owned(), config: document.to_string(), secrets, ledger: true }
}

pub(crate) async fn ask(address: SocketAddr) -> anyhow::Result<Answer> {
    ask_with(address, KEY).await
}

pub(crate) async fn ask_with(address: SocketAddr, key: &str) -> anyhow::Result<Answer> {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello there" }] });
    call(address, "POST", "/v1/chat/completions", key, &body).await
}

/// Number of answers with a status.
pub(crate) fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

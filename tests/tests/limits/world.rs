//! An edge with gateways, the providers behind them, and their callers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use config::author;
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::{Script, UpstreamSpec};
use tests::caller::{Answer, call};
use tests::edge::{App, Edge};
use tests::edge_kind::EdgeKind;
use tests::stream::{Stream, StreamRequest};
use tests::wait::EVENT_TIMEOUT;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub(crate) const ADMIN: &str = "admin-token-of-this-test";
pub(crate) const PEPPER: &str = "pepper-of-this-test-0123456789abcdef";
pub(crate) const APP_KEY: &str = "app-key-of-this-test";

/// An edge with gateways, and the providers behind them.
pub(crate) struct World {
    pub(crate) edge: Box<dyn Edge + Send>,
    server: Arc<Server>,
}

impl World {
    pub(crate) async fn open(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
    ) -> anyhow::Result<Self> {
        Self::start(edge_kind, limits, script, true, None).await
    }

    pub(crate) async fn without_ledger(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
    ) -> anyhow::Result<Self> {
        Self::start(edge_kind, limits, script, false, None).await
    }

    pub(crate) async fn start_with_state(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
        state: &Path,
    ) -> anyhow::Result<Self> {
        Self::start(edge_kind, limits, script, true, Some(state)).await
    }

    async fn start(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
        ledger: bool,
        state: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let server = Arc::new(Server::start().await?);
        let mut apps = Vec::new();
        for (name, limits) in limits {
            register(&server, name, script)?;
            let base = server.base(name);
            let document = format!(
                "[[providers]]\nid = 'big'\nkind = 'openai-compatible'\nbase_url = '{base}/big/v1'\n\
                 [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = 'big' }}]\n\
                 retries = {{ attempts = 0 }}\n\
                 [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n{limits}"
            );
            let config = author::to_json(&document)
                .map_err(|problems| anyhow::anyhow!("{problems}\n{document}"))?;
            let secrets = [("APP_KEY", APP_KEY), ("ADMIN_TOKEN", ADMIN), ("KEY_PEPPER", PEPPER)];
            let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
            apps.push(App { name: name.to_owned(), config, secrets: secrets.into(), ledger });
        }
        let edge = edge_kind.start(apps, state).await?;
        Ok(Self { edge, server })
    }

    pub(crate) fn address(&self, app: &str) -> SocketAddr {
        self.edge.address(app)
    }

    /// Replaces the script of an app's provider.
    pub(crate) fn script(&self, app: &str, script: &str) -> anyhow::Result<()> {
        register(&self.server, app, script)
    }

    pub(crate) async fn ask(&self, app: &str, fields: Value) -> anyhow::Result<Answer> {
        self.ask_with(app, APP_KEY, fields).await
    }

    pub(crate) async fn ask_with(
        &self,
        app: &str,
        key: &str,
        fields: Value,
    ) -> anyhow::Result<Answer> {
        let body = question(fields);
        call(self.address(app), "POST", "/v1/chat/completions", key, &body).await
    }

    /// Opens a stream, and disconnects after this number of its events.
    pub(crate) async fn hang_up_after(&self, app: &str, events: usize) -> anyhow::Result<()> {
        let request = StreamRequest {
            path: "/v1/chat/completions".to_owned(),
            token: APP_KEY.to_owned(),
            body: question(json!({ "stream": true })),
        };
        let mut stream = Stream::open(self.address(app), &request).await?;
        stream.events(events).await?;
        // Dropping the stream disconnects the caller.
        drop(stream);
        Ok(())
    }

    /// Sends requests from concurrent callers.
    pub(crate) async fn burst(
        &self,
        app: &str,
        callers: usize,
        fields: Value,
    ) -> anyhow::Result<Vec<Answer>> {
        let (address, body) = (self.address(app), question(fields));
        let mut running = JoinSet::new();
        for _ in 0..callers {
            let body = body.clone();
            running.spawn(async move {
                call(address, "POST", "/v1/chat/completions", APP_KEY, &body).await
            });
        }
        running.join_all().await.into_iter().collect()
    }

    /// State of an account, from the admin API.
    async fn balance(
        &self,
        app: &str,
        limit: &str,
        value: &str,
        measure: &str,
    ) -> anyhow::Result<Value> {
        let path = format!("/admin/v1/limits/{limit}/{value}");
        let answer = call(self.address(app), "GET", &path, ADMIN, &Value::Null).await?;
        let limit = answer.json();
        let quotas = limit["quotas"].as_array().with_context(|| format!("{answer:?}"))?;
        let quota = quotas.iter().find(|quota| quota["measure"] == measure);
        quota.cloned().with_context(|| format!("{limit}"))
    }

    /// State of the limit `l` once no reservation is open.
    pub(crate) async fn settled(&self, app: &str, measure: &str) -> anyhow::Result<Value> {
        self.settled_of(app, "l", "app", measure).await
    }

    /// State of a limit once no reservation is open.
    pub(crate) async fn settled_of(
        &self,
        app: &str,
        limit: &str,
        value: &str,
        measure: &str,
    ) -> anyhow::Result<Value> {
        let until = Instant::now() + EVENT_TIMEOUT;
        loop {
            let balance = self.balance(app, limit, value, measure).await?;
            if balance["held"] == 0 {
                return Ok(balance);
            }
            ensure!(Instant::now() < until, "a reservation is open: {balance}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the edge abruptly, as a power cut would.
    pub(crate) fn kill(self) {
        self.edge.kill();
    }
}

fn register(server: &Server, app: &str, script: &str) -> anyhow::Result<()> {
    let script: Script = toml::from_str(script)?;
    let part = UpstreamSpec { script: vec![script], ..UpstreamSpec::default() };
    server.register(app, [("big".to_owned(), part)].into());
    Ok(())
}

fn question(fields: Value) -> Value {
    let mut body =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello there" }] });
    for (name, value) in fields.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

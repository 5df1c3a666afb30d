//! Limits and keys against both built artifacts: bursts, disconnects, an unavailable ledger, a
//! killed process, and a search of all stored data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
use tests::kept_by_both;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

kept_by_both! {
    a_burst_admits_exactly_what_requests_allow,
    a_burst_admits_no_more_tokens_than_there_are,
    a_leased_limit_is_exact_too,
    all_limits_hold_or_none_is_charged,
    every_path_settles_what_it_spent,
    without_a_ledger_the_limit_decides,
    a_key_lives_and_dies_and_is_never_kept_in_clear,
    what_was_settled_outlives_the_process,
}

const ADMIN: &str = "admin-token-of-this-test";
const PEPPER: &str = "pepper-of-this-test-0123456789abcdef";
const APP_KEY: &str = "app-key-of-this-test";
const USAGE: &str = "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 80";

async fn a_burst_admits_exactly_what_requests_allow(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let limit = "requests = { per = 'hour', max = 20 }";
    let apps = [5, 50, 500].map(|callers| (format!("burst-{callers}"), callers));
    let documents = apps.iter().map(|(name, _)| (name.as_str(), limited(limit))).collect();
    let world = World::open(edge_kind, documents, USAGE).await?;
    for (app, callers) in &apps {
        let answers = world.burst(app, *callers, json!({})).await?;
        ensure!(count(&answers, 200) == 20.min(*callers), "{callers}: {:?}", statuses(&answers));
        ensure!(count(&answers, 429) == callers.saturating_sub(20), "{:?}", statuses(&answers));
        for refused in answers.iter().filter(|answer| answer.status == 429) {
            ensure!(refused.json()["error"]["code"] == "rate_limit_exceeded", "{refused:?}");
            ensure!(refused.header("x-ratelimit-remaining-requests") == "0", "{refused:?}");
            ensure!(refused.header("retry-after").parse::<u64>()? > 0, "{refused:?}");
        }
        // The remainder in each admitted response belongs to one moment: no two are equal.
        let mut left: Vec<&str> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.header("x-ratelimit-remaining-requests"))
            .collect();
        left.sort_unstable();
        left.dedup();
        ensure!(left.len() == 20.min(*callers), "{left:?}");
    }
    Ok(())
}

async fn a_burst_admits_no_more_tokens_than_there_are(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let documents = vec![("tokens", limited("tokens = { per = 'hour', max = 2000 }"))];
    let world = World::open(edge_kind, documents, USAGE).await?;
    let answers = world.burst("tokens", 80, json!({ "max_tokens": 90 })).await?;
    let admitted = count(&answers, 200);
    ensure!((17..=20).contains(&admitted), "{admitted} of 80: {:?}", statuses(&answers));
    let level = world.settled("tokens", "tokens").await?;
    ensure!(level["used"] == admitted as u64 * 100, "{level}");
    Ok(())
}

async fn a_leased_limit_is_exact_too(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let few = limited("lease = true\nrequests = { per = 'hour', max = 20 }");
    let many = limited("lease = true\nrequests = { per = 'hour', max = 100 }");
    let world = World::open(edge_kind, vec![("few", few), ("many", many)], USAGE).await?;
    let answers = world.burst("few", 500, json!({})).await?;
    ensure!(count(&answers, 200) == 20, "{:?}", statuses(&answers));
    let mut admitted = count(&world.burst("many", 200, json!({})).await?, 200);
    ensure!(admitted <= 100, "{admitted}");
    // Amounts that leases held return when the leases expire, and not one request is lost or
    // gained.
    sleep(Duration::from_secs(11)).await;
    admitted += count(&world.burst("many", 200, json!({})).await?, 200);
    sleep(Duration::from_secs(11)).await;
    admitted += count(&world.burst("many", 200, json!({})).await?, 200);
    ensure!(admitted == 100, "{admitted}");
    Ok(())
}

async fn all_limits_hold_or_none_is_charged(edge_kind: EdgeKind) -> anyhow::Result<()> {
    // Two limits share one book, and one is in another.
    let limits = "[[limits]]\nid = 'all'\nby = 'all'\nrequests = { per = 'hour', max = 50 }\n\
                  [[limits]]\nid = 'l'\nby = 'consumer'\nrequests = { per = 'hour', max = 30 }\n\
                  [[limits]]\nid = 'h'\nby = 'header:authorization'\nrequests = { per = 'hour', max = 12 }\n";
    let world = World::open(edge_kind, vec![("several", limits.to_owned())], USAGE).await?;
    let answers = world.burst("several", 60, json!({})).await?;
    ensure!(count(&answers, 200) == 12, "{:?}", statuses(&answers));
    for (limit, value) in [("all", "_"), ("l", "app")] {
        let level = world.settled_of("several", limit, value, "requests").await?;
        ensure!(level["used"] == 12, "{limit}: {level}");
    }
    Ok(())
}

async fn every_path_settles_what_it_spent(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let limit = limited("tokens = { per = 'total', max = 1000000 }");
    let apps = ["usage", "silent", "leaves", "fails"];
    let documents = apps.iter().map(|app| (*app, limit.clone())).collect();
    let world = World::open(edge_kind, documents, USAGE).await?;
    let used = |level: Value| level["used"].as_u64().unwrap_or_default();

    world.ask("usage", json!({})).await?;
    ensure!(used(world.settled("usage", "tokens").await?) == 100);

    // The upstream reports no usage: the meter's own count is charged.
    world.script("silent", "answer = 'one two three four'\nusage = false")?;
    let answer = world.ask("silent", json!({ "stream": true })).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let estimated = used(world.settled("silent", "tokens").await?);
    ensure!((12..20).contains(&estimated), "{estimated}");

    // A caller that disconnects midway is charged for the prompt and for the content it received.
    world.script("leaves", "answer = 'one two three four five six seven'\ngap = '300ms'")?;
    world.hang_up_after("leaves", Duration::from_millis(800)).await;
    let shown = used(world.settled("leaves", "tokens").await?);
    ensure!((9..20).contains(&shown), "{shown}");

    world.script("fails", "status = 500")?;
    ensure!(world.ask("fails", json!({})).await?.status == 502);
    ensure!(used(world.settled("fails", "tokens").await?) == 0);
    Ok(())
}

async fn without_a_ledger_the_limit_decides(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let limit = |on_error: &str| {
        limited(&format!("on_error = '{on_error}'\nrequests = {{ per = 'hour', max = 3 }}"))
    };
    let documents = vec![("open", limit("open")), ("closed", limit("closed"))];
    let world = World::without_ledger(edge_kind, documents, USAGE).await?;
    let refused = world.ask("closed", json!({})).await?;
    ensure!(refused.status == 503, "{refused:?}");
    ensure!(refused.json()["error"]["code"] == "ledger_unavailable", "{refused:?}");
    ensure!(refused.header("retry-after") == "5", "{refused:?}");
    // Requests are sequential, so that one instance counts them all.
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(world.ask("open", json!({})).await?.status);
    }
    ensure!(statuses == [200, 200, 200, 429, 429], "{statuses:?}");
    Ok(())
}

async fn a_key_lives_and_dies_and_is_never_kept_in_clear(
    edge_kind: EdgeKind,
) -> anyhow::Result<()> {
    let state = State::new(edge_kind, "key")?;
    let limit = limited("requests = { per = 'hour', max = 100 }");
    let limit = format!(
        "{limit}[[limits]]\nid = 'h'\nby = 'header:authorization'\nrequests = {{ per = 'hour', max = 100 }}\n"
    );
    let world = World::start_with_state(edge_kind, vec![("keys", limit)], USAGE, &state.0).await?;
    let admin = |method: &'static str, path: String, body: Value| {
        let address = world.address("keys");
        async move { call(address, method, &format!("/admin/v1{path}"), ADMIN, &body).await }
    };
    let made = admin("POST", "/consumers".into(), json!({ "id": "team", "group": "apps" })).await?;
    ensure!(made.status == 201, "{made:?}");
    let issued = admin("POST", "/consumers/team/keys".into(), Value::Null).await?;
    ensure!(issued.status == 201, "{issued:?}");
    let issued = issued.json();
    let key = issued["key"].as_str().context("no key in the response")?.to_owned();
    let adopted = "a-key-that-callers-already-have";
    let body = json!({ "key": adopted });
    let adoption = admin("POST", "/consumers/team/keys".into(), body).await?;
    ensure!(adoption.status == 201 && adoption.json()["key"].is_null(), "{adoption:?}");
    for key in [key.as_str(), adopted] {
        let answer = world.ask_with("keys", key, json!({})).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let forged = format!("{}x", &key[..key.len() - 1]);
    for wrong in [forged.as_str(), "sk-serin-made-up", "no-such-key"] {
        ensure!(world.ask_with("keys", wrong, json!({})).await?.status == 401, "{wrong}");
    }
    let id = issued["id"].as_str().context("no id of the key")?;
    let revoked = admin("DELETE", format!("/consumers/team/keys/{id}"), Value::Null).await?;
    ensure!(revoked.status == 204, "{revoked:?}");
    ensure!(world.ask_with("keys", &key, json!({})).await?.status == 401, "revoked key");
    let audit = admin("GET", "/audit".into(), Value::Null).await?;
    ensure!(String::from_utf8_lossy(&audit.body).contains("team"), "{audit:?}");

    // Usage becomes queryable once it has been written.
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let usage = admin("GET", "/usage?by=consumer".into(), Value::Null).await?.json();
        let rows = usage["data"].as_array().cloned().unwrap_or_default();
        let of_team = rows.iter().find(|row| row["consumer"] == "team");
        if of_team.is_some_and(|row| row["requests"] == 2 && row["output_tokens"] == 160) {
            break;
        }
        ensure!(Instant::now() < until, "{usage}");
        sleep(Duration::from_millis(100)).await;
    }
    let log = world.edge.log().lines().join("\n");
    drop(world);
    for secret in [key.as_str(), adopted, APP_KEY, ADMIN, PEPPER, forged.as_str()] {
        ensure!(!log.contains(secret), "a secret is in the log");
        ensure!(!state.holds(secret)?, "a secret is stored in plain text");
    }
    ensure!(state.holds("team")?, "the search finds no stored text");
    Ok(())
}

async fn what_was_settled_outlives_the_process(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let state = State::new(edge_kind, "killed")?;
    let documents = || vec![("killed", limited("tokens = { per = 'total', max = 1000 }"))];
    let world = World::start_with_state(edge_kind, documents(), USAGE, &state.0).await?;
    for _ in 0..3 {
        ensure!(world.ask("killed", json!({ "max_tokens": 80 })).await?.status == 200);
    }
    let before = world.settled("killed", "tokens").await?;
    ensure!(before["used"] == 300, "{before}");
    world.kill();
    let world = World::start_with_state(edge_kind, documents(), USAGE, &state.0).await?;
    let after = world.settled("killed", "tokens").await?;
    ensure!(after["used"] == 300, "{after}");
    Ok(())
}

/// A limit by consumer with the name `l`.
fn limited(limit: &str) -> String {
    format!("[[limits]]\nid = 'l'\nby = 'consumer'\n{limit}\n")
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for answer in answers {
        *statuses.entry(answer.status).or_default() += 1;
    }
    statuses
}

/// A directory for an edge's state, removed on drop.
struct State(PathBuf);

impl State {
    fn new(edge_kind: EdgeKind, name: &str) -> anyhow::Result<Self> {
        let name = format!("serin-{}-{name}-{}", edge_kind.name(), std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Whether any file contains a text.
    fn holds(&self, text: &str) -> anyhow::Result<bool> {
        let mut directories = vec![self.0.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory)? {
                let path = entry?.path();
                if path.is_dir() {
                    directories.push(path);
                } else if String::from_utf8_lossy(&std::fs::read(&path)?).contains(text) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// An edge with gateways, and the providers behind them.
struct World {
    edge: Box<dyn Edge + Send>,
    server: Arc<Server>,
}

impl World {
    async fn open(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
    ) -> anyhow::Result<Self> {
        Self::start(edge_kind, limits, script, true, None).await
    }

    async fn without_ledger(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
    ) -> anyhow::Result<Self> {
        Self::start(edge_kind, limits, script, false, None).await
    }

    async fn start_with_state(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
        state: &Path,
    ) -> anyhow::Result<Self> {
        Self::start(edge_kind, limits, script, true, Some(state.to_owned())).await
    }

    async fn start(
        edge_kind: EdgeKind,
        limits: Vec<(&str, String)>,
        script: &str,
        ledger: bool,
        state: Option<PathBuf>,
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
        // Starting blocks, and one of the edges has its own runtime.
        let edge = tokio::task::spawn_blocking(move || edge_kind.start(&apps, state.as_deref()));
        let edge = edge.await?.context("build both artifacts first: `cargo xtask test`")?;
        Ok(Self { edge, server })
    }

    fn address(&self, app: &str) -> SocketAddr {
        self.edge.address(app)
    }

    /// Replaces the script of an app's provider.
    fn script(&self, app: &str, script: &str) -> anyhow::Result<()> {
        register(&self.server, app, script)
    }

    async fn ask(&self, app: &str, fields: Value) -> anyhow::Result<Answer> {
        self.ask_with(app, APP_KEY, fields).await
    }

    async fn ask_with(&self, app: &str, key: &str, fields: Value) -> anyhow::Result<Answer> {
        let body = question(fields);
        call(self.address(app), "POST", "/v1/chat/completions", key, &body).await
    }

    /// Opens a stream and disconnects after a delay.
    async fn hang_up_after(&self, app: &str, after: Duration) {
        let asked = self.ask(app, json!({ "stream": true }));
        // Dropping the call resets its connection.
        tokio::time::timeout(after, asked).await.ok();
    }

    /// Sends requests from concurrent callers.
    async fn burst(&self, app: &str, callers: usize, fields: Value) -> anyhow::Result<Vec<Answer>> {
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
        let told = answer.json();
        let quotas = told["quotas"].as_array().with_context(|| format!("{answer:?}"))?;
        let quota = quotas.iter().find(|quota| quota["measure"] == measure);
        quota.cloned().with_context(|| format!("{told}"))
    }

    /// State of the limit `l` once no reservation is open.
    async fn settled(&self, app: &str, measure: &str) -> anyhow::Result<Value> {
        self.settled_of(app, "l", "app", measure).await
    }

    /// State of a limit once no reservation is open.
    async fn settled_of(
        &self,
        app: &str,
        limit: &str,
        value: &str,
        measure: &str,
    ) -> anyhow::Result<Value> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let level = self.balance(app, limit, value, measure).await?;
            if level["held"] == 0 {
                return Ok(level);
            }
            ensure!(Instant::now() < until, "a reservation is open: {level}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the edge as a power cut would.
    fn kill(self) {
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

//! Configuration changes at runtime, against both built artifacts: under load, by concurrent
//! writers, with invalid documents, and across a restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use config::author;
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::{Script, UpstreamSpec};
use tests::caller::{Answer, call, call_with};
use tests::edge::{App, Edge};
use tests::edge_kind::EdgeKind;
use tests::kept_by_both;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

kept_by_both! {
    a_document_takes_effect_under_load_without_a_failed_request,
    what_is_wrong_changes_nothing,
    of_many_writers_one_wins,
    a_version_outlives_the_process,
}

const ADMIN: &str = "admin-token-of-this-test";
const APP_KEY: &str = "app-key-of-this-test";
const NAME: &str = "live";

async fn a_document_takes_effect_under_load_without_a_failed_request(
    edge_kind: EdgeKind,
) -> anyhow::Result<()> {
    let world = Arc::new(World::start(edge_kind, None).await?);
    let over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for caller in 0..8 {
        let (world, over) = (Arc::clone(&world), Arc::clone(&over));
        running.spawn(async move {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                answers.push(world.ask(caller % 2 == 0).await?);
                sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(answers)
        });
    }
    sleep(Duration::from_secs(1)).await;
    let tag = world.tag().await?;
    // This request begins under the old document and is less than half done when the new one
    // arrives.
    let gap = "answer = 'one two three'\ngap = '400ms'";
    world.server.rewrite(NAME, "old", toml::from_str(gap)?);
    let long = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.ask(true).await })
    };
    sleep(Duration::from_millis(600)).await;
    let tried = world.admin("PUT", "?dry_run=true", &[], &world.document("new")?).await?;
    let change =
        json!({ "path": "routes.all.targets[0].provider", "before": "old", "after": "new" });
    ensure!(tried.status == 200 && tried.json()["changes"] == json!([change]), "{tried:?}");
    ensure!(world.calls("new") == 0, "new is called too early");
    let put = world.put(&tag, "new").await?;
    ensure!(put.status == 200 && put.json()["version"] == 1, "{put:?}");
    ensure!(put.header("x-serin-config-version") == "1", "{put:?}");
    ensure!(!long.is_finished(), "ended before the change");
    let long = long.await??;
    ensure!(is_whole(&long) && long.header("x-serin-target") == "old/m", "{long:?}");
    let until = Instant::now() + Duration::from_secs(60);
    // On Spin there are several instances, each of which follows in its own time.
    let mut in_a_row = 0;
    while in_a_row < 200 {
        let target = world.ask(false).await?.header("x-serin-target").to_owned();
        in_a_row = if target == "new/m" { in_a_row + 1 } else { 0 };
        ensure!(Instant::now() < until, "{target} still answers after a minute");
        sleep(Duration::from_millis(10)).await;
    }
    // Requests that other instances serve do not go there either.
    let mut before = usize::MAX;
    while before != world.calls("old") {
        ensure!(Instant::now() < until, "old is still called after a minute");
        before = world.calls("old");
        sleep(Duration::from_millis(500)).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut by = BTreeMap::<String, usize>::new();
    while let Some(answers) = running.join_next().await {
        for answer in answers?? {
            ensure!(is_whole(&answer), "{answer:?}");
            *by.entry(answer.header("x-serin-target").to_owned()).or_default() += 1;
        }
    }
    ensure!(by.len() == 2 && by["old/m"] > 20 && by["new/m"] > 20, "{by:?}");
    Ok(())
}

/// Whether an upstream has answered at its first call, and the response is complete.
fn is_whole(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    let said = if text.starts_with("data: ") {
        let events = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        let chunks = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        let said = chunks
            .filter_map(|it| it["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect::<String>();
        if text.ends_with("data: [DONE]\n\n") { said } else { "no end".to_owned() }
    } else {
        answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    };
    let is_first = answer.header("x-serin-attempts") == "1";
    answer.status == 200 && is_first && said == "one two three"
}

async fn what_is_wrong_changes_nothing(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let world = World::start(edge_kind, None).await?;
    let tag = world.tag().await?;
    let wrong = world.put(&tag, "nobody").await?;
    let problems = &wrong.json()["error"]["problems"];
    ensure!(wrong.status == 422, "{wrong:?}");
    ensure!(problems[0]["path"] == "routes[0].targets[0].provider", "{wrong:?}");
    let document = world.document("new")?;
    let mut lacking = document.clone();
    lacking["consumers"][0]["keys"] = json!(["secret:NOT_THERE"]);
    let lacking = world.admin("PUT", "", &[("if-match", &tag)], &lacking).await?;
    ensure!(lacking.status == 422, "{lacking:?}");
    ensure!(
        lacking.json()["error"]["problems"][0]["path"] == "consumers[0].keys[0]",
        "{lacking:?}"
    );
    ensure!(world.admin("PUT", "", &[], &document).await?.status == 428);
    ensure!(world.put("\"9-0\"", "new").await?.status == 412);
    ensure!(world.tag().await? == tag);
    ensure!(world.ask(false).await?.header("x-serin-target") == "old/m");
    Ok(())
}

async fn of_many_writers_one_wins(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let world = Arc::new(World::start(edge_kind, None).await?);
    for round in 1..=3 {
        let tag = world.tag().await?;
        let mut running = JoinSet::new();
        for at in 0..8 {
            let (world, tag) = (Arc::clone(&world), tag.clone());
            running.spawn(async move {
                let mut document = world.document("new")?;
                document["routes"][0]["id"] = json!(format!("all-{round}-{at}"));
                let put = world.admin("PUT", "", &[("if-match", &tag)], &document).await?;
                anyhow::Ok((put, document))
            });
        }
        let (mut statuses, mut winner) = (Vec::new(), None);
        while let Some(answer) = running.join_next().await {
            let (put, document) = answer??;
            statuses.push(put.status);
            if put.status == 200 {
                winner = Some((put, document));
            }
        }
        statuses.sort_unstable();
        ensure!(statuses == [200, 412, 412, 412, 412, 412, 412, 412], "{round}: {statuses:?}");
        // Only the writer with this response has won: no other document is in force, or in the
        // history.
        let (put, document) = winner.context("no writer won")?;
        let now = world.admin("GET", "", &[], &Value::Null).await?;
        ensure!(now.header("etag") == put.header("etag"), "{round}: {now:?}, not {put:?}");
        ensure!(now.json() == document, "{round}: {now:?}, not {document}");
        let list = world.admin("GET", "/versions", &[], &Value::Null).await?.json();
        ensure!(list["data"].as_array().map(Vec::len) == Some(round + 1), "{list}");
    }
    Ok(())
}

async fn a_version_outlives_the_process(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let state = State::new(edge_kind)?;
    let world = World::start(edge_kind, Some(&state.0)).await?;
    ensure!(world.put(&world.tag().await?, "new").await?.status == 200);
    ensure!(world.put(&world.tag().await?, "old").await?.status == 200);
    let tag = world.tag().await?;
    let headers = [("if-match", tag.as_str())];
    let restored = world.admin("POST", "/versions/1/restore", &headers, &Value::Null).await?;
    ensure!(restored.status == 200 && restored.json()["version"] == 3, "{restored:?}");
    let World { edge, server } = world;
    edge.kill();
    let world = World::over(edge_kind, server, Some(&state.0)).await?;
    // The very first request already uses the document.
    ensure!(world.ask(false).await?.header("x-serin-target") == "new/m");
    let list = world.admin("GET", "/versions", &[], &Value::Null).await?.json();
    let notes: Vec<&Value> =
        list["data"].as_array().into_iter().flatten().map(|one| &one["note"]).collect();
    ensure!(notes.len() == 4 && notes[0] == "restored from 1", "{list}");
    Ok(())
}

/// A directory for an edge's state, removed on drop.
struct State(PathBuf);

impl State {
    fn new(edge_kind: EdgeKind) -> anyhow::Result<Self> {
        let name = format!("serin-{}-config-{}", edge_kind.name(), std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// An edge whose deployed document leads to one provider; a second provider exists.
struct World {
    edge: Box<dyn Edge + Send>,
    server: Arc<Server>,
}

impl World {
    async fn start(edge_kind: EdgeKind, state: Option<&Path>) -> anyhow::Result<Self> {
        let server = Arc::new(Server::start().await?);
        let script: Script = toml::from_str("answer = 'one two three'\ngap = '20ms'")?;
        let part = || UpstreamSpec { script: vec![script.clone()], ..UpstreamSpec::default() };
        server.register(NAME, [("old".to_owned(), part()), ("new".to_owned(), part())].into());
        Self::over(edge_kind, server, state).await
    }

    async fn over(
        edge_kind: EdgeKind,
        server: Arc<Server>,
        state: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let config = document(&server, "old")?;
        let secrets = [("APP_KEY", APP_KEY), ("ADMIN_TOKEN", ADMIN)];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let apps = vec![App { name: NAME.to_owned(), config, secrets, ledger: true }];
        let state = state.map(Path::to_owned);
        // Starting blocks, and one of the edges has its own runtime.
        let edge = tokio::task::spawn_blocking(move || edge_kind.start(&apps, state.as_deref()));
        let edge = edge.await?.context("build both artifacts first: `cargo xtask test`")?;
        Ok(Self { edge, server })
    }

    /// Number of calls to a provider.
    fn calls(&self, provider: &str) -> usize {
        self.server.seen(NAME).get(provider).map_or(0, Vec::len)
    }

    fn document(&self, provider: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&document(&self.server, provider)?)?)
    }

    async fn ask(&self, stream: bool) -> anyhow::Result<Answer> {
        let body = json!({
            "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "Hello" }],
        });
        call(self.edge.address(NAME), "POST", "/v1/chat/completions", APP_KEY, &body).await
    }

    async fn admin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let path = format!("/admin/v1/config{path}");
        call_with(self.edge.address(NAME), method, &path, ADMIN, headers, body).await
    }

    async fn put(&self, tag: &str, provider: &str) -> anyhow::Result<Answer> {
        self.admin("PUT", "", &[("if-match", tag)], &self.document(provider)?).await
    }

    /// ETag of the document in force.
    async fn tag(&self) -> anyhow::Result<String> {
        let answer = self.admin("GET", "", &[], &Value::Null).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.header("etag").to_owned())
    }
}

fn document(server: &Server, provider: &str) -> anyhow::Result<String> {
    let base = server.base(NAME);
    let text = format!(
        "[[providers]]\nid = 'old'\nkind = 'openai-compatible'\nbase_url = '{base}/old/v1'\n\
         [[providers]]\nid = 'new'\nkind = 'openai-compatible'\nbase_url = '{base}/new/v1'\n\
         [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = '{provider}' }}]\n\
         [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n"
    );
    author::to_json(&text).map_err(|problems| anyhow::anyhow!("{problems}\n{text}"))
}

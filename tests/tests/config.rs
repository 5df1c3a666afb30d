//! Configuration changes at runtime, against both built artifacts: under load, by concurrent
//! writers, with invalid documents, and across a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use config::author;
use serde_json::{Value, json};
use sim::server::{CannedResponse, Server};
use sim::upstream::{Script, UpstreamSpec};
use tests::caller::{Answer, call, call_with};
use tests::edge::{App, Edge};
use tests::edge_kind::EdgeKind;
use tests::scratch::ScratchDirectory;
use tests::stream::{Stream, StreamRequest};
use tests::test_on_both_edges;
use tests::wait::{EVENT_TIMEOUT, wait_until};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

test_on_both_edges! {
    new_configuration_under_load_fails_no_request,
    invalid_configuration_changes_nothing,
    concurrent_writes_create_one_version,
    version_survives_a_kill,
}

const ADMIN: &str = "admin-token-of-this-test";
const APP_KEY: &str = "app-key-of-this-test";
const NAME: &str = "live";
/// World of the provider whose streams wait for their release.
const HELD: &str = "held";
/// Longest time until every instance uses a new document.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(60);

async fn new_configuration_under_load_fails_no_request(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let world = Arc::new(World::start(edge_kind, None).await?);
    let load = Load::start(&world);
    load.await_answers_of("old/m").await?;
    let tag = world.tag().await?;
    // This stream begins under the old document and ends under the new one.
    let mut stream = Stream::open(world.edge.address(NAME), &held_request()).await?;
    stream.events(2).await?;
    let tried = world.admin("PUT", "?dry_run=true", &[], &world.document("new")?).await?;
    let change =
        json!({ "path": "routes.all.targets[0].provider", "before": "old", "after": "new" });
    ensure!(tried.status == 200 && tried.json()["changes"] == json!([change]), "{tried:?}");
    ensure!(world.calls("new") == 0, "new is called too early");
    let put = world.put(&tag, "new").await?;
    ensure!(put.status == 200 && put.json()["version"] == 1, "{put:?}");
    ensure!(put.header("x-serin-config-version") == "1", "{put:?}");
    world.release.send_replace(true);
    stream.end().await?;
    await_the_new_target(&world).await?;
    load.await_answers_of("new/m").await?;
    let targets = load.stop().await?;
    ensure!(targets.len() == 2, "{targets:?}");
    Ok(())
}

/// Waits until every instance uses the new document, which takes a minute at most.
async fn await_the_new_target(world: &World) -> anyhow::Result<()> {
    let until = Instant::now() + UPDATE_TIMEOUT;
    // On Spin there are several instances, each of which follows in its own time.
    let mut in_a_row = 0;
    while in_a_row < 200 {
        if world.ask(false).await?.header("x-serin-target") == "new/m" {
            in_a_row += 1;
        } else {
            in_a_row = 0;
            ensure!(Instant::now() < until, "old still answers after a minute");
        }
        sleep(Duration::from_millis(10)).await;
    }
    // Requests that other instances serve do not go there either.
    loop {
        let before = world.calls("old");
        sleep(Duration::from_millis(500)).await;
        if world.calls("old") == before {
            return Ok(());
        }
        ensure!(Instant::now() < until, "old is still called after a minute");
    }
}

/// Number of complete answers by target.
type Targets = BTreeMap<String, usize>;

fn lock(targets: &Mutex<Targets>) -> MutexGuard<'_, Targets> {
    targets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Callers that send requests until they are stopped.
struct Load {
    callers: JoinSet<anyhow::Result<()>>,
    is_over: Arc<AtomicBool>,
    targets: Arc<Mutex<Targets>>,
}

impl Load {
    fn start(world: &Arc<World>) -> Self {
        let (is_over, targets) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (world, is_over) = (Arc::clone(world), Arc::clone(&is_over));
            let targets: Arc<Mutex<Targets>> = Arc::clone(&targets);
            callers.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = world.ask(caller % 2 == 0).await?;
                    ensure!(is_whole(&answer), "{answer:?}");
                    let target = answer.header("x-serin-target").to_owned();
                    *lock(&targets).entry(target).or_default() += 1;
                    sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            });
        }
        Self { callers, is_over, targets }
    }

    /// Waits until a target has answered several requests of the callers.
    async fn await_answers_of(&self, target: &str) -> anyhow::Result<()> {
        let has_answered = || lock(&self.targets).get(target).is_some_and(|count| *count > 20);
        let is_done = wait_until(EVENT_TIMEOUT, has_answered).await;
        ensure!(is_done, "{target} does not answer: {:?}", lock(&self.targets));
        Ok(())
    }

    /// Stops the callers. Fails if one of them received an incorrect answer.
    async fn stop(mut self) -> anyhow::Result<Targets> {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller??;
        }
        Ok(lock(&self.targets).clone())
    }
}

/// Whether an upstream has answered at its first call, and the response is complete.
fn is_whole(answer: &Answer) -> bool {
    let is_first = answer.header("x-serin-attempts") == "1";
    is_first && answer.content().as_deref() == Some("one two three")
}

async fn invalid_configuration_changes_nothing(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let world = World::start(edge_kind, None).await?;
    let tag = world.tag().await?;
    let refused = world.put(&tag, "unknown").await?;
    let problems = &refused.json()["error"]["problems"];
    ensure!(refused.status == 422, "{refused:?}");
    ensure!(problems[0]["path"] == "routes[1].targets[0].provider", "{refused:?}");
    let document = world.document("new")?;
    let mut incomplete = document.clone();
    incomplete["consumers"][0]["keys"] = json!(["secret:NOT_THERE"]);
    let refused = world.admin("PUT", "", &[("if-match", &tag)], &incomplete).await?;
    ensure!(refused.status == 422, "{refused:?}");
    ensure!(
        refused.json()["error"]["problems"][0]["path"] == "consumers[0].keys[0]",
        "{refused:?}"
    );
    ensure!(world.admin("PUT", "", &[], &document).await?.status == 428);
    ensure!(world.put("\"9-0\"", "new").await?.status == 412);
    ensure!(world.tag().await? == tag);
    ensure!(world.ask(false).await?.header("x-serin-target") == "old/m");
    Ok(())
}

async fn concurrent_writes_create_one_version(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let world = Arc::new(World::start(edge_kind, None).await?);
    for round in 1..=3 {
        let tag = world.tag().await?;
        let mut running = JoinSet::new();
        for at in 0..8 {
            let (world, tag) = (Arc::clone(&world), tag.clone());
            running.spawn(async move {
                let mut document = world.document("new")?;
                document["routes"][1]["id"] = json!(format!("all-{round}-{at}"));
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
        // No other writer's document is in force or in the history.
        let (put, document) = winner.context("no writer won")?;
        let now = world.admin("GET", "", &[], &Value::Null).await?;
        ensure!(now.header("etag") == put.header("etag"), "{round}: {now:?}, not {put:?}");
        ensure!(now.json()["document"] == document, "{round}: {now:?}, not {document}");
        let list = world.admin("GET", "/versions", &[], &Value::Null).await?.json();
        ensure!(list["data"].as_array().map(Vec::len) == Some(round + 1), "{list}");
    }
    Ok(())
}

async fn version_survives_a_kill(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let state = ScratchDirectory::new("config")?;
    let world = World::start(edge_kind, Some(state.path())).await?;
    ensure!(world.put(&world.tag().await?, "new").await?.status == 200);
    ensure!(world.put(&world.tag().await?, "old").await?.status == 200);
    let tag = world.tag().await?;
    let headers = [("if-match", tag.as_str())];
    let restored = world.admin("POST", "/versions/1/restore", &headers, &Value::Null).await?;
    ensure!(restored.status == 200 && restored.json()["version"] == 3, "{restored:?}");
    let World { edge, server, release } = world;
    edge.kill();
    let world = World::serve(edge_kind, server, release, Some(state.path())).await?;
    // The very first request already uses the document.
    ensure!(world.ask(false).await?.header("x-serin-target") == "new/m");
    let list = world.admin("GET", "/versions", &[], &Value::Null).await?.json();
    let notes: Vec<&Value> =
        list["data"].as_array().into_iter().flatten().map(|one| &one["note"]).collect();
    ensure!(notes.len() == 4 && notes[0] == "restored from 1", "{list}");
    Ok(())
}

/// Request for a stream that waits for its release.
fn held_request() -> StreamRequest {
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    StreamRequest {
        path: "/v1/chat/completions".to_owned(),
        token: APP_KEY.to_owned(),
        body: json!({ "model": "held", "stream": true, "messages": messages }),
    }
}

/// An edge whose deployed document has one provider as its target, and others to change to.
struct World {
    edge: Box<dyn Edge + Send>,
    server: Arc<Server>,
    /// Releases the streams of the provider `held`.
    release: watch::Sender<bool>,
}

impl World {
    async fn start(edge_kind: EdgeKind, state: Option<&Path>) -> anyhow::Result<Self> {
        let server = Arc::new(Server::start().await?);
        let script: Script = toml::from_str("answer = 'one two three'\ngap = '20ms'")?;
        let part = || UpstreamSpec { script: vec![script.clone()], ..UpstreamSpec::default() };
        server.register(NAME, [("old".to_owned(), part()), ("new".to_owned(), part())].into());
        let (release, released) = watch::channel(false);
        server.register_canned(HELD, CannedResponse::held(released));
        Self::serve(edge_kind, server, release, state).await
    }

    async fn serve(
        edge_kind: EdgeKind,
        server: Arc<Server>,
        release: watch::Sender<bool>,
        state: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let config = document(&server, "old")?;
        let secrets = [("APP_KEY", APP_KEY), ("ADMIN_TOKEN", ADMIN)];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let apps = vec![App { name: NAME.to_owned(), config, secrets, ledger: true }];
        let edge = edge_kind.start(apps, state).await?;
        Ok(Self { edge, server, release })
    }

    /// Number of calls to a provider.
    fn calls(&self, provider: &str) -> usize {
        self.server.calls(NAME).get(provider).map_or(0, Vec::len)
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
    let (base, held) = (server.base(NAME), server.base(HELD));
    let text = format!(
        "[[providers]]\nid = 'old'\nkind = 'openai-compatible'\nbase_url = '{base}/old/v1'\n\
         [[providers]]\nid = 'new'\nkind = 'openai-compatible'\nbase_url = '{base}/new/v1'\n\
         [[providers]]\nid = 'held'\nkind = 'openai-compatible'\nbase_url = '{held}/held/v1'\n\
         [[routes]]\nid = 'held'\nmodels = ['held']\ntargets = [{{ provider = 'held' }}]\n\
         [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = '{provider}' }}]\n\
         [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n"
    );
    author::to_json(&text).map_err(|problems| anyhow::anyhow!("{problems}\n{text}"))
}

//! Request bodies against the built Worker: memory is bounded by what an isolate admits, and what one body
//! takes grows in proportion to it.

use std::time::Duration;

use anyhow::ensure;
use config::author;
use serde_json::{Value, json};
use sim::server::Server;
use sim::testing::script;
use sim::upstream::UpstreamSpec;
use tests::caller::call;
use tests::edge::App;
use tests::edge_kind::EdgeKind;
use tests::isolated_edge::IsolatedEdge;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

const HOST: &str = env!("CARGO_BIN_EXE_serin-spin-host");
const KEY: &str = "app-key-of-this-test";
const APP: &str = "bodies";
const CHAT: &str = "/v1/chat/completions";
const MEBIBYTE: usize = 1 << 20;
/// Bodies that are sent at once, and their length. An isolate admits 32 MiB of received bytes.
const BODIES: usize = 24;
const BODY_MEBIBYTES: usize = 4;
/// Memory that the admitted bodies may take, with all copies in the module, in the host, and in its
/// connections: 12 times their length.
const MAX_GROWTH: usize = 12 * 32 * MEBIBYTE;

/// Lock that admits one edge at a time: two concurrent measurements would affect each other.
static EDGE_LOCK: Mutex<()> = Mutex::const_new(());

struct World {
    edge: IsolatedEdge,
    _server: Server,
}

impl World {
    async fn open(upstream: &str) -> anyhow::Result<Self> {
        let server = Server::start().await?;
        let spec = UpstreamSpec { script: vec![script(upstream)], ..UpstreamSpec::default() };
        server.register(APP, [("up".to_owned(), spec)].into());
        let document = format!(
            "[[providers]]\nid = 'up'\nkind = 'openai-compatible'\nbase_url = '{}/up/v1'\n\
             [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = 'up' }}]\n\
             retries = {{ attempts = 0 }}\n\
             timeouts = {{ first_byte = '12s', answer = '12s', idle = '12s', total = '30s' }}\n\
             [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n\
             params = {{ temperature = {{ max = 1 }} }}\n",
            server.base(APP)
        );
        let config = author::to_json(&document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let secrets = [("APP_KEY".to_owned(), KEY.to_owned())].into();
        let app = App { name: APP.to_owned(), config, secrets, ledger: true };
        let edge = IsolatedEdge::start(EdgeKind::Cloudflare, HOST, app, None).await?;
        Ok(Self { edge, _server: server })
    }

    /// Sends a body. Returns the status and the code of the error.
    async fn send(&self, body: &Value) -> anyhow::Result<(u16, String)> {
        let answer = call(self.edge.address(), "POST", CHAT, KEY, body).await?;
        let code = answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        Ok((answer.status, code))
    }
}

#[tokio::test]
async fn bodies_in_flight_are_bounded_in_workerd() -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    let world = World::open("hang = true").await?;
    let address = world.edge.address();
    // Code and heaps are warm before the measurement.
    world.send(&json!({ "model": "m", "messages": [], "temperature": 9 })).await?;
    let before = world.edge.resident()?;
    let content = "x".repeat(BODY_MEBIBYTES * MEBIBYTE);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
    let mut callers = JoinSet::new();
    for _ in 0..BODIES {
        let body = body.clone();
        callers.spawn(async move { call(address, "POST", CHAT, KEY, &body).await });
    }
    sleep(Duration::from_secs(3)).await;
    let health = call(address, "GET", "/healthz", "", &Value::Null).await?;
    ensure!(health.status == 200, "{}", health.status);
    let grown = world.edge.resident()?.saturating_sub(before);
    let (mut refused, mut late) = (0, 0);
    for answer in callers.join_all().await {
        let answer = answer?;
        match (answer.status, answer.json()["error"]["code"].as_str()) {
            (503, Some("overloaded")) => refused += 1,
            (504, Some("upstream_timeout")) => late += 1,
            other => anyhow::bail!("{other:?}"),
        }
    }
    eprintln!("{refused} refused, {late} admitted, {} MiB more", grown / MEBIBYTE);
    ensure!(refused > BODIES / 2 && late > 0, "{refused} refused, {late} admitted");
    ensure!(grown < MAX_GROWTH, "{grown} bytes more");
    Ok(())
}

/// Each body has its own workerd, whose memory never shrinks.
#[tokio::test]
async fn memory_of_a_body_grows_in_proportion_in_workerd() -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    let mut grown = Vec::new();
    for mebibytes in [2, 4, 8] {
        let world = World::open("answer = 'Hello'").await?;
        world.send(&json!({ "model": "m", "messages": [], "temperature": 9 })).await?;
        let before = world.edge.resident()?;
        // A rule reads the field. As a tree, each item would take 50 times its length.
        let items = vec![json!({ "": 0 }); mebibytes * MEBIBYTE / 8];
        let body = json!({ "model": "m", "messages": [], "temperature": items });
        let (status, code) = world.send(&body).await?;
        ensure!((status, code.as_str()) == (403, "parameter_not_allowed"), "{status} {code}");
        let health = call(world.edge.address(), "GET", "/healthz", "", &Value::Null).await?;
        ensure!(health.status == 200, "{}", health.status);
        grown.push((mebibytes, world.edge.resident()?.saturating_sub(before) / MEBIBYTE));
    }
    eprintln!("MiB of a body, MiB more: {grown:?}");
    for (mebibytes, more) in &grown {
        ensure!(*more <= 12 * mebibytes + 32, "{grown:?}");
    }
    Ok(())
}

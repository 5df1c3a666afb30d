//! Both built artifacts, killed under load: metrics and usage never fall below values that an operator
//! has received, and counting continues from there.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use config::author;
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::Script;
use tests::caller::call;
use tests::edge::App;
use tests::edge_kind::EdgeKind;
use tests::isolated_edge::IsolatedEdge;
use tests::metrics_page::MetricsPage;
use tests::scratch::ScratchDirectory;
use tests::test_on_both_edges;
use tests::wait::EVENT_TIMEOUT;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

test_on_both_edges! {
    shown_totals_survive_kills,
}

const HOST: &str = env!("CARGO_BIN_EXE_serin-spin-host");
const KEY: &str = "app-key-of-this-test";
const ADMIN: &str = "admin-token-of-this-test";
const NAME: &str = "killed";
const SCRIPT: &str =
    "answer = 'one two'\ndelay = '40ms'\nprompt_tokens = 20\ncompletion_tokens = 80";
/// Tokens of each response.
const TOKENS: u64 = 100;
/// Number of kills.
const RESTARTS: u64 = 3;
const CONCURRENT_CALLERS: u64 = 10;

async fn shown_totals_survive_kills(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let state = ScratchDirectory::new(NAME)?;
    let server = Server::start().await?;
    server.register(NAME, [].into());
    server.rewrite(NAME, "big", toml::from_str::<Script>(SCRIPT)?);
    let mut before = ShownTotals::default();
    let mut sent = 0;
    for run in 0..RESTARTS {
        let edge = start(edge_kind, &server, state.path()).await?;
        let address = edge.address();
        let counted = ShownTotals::fetch(address).await?;
        counted.check_not_less_than(&before).with_context(|| format!("run {run}"))?;
        ensure!(counted.requests <= sent, "run {run}: {} of {sent} requests", counted.requests);
        // Without a kill, every request is counted.
        for _ in 0..4 {
            for status in send_all(address).join_all().await {
                ensure!(status? == 200, "run {run}");
            }
        }
        sent += 4 * CONCURRENT_CALLERS;
        // A batch in flight may have reached one of its destinations and not the other.
        let (all, all_scraped) =
            (counted.requests + 4 * CONCURRENT_CALLERS, counted.scraped() + 4 * CONCURRENT_CALLERS);
        let until = Instant::now() + EVENT_TIMEOUT;
        before = loop {
            let shown = ShownTotals::fetch(address).await?;
            shown.check_not_less_than(&counted)?;
            let counts = (shown.requests, shown.scraped());
            if counts == (all, all_scraped) {
                break shown;
            }
            let late = Instant::now() >= until;
            ensure!(!late, "run {run}: {counts:?} of {all}, {all_scraped}");
            sleep(Duration::from_millis(50)).await;
        };
        ensure!(before.tokens == all * TOKENS, "run {run}: {} tokens", before.tokens);
        // More requests are in flight during the kill, and some of their counts are shown before
        // it.
        let mut running = send_all(address);
        sent += CONCURRENT_CALLERS;
        sleep(Duration::from_millis(60) + Duration::from_millis(20) * run as u32).await;
        let shown = ShownTotals::fetch(address).await?;
        edge.kill();
        shown.check_not_less_than(&before)?;
        before = shown;
        running.abort_all();
    }
    let edge = start(edge_kind, &server, state.path()).await?;
    let last = ShownTotals::fetch(edge.address()).await?;
    last.check_not_less_than(&before)?;
    ensure!(
        last.requests >= RESTARTS * 4 * CONCURRENT_CALLERS && last.requests <= sent,
        "{}",
        last.requests
    );
    Ok(())
}

/// Totals that an operator receives.
#[derive(Default)]
struct ShownTotals {
    page: MetricsPage,
    /// Requests and tokens in the usage report.
    requests: u64,
    tokens: u64,
}

impl ShownTotals {
    async fn fetch(address: SocketAddr) -> anyhow::Result<Self> {
        let page = MetricsPage::fetch(address, ADMIN).await?;
        let usage = call(address, "GET", "/admin/v1/usage", ADMIN, &Value::Null).await?;
        ensure!(usage.status == 200, "{usage:?}");
        let usage = usage.json();
        let sum = |name: &str| usage["data"][0][name].as_u64().unwrap_or_default();
        let tokens = sum("input_tokens") + sum("output_tokens");
        Ok(Self { page, requests: sum("requests"), tokens })
    }

    fn scraped(&self) -> u64 {
        self.page.sum("serin_requests_total", &[]) as u64
    }

    fn check_not_less_than(&self, before: &Self) -> anyhow::Result<()> {
        let decreased = self.page.decreased_since(&before.page);
        ensure!(decreased.is_empty(), "{decreased:?}");
        let (now, then) = ((self.requests, self.tokens), (before.requests, before.tokens));
        ensure!(now.0 >= then.0 && now.1 >= then.1, "usage: {then:?}, then {now:?}");
        Ok(())
    }
}

/// Callers that send one request each; returns the statuses of their responses.
fn send_all(address: SocketAddr) -> JoinSet<anyhow::Result<u16>> {
    let mut running = JoinSet::new();
    for _ in 0..CONCURRENT_CALLERS {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello" }] });
        running.spawn(async move {
            Ok(call(address, "POST", "/v1/chat/completions", KEY, &body).await?.status)
        });
    }
    running
}

async fn start(edge_kind: EdgeKind, server: &Server, state: &Path) -> anyhow::Result<IsolatedEdge> {
    let base = server.base(NAME);
    let document = format!(
        "[[providers]]\nid = 'big'\nkind = 'openai-compatible'\nbase_url = '{base}/big/v1'\n\
         [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = 'big' }}]\n\
         [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n"
    );
    let config = author::to_json(&document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
    let secrets = [("APP_KEY", KEY), ("ADMIN_TOKEN", ADMIN)];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let app = App { name: NAME.to_owned(), config, secrets, ledger: true };
    IsolatedEdge::start(edge_kind, HOST, app, Some(state)).await
}

//! Both built artifacts, killed under load: metrics and usage never fall below values that were
//! already shown, and counting continues from there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
use tests::kept_by_both;
use tests::metrics_page::MetricsPage;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

kept_by_both! {
    what_was_shown_outlives_the_process,
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
/// Longest wait for totals to become queryable.
const AGGREGATION_TIMEOUT: Duration = Duration::from_secs(10);

async fn what_was_shown_outlives_the_process(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let state = State::new(edge_kind)?;
    let server = Server::start().await?;
    server.register(NAME, [].into());
    server.rewrite(NAME, "big", toml::from_str::<Script>(SCRIPT)?);
    let mut before = ShownTotals::default();
    let mut asked = 0;
    for life in 0..RESTARTS {
        let solo = start(edge_kind, &server, &state.0).await?;
        let address = solo.address();
        let kept = ShownTotals::fetch(address).await?;
        kept.check_not_less_than(&before).with_context(|| format!("life {life}"))?;
        ensure!(kept.requests <= asked, "life {life}: {} of {asked} requests", kept.requests);
        // While nothing is killed, everything is counted.
        for _ in 0..4 {
            for status in crowd(address).join_all().await {
                ensure!(status? == 200, "life {life}");
            }
        }
        asked += 4 * CONCURRENT_CALLERS;
        // A batch in flight may have reached one of its destinations and not the other.
        let (all, all_scraped) =
            (kept.requests + 4 * CONCURRENT_CALLERS, kept.scraped() + 4 * CONCURRENT_CALLERS);
        let until = Instant::now() + AGGREGATION_TIMEOUT;
        before = loop {
            let shown = ShownTotals::fetch(address).await?;
            shown.check_not_less_than(&kept)?;
            let counts = (shown.requests, shown.scraped());
            if counts == (all, all_scraped) {
                break shown;
            }
            let late = Instant::now() >= until;
            ensure!(!late, "life {life}: {counts:?} of {all}, {all_scraped}");
            sleep(Duration::from_millis(50)).await;
        };
        ensure!(before.tokens == all * TOKENS, "life {life}: {} tokens", before.tokens);
        // More requests are in flight during the kill, and some of their counts are shown before
        // it.
        let mut running = crowd(address);
        asked += CONCURRENT_CALLERS;
        sleep(Duration::from_millis(60) + Duration::from_millis(20) * life as u32).await;
        let shown = ShownTotals::fetch(address).await?;
        solo.kill();
        shown.check_not_less_than(&before)?;
        before = shown;
        running.abort_all();
    }
    let solo = start(edge_kind, &server, &state.0).await?;
    let last = ShownTotals::fetch(solo.address()).await?;
    last.check_not_less_than(&before)?;
    ensure!(
        last.requests >= RESTARTS * 4 * CONCURRENT_CALLERS && last.requests <= asked,
        "{}",
        last.requests
    );
    Ok(())
}

/// Totals that an operator is shown.
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
        let fallen = self.page.decreased_since(&before.page);
        ensure!(fallen.is_empty(), "{fallen:?}");
        let (now, then) = ((self.requests, self.tokens), (before.requests, before.tokens));
        ensure!(now.0 >= then.0 && now.1 >= then.1, "usage: {then:?}, then {now:?}");
        Ok(())
    }
}

/// Callers that send one request each; returns the statuses of their responses.
fn crowd(address: SocketAddr) -> JoinSet<anyhow::Result<u16>> {
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
    let state = state.to_owned();
    // Starting blocks.
    let started = tokio::task::spawn_blocking(move || {
        IsolatedEdge::start_with_state(edge_kind, Path::new(HOST), &app, Some(&state))
    });
    started.await?.context("build both artifacts first: `cargo xtask test`")
}

/// A directory for an edge's state, removed on drop.
struct State(PathBuf);

impl State {
    fn new(edge_kind: EdgeKind) -> anyhow::Result<Self> {
        let name = format!("serin-{}-{NAME}-{}", edge_kind.name(), std::process::id());
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

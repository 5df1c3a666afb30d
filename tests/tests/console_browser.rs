//! The web console in Chromium before both edges, with simulated model providers: `console/tests`.
//!
//! It needs Node and Chromium, so it runs only with `SERIN_CONSOLE_BROWSER=1`, which the step `console` of
//! `cargo xtask test` sets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::DemoProvider;
use tests::edge::App;
use tests::edge_kind::EdgeKind;
use tests::test_on_both_edges;
use tests::workerd::root;
use tokio::sync::Mutex;
use tokio::time::timeout;

test_on_both_edges! {
    console_works_before_a_real_gateway,
}

/// Longest run of the browser tests before one edge.
const RUN_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Gateways of one run; `console/tests/visit.mjs` describes each.
const GATEWAYS: [&str; 3] = ["seeded", "changed", "quiet"];
const PROVIDERS: [(&str, DemoProvider); 3] = [
    ("OPENAI", DemoProvider::Openai),
    ("DEEPSEEK", DemoProvider::Deepseek),
    ("LOCAL", DemoProvider::Local),
];
/// One browser at a time: two would only wait for each other.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// The document of `console/tests/gateway.json`.
#[derive(Deserialize)]
struct Gateway {
    config: Value,
    secrets: BTreeMap<String, String>,
}

async fn console_works_before_a_real_gateway(edge: EdgeKind) -> anyhow::Result<()> {
    if std::env::var_os("SERIN_CONSOLE_BROWSER").is_none() {
        eprintln!("skipped: SERIN_CONSOLE_BROWSER is not set");
        return Ok(());
    }
    let _turn = BROWSER.lock().await;
    let directory = root().join("console");
    let gateway = read(&directory.join("tests/gateway.json"))?;
    let mut config = gateway.config.to_string();
    let mut providers = Vec::new();
    for (name, provider) in PROVIDERS {
        let server = Server::start_demo(0, provider, Vec::new(), None).await?;
        config = config.replace(&format!("//{name}/"), &format!("//{}/", server.address()));
        providers.push(server);
    }
    let apps = GATEWAYS.map(|name| App {
        name: name.to_owned(),
        config: config.clone(),
        secrets: gateway.secrets.clone(),
        ledger: true,
    });
    let host = edge.start(apps.into(), None).await?;
    let bases: BTreeMap<&str, String> =
        GATEWAYS.map(|name| (name, format!("http://{}", host.address(name)))).into();
    let mut run = tokio::process::Command::new("node");
    run.current_dir(&directory)
        .args(["--test", "--test-reporter=spec", "tests/all.test.mjs"])
        .env("SERIN_CONSOLE_EDGE", edge.name())
        .env("SERIN_CONSOLE_GATEWAYS", json!(bases).to_string())
        .kill_on_drop(true);
    let status = timeout(RUN_TIMEOUT, run.status()).await.context("the browser tests hang")?;
    if !status?.success() {
        bail!("the browser tests failed on {}", edge.name());
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Gateway> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

//! The web console in Chromium before both edges, with simulated model providers: `console/tests/real`.
//!
//! It takes many minutes, so it runs only with `SERIN_CONSOLE_BROWSER=1`, after `cargo xtask test --only console`
//! and the builds of both artifacts.

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
    screens_work_before_a_real_gateway,
}

/// Longest run of the browser tests before one edge.
const RUN_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Gateways of one run: each browser test that changes something has its own.
const GATEWAYS: usize = 24;
const PROVIDERS: [(&str, DemoProvider); 3] = [
    ("OPENAI", DemoProvider::Openai),
    ("DEEPSEEK", DemoProvider::Deepseek),
    ("LOCAL", DemoProvider::Local),
];
/// One browser at a time: two would only wait for each other.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// The document of `console/tests/real/gateway.json`.
#[derive(Deserialize)]
struct Gateway {
    config: Value,
    secrets: BTreeMap<String, String>,
}

async fn screens_work_before_a_real_gateway(edge: EdgeKind) -> anyhow::Result<()> {
    if std::env::var_os("SERIN_CONSOLE_BROWSER").is_none() {
        eprintln!("skipped: SERIN_CONSOLE_BROWSER is not set");
        return Ok(());
    }
    let _turn = BROWSER.lock().await;
    let directory = root().join("console");
    let gateway = read(&directory.join("tests/real/gateway.json"))?;
    let mut config = gateway.config.to_string();
    let mut providers = Vec::new();
    for (name, provider) in PROVIDERS {
        let server = Server::start_demo(0, provider, Vec::new(), None).await?;
        config = config.replace(&format!("//{name}/"), &format!("//{}/", server.address()));
        providers.push(server);
    }
    let names: Vec<String> = (0..GATEWAYS).map(|index| format!("console-{index}")).collect();
    let apps = names.iter().map(|name| App {
        name: name.clone(),
        config: config.clone(),
        secrets: gateway.secrets.clone(),
        ledger: true,
    });
    let host = edge.start(apps.collect(), None).await?;
    let bases: Vec<String> =
        names.iter().map(|name| format!("http://{}", host.address(name))).collect();
    let mut run = tokio::process::Command::new("node");
    run.current_dir(&directory)
        .args(["--test", "tests/real/screens.mjs"])
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

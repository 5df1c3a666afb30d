//! The demo's rollout on both built artifacts: it climbs, its canary is told to fail, and the share is
//! back at 0 in time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use config::author;
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::DemoProvider;
use tests::caller::{call, call_with};
use tests::edge::{App, Edge};
use tests::edge_kind::EdgeKind;
use tests::test_on_both_edges;
use tests::wait::{EVENT_TIMEOUT, wait_until};
use tokio::time::{Instant, sleep};

test_on_both_edges! {
    demo_rollout_climbs_and_its_failing_canary_gets_nothing_within_ten_seconds,
}

const DEMO: &str = include_str!("../../crates/xtask/src/demo.toml");
const NAME: &str = "rollout";
const KEY: &str = "app-key-of-this-test";
const ADMIN: &str = "admin-token-of-this-test";
const ROLLOUT: &str = "/admin/v1/rollouts/migration";
/// Longest time from the failure that decides to the last request of the canary.
const MAX_ROLLBACK: Duration = Duration::from_secs(10);
/// Time for which the canary must get nothing afterwards.
const QUIET: Duration = Duration::from_secs(12);
/// Pause between two requests: about as many in a second as the tour's shell sends.
const PAUSE: Duration = Duration::from_millis(25);

/// A gateway with the demo's configuration, and the simulated providers.
struct Demo {
    edge: Box<dyn Edge + Send>,
    providers: [Server; 3],
}

impl Demo {
    async fn start(edge_kind: EdgeKind) -> anyhow::Result<Self> {
        let start = |provider| Server::start_demo(0, provider, Vec::new(), None);
        let providers = [
            start(DemoProvider::Openai).await?,
            start(DemoProvider::Deepseek).await?,
            start(DemoProvider::Local).await?,
        ];
        let mut document = DEMO.to_owned();
        for (port, provider) in (9101..).zip(&providers) {
            let address = provider.address().to_string();
            document = document.replace(&format!("127.0.0.1:{port}"), &address);
        }
        let config = author::to_json(&document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let secrets = [
            ("APP_KEY", KEY),
            ("ADMIN_TOKEN", ADMIN),
            ("OPENAI_API_KEY", "simulated"),
            ("DEEPSEEK_API_KEY", "simulated"),
        ];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let app = App { name: NAME.to_owned(), config, secrets, ledger: true };
        let edge = edge_kind.start(vec![app], None).await?;
        Ok(Self { edge, providers })
    }

    fn address(&self) -> SocketAddr {
        self.edge.address(NAME)
    }

    /// Sends a request of the migrated model. Returns the target that answered.
    async fn ask(&self) -> anyhow::Result<String> {
        let messages = json!([{ "role": "user", "content": "Hello?" }]);
        let body = json!({ "model": "gpt-4.1", "messages": messages });
        let answer = call(self.address(), "POST", "/v1/chat/completions", KEY, &body).await?;
        ensure!(answer.status == 200, "{answer:?}");
        sleep(PAUSE).await;
        Ok(answer.header("x-serin-target").to_owned())
    }

    async fn rollout(&self) -> anyhow::Result<Value> {
        let answer = call(self.address(), "GET", ROLLOUT, ADMIN, &Value::Null).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.json())
    }

    async fn restart(&self) -> anyhow::Result<()> {
        let (path, reason) = (format!("{ROLLOUT}/restart"), json!({ "reason": "The tour" }));
        let headers = [("if-match", "*")];
        let answer = call_with(self.address(), "POST", &path, ADMIN, &headers, &reason).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }
}

async fn demo_rollout_climbs_and_its_failing_canary_gets_nothing_within_ten_seconds(
    edge_kind: EdgeKind,
) -> anyhow::Result<()> {
    let demo = Demo::start(edge_kind).await?;
    demo.restart().await?;
    let mut weights = vec![demo.rollout().await?["weight"].clone()];
    let until = Instant::now() + EVENT_TIMEOUT * 2;
    while weights.last() != Some(&json!(50)) {
        ensure!(Instant::now() < until, "the share did not climb: {weights:?}");
        for _ in 0..20 {
            demo.ask().await?;
        }
        let weight = demo.rollout().await?["weight"].clone();
        if weights.last() != Some(&weight) {
            weights.push(weight);
        }
    }
    ensure!(weights == [5, 20, 50], "{weights:?}");

    let [_, deepseek, _] = &demo.providers;
    let told = call(deepseek.address(), "POST", "/outage?status=503", "", &Value::Null).await?;
    ensure!(told.json() == json!({ "failing": true }), "{told:?}");
    // The local server answers the requests whose canary failed.
    let mut failures = Vec::new();
    let is_quiet = |failures: &[Instant]| failures.last().is_some_and(|at| at.elapsed() > QUIET);
    while !is_quiet(&failures) {
        let target = demo.ask().await?;
        ensure!(!target.starts_with("deepseek"), "a failing target answered");
        if target.starts_with("local") {
            failures.push(Instant::now());
        }
        ensure!(failures.len() < 1_000, "the failing canary still gets requests");
    }

    let state = demo.rollout().await?;
    ensure!(state["phase"] == "rolled_back" && state["weight"] == 0, "{state}");
    let transition = &state["transitions"][0];
    ensure!(transition["action"] == "rollback" && transition["by"] == "serin", "{transition}");
    let shown = transition["checks"][0]["events"]["canary"].as_u64().context("no events")?;
    let deciding = usize::try_from(shown)?.checked_sub(1).and_then(|index| failures.get(index));
    let (deciding, last) = (deciding.context("no failure")?, failures.last().context("none")?);
    let took = last.duration_since(*deciding);
    println!(
        "{}: {shown} failures decided, {} in all; {took:.1?} from the one that decided to the last",
        edge_kind.name(),
        failures.len()
    );
    ensure!(took <= MAX_ROLLBACK, "{took:?}");
    assert_reason_is_everywhere(&demo, transition["reason"].as_str().context("no reason")?).await
}

/// Looks for the reason of the rollback in the host's log and in the audit log.
async fn assert_reason_is_everywhere(demo: &Demo, reason: &str) -> anyhow::Result<()> {
    ensure!(reason.starts_with("errors: "), "{reason}");
    let log = demo.edge.log();
    let is_logged = || log.lines().iter().any(|line| line.contains(reason));
    ensure!(wait_until(EVENT_TIMEOUT, is_logged).await, "{:?}", log.lines());
    let path = "/admin/v1/audit?action=rollout.rollback";
    let audit = call(demo.address(), "GET", path, ADMIN, &Value::Null).await?.json();
    let entry = &audit["data"][0];
    ensure!(entry["by"] == "serin" && entry["detail"]["reason"] == reason, "{audit}");
    Ok(())
}

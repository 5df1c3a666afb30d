//! Monitoring outputs, checked with their formats' own implementations on both edges: `/metrics`
//! with the official parser of Prometheus, OTLP exports with the official messages of
//! OpenTelemetry.
//!
//! `SERIN_PYTHON` names a Python that has both installed; `cargo xtask test` makes one.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sim::scenario::Scenario;
use sim::server::Server;
use tests::caller::call;
use tests::closed_port::ClosedPort;
use tests::edge::Edge;
use tests::edge_kind::EdgeKind;
use tests::metrics_page::MetricsPage;
use tests::scenario_runner::prepare;
use tests::scratch::ScratchDirectory;
use tests::stream::{Stream, StreamRequest};
use tests::test_on_both_edges;
use tests::wait::EVENT_TIMEOUT;
use tests::workerd::root;
use tokio::time::{Instant, sleep};

test_on_both_edges! {
    metrics_and_exports_are_valid_for_official_parsers,
}

const NAME: &str = "observe";
const ADMIN: &str = "the-token-of-the-owner";
/// A model whose name needs escapes in Prometheus' format, and is not ASCII.
const ESCAPED_MODEL: &str = "odd-\"quoted\" back\\slash 模型";

const WORLD: &str = r#"
about = "Traffic that leaves a sample in every family."
config = '''
[[providers]]
id       = "openai"
base_url = "UPSTREAM/openai/v1"
keys     = ["secret:OPENAI_API_KEY"]

[[providers]]
id       = "broken"
kind     = "openai-compatible"
base_url = "UPSTREAM/broken/v1"

[[providers]]
id       = "silent"
kind     = "openai-compatible"
base_url = "UPSTREAM/silent/v1"

[[providers]]
id       = "slow"
kind     = "openai-compatible"
base_url = "UPSTREAM/slow/v1"

[[routes]]
id      = "chat"
models  = ["gpt-4o", "text-embedding-3-small", "odd-*"]
targets = [{ provider = "openai" }]

[[routes]]
id       = "flaky"
models   = ["flaky"]
targets  = [{ provider = "broken", model = "tried-first" }]
fallback = [{ provider = "openai", model = "gpt-4o" }]
health   = { failures = 100 }

[[routes]]
id      = "dead"
models  = ["dead"]
targets = [{ provider = "broken" }]
health  = { failures = 100 }

[[routes]]
id      = "silent"
models  = ["silent"]
targets = [{ provider = "silent" }]

[[routes]]
id      = "slow"
models  = ["slow"]
targets = [{ provider = "slow" }]

[[routes]]
id      = "cached"
models  = ["cached"]
targets = [{ provider = "openai" }]

[[routes]]
id      = "guarded"
models  = ["guarded"]
targets = [{ provider = "openai" }]

[[consumers]]
id    = "app"
group = "gold"
keys  = ["secret:APP_KEY"]

[[consumers]]
id   = "small"
keys = ["secret:SMALL_KEY"]

[[limits]]
id       = "one"
by       = "consumer"
keys     = ["small"]
requests = { per = "total", max = 1 }

[[guards]]
id     = "terms"
kind   = "words"
routes = ["guarded"]
words  = ["forbidden phrase"]

[[guards]]
id     = "personal"
kind   = "pii"
routes = ["guarded"]

[cache]
routes = ["cached"]
ttl    = "1h"

[[prices]]
provider = "openai"
model    = "gpt-4o"
input    = 2.5
output   = 10

[observe.otlp]
endpoint = "UPSTREAM/collector"
headers  = { authorization = "secret:OTLP_KEY" }
'''
secrets = { OPENAI_API_KEY = "sk-upstream-openai", APP_KEY = "app-key-of-this-test", SMALL_KEY = "small-key-of-this-test", OTLP_KEY = "otlp-key-of-this-test", ADMIN_TOKEN = "the-token-of-the-owner" }

[upstreams.openai]
script = [{ answer = "Hello there my friend", prompt_tokens = 90, completion_tokens = 40, cached_tokens = 30, reasoning_tokens = 10, embedding = [0.5] }]

[upstreams.broken]
script = [{ status = 503 }]

[upstreams.silent]
script = [{ answer = "usage is not reported", usage = false }]

[upstreams.slow]
script = [{ answer = "one two three four five six seven eight", gap = "1s" }]

[upstreams.collector]
script = [{ json = {} }]

[[requests]]
path = "/v1/models"
"#;

/// Requests: consumer, model, whether it is a stream, and the expected status.
const TRAFFIC: [(&str, &str, bool, u16); 14] = [
    ("app", "gpt-4o", false, 200),
    ("app", "gpt-4o", true, 200),
    ("app", ESCAPED_MODEL, false, 200),
    ("app", "flaky", false, 200),
    ("app", "flaky", true, 200),
    ("app", "dead", true, 502),
    ("app", "silent", true, 200),
    ("app", "cached", false, 200),
    ("app", "cached", false, 200),
    ("app", "guarded", false, 200),
    ("app", "unknown-model", false, 404),
    ("small", "gpt-4o", false, 200),
    ("small", "gpt-4o", false, 429),
    // Requests without a valid key are not counted.
    ("unknown", "gpt-4o", false, 401),
];
/// Other requests of a round: a blocked one, an embedding, and one whose caller disconnects.
const EXTRA_REQUESTS: u64 = 3;

async fn metrics_and_exports_are_valid_for_official_parsers(
    edge_kind: EdgeKind,
) -> anyhow::Result<()> {
    let world = World::open(edge_kind).await?;
    let directory = ScratchDirectory::new(NAME)?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes);
    world.round(true).await?;
    let first = world.counted(1).await?;
    world.round(false).await?;
    let second = world.counted(2).await?;
    write("first.txt", &first)?;
    write("second.txt", &second)?;
    let (traces, metrics) = world.exported().await?;
    for (name, bodies) in [("traces", traces), ("metrics", metrics)] {
        for (number, body) in bodies.iter().enumerate() {
            write(&format!("{name}-{number}.json"), body)?;
        }
    }
    let python =
        std::env::var("SERIN_PYTHON").context("SERIN_PYTHON is not set: run `cargo xtask test`")?;
    let mut reader = Command::new(python);
    reader
        .arg(root().join("tests/sdk/observe.py"))
        .arg(directory.path())
        .arg(ESCAPED_MODEL)
        .current_dir(root());
    let output = tokio::task::spawn_blocking(move || reader.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}:\n{text}\n{errors}", edge_kind.name());
    ensure!(text.lines().filter(|line| line.starts_with("ok: ")).count() >= 20, "{text}");
    Ok(())
}

struct World {
    edge: Box<dyn Edge + Send>,
    server: Server,
    _closed: ClosedPort,
}

impl World {
    async fn open(edge_kind: EdgeKind) -> anyhow::Result<Self> {
        let scenario = Scenario::parse(NAME, WORLD).map_err(anyhow::Error::msg)?;
        let server = Server::start().await?;
        let closed = ClosedPort::reserve()?;
        let app = prepare(&scenario, &server, &closed)?;
        let edge = edge_kind.start(vec![app], None).await?;
        Ok(Self { edge, server, _closed: closed })
    }

    /// Sends one round. In the second, the small limit refuses both requests, and the cache has all
    /// responses.
    async fn round(&self, is_first: bool) -> anyhow::Result<()> {
        for (consumer, model, stream, expected) in TRAFFIC {
            let body = json!({
                "model": model, "stream": stream,
                "messages": [{ "role": "user", "content": "A private question of me@example.com" }],
            });
            let got = self.ask(consumer, "chat/completions", &body).await?;
            let expected = if consumer == "small" && !is_first { 429 } else { expected };
            ensure!(got == expected, "{consumer} {model}: {got}");
        }
        let blocked = json!({
            "model": "guarded",
            "messages": [{ "role": "user", "content": "Say the forbidden phrase" }],
        });
        ensure!(self.ask("app", "chat/completions", &blocked).await? == 200);
        let vector = json!({ "model": "text-embedding-3-small", "input": "A private question" });
        ensure!(self.ask("app", "embeddings", &vector).await? == 200);
        let slow = json!({
            "model": "slow", "stream": true,
            "messages": [{ "role": "user", "content": "A private question" }],
        });
        let request = StreamRequest {
            path: "/v1/chat/completions".to_owned(),
            token: "app-key-of-this-test".to_owned(),
            body: slow,
        };
        let mut stream = Stream::open(self.edge.address(NAME), &request).await?;
        stream.events(2).await?;
        // Dropping the stream disconnects the caller.
        drop(stream);
        Ok(())
    }

    async fn ask(&self, consumer: &str, path: &str, body: &Value) -> anyhow::Result<u16> {
        let key = format!("{consumer}-key-of-this-test");
        let path = format!("/v1/{path}");
        Ok(call(self.edge.address(NAME), "POST", &path, &key, body).await?.status)
    }

    /// The metrics page once it counts all requests of the rounds.
    async fn counted(&self, rounds: u64) -> anyhow::Result<Vec<u8>> {
        let expected = (rounds * (TRAFFIC.len() as u64 - 1 + EXTRA_REQUESTS)) as f64;
        let until = Instant::now() + EVENT_TIMEOUT;
        loop {
            let answer =
                call(self.edge.address(NAME), "GET", "/metrics", ADMIN, &Value::Null).await?;
            ensure!(answer.status == 200, "{answer:?}");
            let page = std::str::from_utf8(&answer.body)?;
            let requests = MetricsPage::parse(page)?.sum("serin_requests_total", &[]);
            if requests == expected {
                let format = answer.header("content-type");
                ensure!(format == "text/plain; version=0.0.4; charset=utf-8", "{format}");
                return Ok(answer.body.to_vec());
            }
            ensure!(Instant::now() < until, "{requests} of {expected} are counted:\n{page}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Exports that the collector received, traces and metrics, once it has a span of every
    /// request.
    async fn exported(&self) -> anyhow::Result<(Vec<Vec<u8>>, Vec<Vec<u8>>)> {
        let expected = 2 * (TRAFFIC.len() + EXTRA_REQUESTS as usize);
        let until = Instant::now() + EVENT_TIMEOUT;
        loop {
            let calls = self.server.settled(NAME, EVENT_TIMEOUT).await.remove("collector");
            let calls = calls.unwrap_or_default();
            let of = |path: &str| -> Vec<Vec<u8>> {
                let calls = calls.iter().filter(|call| call.path == path);
                calls.map(|call| call.body.to_vec()).collect()
            };
            let (traces, metrics) = (of("/v1/traces"), of("/v1/metrics"));
            let count = |bodies: &[Vec<u8>], word: &str| -> usize {
                bodies.iter().map(|it| String::from_utf8_lossy(it).matches(word).count()).sum()
            };
            // Each batch of spans is sent together with its metrics.
            let spans = count(&traces, r#""kind":2"#);
            if spans == expected && metrics.len() >= traces.len() {
                let given = |call: &sim::upstream::Call, name: &str, value: &str| {
                    call.headers.get(name).is_some_and(|it| it == value)
                };
                for call in &calls {
                    ensure!(given(call, "authorization", "otlp-key-of-this-test"), "{call:?}");
                    ensure!(given(call, "content-type", "application/json"), "{call:?}");
                }
                return Ok((traces, metrics));
            }
            ensure!(Instant::now() < until, "the collector has {spans} spans of {expected}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

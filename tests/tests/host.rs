//! Contract between a host and the core, against both built artifacts: chunks arrive as they are
//! sent, deferred work continues after the response, a caller's disconnect is detected, and a body
//! that breaks off is not complete.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::component::gateway_component;
use tests::edge::{App, Edge};
use tests::edge_kind::EdgeKind;
use tests::raw_peer::{RawPeer, chunk, unchunked};
use tests::spin::{self, SpinHost};
use tests::test_on_both_edges;
use tests::wait::{EVENT_TIMEOUT, wait_until};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

test_on_both_edges! {
    chunk_arrives_before_the_next_is_sent,
    deferred_work_continues_after_the_response,
    hang_up_during_a_silent_stream_cancels_the_call,
    hang_up_during_an_active_stream_cancels_the_call,
    body_that_breaks_off_is_incomplete_for_the_caller,
    burst_of_events_arrives_whole_and_in_order,
    redirect_is_not_followed,
    many_concurrent_callers_are_answered,
    invalid_configuration_is_logged_and_hidden_from_callers,
}

/// wasmtime does not signal to a component that a caller disconnects before the response (#11833).
#[tokio::test]
async fn hang_up_before_the_response_on_cloudflare_cancels_the_call() -> anyhow::Result<()> {
    hang_up_before_the_response_cancels_the_call(EdgeKind::Cloudflare).await
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const FIRST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";
const SECOND: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"}}]}\n\n";
const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const END: &str = "0\r\n\r\n";

async fn chunk_arrives_before_the_next_is_sent(edge: EdgeKind) -> anyhow::Result<()> {
    let world = World::open(edge, "chunks").await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    for event in [FIRST, SECOND, FINISH] {
        upstream.send(&chunk(event)).await?;
        // The upstream sends nothing more until the caller has received this.
        caller.until(event).await?;
    }
    upstream.send(&chunk(DONE)).await?;
    upstream.send(END).await?;
    caller.until(END).await
}

async fn deferred_work_continues_after_the_response(edge: EdgeKind) -> anyhow::Result<()> {
    let world = World::open(edge, "deferred").await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    for event in [FIRST, FINISH, DONE] {
        upstream.send(&chunk(event)).await?;
    }
    // The caller has everything, and only now the upstream's body ends.
    caller.until(END).await?;
    sleep(Duration::from_millis(300)).await;
    upstream.send(END).await?;
    // The gateway reads that end in its own time. Then the connection is reusable.
    timeout(EVENT_TIMEOUT, async {
        // A closed connection would be a failure of the target: the others stay open.
        let mut others = Vec::new();
        loop {
            let next = world.ask(false).await?;
            tokio::select! {
                reused = upstream.request() => return reused,
                other = world.accept() => others.push((next, other?)),
            }
            sleep(Duration::from_millis(500)).await;
        }
    })
    .await
    .context("the connection was not reused")?
}

async fn hang_up_during_a_silent_stream_cancels_the_call(edge: EdgeKind) -> anyhow::Result<()> {
    let mut world = World::open(edge, "leaves").await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    upstream.send(&chunk(FIRST)).await?;
    caller.until(FIRST).await?;
    caller.reset()?;
    timeout(EVENT_TIMEOUT, upstream.closed()).await.context("not canceled")??;
    let record = world.record().await?;
    assert_eq!(record["outcome"], "hung_up", "{record}");
    Ok(())
}

async fn hang_up_during_an_active_stream_cancels_the_call(edge: EdgeKind) -> anyhow::Result<()> {
    let mut world = World::open(edge, "active").await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    upstream.send(&chunk(FIRST)).await?;
    caller.until(FIRST).await?;
    caller.reset()?;
    let until = Instant::now() + EVENT_TIMEOUT;
    while upstream.send(&chunk(SECOND)).await.is_ok() {
        assert!(Instant::now() < until, "not canceled");
        sleep(Duration::from_millis(20)).await;
    }
    let record = world.record().await?;
    assert_eq!(record["outcome"], "hung_up", "{record}");
    Ok(())
}

async fn body_that_breaks_off_is_incomplete_for_the_caller(edge: EdgeKind) -> anyhow::Result<()> {
    let world = World::open(edge, "breaks").await?;
    let mut caller = world.ask(false).await?;
    let mut upstream = world.accept().await?;
    // The body is too long to buffer, so that the caller receives its beginning before the
    // connection breaks.
    let length = 9 << 20;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    upstream.send(&head).await?;
    upstream
        .send(&format!("{{\"choices\":[],\"padding\":\"{}", " ".repeat(length - (64 << 10))))
        .await?;
    caller.until("{\"choices\":[]").await?;
    drop(upstream);
    let last = caller.read_to_end().await?;
    assert!(!last.ends_with(END.as_bytes()), "the broken body is complete");
    Ok(())
}

async fn hang_up_before_the_response_cancels_the_call(edge: EdgeKind) -> anyhow::Result<()> {
    let mut world = World::open(edge, "early").await?;
    for stream in [true, false] {
        let caller = world.ask(stream).await?;
        let mut upstream = world.accept().await?;
        caller.reset()?;
        timeout(EVENT_TIMEOUT, upstream.closed()).await.context("not canceled")??;
        let record = world.record().await?;
        assert_eq!(record["outcome"], "hung_up", "{record}");
        assert_eq!(record["status"], Value::Null, "{record}");
    }
    Ok(())
}

async fn burst_of_events_arrives_whole_and_in_order(edge: EdgeKind) -> anyhow::Result<()> {
    let world = World::open(edge, "burst").await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    let event = |at: usize| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{at} \"}}}}]}}\n\n")
    };
    upstream.send(HEAD).await?;
    for at in 0..2000 {
        upstream.send(&chunk(&event(at))).await?;
    }
    for last in [FINISH, DONE] {
        upstream.send(&chunk(last)).await?;
    }
    upstream.send(END).await?;
    caller.until(&format!("\r\n{END}")).await?;
    let body = unchunked(&caller.received)?;
    let expected: String =
        (0..2000).map(event).chain([FINISH.to_owned(), DONE.to_owned()]).collect();
    assert!(body == expected, "the caller received {} bytes of {}", body.len(), expected.len());
    Ok(())
}

async fn redirect_is_not_followed(edge: EdgeKind) -> anyhow::Result<()> {
    let mut world = World::open(edge, "redirect").await?;
    let mut caller = world.ask(false).await?;
    let mut upstream = world.accept().await?;
    let target = world.upstream.local_addr()?;
    upstream
        .send(&format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{target}/v1/elsewhere\r\ncontent-length: 0\r\n\r\n"))
        .await?;
    caller.until("upstream_error").await?;
    assert_eq!(world.record().await?["attempts"][0]["status"], 307);
    Ok(())
}

async fn many_concurrent_callers_are_answered(edge: EdgeKind) -> anyhow::Result<()> {
    // More concurrent callers than one instance accepts.
    const CALLERS: usize = 40;
    let mut world = World::open(edge, "many").await?;
    let mut callers = Vec::new();
    let mut upstreams = Vec::new();
    for _ in 0..CALLERS {
        callers.push(world.ask(true).await?);
        upstreams.push(world.accept().await?);
    }
    for upstream in &mut upstreams {
        upstream
            .send(&format!("{HEAD}{}{}{}{END}", chunk(FIRST), chunk(FINISH), chunk(DONE)))
            .await?;
    }
    for caller in &mut callers {
        caller.until(END).await?;
    }
    for _ in 0..CALLERS {
        assert_eq!(world.record().await?["outcome"], "answered");
    }
    Ok(())
}

async fn invalid_configuration_is_logged_and_hidden_from_callers(
    edge: EdgeKind,
) -> anyhow::Result<()> {
    let world = World::with(edge, "invalid", Some(r#"{ "ruotes": [] }"#)).await?;
    for _ in 0..2 {
        let mut caller = world.ask(false).await?;
        caller.until("invalid_configuration").await?;
        let answer = String::from_utf8_lossy(&caller.received);
        assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("ruotes"), "{answer}");
    }
    let reports = || {
        let lines = world.host.log().lines();
        lines.iter().filter(|line| line.contains("ruotes")).count()
    };
    assert!(wait_until(EVENT_TIMEOUT, || reports() > 0).await, "not logged");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(reports(), 1, "not logged exactly once");
    Ok(())
}

/// Spin only: Workers have no `allowed_outbound_hosts`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_to_a_host_that_spin_does_not_allow_fails() -> anyhow::Result<()> {
    let host = SpinHost::start(&gateway_component())?;
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let mut app =
        spin::SpinApp::new("allowed").variable("gateway_config", single_upstream(&upstream)?);
    app.allowed_hosts = vec!["https://api.openai.com".to_owned()];
    let mut lines = host.lines("allowed");
    let mut caller = ask(host.serve(app).await?, false).await?;
    caller.until("upstream_error").await?;
    // A line about the configuration comes first.
    let record = loop {
        let line = timeout(EVENT_TIMEOUT, lines.recv()).await?.context("the log ended")?;
        let line: Value = serde_json::from_str(&line)?;
        if line["event"] == "request" {
            break line;
        }
    };
    let detail = record["attempts"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("HttpRequestDenied"), "{record}");
    Ok(())
}

/// Configuration that sends every request to one upstream.
fn single_upstream(upstream: &TcpListener) -> anyhow::Result<String> {
    let base_url = format!("http://{}/v1", upstream.local_addr()?);
    let document = json!({
        "auth": { "required": false },
        "providers": [{ "id": "local", "kind": "openai-compatible", "base_url": base_url }],
        "routes": [{ "id": "all", "models": ["*"], "targets": [{ "provider": "local" }] }],
    });
    Ok(document.to_string())
}

/// Sends a request to a gateway.
async fn ask(address: std::net::SocketAddr, stream: bool) -> anyhow::Result<RawPeer> {
    let body =
        json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "?" }] });
    let body = body.to_string();
    let mut caller = RawPeer::new(TcpStream::connect(address).await?);
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
    caller.send(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await?;
    Ok(caller)
}

/// A gateway on an edge, and an upstream whose every byte the test sends.
struct World {
    name: String,
    host: Box<dyn Edge + Send>,
    upstream: TcpListener,
    records: usize,
}

impl World {
    async fn open(edge: EdgeKind, name: &str) -> anyhow::Result<Self> {
        Self::with(edge, name, None).await
    }

    async fn with(edge: EdgeKind, name: &str, config: Option<&str>) -> anyhow::Result<Self> {
        let upstream = TcpListener::bind("127.0.0.1:0").await?;
        let config =
            config.map_or_else(|| single_upstream(&upstream), |config| Ok(config.to_owned()))?;
        let app = App { name: name.to_owned(), config, secrets: Default::default(), ledger: true };
        let host = edge.start(vec![app], None).await?;
        Ok(Self { name: name.to_owned(), host, upstream, records: 0 })
    }

    /// Sends a request to the gateway.
    async fn ask(&self, stream: bool) -> anyhow::Result<RawPeer> {
        ask(self.host.address(&self.name), stream).await
    }

    /// Waits for the gateway's call.
    async fn accept(&self) -> anyhow::Result<RawPeer> {
        let (stream, _) =
            timeout(EVENT_TIMEOUT, self.upstream.accept()).await.context("no upstream call")??;
        let mut upstream = RawPeer::new(stream);
        upstream.request().await?;
        Ok(upstream)
    }

    /// Waits for the next record of a request.
    async fn record(&mut self) -> anyhow::Result<Value> {
        let until = Instant::now() + EVENT_TIMEOUT;
        loop {
            let lines = self.host.log().lines();
            let mut records = lines
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|line| line["event"] == "request");
            if let Some(record) = records.nth(self.records) {
                self.records += 1;
                return Ok(record);
            }
            anyhow::ensure!(Instant::now() < until, "no record in time");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

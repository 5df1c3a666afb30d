//! The contract that a host must keep for the core, against the built component in wasmtime: pieces
//! arrive as they are made, deferred work outlives the response, a caller who leaves is noticed, and
//! what breaks off does not look whole.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tests::spin::{App, SpinHost};
use tests::workerd::root;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(10);

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const FIRST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";
const SECOND: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"}}]}\n\n";
const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const END: &str = "0\r\n\r\n";

#[tokio::test]
async fn a_piece_arrives_before_the_next_is_made() -> anyhow::Result<()> {
    let world = World::open(App::new("pieces")).await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    for event in [FIRST, SECOND, FINISH] {
        upstream.send(&chunk(event)).await?;
        // The upstream says nothing more until the caller has seen this.
        caller.until(event).await?;
    }
    upstream.send(&chunk(DONE)).await?;
    upstream.send(END).await?;
    caller.until(END).await
}

#[tokio::test]
async fn deferred_work_outlives_the_response() -> anyhow::Result<()> {
    let world = World::open(App::new("deferred")).await?;
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
    sleep(Duration::from_millis(100)).await;
    // Somebody read that end, so the connection is good for the next request.
    let _second = world.ask(false).await?;
    upstream.request().await.context("the connection was not used again")
}

#[tokio::test]
async fn a_caller_who_leaves_a_silent_stream_is_noticed() -> anyhow::Result<()> {
    let mut world = World::open(App::new("leaves")).await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    upstream.send(&chunk(FIRST)).await?;
    caller.until(FIRST).await?;
    drop(caller);
    timeout(Duration::from_secs(2), upstream.closed()).await.context("the call goes on")??;
    let record = world.record().await?;
    assert_eq!(record["outcome"], "hung_up", "{record}");
    Ok(())
}

#[tokio::test]
async fn a_caller_who_leaves_a_talking_stream_is_noticed() -> anyhow::Result<()> {
    let mut world = World::open(App::new("talking")).await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    upstream.send(&chunk(FIRST)).await?;
    caller.until(FIRST).await?;
    drop(caller);
    let mut sent = 0;
    while upstream.send(&chunk(SECOND)).await.is_ok() {
        sent += 1;
        assert!(sent < 100, "the call goes on");
        sleep(Duration::from_millis(20)).await;
    }
    let record = world.record().await?;
    assert_eq!(record["outcome"], "hung_up", "{record}");
    Ok(())
}

#[tokio::test]
async fn what_breaks_off_does_not_look_whole() -> anyhow::Result<()> {
    let world = World::open(App::new("breaks")).await?;
    let mut caller = world.ask(false).await?;
    let mut upstream = world.accept().await?;
    // Too long to be held, so that the caller sees its beginning before the connection breaks.
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
    let rest = caller.rest().await?;
    assert!(!rest.ends_with(END.as_bytes()), "the response has a proper end");
    Ok(())
}

#[tokio::test]
async fn many_callers_are_answered_at_once() -> anyhow::Result<()> {
    // More than one instance takes at a time.
    const CALLERS: usize = 40;
    let mut world = World::open(App::new("many")).await?;
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

#[tokio::test]
async fn a_wrong_configuration_is_told_to_the_log_only() -> anyhow::Result<()> {
    let mut world =
        World::open(App::new("wrong").variable("gateway_config", r#"{ "ruotes": [] }"#)).await?;
    for _ in 0..2 {
        let mut caller = world.ask(false).await?;
        let answer = caller.until("invalid_configuration").await;
        answer.with_context(|| String::from_utf8_lossy(&caller.seen).into_owned())?;
        let answer = String::from_utf8_lossy(&caller.seen);
        assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("ruotes"), "{answer}");
    }
    let line = timeout(PATIENCE, async {
        loop {
            let line = world.lines.recv().await.context("the log ended")?;
            if line.contains("ruotes") {
                return anyhow::Ok(line);
            }
        }
    });
    line.await.context("the log does not say what is wrong")??;
    sleep(Duration::from_millis(100)).await;
    while let Ok(line) = world.lines.try_recv() {
        assert!(!line.contains("ruotes"), "told twice: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn only_allowed_hosts_are_called() -> anyhow::Result<()> {
    let mut app = App::new("allowed");
    app.allowed_hosts = vec!["https://api.openai.com".to_owned()];
    let mut world = World::open(app).await?;
    let mut caller = world.ask(false).await?;
    caller.until("upstream_error").await?;
    let record = world.record().await?;
    let detail = record["attempts"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("HttpRequestDenied"), "{record}");
    Ok(())
}

/// A component, an upstream whose every word the test says, and the component's log.
struct World {
    _host: SpinHost,
    address: std::net::SocketAddr,
    upstream: TcpListener,
    lines: UnboundedReceiver<String>,
}

impl World {
    async fn open(app: App) -> anyhow::Result<Self> {
        let component = root().join("target/wasm32-wasip2/release/edge_spin.wasm");
        let host =
            SpinHost::start(&component).context("build the component first: `cargo xtask test`")?;
        let upstream = TcpListener::bind("127.0.0.1:0").await?;
        let base_url = format!("http://{}/v1", upstream.local_addr()?);
        let config = json!({
            "auth": { "required": false },
            "providers": [{ "id": "local", "kind": "openai-compatible", "base_url": base_url }],
            "routes": [{ "id": "all", "models": ["*"], "targets": [{ "provider": "local" }] }],
        });
        let lines = host.lines(&app.name);
        let app = match app.variables.contains_key("gateway_config") {
            true => app,
            false => app.variable("gateway_config", config.to_string()),
        };
        let address = host.serve(app).await?;
        Ok(Self { _host: host, address, upstream, lines })
    }

    /// Calls the gateway.
    async fn ask(&self, stream: bool) -> anyhow::Result<Peer> {
        let body = json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "?" }] });
        let body = body.to_string();
        let mut caller = Peer::new(TcpStream::connect(self.address).await?);
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
        caller.send(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await?;
        Ok(caller)
    }

    /// Waits for the gateway's call.
    async fn accept(&self) -> anyhow::Result<Peer> {
        let (stream, _) = timeout(PATIENCE, self.upstream.accept()).await.context("no call")??;
        let mut upstream = Peer::new(stream);
        upstream.request().await?;
        Ok(upstream)
    }

    /// Waits for the next record of a request.
    async fn record(&mut self) -> anyhow::Result<Value> {
        loop {
            let line = timeout(PATIENCE, self.lines.recv()).await.context("no record")?;
            let line = line.context("the log ended")?;
            if let Ok(record) = serde_json::from_str::<Value>(&line)
                && record["event"] == "request"
            {
                return Ok(record);
            }
        }
    }
}

/// One side of a connection, byte by byte.
struct Peer {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        Self { stream, seen: Vec::new() }
    }

    async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        timeout(PATIENCE, self.stream.write_all(text.as_bytes()))
            .await
            .context("nobody reads")??;
        Ok(())
    }

    /// Reads until a text has come.
    async fn until(&mut self, text: &str) -> anyhow::Result<()> {
        let needle = text.as_bytes();
        while !self.seen.windows(needle.len()).any(|window| window == needle) {
            let mut piece = [0; 16 << 10];
            let read = timeout(PATIENCE, self.stream.read(&mut piece)).await;
            let count = read.with_context(|| format!("{text:?} did not come"))??;
            anyhow::ensure!(count > 0, "{text:?} did not come before the end");
            self.seen.extend_from_slice(&piece[..count]);
        }
        Ok(())
    }

    /// Reads a whole request with a JSON body, and forgets it.
    async fn request(&mut self) -> anyhow::Result<()> {
        self.until("\"messages\"").await?;
        self.seen.clear();
        Ok(())
    }

    /// Reads to the end, however it comes, and gives the last bytes.
    async fn rest(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut piece = vec![0; 64 << 10];
        let mut last = Vec::new();
        loop {
            match timeout(PATIENCE, self.stream.read(&mut piece)).await.context("no end")? {
                Ok(count) if count > 0 => last = piece[..count].to_vec(),
                Ok(_) | Err(_) => return Ok(last),
            }
        }
    }

    /// Waits until the other side is gone.
    async fn closed(&mut self) -> anyhow::Result<()> {
        let mut piece = [0; 64];
        while !matches!(self.stream.read(&mut piece).await, Ok(0) | Err(_)) {}
        Ok(())
    }
}

/// A text as one chunk of a body.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

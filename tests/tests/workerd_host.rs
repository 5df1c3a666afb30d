//! The contract that a host must keep for the core, against the built Worker in workerd: pieces
//! arrive as they are made, deferred work outlives the response, a caller who leaves is noticed, and
//! what breaks off does not look whole.
//!
//! Callers leave by resetting their connection: workerd does not take the mere end of what a caller
//! sends for a hang-up, since half-closed connections are good HTTP.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::edge::{App, Edge};
use tests::workerd::Workerd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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
    let world = World::open("pieces").await?;
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
    let world = World::open("deferred").await?;
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
    let mut world = World::open("leaves").await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    upstream.send(&chunk(FIRST)).await?;
    caller.until(FIRST).await?;
    caller.leave()?;
    timeout(Duration::from_secs(2), upstream.closed()).await.context("the call goes on")??;
    let record = world.record().await?;
    assert_eq!(record["outcome"], "hung_up", "{record}");
    Ok(())
}

#[tokio::test]
async fn a_caller_who_leaves_a_talking_stream_is_noticed() -> anyhow::Result<()> {
    let mut world = World::open("talking").await?;
    let mut caller = world.ask(true).await?;
    let mut upstream = world.accept().await?;
    upstream.send(HEAD).await?;
    upstream.send(&chunk(FIRST)).await?;
    caller.until(FIRST).await?;
    caller.leave()?;
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
    let world = World::open("breaks").await?;
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
async fn a_caller_who_leaves_before_the_answer_is_noticed() -> anyhow::Result<()> {
    let mut world = World::open("early").await?;
    for stream in [true, false] {
        let caller = world.ask(stream).await?;
        let mut upstream = world.accept().await?;
        caller.leave()?;
        timeout(Duration::from_secs(2), upstream.closed()).await.context("the call goes on")??;
        let record = world.record().await?;
        assert_eq!(record["outcome"], "hung_up", "{record}");
        assert_eq!(record["status"], Value::Null, "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn a_burst_is_passed_on_whole_and_in_order() -> anyhow::Result<()> {
    let world = World::open("burst").await?;
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
    let body = unchunked(&caller.seen)?;
    let expected: String =
        (0..2000).map(event).chain([FINISH.to_owned(), DONE.to_owned()]).collect();
    assert!(body == expected, "the caller saw {} bytes of {}", body.len(), expected.len());
    Ok(())
}

#[tokio::test]
async fn redirects_are_not_followed() -> anyhow::Result<()> {
    let mut world = World::open("redirect").await?;
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

#[tokio::test]
async fn a_wrong_configuration_is_told_to_the_log_only() -> anyhow::Result<()> {
    let world = World::with("wrong", Some(r#"{ "ruotes": [] }"#)).await?;
    for _ in 0..2 {
        let mut caller = world.ask(false).await?;
        caller.until("invalid_configuration").await?;
        let answer = String::from_utf8_lossy(&caller.seen);
        assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("ruotes"), "{answer}");
    }
    sleep(Duration::from_millis(200)).await;
    let told = world.host.log().lines().iter().filter(|line| line.contains("ruotes")).count();
    assert_eq!(told, 1, "the log says it once");
    Ok(())
}

/// A Worker, and an upstream whose every word the test says.
struct World {
    name: String,
    host: Workerd,
    upstream: TcpListener,
    records: usize,
}

impl World {
    async fn open(name: &str) -> anyhow::Result<Self> {
        Self::with(name, None).await
    }

    async fn with(name: &str, config: Option<&str>) -> anyhow::Result<Self> {
        let upstream = TcpListener::bind("127.0.0.1:0").await?;
        let base_url = format!("http://{}/v1", upstream.local_addr()?);
        let usual = json!({
            "auth": { "required": false },
            "providers": [{ "id": "local", "kind": "openai-compatible", "base_url": base_url }],
            "routes": [{
                "id": "all",
                "models": ["*"],
                "targets": [{ "provider": "local" }],
                "retries": { "attempts": 0 },
            }],
        });
        let config = config.map_or_else(|| usual.to_string(), str::to_owned);
        let app = App { name: name.to_owned(), config, secrets: Default::default() };
        let host = tokio::task::spawn_blocking(move || Workerd::start(&[app])).await?;
        let host = host.context("build the Worker first: `cargo xtask test`")?;
        Ok(Self { name: name.to_owned(), host, upstream, records: 0 })
    }

    /// Calls the gateway.
    async fn ask(&self, stream: bool) -> anyhow::Result<Peer> {
        let body = json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "?" }] });
        let body = body.to_string();
        let mut caller = Peer::new(TcpStream::connect(self.host.address(&self.name)).await?);
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
        let until = Instant::now() + PATIENCE;
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
            anyhow::ensure!(Instant::now() < until, "no record");
            sleep(Duration::from_millis(10)).await;
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

    /// Hangs up.
    fn leave(self) -> anyhow::Result<()> {
        self.stream.set_zero_linger()?;
        Ok(())
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

/// The body of a response that came in chunks.
fn unchunked(response: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(response)?;
    let (_, mut rest) = text.split_once("\r\n\r\n").context("no head")?;
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").context("no chunk")?;
        let length = usize::from_str_radix(length, 16)?;
        if length == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..length).context("a short chunk")?);
        rest = after.get(length + 2..).context("a short chunk")?;
    }
}

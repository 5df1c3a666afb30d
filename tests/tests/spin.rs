//! Traits of the real Spin that a kinder host hides: one lock over the store, blocking calls, and
//! sockets without TCP_NODELAY.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tests::caller::call;
use tests::component::Wasmtime;
use tests::edge::{App, Edge};
use tests::raw_peer::RawPeer;
use tests::spin::Swaps;
use tests::wait::{EVENT_TIMEOUT, wait_until};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const ADMIN: &str = "admin token of this test";
const KEY: &str = "key of this test";

/// A gateway with a limit, whose upstream is `upstream`.
fn limited_gateway(name: &str, upstream: &TcpListener) -> anyhow::Result<App> {
    let base_url = format!("http://{}/v1", upstream.local_addr()?);
    let document = json!({
        "providers": [{ "id": "local", "kind": "openai-compatible", "base_url": base_url }],
        "routes": [{ "id": "all", "models": ["*"], "targets": [{ "provider": "local" }] }],
        "consumers": [{ "id": "app", "keys": ["secret:APP_KEY"] }],
        "limits": [{ "id": "all", "by": "all", "tokens": { "per": "minute", "max": 1_000_000 } }],
    });
    let secrets = [
        ("APP_KEY", KEY),
        ("ADMIN_TOKEN", ADMIN),
        ("KEY_PEPPER", "a pepper of 32 characters or more"),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Ok(App { name: name.to_owned(), config: document.to_string(), secrets, ledger: true })
}

fn question() -> Value {
    json!({ "model": "m", "max_tokens": 8, "messages": [{ "role": "user", "content": "?" }] })
}

const ANSWER: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

fn response() -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{ANSWER}", ANSWER.len())
}

/// Answers every request on every connection, until it is dropped.
async fn answer_all(upstream: TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _) = upstream.accept().await?;
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let mut peer = RawPeer::new(stream);
            loop {
                peer.request().await?;
                peer.send(&response()).await?;
            }
            #[expect(unreachable_code, reason = "it names the type of the errors above")]
            anyhow::Ok(())
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_under_traffic_delays_no_answer() -> anyhow::Result<()> {
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let app = limited_gateway("listing", &upstream)?;
    let host = tokio::task::spawn_blocking(move || Wasmtime::start(&[app], None)).await??;
    let address = host.address("listing");
    let upstream = tokio::spawn(answer_all(upstream));
    for number in 0..10 {
        let body = json!({ "id": format!("consumer-{number}") });
        let created = call(address, "POST", "/admin/v1/consumers", ADMIN, &body).await?;
        assert_eq!(created.status, 201, "{:?}", created.body);
    }
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        callers.spawn(async move {
            for _ in 0..25 {
                let answer =
                    call(address, "POST", "/v1/chat/completions", KEY, &question()).await?;
                anyhow::ensure!(answer.status == 200, "{:?}", answer.body);
            }
            Ok(())
        });
    }
    let traffic = async {
        while let Some(caller) = callers.join_next().await {
            caller??;
        }
        Ok(())
    };
    let listings = async {
        for _ in 0..40 {
            for path in ["/admin/v1/consumers", "/admin/v1/audit"] {
                let listed = call(address, "GET", path, ADMIN, &Value::Null).await?;
                anyhow::ensure!(listed.status == 200, "{:?}", listed.body);
            }
        }
        Ok(())
    };
    let all = async { tokio::try_join!(traffic, listings) };
    timeout(Duration::from_secs(120), all).await.context("the host hangs")??;
    upstream.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limited_request_reaches_the_upstream_in_one_segment() -> anyhow::Result<()> {
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let app = limited_gateway("segments", &upstream)?;
    let host = tokio::task::spawn_blocking(move || Wasmtime::start(&[app], None)).await??;
    let address = host.address("segments");
    let mut connection: Option<RawPeer> = None;
    for _ in 0..50 {
        let caller = tokio::spawn(async move {
            call(address, "POST", "/v1/chat/completions", KEY, &question()).await
        });
        let peer = match &mut connection {
            Some(peer) => peer,
            None => {
                let accepted = timeout(EVENT_TIMEOUT, upstream.accept()).await;
                let (stream, _): (TcpStream, _) = accepted.context("no call")??;
                connection.insert(RawPeer::new(stream))
            }
        };
        let first = peer.read_piece().await?;
        let first = String::from_utf8_lossy(&first);
        assert!(first.contains("\"messages\""), "only the head is in the first piece: {first}");
        peer.send(&response()).await?;
        assert_eq!(caller.await??.status, 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_of_a_body_that_is_too_long_receives_the_refusal() -> anyhow::Result<()> {
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let app = limited_gateway("long", &upstream)?;
    let host = tokio::task::spawn_blocking(move || Wasmtime::start(&[app], None)).await??;
    for (key, expected) in [(KEY, "HTTP/1.1 413 "), ("wrong", "HTTP/1.1 401 ")] {
        let body = format!("{{\"padding\":\"{}\"}}", " ".repeat(20 << 20));
        let mut caller = RawPeer::new(TcpStream::connect(host.address("long")).await?);
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
        let length = body.len();
        // A caller that reads nothing before it has written everything.
        caller
            .send(&format!(
                "{head}authorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await
            .context("the connection was closed before the body was sent")?;
        caller.until(expected).await?;
    }
    Ok(())
}

/// The status of a limited request, and whether the log names a defect of the store.
async fn status_with_swaps(name: &str, swaps: Swaps) -> anyhow::Result<(u16, bool)> {
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let mut app = limited_gateway(name, &upstream)?;
    let mut document: Value = serde_json::from_str(&app.config)?;
    document["limits"][0]["on_error"] = json!("closed");
    app.config = document.to_string();
    let start = move || Wasmtime::start_with(&[app], None, |app| app.swaps = swaps);
    let host = tokio::task::spawn_blocking(start).await??;
    let upstream = tokio::spawn(answer_all(upstream));
    let answer = call(host.address(name), "POST", "/v1/chat/completions", KEY, &question()).await?;
    upstream.abort();
    let is_named = || host.log().lines().iter().any(|line| line.contains("cannot hold a ledger"));
    // The line may arrive after the answer.
    if answer.status == 503 {
        wait_until(EVENT_TIMEOUT, is_named).await;
    }
    Ok((answer.status, is_named()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_without_compare_and_swap_is_refused() -> anyhow::Result<()> {
    assert_eq!(status_with_swaps("sound", Swaps::Sound).await?, (200, false));
    assert_eq!(status_with_swaps("failed", Swaps::ReportedAsFailed).await?, (503, true));
    assert_eq!(status_with_swaps("done", Swaps::ReportedAsDone).await?, (503, true));
    Ok(())
}

//! Scripted server over TCP, with a client that reads raw bytes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use sim::server::{CannedResponse, Server};
use sim::upstream::{DemoProvider, Ended, Script, UpstreamSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for an expected event. Only a failing test waits for that long.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

async fn world(script: &str) -> Server {
    let server = Server::start().await.expect("a free port");
    let script: Script = toml::from_str(script).expect("a script");
    server.register(
        "w",
        [("a".to_owned(), UpstreamSpec { script: vec![script], ..UpstreamSpec::default() })].into(),
    );
    server
}

async fn send(address: SocketAddr, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a live socket");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer k\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it reads");
    stream
}

/// Reads until the text arrives, the connection ends, or the timeout.
async fn read_until(stream: &mut TcpStream, end: &str) -> (String, std::io::Result<()>) {
    let mut received = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&received).contains(end) {
            if stream.read_buf(&mut received).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    };
    let result = tokio::time::timeout(EVENT_TIMEOUT, reading)
        .await
        .unwrap_or(Err(ErrorKind::TimedOut.into()));
    (String::from_utf8_lossy(&received).into_owned(), result)
}

/// Returns how the last call ended.
async fn ended(server: &Server) -> Ended {
    let calls = server.settled("w", EVENT_TIMEOUT).await;
    calls["a"].last().expect("a call").ended
}

const STREAM: &str = r#"{"model":"m","stream":true}"#;
const CHAT: &str = "/w/a/v1/chat/completions";

#[tokio::test]
async fn connection_serves_several_requests() {
    let server = world("answer = 'Hi'").await;
    let mut stream = send(server.address(), CHAT, "{}").await;
    let (first, _) = read_until(&mut stream, "\"prompt_tokens_details\"").await;
    assert!(
        first.starts_with("HTTP/1.1 200 OK\r\n") && first.contains("content-length: "),
        "{first}"
    );
    let again = format!(
        "POST {CHAT} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{STREAM}\r\n0\r\n\r\n",
        STREAM.len()
    );
    stream.write_all(again.as_bytes()).await.expect("it reads");
    let (second, result) = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(result.is_ok() && second.contains("[DONE]"), "{second}");
    let calls = server.settled("w", EVENT_TIMEOUT).await;
    assert_eq!((calls["a"].len(), calls["a"][0].ended), (2, Ended::Completed));
    assert_eq!(
        (calls["a"][1].path.as_str(), &calls["a"][1].body[..]),
        ("/v1/chat/completions", STREAM.as_bytes())
    );
    assert_eq!(calls["a"][0].headers["authorization"], "Bearer k");
}

#[tokio::test]
async fn event_is_sent_without_waiting_for_the_next() {
    let server = world("answer = 'a b'\ngap = '60m'").await;
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (text, first) = read_until(&mut stream, "assistant").await;
    assert!(first.is_ok(), "{text}");
    assert_eq!(server.calls("w")["a"][0].ended, Ended::Open);
}

#[tokio::test]
async fn stream_with_gaps_takes_at_least_their_sum() {
    let server = world("answer = 'a b'\ngap = '50ms'").await;
    let began = std::time::Instant::now();
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (text, last) = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(last.is_ok(), "{text}");
    // The role, two words, the finish and `[DONE]`: four gaps, less the resolution of timers.
    assert!(began.elapsed() > Duration::from_millis(190), "{:?}", began.elapsed());
}

#[tokio::test]
async fn reset_follows_the_bytes_before_it() {
    let server = world("answer = 'a b c'\ncut_after = 2\nreset = true").await;
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (received, result) = read_until(&mut stream, "never").await;
    assert!(received.matches("data: ").count() == 2, "{received}");
    assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    assert_eq!(ended(&server).await, Ended::Cut);
}

#[tokio::test]
async fn cut_without_a_reset_closes_in_the_middle() {
    let server = world("answer = 'a b c'\ncut_at = 30").await;
    let mut stream = send(server.address(), CHAT, "{}").await;
    let (received, result) = read_until(&mut stream, "never").await;
    assert_eq!(received.split_once("\r\n\r\n").expect("a head").1.len(), 30);
    assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn refused_connection_is_reset() {
    let server = world("refuse = true").await;
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (received, result) = read_until(&mut stream, "never").await;
    assert_eq!(
        (received.as_str(), result.map_err(|error| error.kind())),
        ("", Err(ErrorKind::ConnectionReset))
    );
    assert_eq!(ended(&server).await, Ended::Refused);
}

#[tokio::test]
async fn hang_up_of_the_caller_is_recorded_before_the_response_ends() {
    for (script, until) in [
        ("hang = true", None),
        ("stall_after = 1", Some("assistant")),
        ("answer = 'a b c d'\ngap = '60m'", Some("assistant")),
        ("delay = '60m'", None),
    ] {
        let server = world(script).await;
        let mut stream = send(server.address(), CHAT, STREAM).await;
        match until {
            Some(until) => assert!(read_until(&mut stream, until).await.1.is_ok(), "{script}"),
            None => await_call(&server).await,
        }
        drop(stream);
        assert_eq!(ended(&server).await, Ended::Abandoned, "{script}");
    }
}

/// Waits until the server has read a request.
async fn await_call(server: &Server) {
    let called = async {
        while server.calls("w").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(EVENT_TIMEOUT, called).await.expect("the server reads the request");
}

#[tokio::test]
async fn split_body_is_written_in_small_chunks() {
    let server = world("raw = 'abcdef'\ncontent_type = 'text/event-stream'\nsplit = 1").await;
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (received, result) = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(result.is_ok() && received.contains("1\r\na\r\n1\r\nb\r\n"), "{received}");
}

#[tokio::test]
async fn canned_responses_are_sent_and_unknown_worlds_are_404() {
    let server = Server::start().await.expect("a free port");
    server.register_canned("json", CannedResponse::json(2000));
    server.register_canned("stream", CannedResponse::stream(3, None));
    let mut stream = send(server.address(), "/json/x/v1/chat/completions", "{}").await;
    assert!(read_until(&mut stream, "content-length: 2000").await.1.is_ok());
    let mut stream = send(server.address(), "/stream/x/v1/chat/completions", STREAM).await;
    assert!(read_until(&mut stream, "0\r\n\r\n").await.1.is_ok());
    let mut stream = send(server.address(), "/nowhere/x", "{}").await;
    assert!(read_until(&mut stream, "404").await.1.is_ok());
}

#[tokio::test]
async fn demo_provider_answers_and_fails_by_model_name() {
    let server =
        Server::start_demo(0, DemoProvider::Openai, Vec::new(), None).await.expect("a free port");
    let ask = |model: &str| {
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#)
    };
    for (model, expected) in [
        ("gpt-4o", "I am the simulated provider OpenAI (model gpt-4o). You said: Hi"),
        ("gpt-4o-fail-503", "HTTP/1.1 503 Service Unavailable"),
        ("gpt-4o-fail-429", "retry-after: 1"),
    ] {
        let mut stream = send(server.address(), "/v1/chat/completions", &ask(model)).await;
        let (received, result) = read_until(&mut stream, expected).await;
        assert!(result.is_ok(), "{model}: {received}");
    }
    let mut stream =
        send(server.address(), "/v1/chat/completions", &ask("gpt-4o-fail-connect")).await;
    assert!(read_until(&mut stream, "HTTP").await.1.is_err());
}

#[tokio::test]
async fn demo_provider_in_an_outage_fails_every_request() {
    let server =
        Server::start_demo(0, DemoProvider::Openai, Vec::new(), None).await.expect("a free port");
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#;
    for (path, expected) in [
        ("/v1/chat/completions", "You said: Hi"),
        ("/outage?status=200", "HTTP/1.1 400"),
        ("/outage?status=503", r#"{"failing":true}"#),
        ("/v1/chat/completions", "HTTP/1.1 503"),
    ] {
        let mut stream = send(server.address(), path, body).await;
        let (received, result) = read_until(&mut stream, expected).await;
        assert!(result.is_ok(), "{path}: {received}");
    }
}

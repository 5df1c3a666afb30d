//! Scripted server over TCP, with a client that reads raw bytes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::server::{CannedResponse, Server};
use sim::upstream::{DemoProvider, Ended, Script, UpstreamSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ_TIMEOUT: Duration = Duration::from_secs(5);

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
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(end) {
            if stream.read_buf(&mut seen).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    };
    let result = tokio::time::timeout(READ_TIMEOUT, reading)
        .await
        .unwrap_or(Err(ErrorKind::TimedOut.into()));
    (String::from_utf8_lossy(&seen).into_owned(), result)
}

async fn assert_ended_promptly(server: &Server) -> Ended {
    let began = Instant::now();
    let calls = server.settled("w", READ_TIMEOUT).await;
    assert!(began.elapsed() < READ_TIMEOUT, "the end of a call is recorded promptly");
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
    let calls = server.settled("w", READ_TIMEOUT).await;
    assert_eq!((calls["a"].len(), calls["a"][0].ended), (2, Ended::Completed));
    assert_eq!(
        (calls["a"][1].path.as_str(), &calls["a"][1].body[..]),
        ("/v1/chat/completions", STREAM.as_bytes())
    );
    assert_eq!(calls["a"][0].headers["authorization"], "Bearer k");
}

#[tokio::test]
async fn event_is_sent_without_waiting_for_the_next() {
    let server = world("answer = 'a b'\ngap = '300ms'").await;
    let began = Instant::now();
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (_, first) = read_until(&mut stream, "assistant").await;
    assert!(first.is_ok() && began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
    let (_, last) = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(last.is_ok() && began.elapsed() > Duration::from_millis(1150), "{:?}", began.elapsed());
}

#[tokio::test]
async fn reset_follows_the_bytes_before_it() {
    let server = world("answer = 'a b c'\ncut_after = 2\nreset = true").await;
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (seen, result) = read_until(&mut stream, "never").await;
    assert!(seen.matches("data: ").count() == 2, "{seen}");
    assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    assert_eq!(assert_ended_promptly(&server).await, Ended::Cut);
}

#[tokio::test]
async fn cut_without_a_reset_closes_in_the_middle() {
    let server = world("answer = 'a b c'\ncut_at = 30").await;
    let mut stream = send(server.address(), CHAT, "{}").await;
    let (seen, result) = read_until(&mut stream, "never").await;
    assert_eq!(seen.split_once("\r\n\r\n").expect("a head").1.len(), 30);
    assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn refused_connection_is_reset() {
    let server = world("refuse = true").await;
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (seen, result) = read_until(&mut stream, "never").await;
    assert_eq!(
        (seen.as_str(), result.map_err(|error| error.kind())),
        ("", Err(ErrorKind::ConnectionReset))
    );
    assert_eq!(assert_ended_promptly(&server).await, Ended::Refused);
}

#[tokio::test]
async fn hang_up_of_the_caller_is_recorded_promptly() {
    for (script, until) in [
        ("hang = true", None),
        ("stall_after = 1", Some("assistant")),
        ("answer = 'a b c d'\ngap = '2s'", Some("assistant")),
        ("delay = '3s'", None),
    ] {
        let server = world(script).await;
        let mut stream = send(server.address(), CHAT, STREAM).await;
        match until {
            Some(until) => assert!(read_until(&mut stream, until).await.1.is_ok(), "{script}"),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        let began = Instant::now();
        drop(stream);
        assert_eq!(assert_ended_promptly(&server).await, Ended::Abandoned, "{script}");
        assert!(began.elapsed() < Duration::from_millis(500), "{script}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn split_body_is_written_in_small_chunks() {
    let server = world("raw = 'abcdef'\ncontent_type = 'text/event-stream'\nsplit = 1").await;
    let mut stream = send(server.address(), CHAT, STREAM).await;
    let (seen, result) = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(result.is_ok() && seen.contains("1\r\na\r\n1\r\nb\r\n"), "{seen}");
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
        ("gpt-4o", "I am the stand-in for OpenAI (model gpt-4o). You said: Hi"),
        ("gpt-4o-fail-503", "HTTP/1.1 503 Service Unavailable"),
        ("gpt-4o-fail-429", "retry-after: 1"),
    ] {
        let mut stream = send(server.address(), "/v1/chat/completions", &ask(model)).await;
        let (seen, result) = read_until(&mut stream, expected).await;
        assert!(result.is_ok(), "{model}: {seen}");
    }
    let mut stream =
        send(server.address(), "/v1/chat/completions", &ask("gpt-4o-fail-connect")).await;
    assert!(read_until(&mut stream, "HTTP").await.1.is_err());
}

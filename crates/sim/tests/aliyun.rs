//! Requests of `guards::aliyun` against a simulated service that verifies them with its own code, in virtual
//! time and over TCP.

use std::collections::BTreeMap;

use bytes::Bytes;
use civil_time::Timestamp;
use gateway::host::{Clock, HttpClient};
use guards::aliyun::{self, RequestNonce};
use guards::settings::{Aliyun, AliyunAction};
use guards::{Dimension, Edit, Level, Verdict, chunking};
use secret::Secret;
use sim::server::Server;
use sim::upstream::UpstreamSpec;
use sim::world::{HangUp, UPSTREAM, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn upstreams(spec: &str) -> BTreeMap<String, UpstreamSpec> {
    [("green".to_owned(), toml::from_str(spec).expect("an upstream"))].into()
}

fn account(endpoint: &str, action: AliyunAction) -> Aliyun {
    Aliyun {
        endpoint: endpoint.to_owned(),
        access_key_id: Secret::new("testid"),
        access_key: Secret::new("testsecret"),
        security_token: None,
        action,
        request_service: "llm_query_moderation".to_owned(),
        response_service: "llm_response_moderation".to_owned(),
        image_service: None,
        block_levels: Vec::new(),
        mask: true,
    }
}

fn request_nonce(nonce: u128) -> RequestNonce {
    RequestNonce { now: Timestamp::from_millis(1_767_323_045_000), nonce }
}

fn text_request(action: AliyunAction, content: &str, nonce: u128) -> http::Request<Bytes> {
    let account = account(&format!("{UPSTREAM}/green"), action);
    let session = aliyun::new_session_id(nonce);
    aliyun::text_request(&account, "llm_query_moderation", content, &session, request_nonce(nonce))
}

fn send(world: &World, request: http::Request<Bytes>) -> (u16, Bytes) {
    let own = world.clone();
    let answer = async move { own.fetch(request).await.expect("it listens") };
    let received = world.play(answer, HangUp::Never).expect("the request ends");
    let body = received.body();
    (received.head.expect("a head").0.as_u16(), body)
}

const SERVICE: &str =
    "[service]\nkind = 'aliyun'\nrisky = { 'attack plan' = 'high', '进攻计划' = 'medium' }";

#[track_caller]
fn guard_verdict(content: &str, bar: Level) -> Verdict {
    let world = World::new(1, upstreams(SERVICE));
    let (status, body) = send(&world, text_request(AliyunAction::Text, content, 1));
    assert_eq!(status, 200, "{body:?}");
    aliyun::parse_text_verdict(&body, Some(bar)).expect("a verdict")
}

#[test]
fn signature_of_any_content_is_accepted() {
    // All characters that encoders treat differently, and those of issue #1540.
    for content in ["hello", "a+b*c~d e%20&=/?\\\"\n\t\u{0}", "你好 😀 é", "%2B+%"] {
        assert_eq!(guard_verdict(content, Level::Low), Verdict::Pass, "{content:?}");
    }
}

#[test]
fn verdict_depends_on_the_findings_and_the_level() {
    let blocks = |content: &str, bar| matches!(guard_verdict(content, bar), Verdict::Block(_));
    assert!(blocks("my attack plan is", Level::High));
    assert!(blocks("我的进攻计划", Level::Medium) && !blocks("我的进攻计划", Level::High));
    assert!(blocks("[[attack]]", Level::High) && !blocks("[[low]]", Level::Medium));
}

#[test]
fn request_with_a_flipped_bit_is_refused() {
    let flip = |change: &dyn Fn(&mut http::Request<Bytes>)| {
        let mut request = text_request(AliyunAction::Text, "hello", 1);
        change(&mut request);
        let (status, body) = send(&World::new(1, upstreams(SERVICE)), request);
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        (status, body["Code"].as_str().unwrap_or_default().to_owned())
    };
    let mismatch = (400, "SignatureDoesNotMatch".to_owned());
    assert_eq!(flip(&|_| {}).0, 200);
    let length = text_request(AliyunAction::Text, "hello", 1).body().len();
    for at in [0, length / 2, length - 1] {
        let found = flip(&|request| {
            let mut body = request.body().to_vec();
            body[at] ^= 1;
            *request.body_mut() = body.into();
        });
        assert_eq!(found, mismatch, "byte {at}");
    }
    for name in ["x-acs-action", "x-acs-version", "x-acs-signature-nonce", "x-acs-content-sha256"] {
        let found = flip(&|request| {
            let mut value = request.headers()[name].as_bytes().to_vec();
            *value.last_mut().expect("a value") ^= 1;
            let value = http::HeaderValue::from_bytes(&value).expect("letters");
            request.headers_mut().insert(name, value);
        });
        assert_eq!(found, mismatch, "{name}");
    }
    let found = flip(&|request| {
        *request.uri_mut() =
            request.uri().to_string().replace("query", "response").parse().expect("an address");
    });
    assert_eq!(found, mismatch);
}

#[test]
fn repeated_nonce_is_refused() {
    let world = World::new(1, upstreams(SERVICE));
    let status = |nonce| send(&world, text_request(AliyunAction::Text, "hello", nonce)).0;
    assert_eq!([status(1), status(2), status(1)], [200, 200, 400]);
}

#[test]
fn temporary_key_needs_its_token() {
    let world = World::new(1, upstreams("[service]\nkind = 'aliyun'\nsecurity_token = 'sts'"));
    let status = |token: Option<&str>, nonce| {
        let endpoint = format!("{UPSTREAM}/green");
        let account = Aliyun {
            security_token: token.map(Secret::new),
            ..account(&endpoint, AliyunAction::Text)
        };
        send(
            &world,
            aliyun::text_request(
                &account,
                "s",
                "a",
                &aliyun::new_session_id(1),
                request_nonce(nonce),
            ),
        )
        .0
    };
    assert_eq!(
        [status(Some("sts"), 1), status(None, 2), status(Some("other"), 3)],
        [200, 400, 400]
    );
}

#[test]
fn long_text_is_refused_whole_and_accepted_in_chunks() {
    let text = "长 😀".repeat(1_000);
    let world = World::new(1, upstreams(SERVICE));
    let (_, body) = send(&world, text_request(AliyunAction::Text, &text, 0));
    let refused = aliyun::parse_text_verdict(&body, None).expect_err("the text is too long");
    assert_eq!(refused.reason, "code 400: Invalid parameter: content is too long");
    for (nonce, at) in (1..).zip(chunking::chunk_text(&text, aliyun::MAX_TEXT_CHARS)) {
        let (_, body) = send(&world, text_request(AliyunAction::Text, &text[at], nonce));
        assert_eq!(aliyun::parse_text_verdict(&body, Some(Level::Low)), Ok(Verdict::Pass));
    }
}

#[test]
fn personal_data_is_masked_at_the_reported_ranges() {
    let world = World::new(1, upstreams(SERVICE));
    let bars = [(Dimension::Content, Level::High)];
    let verdict = |text: &str, nonce| {
        let (_, body) = send(&world, text_request(AliyunAction::MultiModal, text, nonce));
        aliyun::parse_guard_verdict(&body, text, &bars, true).expect("a verdict")
    };
    let Verdict::Mask(edits, findings) =
        verdict("call [[phone:13912345678]] 或 [[phone:12345]]", 1)
    else {
        panic!("expected a mask");
    };
    let edit = |at, text: &str| Edit { at, text: text.to_owned() };
    assert_eq!(edits, [edit(16..24, "********"), edit(42..44, "**")]);
    assert_eq!((findings.len(), findings[0].label.as_str()), (1, "phone_number"));
    assert!(matches!(verdict("[[phone:13912345678]] attack plan", 2), Verdict::Block(_)));
    assert_eq!(verdict("[[url]]", 3), Verdict::Pass);
}

#[test]
fn image_verdict_depends_on_the_findings() {
    let world = World::new(1, upstreams(SERVICE));
    let account = account(&format!("{UPSTREAM}/green"), AliyunAction::MultiModal);
    let bars = [(Dimension::Content, Level::High)];
    let verdict = |url: &str, nonce| {
        let request =
            aliyun::image_request(&account, "img_query_security_check", url, request_nonce(nonce));
        aliyun::parse_guard_verdict(&send(&world, request).1, "", &bars, false)
    };
    assert!(matches!(verdict("https://a.example/[[high]].png", 1), Ok(Verdict::Block(_))));
    assert_eq!(verdict("https://a.example/b.png?c=d+e", 2), Ok(Verdict::Pass));
    // "[[high]]" and "fine~>?" in base64.
    assert!(matches!(verdict("data:image/png;base64,W1toaWdoXV0=", 3), Ok(Verdict::Block(_))));
    assert_eq!(verdict("data:image/png;base64,ZmluZX4+Pw==", 4), Ok(Verdict::Pass));
    assert!(verdict("data:image/png;base64,!", 5).is_err());
}

#[test]
fn service_with_failing_scripts_fails_in_their_order() {
    let spec = format!(
        "script = [{{ status = 500 }}, {{ json = {{ Code = 588, Message = 'QPS exceeded' }} }}, {{ raw = '{{\"Code\":2' }}, {{ delay = '3s' }}, {{ cut_at = 9 }}, {{ hang = true }}]\n{SERVICE}"
    );
    let world = World::new(1, upstreams(&spec));
    let ask = |nonce| send(&world, text_request(AliyunAction::Text, "[[high]]", nonce));
    let verdict = |body: &[u8]| aliyun::parse_text_verdict(body, Some(Level::High));
    assert_eq!(ask(1).0, 500);
    assert_eq!(verdict(&ask(2).1).expect_err("588").reason, "code 588: QPS exceeded");
    assert!(verdict(&ask(3).1).is_err());
    let before = world.now();
    assert!(matches!(verdict(&ask(4).1), Ok(Verdict::Block(_))));
    assert_eq!(world.now().since(before).as_secs(), 3);
    assert!(verdict(&ask(5).1).is_err());
}

#[tokio::test]
async fn service_over_tcp_accepts_a_signed_request() {
    let server = Server::start().await.expect("a free port");
    server.register("w", upstreams(SERVICE));
    let endpoint = format!("{}/green", server.base("w"));
    let request = aliyun::text_request(
        &account(&endpoint, AliyunAction::Text),
        "llm_query_moderation",
        "a+b attack plan",
        &aliyun::new_session_id(7),
        request_nonce(7),
    );
    let (head, body) = request.into_parts();
    let authority = head.uri.authority().expect("an address").as_str();
    let mut bytes = format!(
        "POST {} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {}\r\n",
        head.uri.path_and_query().expect("a path"),
        body.len()
    )
    .into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(format!("{name}: ").as_bytes());
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    stream.write_all(&bytes).await.expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the request ends");
    let answer = String::from_utf8(answer).expect("text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let verdict =
        aliyun::parse_text_verdict(body.as_bytes(), Some(Level::High)).expect("a verdict");
    assert!(matches!(verdict, Verdict::Block(_)), "{body}");
}

//! Cost of the core per request and per event, without a host, each with a baseline.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::{Cache, CacheScope, Config};
use divan::{Bencher, black_box};
use gateway::cache::{CacheKey, CacheKeyScope, CacheSubject, CanonicalRequest};
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use gateway::host::{Clock, HttpClient, KvStore, LedgerHost, Listing, Settings, Tasks};
use gateway::record::Record;
use gateway::upstream::sse_reader::SseReader;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use ledger::{Book, BookId, LedgerReply, Operation};
use openai::ContentParts;
use secret::Secret;
use sha2::{Digest, Sha256};

const ANSWER: &[u8] = br#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there, how can I help you today?"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":10,"total_tokens":19}}"#;
const EVENT: &[u8] = b"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const CONFIG: &str = r#"{
  "providers": [{ "id": "openai", "keys": ["secret:OPENAI_API_KEY"] }],
  "routes": [{ "id": "chat", "models": ["gpt-4o"], "targets": [{ "provider": "openai" }] }],
  "consumers": [{ "id": "app", "keys": ["secret:APP_KEY"] }]
}"#;

/// Inserted into [`CONFIG`] to give the consumer a limit that is never reached.
const LIMIT: &str = r#",
  "limits": [{
    "id": "app", "by": "consumer",
    "tokens": { "per": "minute", "max": 4503599627370496 },
    "requests": { "per": "minute", "max": 4503599627370496 }
    LEASE
  }]
}"#;

/// Host that answers at once, so that only the core is measured.
#[derive(Clone)]
struct ImmediateHost;

impl Clock for ImmediateHost {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1)
    }

    fn entropy(&self) -> u64 {
        7
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> + 'static {
        std::future::pending()
    }
}

impl HttpClient for ImmediateHost {
    async fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, HostError> {
        black_box(request);
        let mut response = http::Response::new(Body::from(Bytes::from_static(ANSWER)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

impl KvStore for ImmediateHost {
    async fn get(&self, _: &str) -> Result<Option<Bytes>, HostError> {
        Ok(None)
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Option<Duration>) -> Result<(), HostError> {
        Ok(())
    }

    async fn delete(&self, _: &str) -> Result<(), HostError> {
        Ok(())
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Listing, HostError> {
        Ok(Listing::default())
    }
}

impl LedgerHost for ImmediateHost {
    const MAX_BATCH_DELAY: Duration = Duration::from_secs(2);
    const EXPIRES_ROWS: bool = true;

    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        let now = self.now();
        BOOKS.with_borrow_mut(|books| {
            Ok(books.entry(book_id.clone()).or_default().apply(now, operation))
        })
    }
}

thread_local! {
    static BOOKS: RefCell<BTreeMap<BookId, Book>> = const { RefCell::new(BTreeMap::new()) };
}

impl Tasks for ImmediateHost {
    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        // A pending task is dropped: the only wait here is for a time that never comes.
        let _ = pin!(task).poll(&mut Context::from_waker(Waker::noop()));
    }

    fn record(&self, record: &Record) {
        black_box(serde_json::to_string(record).expect("a record serializes"));
    }

    fn warn(&self, line: &str) {
        black_box(line);
    }

    fn inform(&self, event: &str) {
        black_box(event);
    }
}

impl Settings for ImmediateHost {
    async fn document(&self) -> Result<std::borrow::Cow<'static, str>, HostError> {
        Err(HostError::new("nothing was deployed"))
    }

    async fn secret(&self, _: &str) -> Result<Option<Secret>, HostError> {
        Ok(None)
    }
}

fn main() {
    divan::main();
}

fn question(bytes: usize) -> Bytes {
    let around =
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":""}],"temperature":0.7}"#;
    let content = "The quick brown fox. ".repeat(bytes / 21 + 1);
    let body = around.replace(
        "\"content\":\"\"",
        &format!("\"content\":\"{}\"", &content[..bytes - around.len()]),
    );
    Bytes::from(body)
}

fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the host answers at once"),
    }
}

/// One whole request: authentication, parsing, selection, call, counting, record.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn request(bencher: Bencher<'_, '_>, bytes: usize) {
    ask(bencher, CONFIG, bytes);
}

/// The same with a cache miss: the key is computed, the answer collected and stored.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn request_missed(bencher: Bencher<'_, '_>, bytes: usize) {
    ask_of(bencher, with_cache(), "no-cache", bytes);
}

/// The same with a cache hit from this isolate's memory.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn request_hit(bencher: Bencher<'_, '_>, bytes: usize) {
    ask_of(bencher, with_cache(), "max-age=60", bytes);
}

fn with_cache() -> Config {
    let cache = Cache {
        routes: None,
        ttl: Duration::from_secs(3_600),
        jitter: 100,
        scope: CacheScope::Consumer,
        max_temperature: 1_000,
        max_entry: 256 << 10,
        pace: None,
        charge: false,
    };
    Config { cache: Some(cache), ..read(CONFIG) }
}

/// The cache key of a request.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn cache_key(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = question(bytes);
    let subject = CacheSubject {
        scope: CacheKeyScope::Consumer("app"),
        route: "chat",
        endpoint: openai::Endpoint::ChatCompletions,
        target: "openai/gpt-4o",
        guards: b"",
        original: None,
    };
    bencher.counter(divan::counter::BytesCount::new(bytes)).bench_local(|| {
        let request = CanonicalRequest::parse(black_box(&body)).expect("the body is right");
        CacheKey::new(&subject, &request)
    });
}

/// Baseline: SHA-256 of the same bytes.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn baseline_sha256(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = question(bytes);
    bencher
        .counter(divan::counter::BytesCount::new(bytes))
        .bench_local(|| Sha256::digest(black_box(&body)));
}

/// The same with a reservation before the call and a settlement after it.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn request_with_limit(bencher: Bencher<'_, '_>, bytes: usize) {
    ask(bencher, &limited(""), bytes);
}

/// The same, admitted from a lease.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn request_with_leased_limit(bencher: Bencher<'_, '_>, bytes: usize) {
    ask(bencher, &limited(r#", "lease": true"#), bytes);
}

fn limited(lease: &str) -> String {
    let plain = CONFIG.trim_end().strip_suffix('}').expect("it is an object").trim_end();
    format!("{plain}{}", LIMIT.replace("LEASE", lease))
}

fn read(config: &str) -> Config {
    Config::from_json(config, &|_| Some(Secret::new("key"))).expect("the configuration is right")
}

fn ask(bencher: Bencher<'_, '_>, config: &str, bytes: usize) {
    ask_of(bencher, read(config), "x", bytes);
}

fn ask_of(bencher: Bencher<'_, '_>, config: Config, cache: &'static str, bytes: usize) {
    let gateway: Rc<Gateway> = Gateway::new(config, GatewaySecrets::default());
    let body = question(bytes);
    bencher.counter(divan::counter::BytesCount::new(bytes)).bench_local(|| {
        let mut request = http::Request::post("https://gateway.test/v1/chat/completions")
            .header(AUTHORIZATION, "Bearer key")
            .header(CONTENT_TYPE, "application/json")
            .header(CACHE_CONTROL, cache)
            .body(Body::from(body.clone()))
            .expect("the request is right");
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("bench"));
        let response = now(gateway.handle(ImmediateHost, request));
        assert_eq!(response.status(), 200, "a refusal would be measured");
        response
    });
}

/// Baseline: a gateway that parses a body into a tree and serializes it again.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20])]
fn baseline_parse_and_serialise(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = question(bytes);
    bencher.counter(divan::counter::BytesCount::new(bytes)).bench_local(|| {
        let value: serde_json::Value = serde_json::from_slice(&body).expect("the body is right");
        serde_json::to_vec(&value).expect("a value serializes")
    });
}

/// 200 events, each in its own piece, through the reader and the meter.
#[divan::bench]
fn stream_of_200_events(bencher: Bencher<'_, '_>) {
    let event = Bytes::from_static(EVENT);
    bencher.counter(divan::counter::ItemsCount::new(200usize)).bench_local(|| {
        let mut reader = SseReader::new(true, ContentParts::default());
        let mut ready = std::collections::VecDeque::new();
        for _ in 0..200 {
            black_box(reader.push(event.clone(), &mut ready));
            black_box(ready.pop_front());
        }
    });
}

/// Baseline: the same events, copied once and not parsed.
#[divan::bench]
fn baseline_copy_of_200_events(bencher: Bencher<'_, '_>) {
    bencher.counter(divan::counter::ItemsCount::new(200usize)).bench_local(|| {
        for _ in 0..200 {
            black_box(Bytes::copy_from_slice(black_box(EVENT)));
        }
    });
}

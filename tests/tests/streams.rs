//! Many streams, long streams and long events against both built artifacts: no stream is cut off,
//! and memory does not grow. Each edge is its own process here, and one test runs at a time.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, ensure};
use config::author;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sim::server::{CannedResponse, Server};
use sim::upstream::{Script, UpstreamSpec};
use tests::caller::call;
use tests::edge::App;
use tests::edge_kind::EdgeKind;
use tests::isolated_edge::IsolatedEdge;
use tests::stream::{Stream, StreamCounts, StreamRequest, open_streams, read_all_to_end};
use tests::wait::{EVENT_TIMEOUT, wait_until};
use tests::{memory, test_on_both_edges};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

test_on_both_edges! {
    thousand_streams_are_open_concurrently,
    memory_with_many_events_is_flat,
    memory_with_long_events_is_flat,
    compressed_answer_takes_no_memory_of_its_size,
}

const HOST: &str = env!("CARGO_BIN_EXE_serin-spin-host");
const KEY: &str = "app-key-of-this-test";
const APP: &str = "streams";
const OPEN_STREAMS: usize = 1000;
/// Largest memory of one stream: twice the measured one (213 KiB on Spin, 253 KiB in workerd).
const MAX_BYTES_PER_STREAM: usize = 512 << 10;
/// Tiny events of one stream; `SERIN_EVENTS` overrides it. The benchmark sends a million.
const EVENTS: usize = 200_000;
/// Largest growth of memory after a stream's first fifth, in bytes.
const MAX_MEMORY_GROWTH: usize = 32 << 20;
const MEBIBYTE: usize = 1 << 20;
/// Length of a body that is short if compressed.
const BOMB_MEBIBYTES: usize = 200;

/// Lock that admits one edge at a time: two concurrent measurements would affect each other.
static EDGE_LOCK: Mutex<()> = Mutex::const_new(());

async fn thousand_streams_are_open_concurrently(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    memory::allow_files(8 * OPEN_STREAMS)?;
    let (release, released) = watch::channel(true);
    let world = World::open(edge_kind, |server| {
        server.register_canned(APP, CannedResponse::held(released));
    })
    .await?;
    // Memory that is allocated once and not per stream.
    read_all_to_end(world.open_streams(32).await?).await?;
    world.wait_for_records(32).await?;
    let idle = world.edge.resident()?;
    release.send_replace(false);

    let begin = Instant::now();
    let streams = world.open_streams(OPEN_STREAMS).await?;
    let opened = begin.elapsed();
    sleep(Duration::from_secs(1)).await;
    ensure!(world.records() == 32, "streams ended early: {}", world.records());
    let each = world.edge.resident()?.saturating_sub(idle) / OPEN_STREAMS;
    let begin = Instant::now();
    release.send_replace(true);
    let counts = read_all_to_end(streams).await?;
    let ended = begin.elapsed();
    let (edge, kibibytes) = (edge_kind.name(), each >> 10);
    eprintln!(
        "{edge}: {OPEN_STREAMS} streams, {kibibytes} KiB each, opened {opened:?}, ended {ended:?}"
    );
    // The role, two words, the finish, `[DONE]`; no caller asked for usage.
    ensure!(counts.iter().all(|one| one.events == 5), "{:?}", counts.first());
    ensure!(counts.iter().all(|one| one.bytes == counts[0].bytes));
    world.wait_for_records(32 + OPEN_STREAMS).await?;
    let lines = world.edge.log().lines();
    let answered = lines.iter().filter(|line| line.contains(r#""outcome":"answered""#)).count();
    ensure!(answered == 32 + OPEN_STREAMS, "{answered} were answered");
    ensure!(each < MAX_BYTES_PER_STREAM, "{edge}: {kibibytes} KiB for each open stream");
    Ok(())
}

async fn memory_with_many_events_is_flat(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    let events = match std::env::var("SERIN_EVENTS") {
        Ok(count) => count.parse::<usize>().context("SERIN_EVENTS: not a number")?,
        Err(_) => EVENTS,
    };
    let world = World::open(edge_kind, |server| {
        server.register_canned(APP, CannedResponse::flood(events));
    })
    .await?;
    let counts = world.read_with_flat_memory(edge_kind, events).await?;
    ensure!(counts.events == events + 2, "{counts:?}");
    Ok(())
}

async fn memory_with_long_events_is_flat(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    let (count, word) = (50, "x".repeat(MEBIBYTE));
    let script = Script::answering(vec![word; count].join(" "));
    let world = World::open(edge_kind, |server| {
        let part = UpstreamSpec { script: vec![script], ..UpstreamSpec::default() };
        server.register(APP, [("big".to_owned(), part)].into());
    })
    .await?;
    let counts = world.read_with_flat_memory(edge_kind, count).await?;
    ensure!(counts.events == count + 3 && counts.bytes > count * MEBIBYTE, "{counts:?}");
    Ok(())
}

/// A short compressed body with a length of 200 MiB: Workers' host decodes it, Spin's passes it on as it is.
async fn compressed_answer_takes_no_memory_of_its_size(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(b"{")?;
    for _ in 0..BOMB_MEBIBYTES {
        encoder.write_all(&vec![b' '; MEBIBYTE])?;
    }
    let bomb = encoder.finish()?;
    // Workers' adapter reads longer bodies in pieces whatever they decode to.
    ensure!(bomb.len() < 256 << 10, "{} bytes", bomb.len());
    let world = World::open(edge_kind, |server| {
        server.register_canned(APP, CannedResponse::compressed("gzip", &bomb));
    })
    .await?;
    let address = world.edge.address();
    let before = world.edge.resident()?;
    for round in 1..=3 {
        let request = request();
        let answer = call(address, "POST", &request.path, KEY, &request.body).await?;
        ensure!(answer.status == 502, "{}: {:?}", answer.status, answer.json());
        world.wait_for_records(round).await?;
    }
    let grown = world.edge.resident()?.saturating_sub(before);
    eprintln!("{}: {} MiB more", edge_kind.name(), grown >> 20);
    // V8 collects late: the pieces up to the bound on an answer, several times. One whole body, with its
    // copy in the module's memory, would be twice this.
    ensure!(grown < BOMB_MEBIBYTES * MEBIBYTE, "{grown} bytes more");
    let health = call(address, "GET", "/healthz", "", &Value::Null).await?;
    ensure!(health.status == 200, "{}", health.status);
    Ok(())
}

struct World {
    edge: IsolatedEdge,
    _server: Server,
}

impl World {
    async fn open(edge_kind: EdgeKind, register: impl FnOnce(&Server)) -> anyhow::Result<Self> {
        let server = Server::start().await?;
        register(&server);
        let document = format!(
            "[[providers]]\nid = 'big'\nkind = 'openai-compatible'\nbase_url = '{}/big/v1'\n\
             [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = 'big' }}]\n\
             retries = {{ attempts = 0 }}\n\
             timeouts = {{ first_byte = '60s', idle = '120s', total = '10m' }}\n\
             [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n",
            server.base(APP)
        );
        let config = author::to_json(&document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let secrets = [("APP_KEY".to_owned(), KEY.to_owned())].into();
        let app = App { name: APP.to_owned(), config, secrets, ledger: true };
        let edge = IsolatedEdge::start(edge_kind, HOST, app, None).await?;
        Ok(Self { edge, _server: server })
    }

    async fn open_streams(&self, count: usize) -> anyhow::Result<Vec<Stream>> {
        open_streams(self.edge.address(), &request(), count).await
    }

    /// Reads one stream, and fails if memory grows steadily.
    async fn read_with_flat_memory(
        &self,
        edge_kind: EdgeKind,
        events: usize,
    ) -> anyhow::Result<StreamCounts> {
        // The first stream is not measured: it warms code and heaps.
        self.open_streams(1).await?.remove(0).end().await?;
        let begin = Instant::now();
        let mut stream = Stream::open(self.edge.address(), &request()).await?;
        let (mut first, mut later) = (0, 0);
        for step in 1..=50 {
            stream.events(events * step / 50).await?;
            let resident = self.edge.resident()?;
            let max = if step <= 10 { &mut first } else { &mut later };
            *max = resident.max(*max);
        }
        let counts = stream.end().await?;
        let (took, grown) = (begin.elapsed(), later.saturating_sub(first));
        let [first, later] = [first, later].map(|bytes| bytes >> 20);
        let (edge, bytes) = (edge_kind.name(), counts.bytes >> 20);
        eprintln!(
            "{edge}: {} events, {bytes} MiB in {took:?}; {first} MiB, then {later}",
            counts.events
        );
        ensure!(grown < MAX_MEMORY_GROWTH, "{edge}: {grown} bytes more than at first");
        Ok(counts)
    }

    /// Number of recorded requests.
    fn records(&self) -> usize {
        let lines = self.edge.log().lines();
        lines.iter().filter(|line| line.contains(r#""event":"request""#)).count()
    }

    /// Waits until exactly `count` requests have been recorded.
    async fn wait_for_records(&self, count: usize) -> anyhow::Result<()> {
        wait_until(EVENT_TIMEOUT, || self.records() >= count).await;
        ensure!(self.records() == count, "{} records of {count}", self.records());
        Ok(())
    }
}

fn request() -> StreamRequest {
    let messages = json!([{ "role": "user", "content": "Hello?" }]);
    StreamRequest {
        path: "/v1/chat/completions".to_owned(),
        token: KEY.to_owned(),
        body: json!({ "model": "m", "messages": messages, "stream": true }),
    }
}

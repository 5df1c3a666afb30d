//! A soak of both built artifacts: an upstream that flaps, a fallback that is well, callers who never
//! stop asking. No caller may see any of it.
//!
//! `SERIN_SOAK_SECONDS` says for how long (20 by default, 300 at most).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use gateway::config::author;
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::{Part, Script};
use tests::caller::call;
use tests::edge::App;
use tests::kept_by_both;
use tests::kind::Kind;
use tests::solo::Solo;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

kept_by_both! {
    nobody_sees_an_upstream_that_flaps,
}

const HOST: &str = env!("CARGO_BIN_EXE_serin-spin-host");
const KEY: &str = "app-key-of-this-test";
const APP: &str = "soak";
const CALLERS: usize = 8;
/// Between two requests of a caller.
const BREATH: Duration = Duration::from_millis(25);
/// More than the upstream's silence may cost, on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);
/// How much more memory the edge may take at the end than after the first fifth. V8 collects late where it
/// has room: a Worker of three lines of JavaScript that passes 18,000 requests on grew from 78 to 423 MiB
/// in the same workerd, serin from 87 to 335, and stayed there.
const MOST_GROWTH: usize = 160 << 20;

/// The ways in which the upstream is down, in turn. Each can be seen before anything was said, so
/// each can be hidden.
const FAILURES: [&str; 11] = [
    "status = 503",
    "refuse = true",
    "hang = true",
    // As a stream whatever was asked for: one event of JSON is a whole answer.
    "role_then_cut = true\nstream = true",
    "status = 429\nheaders = { retry-after = '3' }",
    "error_first = true",
    "raw = '<html>Bad gateway</html>'\ncontent_type = 'text/html'",
    "answer = 'never'\ncut_at = 20",
    "answer = 'never'\nfirst_token_delay = '30s'",
    "answer = 'never'\nmalformed_after = 0",
    "reset = true",
];
const UP: &str = "answer = 'first second third fourth'\ngap = '2ms'";
const FALLBACK: &str = "answer = 'other words that help'\ngap = '1ms'";
/// How long a state lasts, in seconds of a soak of five minutes; a short soak has shorter ones.
const PHASES: [u32; 5] = [5, 8, 6, 10, 7];

static TURN: Mutex<()> = Mutex::const_new(());

async fn nobody_sees_an_upstream_that_flaps(kind: Kind) -> anyhow::Result<()> {
    let _turn = TURN.lock().await;
    let seconds = match std::env::var("SERIN_SOAK_SECONDS") {
        Ok(seconds) => seconds.parse::<u32>().context("SERIN_SOAK_SECONDS is a number")?.min(300),
        Err(_) => 20,
    };
    let world = World::open(kind).await?;
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds.into());
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(caller(world.solo.address(), number, end));
    }
    let (mut early, mut flaps) = (0, 0);
    for (turn, phase) in PHASES.into_iter().cycle().enumerate() {
        if Instant::now() >= end {
            break;
        }
        let is_up = turn % 2 == 0;
        let script = if is_up { UP } else { FAILURES[turn / 2 % FAILURES.len()] };
        flaps += usize::from(!is_up);
        world.plays("flapping", script)?;
        let lasts =
            Duration::from_secs(phase.into()).mul_f64(f64::from(seconds.clamp(60, 300)) / 300.0);
        sleep_until(end.min(Instant::now() + lasts)).await;
        if begin.elapsed() * 5 <= end - begin {
            early = world.solo.resident()?.max(early);
        }
    }
    let mut seen = Seen::default();
    for one in callers.join_all().await {
        seen.add(one);
    }
    let late = world.solo.resident()?;

    // It is well again: the next requests find that out, and stay with it.
    world.plays("flapping", UP)?;
    let recovered = Instant::now();
    while !ask(world.solo.address(), true).await?.1 {
        ensure!(recovered.elapsed() < Duration::from_secs(30), "the upstream is not taken back");
        sleep(Duration::from_millis(200)).await;
    }
    let recovered = recovered.elapsed();

    seen.times.sort_unstable();
    let time =
        |share: usize| seen.times[(seen.times.len() * share / 1000).min(seen.times.len() - 1)];
    let (edge, asked) = (kind.name(), seen.times.len());
    eprintln!(
        "{edge}: {seconds} s, {flaps} outages, {asked} requests, {} by the fallback, {} failed; p50 {:?}, \
         p99 {:?}, longest {:?}; back after {recovered:?}; {} MiB, then {}",
        seen.by_fallback,
        seen.failures.values().sum::<usize>(),
        time(500),
        time(990),
        time(1000),
        early >> 20,
        late >> 20,
    );
    ensure!(seen.failures.is_empty(), "{edge}: {:#?}", seen.failures);
    // In a short soak the upstream rests for longer than it is well.
    let by_first = asked - seen.by_fallback;
    ensure!(by_first > asked / 100 && seen.by_fallback > asked / 20, "it did not flap");
    ensure!(late.saturating_sub(early) < MOST_GROWTH, "{edge}: from {early} bytes to {late}");
    Ok(())
}

/// What callers saw.
#[derive(Default)]
struct Seen {
    /// How long each request took.
    times: Vec<Duration>,
    by_fallback: usize,
    /// What was wrong, and how often.
    failures: BTreeMap<String, usize>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.by_fallback += other.by_fallback;
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }
}

async fn caller(address: SocketAddr, number: usize, end: Instant) -> Seen {
    let mut seen = Seen::default();
    for turn in number.. {
        let asked = Instant::now();
        if asked >= end {
            break;
        }
        match ask(address, turn % 2 == 0).await {
            Ok((took, by_first)) => {
                seen.times.push(took);
                seen.by_fallback += usize::from(!by_first);
            }
            Err(failure) => {
                seen.times.push(asked.elapsed());
                *seen.failures.entry(format!("{failure:#}")).or_default() += 1;
            }
        }
        sleep(BREATH).await;
    }
    seen
}

/// Asks once; says how long it took and whether the flapping upstream has answered. Anything but one
/// whole answer of one upstream is an error.
async fn ask(address: SocketAddr, streams: bool) -> anyhow::Result<(Duration, bool)> {
    let body = json!({
        "model": "m", "messages": [{ "role": "user", "content": "Hello?" }], "stream": streams,
    });
    let asked = Instant::now();
    let answer = call(address, "POST", "/v1/chat/completions", KEY, &body).await?;
    let took = asked.elapsed();
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == 200, "{}: {text}", answer.status);
    let said = if streams {
        ensure!(text.ends_with("data: [DONE]\n\n"), "no end: {text}");
        let events = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        let chunks = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        chunks
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect::<String>()
    } else {
        answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    };
    let by_first = said == "first second third fourth";
    ensure!(by_first || said == "other words that help", "{said:?} was said: {text}");
    ensure!(took < LONGEST, "it took {took:?}");
    Ok((took, by_first))
}

struct World {
    solo: Solo,
    server: Server,
}

impl World {
    async fn open(kind: Kind) -> anyhow::Result<Self> {
        let server = Server::start().await?;
        let base = server.base("");
        // As operators would have it, but for the silence that is borne: a soak has no minutes to lose.
        let document = format!(
            "[[providers]]\nid = 'flapping'\nkind = 'openai-compatible'\nbase_url = '{base}flapping/up/v1'\n\
             [[providers]]\nid = 'well'\nkind = 'openai-compatible'\nbase_url = '{base}well/up/v1'\n\
             [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = 'flapping' }}]\n\
             fallback = [{{ provider = 'well' }}]\n\
             timeouts = {{ first_byte = '1s', idle = '5s', total = '30s' }}\n\
             [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n"
        );
        let config = author::to_json(&document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let secrets = [("APP_KEY".to_owned(), KEY.to_owned())].into();
        let app = App { name: APP.to_owned(), config, secrets, ledger: true };
        let start = move || Solo::start(kind, Path::new(HOST), &app);
        let solo = tokio::task::spawn_blocking(start).await?;
        let solo = solo.context("build both artifacts first: `cargo xtask test`")?;
        let world = Self { solo, server };
        world.plays("well", FALLBACK)?;
        world.plays("flapping", UP)?;
        Ok(world)
    }

    /// Has an upstream play something else from now on.
    fn plays(&self, upstream: &str, script: &str) -> anyhow::Result<()> {
        let script: Script = toml::from_str(script)?;
        let part = Part { script: vec![script], ..Part::default() };
        self.server.register(upstream, [("up".to_owned(), part)].into());
        Ok(())
    }
}

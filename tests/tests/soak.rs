//! A soak of both built artifacts: an upstream that flaps, a fallback that is well, callers who never
//! stop asking. No caller may see any of it, and at the end everybody has counted the same: callers,
//! upstreams, the log, `/metrics` and the usage call.
//!
//! `SERIN_SOAK_SECONDS` says for how long (20 by default, 300 at most).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use config::author;
use serde_json::{Value, json};
use sim::server::Server;
use sim::upstream::{Ended, Script};
use tests::caller::call;
use tests::edge::App;
use tests::edge_kind::EdgeKind;
use tests::isolated_edge::IsolatedEdge;
use tests::kept_by_both;
use tests::metrics_page::MetricsPage;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

kept_by_both! {
    nobody_sees_an_upstream_that_flaps,
}

const HOST: &str = env!("CARGO_BIN_EXE_serin-spin-host");
const KEY: &str = "app-key-of-this-test";
const ADMIN: &str = "admin-token-of-this-test";
const APP: &str = "soak";
const CALLERS: usize = 8;
/// Between two requests of a caller.
const CALLER_PAUSE: Duration = Duration::from_millis(25);
/// More than the upstream's silence may cost, on a busy machine.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(20);
/// How much more memory the edge may take at the end than after the first fifth. V8 collects late where it
/// has room: a Worker of three lines of JavaScript that passes 18,000 requests on grew from 78 to 423 MiB
/// in the same workerd, serin from 87 to 335, and stayed there.
const MAX_MEMORY_GROWTH: usize = 160 << 20;

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
const UP: &str =
    "answer = 'first second third fourth'\ngap = '2ms'\nprompt_tokens = 11\ncompletion_tokens = 5";
const FALLBACK: &str =
    "answer = 'other words that help'\ngap = '1ms'\nprompt_tokens = 13\ncompletion_tokens = 3";
/// What an answer of the first one and of the fallback costs: of the prompt, of the answer.
const TOKENS: [(u64, u64); 2] = [(11, 5), (13, 3)];
/// How long sums may take to be where they can be asked for.
const AGGREGATION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a state lasts, in seconds of a soak of five minutes; a short soak has shorter ones.
const PHASE_SECONDS: [u32; 5] = [5, 8, 6, 10, 7];

static EDGE_LOCK: Mutex<()> = Mutex::const_new(());

async fn nobody_sees_an_upstream_that_flaps(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    let seconds = match std::env::var("SERIN_SOAK_SECONDS") {
        Ok(seconds) => seconds.parse::<u32>().context("SERIN_SOAK_SECONDS is a number")?.min(300),
        Err(_) => 20,
    };
    let mut world = World::open(edge_kind).await?;
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds.into());
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(caller(world.solo.address(), number, end));
    }
    let (mut early, mut flaps) = (0, 0);
    for (turn, phase) in PHASE_SECONDS.into_iter().cycle().enumerate() {
        if Instant::now() >= end {
            break;
        }
        let is_up = turn % 2 == 0;
        let script = if is_up { UP } else { FAILURES[turn / 2 % FAILURES.len()] };
        flaps += usize::from(!is_up);
        world.flaps(script)?;
        let lasts =
            Duration::from_secs(phase.into()).mul_f64(f64::from(seconds.clamp(60, 300)) / 300.0);
        sleep_until(end.min(Instant::now() + lasts)).await;
        if begin.elapsed() * 5 <= end - begin {
            early = world.solo.resident()?.max(early);
        }
    }
    let mut seen = CallerResults::default();
    for one in callers.join_all().await {
        seen.add(one);
    }
    let late = world.solo.resident()?;

    // It is well again: the next requests find that out, and stay with it.
    world.flaps(UP)?;
    let recovered = Instant::now();
    loop {
        let (took, by_first) = ask(world.solo.address(), true).await?;
        seen.times.push(took);
        if by_first {
            break;
        }
        seen.by_fallback += 1;
        ensure!(recovered.elapsed() < Duration::from_secs(30), "the upstream is not taken back");
        sleep(Duration::from_millis(200)).await;
    }
    let recovered = recovered.elapsed();

    seen.times.sort_unstable();
    let time =
        |share: usize| seen.times[(seen.times.len() * share / 1000).min(seen.times.len() - 1)];
    let (edge, asked) = (edge_kind.name(), seen.times.len());
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
    ensure!(late.saturating_sub(early) < MAX_MEMORY_GROWTH, "{edge}: from {early} bytes to {late}");
    world.all_have_counted(by_first as u64, seen.by_fallback as u64).await
}

/// What callers saw.
#[derive(Default)]
struct CallerResults {
    /// How long each request took.
    times: Vec<Duration>,
    by_fallback: usize,
    /// What was wrong, and how often.
    failures: BTreeMap<String, usize>,
}

impl CallerResults {
    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.by_fallback += other.by_fallback;
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }
}

async fn caller(address: SocketAddr, number: usize, end: Instant) -> CallerResults {
    let mut seen = CallerResults::default();
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
        sleep(CALLER_PAUSE).await;
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
    ensure!(took < MAX_REQUEST_TIME, "it took {took:?}");
    Ok((took, by_first))
}

/// What answers add up to.
#[derive(Debug, PartialEq, Eq)]
struct Totals {
    by_first: u64,
    by_fallback: u64,
    input: u64,
    output: u64,
}

impl Totals {
    /// Of so many answers, by what upstreams say that each costs.
    fn answers(by_first: u64, by_fallback: u64) -> Self {
        let [first, fallback] = TOKENS;
        Self {
            by_first,
            by_fallback,
            input: by_first * first.0 + by_fallback * fallback.0,
            output: by_first * first.1 + by_fallback * fallback.1,
        }
    }

    fn scraped(page: &MetricsPage) -> Self {
        let sum = |metric: &str, labels: &[&str]| page.sum(metric, labels) as u64;
        let tokens = |kind| sum("serin_tokens_total", &[kind, "counted=\"reported\""]);
        let of =
            |it| sum("serin_requests_total", &[it, "model=\"m\",consumer=\"app\",status=\"200\""]);
        Self {
            by_first: of("provider=\"flapping\""),
            by_fallback: of("provider=\"well\""),
            input: tokens("kind=\"input\""),
            output: tokens("kind=\"output\""),
        }
    }

    /// From rows by provider.
    fn used(rows: &[Value]) -> Self {
        let sum = |provider: Option<&str>, name: &str| {
            let rows = rows.iter().filter(|row| provider.is_none_or(|it| row["provider"] == it));
            rows.filter_map(|row| row[name].as_u64()).sum()
        };
        Self {
            by_first: sum(Some("flapping"), "requests"),
            by_fallback: sum(Some("well"), "requests"),
            input: sum(None, "input_tokens"),
            output: sum(None, "output_tokens"),
        }
    }

    /// From the records of the log.
    fn logged(records: &[Value]) -> Self {
        let by = |target| records.iter().filter(|it| it["target"] == target).count() as u64;
        let tokens = |kind: &str| records.iter().filter_map(|it| it["tokens"][kind].as_u64()).sum();
        Self {
            by_first: by("flapping/m"),
            by_fallback: by("well/m"),
            input: tokens("input"),
            output: tokens("output"),
        }
    }
}

struct World {
    solo: IsolatedEdge,
    server: Server,
    /// From which of its calls on the upstream that flaps plays what.
    played: Vec<(usize, String)>,
}

impl World {
    async fn open(edge_kind: EdgeKind) -> anyhow::Result<Self> {
        let server = Server::start().await?;
        server.register(APP, BTreeMap::new());
        let base = server.base(APP);
        // As operators would have it, but for the silence that is borne: a soak has no minutes to lose.
        let document = format!(
            "[[providers]]\nid = 'flapping'\nkind = 'openai-compatible'\nbase_url = '{base}/flapping/v1'\n\
             [[providers]]\nid = 'well'\nkind = 'openai-compatible'\nbase_url = '{base}/well/v1'\n\
             [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = 'flapping' }}]\n\
             fallback = [{{ provider = 'well' }}]\n\
             timeouts = {{ first_byte = '1s', idle = '5s', total = '30s' }}\n\
             [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n"
        );
        let config = author::to_json(&document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let secrets = [("APP_KEY", KEY), ("ADMIN_TOKEN", ADMIN)];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let app = App { name: APP.to_owned(), config, secrets, ledger: true };
        let start = move || IsolatedEdge::start(edge_kind, Path::new(HOST), &app);
        let solo = tokio::task::spawn_blocking(start).await?;
        let solo = solo.context("build both artifacts first: `cargo xtask test`")?;
        server.rewrite(APP, "well", toml::from_str(FALLBACK)?);
        let mut world = Self { solo, server, played: Vec::new() };
        world.flaps(UP)?;
        Ok(world)
    }

    /// Has the upstream that flaps play something else from now on.
    fn flaps(&mut self, script: &str) -> anyhow::Result<()> {
        let before = self.server.rewrite(APP, "flapping", toml::from_str::<Script>(script)?);
        self.played.push((before, script.to_owned()));
        Ok(())
    }

    /// Checks that everybody has counted what callers have: so many answers of either upstream.
    async fn all_have_counted(&self, by_first: u64, by_fallback: u64) -> anyhow::Result<()> {
        let told = Totals::answers(by_first, by_fallback);
        let until = Instant::now() + AGGREGATION_TIMEOUT;
        // What is written in the end may be under way.
        let (page, used) = loop {
            let page = MetricsPage::fetch(self.solo.address(), ADMIN).await?;
            let path = "/admin/v1/usage?by=provider";
            let used = call(self.solo.address(), "GET", path, ADMIN, &Value::Null).await?.json();
            let used = Totals::used(used["data"].as_array().context("rows")?);
            if Instant::now() >= until || (Totals::scraped(&page) == told && used == told) {
                break (page, used);
            }
            sleep(Duration::from_millis(200)).await;
        };
        ensure!(Totals::scraped(&page) == told, "/metrics: {:?}; {told:?}", Totals::scraped(&page));
        ensure!(used == told, "usage: {used:?}; {told:?}");
        let requests = page.sum("serin_requests_total", &[]) as u64;
        ensure!(requests == by_first + by_fallback, "{requests} requests; {told:?}");
        let records = self.solo.log().requests();
        ensure!(Totals::logged(&records) == told, "{:?}; {told:?}", Totals::logged(&records));

        // Attempts: what the log says of each, what upstreams saw, and what metrics say of those that
        // went on to the fallback, which are all that failed.
        let attempts: Vec<&Value> =
            records.iter().filter_map(|it| it["attempts"].as_array()).flatten().collect();
        let tried = |target: &str, result: Option<&str>| {
            let tried = attempts.iter().filter(|it| it["target"] == target);
            tried.filter(|it| result.is_none_or(|result| it["result"] == result)).count() as u64
        };
        let calls = self.server.settled(APP, Duration::from_secs(5)).await;
        let (first, fallback) = (&calls["flapping"], &calls["well"]);
        let logged = (tried("flapping/m", None), tried("well/m", None));
        ensure!(logged == (first.len() as u64, fallback.len() as u64), "{logged:?} were tried");
        let failed = first.len() as u64 - by_first;
        let answered = (tried("flapping/m", Some("answered")), tried("well/m", Some("answered")));
        ensure!(answered == (by_first, by_fallback), "{answered:?} have answered; {told:?}");
        let sum = |metric: &str, labels: &[&str]| page.sum(metric, labels) as u64;
        let went_on = "from=\"flapping/m\",to=\"well/m\"";
        let shown = (sum("serin_fallback_total", &[]), sum("serin_fallback_total", &[went_on]));
        ensure!(shown == (by_fallback, by_fallback), "{shown:?}: {by_fallback} by the fallback");
        let rested = sum("serin_fallback_total", &[went_on, "reason=\"resting\""]);
        ensure!(rested == by_fallback - failed, "{rested} of {by_fallback}: {failed} failed");
        let calls = |labels: &[&str]| sum("serin_upstream_calls_total", labels);
        let (of_first, well) = ("provider=\"flapping\"", "result=\"answered\"");
        let shown = (calls(&[of_first]), calls(&[of_first, well]), calls(&["provider=\"well\""]));
        let made = (first.len() as u64, by_first, fallback.len() as u64);
        ensure!(shown == made, "{shown:?} calls are shown, {made:?} were made");

        // And by what the upstream played: an answer that it gave was counted, but where it came too
        // late for a machine that is busy.
        let mut given = 0;
        let mut silent = 0;
        for (at, (from, script)) in self.played.iter().enumerate() {
            let to = self.played.get(at + 1).map_or(first.len(), |(next, _)| *next);
            let ended = first[*from..to].iter().filter(|it| it.ended == Ended::Completed).count();
            given += if script == UP { ended as u64 } else { 0 };
            let waits = script.contains("hang") || script.contains("30s");
            silent += if waits { to - from } else { 0 } as u64;
        }
        let late = tried("flapping/m", Some("timeout")).saturating_sub(silent);
        let missed = given.checked_sub(by_first).context("more answers than were given")?;
        ensure!(missed <= late, "{given} were given, {by_first} counted, {late} came late");
        eprintln!(
            "{} calls, {failed} failed, {missed} late: all agree",
            first.len() + fallback.len()
        );
        Ok(())
    }
}

//! Soak test of both built artifacts: an upstream that flaps, a healthy fallback, and callers that
//! send requests continuously. No caller may observe any failure, and at the end all counts agree:
//! callers, upstreams, the log, `/metrics` and the usage report.
//!
//! `SERIN_SOAK_SECONDS` sets the duration (20 by default, 300 at most).

use std::collections::BTreeMap;
use std::net::SocketAddr;
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
use tests::metrics_page::MetricsPage;
use tests::statistics::percentile;
use tests::test_on_both_edges;
use tests::wait::EVENT_TIMEOUT;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

test_on_both_edges! {
    flapping_upstream_is_invisible_to_callers,
}

const HOST: &str = env!("CARGO_BIN_EXE_serin-spin-host");
const KEY: &str = "app-key-of-this-test";
const ADMIN: &str = "admin-token-of-this-test";
const APP: &str = "soak";
const CALLERS: usize = 8;
/// Pause between two requests of a caller.
const CALLER_PAUSE: Duration = Duration::from_millis(25);
/// Longest request: more than the upstream's silence may cost, on a busy machine.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(20);
/// Largest growth of the edge's memory between the first fifth and the end, in bytes. V8 collects
/// late if it has room: a Worker of three lines of JavaScript that passes 18,000 requests on grew
/// from 78 to 423 MiB in the same workerd, serin from 87 to 335, and stayed there.
const MAX_MEMORY_GROWTH: usize = 160 << 20;

/// Failures of the upstream, in turn. Each is detectable before any content was sent, so each can
/// be hidden from callers.
const FAILURES: [&str; 11] = [
    "status = 503",
    "refuse = true",
    "hang = true",
    // A stream regardless of the request: one event of JSON would be a complete response.
    "role_then_cut = true\nstream = true",
    "status = 429\nheaders = { retry-after = '3' }",
    "error_first = true",
    "raw = '<html>Bad gateway</html>'\ncontent_type = 'text/html'",
    "answer = 'never'\ncut_at = 20",
    "answer = 'never'\nfirst_token_delay = '30s'",
    "answer = 'never'\nmalformed_after = 0",
    "reset = true",
];
const HEALTHY: &str =
    "answer = 'first second third fourth'\ngap = '2ms'\nprompt_tokens = 11\ncompletion_tokens = 5";
const FALLBACK: &str =
    "answer = 'words of the fallback'\ngap = '1ms'\nprompt_tokens = 13\ncompletion_tokens = 3";
/// Tokens (prompt, completion) of a response of the flapping upstream and of the fallback.
const TOKENS: [(u64, u64); 2] = [(11, 5), (13, 3)];
/// Duration of each state, in seconds of a soak of five minutes; a short soak scales them down.
const PHASE_SECONDS: [u32; 5] = [5, 8, 6, 10, 7];

static EDGE_LOCK: Mutex<()> = Mutex::const_new(());

async fn flapping_upstream_is_invisible_to_callers(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let _turn = EDGE_LOCK.lock().await;
    let seconds = match std::env::var("SERIN_SOAK_SECONDS") {
        Ok(seconds) => seconds.parse::<u32>().context("SERIN_SOAK_SECONDS: not a number")?.min(300),
        Err(_) => 20,
    };
    let mut world = World::open(edge_kind).await?;
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds.into());
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(caller(world.edge.address(), number, end));
    }
    let (mut early, mut outages) = (0, 0);
    for (turn, phase) in PHASE_SECONDS.into_iter().cycle().enumerate() {
        if Instant::now() >= end {
            break;
        }
        let is_healthy = turn % 2 == 0;
        let script = if is_healthy { HEALTHY } else { FAILURES[turn / 2 % FAILURES.len()] };
        outages += usize::from(!is_healthy);
        world.set_script(script)?;
        let lasts =
            Duration::from_secs(phase.into()).mul_f64(f64::from(seconds.clamp(60, 300)) / 300.0);
        sleep_until(end.min(Instant::now() + lasts)).await;
        if begin.elapsed() * 5 <= end - begin {
            early = world.edge.resident()?.max(early);
        }
    }
    let mut results = CallerResults::default();
    for one in callers.join_all().await {
        results.add(one);
    }
    let late = world.edge.resident()?;

    // The upstream has recovered: the next requests detect that, and stay with it.
    world.set_script(HEALTHY)?;
    let recovered = Instant::now();
    loop {
        let (took, by_first) = ask(world.edge.address(), true).await?;
        results.times.push(took);
        if by_first {
            break;
        }
        results.by_fallback += 1;
        ensure!(recovered.elapsed() < Duration::from_secs(30), "no recovery within 30 s");
        sleep(Duration::from_millis(200)).await;
    }
    let recovered = recovered.elapsed();

    let times: Vec<f64> = results.times.iter().map(Duration::as_secs_f64).collect();
    let time = |share| Duration::from_secs_f64(percentile(&times, share));
    let (edge, sent) = (edge_kind.name(), results.times.len());
    eprintln!(
        "{edge}: {seconds} s, {outages} outages, {sent} requests, {} by the fallback, {} failed; p50 {:?}, \
         p99 {:?}, longest {:?}; back after {recovered:?}; {} MiB, then {}",
        results.by_fallback,
        results.failures.values().sum::<usize>(),
        time(0.5),
        time(0.99),
        time(1.0),
        early >> 20,
        late >> 20,
    );
    ensure!(results.failures.is_empty(), "{edge}: {:#?}", results.failures);
    // In a short soak the upstream cools down for longer than it is healthy.
    let by_first = sent - results.by_fallback;
    ensure!(by_first > sent / 100 && results.by_fallback > sent / 20, "no flapping");
    ensure!(late.saturating_sub(early) < MAX_MEMORY_GROWTH, "{edge}: from {early} bytes to {late}");
    world.check_counts(by_first as u64, results.by_fallback as u64).await
}

/// Observations of callers.
#[derive(Default)]
struct CallerResults {
    /// Duration of each request.
    times: Vec<Duration>,
    by_fallback: usize,
    /// Failures, and the number of each.
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
    let mut results = CallerResults::default();
    for turn in number.. {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        match ask(address, turn % 2 == 0).await {
            Ok((took, by_first)) => {
                results.times.push(took);
                results.by_fallback += usize::from(!by_first);
            }
            Err(failure) => {
                results.times.push(sent.elapsed());
                *results.failures.entry(format!("{failure:#}")).or_default() += 1;
            }
        }
        sleep(CALLER_PAUSE).await;
    }
    results
}

/// Sends one request; returns its duration and whether the flapping upstream answered. Anything but
/// one complete response of one upstream is an error.
async fn ask(address: SocketAddr, streams: bool) -> anyhow::Result<(Duration, bool)> {
    let body = json!({
        "model": "m", "messages": [{ "role": "user", "content": "Hello?" }], "stream": streams,
    });
    let sent = Instant::now();
    let answer = call(address, "POST", "/v1/chat/completions", KEY, &body).await?;
    let took = sent.elapsed();
    let text = String::from_utf8_lossy(&answer.body);
    let content = answer.content();
    let content = content.with_context(|| format!("incomplete, {}: {text}", answer.status))?;
    let by_first = content == "first second third fourth";
    ensure!(by_first || content == "words of the fallback", "content {content:?}: {text}");
    ensure!(took < MAX_REQUEST_TIME, "slow: {took:?}");
    Ok((took, by_first))
}

/// Totals of responses.
#[derive(Debug, PartialEq, Eq)]
struct Totals {
    by_first: u64,
    by_fallback: u64,
    input: u64,
    output: u64,
}

impl Totals {
    /// Totals of a number of responses, by the usage that upstreams report for each.
    fn answers(by_first: u64, by_fallback: u64) -> Self {
        let [first, fallback] = TOKENS;
        Self {
            by_first,
            by_fallback,
            input: by_first * first.0 + by_fallback * fallback.0,
            output: by_first * first.1 + by_fallback * fallback.1,
        }
    }

    /// The same with the tokens of calls whose answers were not used.
    fn with_lost(&self, tokens: u64) -> Self {
        Self { input: self.input + tokens, ..*self }
    }

    fn scraped(page: &MetricsPage) -> Self {
        let sum = |metric: &str, labels: &[&str]| page.sum(metric, labels) as u64;
        let tokens = |kind| sum("serin_tokens_total", &[kind, "counted=\"reported\""]);
        let of =
            |it| sum("serin_requests_total", &[it, "model=\"m\",consumer=\"app\",status=\"200\""]);
        Self {
            by_first: of("provider=\"flapping\""),
            by_fallback: of("provider=\"healthy\""),
            input: tokens("kind=\"input\""),
            output: tokens("kind=\"output\""),
        }
    }

    /// Totals from usage rows by provider.
    fn used(rows: &[Value]) -> Self {
        let sum = |provider: Option<&str>, name: &str| {
            let rows = rows.iter().filter(|row| provider.is_none_or(|it| row["provider"] == it));
            rows.filter_map(|row| row[name].as_u64()).sum()
        };
        Self {
            by_first: sum(Some("flapping"), "requests"),
            by_fallback: sum(Some("healthy"), "requests"),
            input: sum(None, "input_tokens"),
            output: sum(None, "output_tokens"),
        }
    }

    /// Totals from the records of the log.
    fn logged(records: &[Value]) -> Self {
        let by = |target| records.iter().filter(|it| it["target"] == target).count() as u64;
        let tokens = |kind: &str| records.iter().filter_map(|it| it["tokens"][kind].as_u64()).sum();
        Self {
            by_first: by("flapping/m"),
            by_fallback: by("healthy/m"),
            input: tokens("input"),
            output: tokens("output"),
        }
    }
}

/// Tokens of calls that the flapping upstream may bill although their answers were not used: it had the
/// prompt, and was silent or sent no answer.
fn lost_tokens(records: &[Value]) -> anyhow::Result<u64> {
    let attempts = records.iter().filter_map(|record| record["attempts"].as_array()).flatten();
    let mut lost = 0;
    for attempt in attempts {
        let result = attempt["result"].as_str();
        let may_cost = result == Some("timeout") || attempt["status"] == 200;
        let tokens = attempt["tokens"].as_u64();
        ensure!(tokens.is_some() == (may_cost && result != Some("answered")), "{attempt}");
        lost += tokens.unwrap_or_default();
    }
    Ok(lost)
}

struct World {
    edge: IsolatedEdge,
    server: Server,
    /// Scripts of the flapping upstream, each with the number of its first call.
    played: Vec<(usize, String)>,
}

impl World {
    async fn open(edge_kind: EdgeKind) -> anyhow::Result<Self> {
        let server = Server::start().await?;
        server.register(APP, BTreeMap::new());
        let base = server.base(APP);
        // An operator's usual configuration except for the timeout on silence: a soak has no
        // minutes to lose.
        let document = format!(
            "[[providers]]\nid = 'flapping'\nkind = 'openai-compatible'\nbase_url = '{base}/flapping/v1'\n\
             [[providers]]\nid = 'healthy'\nkind = 'openai-compatible'\nbase_url = '{base}/healthy/v1'\n\
             [[routes]]\nid = 'all'\nmodels = ['*']\ntargets = [{{ provider = 'flapping' }}]\n\
             fallback = [{{ provider = 'healthy' }}]\n\
             timeouts = {{ first_byte = '1s', idle = '5s', total = '30s' }}\n\
             [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n"
        );
        let config = author::to_json(&document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let secrets = [("APP_KEY", KEY), ("ADMIN_TOKEN", ADMIN)];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let app = App { name: APP.to_owned(), config, secrets, ledger: true };
        let edge = IsolatedEdge::start(edge_kind, HOST, app, None).await?;
        server.rewrite(APP, "healthy", toml::from_str(FALLBACK)?);
        let mut world = Self { edge, server, played: Vec::new() };
        world.set_script(HEALTHY)?;
        Ok(world)
    }

    /// Replaces the script of the flapping upstream.
    fn set_script(&mut self, script: &str) -> anyhow::Result<()> {
        let before = self.server.rewrite(APP, "flapping", toml::from_str::<Script>(script)?);
        self.played.push((before, script.to_owned()));
        Ok(())
    }

    /// Checks that all counts agree with the callers' numbers of responses of either upstream.
    async fn check_counts(&self, by_first: u64, by_fallback: u64) -> anyhow::Result<()> {
        let answers = Totals::answers(by_first, by_fallback);
        let until = Instant::now() + EVENT_TIMEOUT;
        // The last writes may be in flight.
        let (page, used, lost) = loop {
            let lost = lost_tokens(&self.edge.log().requests())?;
            let expected = answers.with_lost(lost);
            let page = MetricsPage::fetch(self.edge.address(), ADMIN).await?;
            let path = "/admin/v1/usage?by=provider";
            let used = call(self.edge.address(), "GET", path, ADMIN, &Value::Null).await?.json();
            let used = Totals::used(used["data"].as_array().context("no rows")?);
            if Instant::now() >= until || (Totals::scraped(&page) == answers && used == expected) {
                break (page, used, lost);
            }
            sleep(Duration::from_millis(200)).await;
        };
        // The metrics keep what was reported and what was estimated apart.
        ensure!(
            Totals::scraped(&page) == answers,
            "/metrics: {:?}; {answers:?}",
            Totals::scraped(&page)
        );
        let estimated = page.sum("serin_tokens_total", &["counted=\"estimated\""]) as u64;
        ensure!(estimated == lost, "/metrics: {estimated} tokens of lost calls, not {lost}");
        let expected = answers.with_lost(lost);
        ensure!(used == expected, "usage: {used:?}; {expected:?}");
        let requests = page.sum("serin_requests_total", &[]) as u64;
        ensure!(requests == by_first + by_fallback, "{requests} requests; {expected:?}");
        let records = self.edge.log().requests();
        ensure!(
            Totals::logged(&records) == expected,
            "{:?}; {expected:?}",
            Totals::logged(&records)
        );

        // Attempts: the log's result of each, the upstreams' calls, and the metrics of those that
        // continued with the fallback, which are all that failed.
        let attempts: Vec<&Value> =
            records.iter().filter_map(|it| it["attempts"].as_array()).flatten().collect();
        let attempted = |target: &str, result: Option<&str>| {
            let all = attempts.iter().filter(|it| it["target"] == target);
            all.filter(|it| result.is_none_or(|result| it["result"] == result)).count() as u64
        };
        let calls = self.server.settled(APP, Duration::from_secs(5)).await;
        let (first, fallback) = (&calls["flapping"], &calls["healthy"]);
        let logged = (attempted("flapping/m", None), attempted("healthy/m", None));
        ensure!(logged == (first.len() as u64, fallback.len() as u64), "{logged:?} logged");
        let failed = first.len() as u64 - by_first;
        let answered =
            (attempted("flapping/m", Some("answered")), attempted("healthy/m", Some("answered")));
        ensure!(answered == (by_first, by_fallback), "{answered:?} responses; {expected:?}");
        let sum = |metric: &str, labels: &[&str]| page.sum(metric, labels) as u64;
        let labels = "from=\"flapping/m\",to=\"healthy/m\"";
        let shown = (sum("serin_fallback_total", &[]), sum("serin_fallback_total", &[labels]));
        ensure!(shown == (by_fallback, by_fallback), "{shown:?}: {by_fallback} by the fallback");
        let cooled_down = sum("serin_fallback_total", &[labels, "reason=\"resting\""]);
        ensure!(
            cooled_down == by_fallback - failed,
            "{cooled_down} of {by_fallback}: {failed} failed"
        );
        let calls = |labels: &[&str]| sum("serin_upstream_calls_total", labels);
        let (of_first, is_answered) = ("provider=\"flapping\"", "result=\"answered\"");
        let shown =
            (calls(&[of_first]), calls(&[of_first, is_answered]), calls(&["provider=\"healthy\""]));
        let made = (first.len() as u64, by_first, fallback.len() as u64);
        ensure!(shown == made, "{shown:?} calls counted, {made:?} made");

        // The upstream's scripts, too: each of its responses was counted, unless a busy machine
        // made it too late.
        let mut given = 0;
        let mut silent = 0;
        for (at, (from, script)) in self.played.iter().enumerate() {
            let to = self.played.get(at + 1).map_or(first.len(), |(next, _)| *next);
            let ended = first[*from..to].iter().filter(|it| it.ended == Ended::Completed).count();
            given += if script == HEALTHY { ended as u64 } else { 0 };
            let waits = script.contains("hang") || script.contains("30s");
            silent += if waits { to - from } else { 0 } as u64;
        }
        let late = attempted("flapping/m", Some("timeout")).saturating_sub(silent);
        let missed = given.checked_sub(by_first).context("more responses than sent")?;
        ensure!(missed <= late, "{given} sent, {by_first} counted, {late} late");
        eprintln!(
            "{} calls, {failed} failed, {missed} late: all agree",
            first.len() + fallback.len()
        );
        Ok(())
    }
}

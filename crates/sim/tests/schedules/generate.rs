//! Generation of a schedule from a seed: a configuration, faulty upstreams, callers that hang up.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use gateway::host::body::Body;
use sim::upstream::{LineEnding, Script, Then, UpstreamSpec};
use sim::world::HangUp;

use super::rng::Rng;

/// Key of every caller.
pub(crate) const APP_KEY: &str = "app-key-of-the-caller";
/// Prefix of every provider key.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-";

/// Configuration, upstreams, and callers of one seed.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub config: String,
    pub secrets: BTreeMap<String, String>,
    pub upstreams: BTreeMap<String, UpstreamSpec>,
    pub callers: Vec<Caller>,
    /// Most calls that one request may cause.
    pub max_attempts: usize,
    pub total: Duration,
}

/// Caller with one request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub arrives: Duration,
    pub path: &'static str,
    pub stream: bool,
    pub wants_usage: bool,
    pub has_key: bool,
    pub hang_up: HangUp,
}

impl Caller {
    /// Creates the request. The user names the caller in upstream calls.
    pub(crate) fn message(&self, index: usize) -> http::Request<Body> {
        let options =
            if self.wants_usage { r#","stream_options":{"include_usage":true}"# } else { "" };
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"a b"}}],"prompt":"a b","input":"a b","user":"{}","stream":{}{options}}}"#,
            name(index),
            self.stream
        );
        let key = if self.has_key { APP_KEY } else { "another-key" };
        http::Request::post(format!("/v1{}", self.path))
            .header("authorization", format!("Bearer {key}"))
            .header("cookie", format!("session={APP_KEY}"))
            .header("content-type", "application/json")
            .header("x-request-id", name(index))
            .body(Body::from(Bytes::from(body)))
            .expect("a request")
    }
}

/// Name of a caller, in the body and the id of its request.
pub(crate) fn name(index: usize) -> String {
    format!("caller-{index}")
}

impl Schedule {
    /// Generates the schedule of a seed.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let (targets, fallbacks) = (rng.index(3) + 1, rng.index(3));
        let mut secrets: BTreeMap<_, _> = [("APP_KEY".to_owned(), APP_KEY.to_owned())].into();
        let (mut providers, mut upstreams, mut all_keys) = (String::new(), BTreeMap::new(), 0);
        for index in 0..targets + fallbacks {
            let keys: Vec<String> =
                (0..rng.index(3)).map(|key| format!("KEY_{index}_{key}")).collect();
            all_keys += keys.len();
            for (at, key) in keys.iter().enumerate() {
                secrets.insert(key.clone(), format!("{UPSTREAM_KEY}{index}-{at}"));
            }
            let keys: Vec<String> = keys.iter().map(|key| format!("\"secret:{key}\"")).collect();
            let base =
                if rng.chance(4) { "CLOSED".to_owned() } else { format!("UPSTREAM/p{index}") };
            providers += &format!(
                "[[providers]]\nid = \"p{index}\"\nkind = \"openai-compatible\"\nbase_url = \"{base}/v1\"\nkeys = [{}]\nstream_usage = {}\n",
                keys.join(", "),
                rng.chance(80)
            );
            let script = (0..rng.number(1, 5)).map(|at| script(rng, index, at)).collect();
            upstreams.insert(
                format!("p{index}"),
                UpstreamSpec { script, then: Then::Cycle, ..UpstreamSpec::default() },
            );
        }
        let retries = rng.index(4);
        let total = rng.millis(2_000, 30_000);
        let first_byte = rng.millis(500, 2_000);
        let mut weights: Vec<u64> = (0..targets).map(|_| rng.number(0, 3)).collect();
        weights[0] += 1;
        let listed = |range: std::ops::Range<usize>, weights: &[u64]| {
            let entry = |index: usize| match weights.get(index) {
                Some(weight) => format!("{{ provider = \"p{index}\", weight = {weight} }}"),
                None => format!("{{ provider = \"p{index}\", model = \"m{index}\" }}"),
            };
            range.map(entry).collect::<Vec<_>>().join(", ")
        };
        let conditions: Vec<_> = ["\"connect\"", "\"timeout\"", "\"429\"", "\"5xx\""]
            .into_iter()
            .filter(|_| rng.chance(85))
            .collect();
        let sticky = rng.pick(&["none", "consumer", "user"]);
        let balance = match sticky {
            "none" => rng.pick(&["weight", "latency", "least_busy", "cost"]),
            _ => "weight",
        };
        // Hedges and continuations need a fallback.
        let mut some = |percent| fallbacks > 0 && rng.chance(percent);
        let (hedges, continues) = (some(40), some(70));
        let hedge = match rng.number(50, 1_500) {
            _ if !hedges => String::new(),
            after => format!("hedge = {{ share = 1.0, after = \"{after}ms\" }}\n"),
        };
        // Every request body is longer than 10 bytes.
        let is_sent_once = rng.chance(5);
        let replay = if is_sent_once { ", replay = \"10\"" } else { "" };
        let config = format!(
            "{providers}[[routes]]\nid = \"r\"\nmodels = [\"m\"]\ntargets = [{}]\nfallback = [{}]\nfallback_on = [{}]\nsticky = \"{sticky}\"\nbalance = \"{balance}\"\nretries = {{ attempts = {retries}, backoff = \"{}ms\", honour_retry_after = \"2s\"{replay} }}\n{hedge}continue = {continues}\nhealth = {{ failures = {}, rest = \"{}ms\" }}\ntimeouts = {{ first_byte = \"{}ms\", idle = \"{}ms\", total = \"{}ms\" }}\n[[consumers]]\nid = \"c\"\nkeys = [\"secret:APP_KEY\"]\n",
            listed(0..targets, &weights),
            listed(targets..targets + fallbacks, &weights),
            conditions.join(", "),
            rng.number(1, 800),
            rng.number(0, 4),
            rng.number(1, 4_000),
            first_byte.as_millis(),
            rng.number(500, 4_000),
            total.as_millis(),
        );
        let callers = (0..rng.number(1, 4)).map(|_| caller(rng, total)).collect();
        let max_attempts = match is_sent_once {
            true => 1,
            // A broken connection to the last target, and `stream_options` that each target refuses, add one each.
            false => {
                let taken_back = 1 + fallbacks;
                (1 + fallbacks) * (1 + retries)
                    + all_keys
                    + taken_back
                    + 1
                    + if continues { 2 } else { 0 }
            }
        };
        Self { seed, config, secrets, upstreams, callers, max_attempts, total }
    }

    /// Returns the script of a call by its index.
    pub(crate) fn script(&self, upstream: &str, index: usize) -> &Script {
        let scripts = &self.upstreams[upstream].script;
        &scripts[index % scripts.len()]
    }
}

fn caller(rng: &mut Rng, total: Duration) -> Caller {
    let path = rng.pick(&[
        "/chat/completions",
        "/chat/completions",
        "/chat/completions",
        "/completions",
        "/embeddings",
    ]);
    let stream = path != "/embeddings" && rng.chance(75);
    let hang_up = match rng.number(1, 100) {
        1..=70 => HangUp::Never,
        71..=80 => HangUp::AfterEvents(rng.index(6)),
        81..=90 => HangUp::AfterPieces(rng.index(6)),
        _ => HangUp::After(rng.millis(0, u64::try_from(total.as_millis()).expect("seconds"))),
    };
    Caller {
        arrives: rng.millis(0, 3_000),
        path,
        stream,
        wants_usage: stream && rng.chance(30),
        has_key: rng.chance(95),
        hang_up,
    }
}

/// Generates the script of one call: a correct answer in half of the cases, otherwise one or two faults.
fn script(rng: &mut Rng, upstream: usize, at: u64) -> Script {
    let words = (0..rng.index(8))
        .map(|_| rng.pick(&["word", "Wörter", "字", "\"quoted\"", "{", "\\n", "data:"]));
    let text = std::iter::once(format!("p{upstream}s{at}")).chain(words.map(str::to_owned));
    let pause = |rng: &mut Rng, percent, max| rng.chance(percent).then(|| rng.millis(1, max));
    let mut script = Script {
        answer: Some(text.collect::<Vec<_>>().join(" ")),
        delay: pause(rng, 40, 1_000),
        gap: pause(rng, 40, 300),
        first_token_delay: pause(rng, 30, 1_000),
        split: rng.chance(50).then(|| rng.index(60) + 1),
        line_ending: rng.pick(&[LineEnding::Lf, LineEnding::Lf, LineEnding::Crlf, LineEnding::Cr]),
        comments: rng.chance(20),
        usage: rng.chance(15).then_some(false),
        reasoning: rng.chance(10).then(|| "so so".to_owned()),
        prompt_tokens: Some(7),
        ..Script::default()
    };
    let faults = if rng.chance(50) { 0 } else { rng.number(1, 2) };
    for _ in 0..faults {
        fault(rng, &mut script);
    }
    script
}

fn fault(rng: &mut Rng, script: &mut Script) {
    let events = rng.index(9);
    let bytes = rng.index(2_500);
    match rng.number(1, 22) {
        1 => script.refuse = true,
        2 => script.hang = true,
        3 => script.delay = Some(rng.millis(500, 40_000)),
        4 => script.gap = Some(rng.millis(500, 6_000)),
        5 => script.first_token_delay = Some(rng.millis(500, 8_000)),
        6..=8 => {
            script.status = Some(rng.pick(&[429, 429, 500, 502, 503, 529]));
            if rng.chance(50) {
                let wait = rng.pick(&["0", "1", "2", "3", "10", "soon"]);
                script.headers.insert("retry-after".to_owned(), wait.to_owned());
            }
        }
        9 => script.status = Some(rng.pick(&[401, 403])),
        10 => script.status = Some(rng.pick(&[400, 404, 408, 422])),
        11 => script.redirect = Some("http://127.0.0.1:9/elsewhere".to_owned()),
        12 => script.cut_after = Some(events),
        13 => script.cut_at = Some(bytes),
        14 => script.stall_after = Some(events),
        15 => script.stall_at = Some(bytes),
        16 => script.end_after = Some(events),
        17 => script.malformed_after = Some(events),
        18 => script.error_after = Some(events),
        19 => script.done = Some(false),
        20 => (script.done, script.finish) = (Some(rng.chance(50)), Some(false)),
        21 => script.stream = Some(rng.chance(50)),
        _ => {
            (script.raw, script.content_type) =
                (Some("<html>busy</html>".to_owned()), Some("text/html".to_owned()));
        }
    }
}

//! Set-up that tests share: gateways, upstreams, requests, and a random number generator.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use config::{Config, author};
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use gateway::service;
use memory_host::splitmix64;
use secret::Secret;

use crate::upstream::{Script, UpstreamSpec};
use crate::world::{HangUp, Received, UPSTREAM, World};

/// Parses a configuration in TOML. `UPSTREAM` is replaced by the base URL of the simulated upstreams. Every
/// secret exists; its value is its name.
#[track_caller]
pub fn config(document: &str) -> Config {
    let document = document.replace("UPSTREAM", UPSTREAM);
    author::from_toml(&document, &secret)
        .unwrap_or_else(|problems| panic!("invalid configuration: {problems}\n{document}"))
}

/// Opens a gateway with a configuration in TOML, see [`config`], and all secrets of the gateway itself, such
/// as the token of the admin API.
#[track_caller]
pub fn gateway(document: &str) -> Rc<Gateway> {
    Gateway::new(config(document), GatewaySecrets::lookup(&secret))
}

/// Opens a gateway with a configuration in TOML, see [`config`], but without secrets of the gateway itself:
/// no admin API, no issued keys.
#[track_caller]
pub fn gateway_without_admin(document: &str) -> Rc<Gateway> {
    Gateway::new(config(document), GatewaySecrets::default())
}

/// Returns the part of a configuration that has these simulated providers.
pub fn providers(ids: &[&str]) -> String {
    let provider = |id: &&str| {
        format!(
            "[[providers]]\nid = \"{id}\"\nkind = \"openai-compatible\"\nbase_url = \"UPSTREAM/{id}/v1\"\n"
        )
    };
    ids.iter().map(provider).collect()
}

/// Returns a configuration in which `small` answers for the model `gpt` of `big`, without retries, and the
/// consumer `acme` may call both.
pub fn fallback_document() -> String {
    providers(&["big", "small"])
        + r#"
[[routes]]
id = "chat"
models = ["gpt"]
targets = [{ provider = "big" }]
fallback = [{ provider = "small", model = "mini" }]
retries = { attempts = 0 }
[[consumers]]
id = "acme"
keys = ["secret:ACME"]
"#
}

/// Script of a successful response with usage.
pub const ANSWER_WITH_USAGE: &str = "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 8";

fn secret(name: &str) -> Option<Secret> {
    Some(Secret::new(name))
}

/// Creates a world with these upstreams.
pub fn world<'a>(seed: u64, upstreams: impl IntoIterator<Item = (&'a str, UpstreamSpec)>) -> World {
    let upstreams = upstreams.into_iter().map(|(name, spec)| (name.to_owned(), spec));
    World::new(seed, upstreams.collect())
}

/// Parses a script in TOML.
#[track_caller]
pub fn script(text: &str) -> Script {
    toml::from_str(text).unwrap_or_else(|error| panic!("invalid script: {error}\n{text}"))
}

/// Creates an upstream that plays these scripts in order and repeats the last one.
#[track_caller]
pub fn upstream(scripts: &[&str]) -> UpstreamSpec {
    let script = scripts.iter().map(|text| script(text)).collect();
    UpstreamSpec { script, ..UpstreamSpec::default() }
}

/// Creates a chat request with this key and JSON body.
pub fn chat_request(key: &str, body: impl Into<Bytes>) -> http::Request<Body> {
    http::Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.into()))
        .expect("the request is valid")
}

/// Sends one request and reads the response to its end.
#[track_caller]
pub fn send(world: &World, gateway: &Rc<Gateway>, request: http::Request<Body>) -> Received {
    world.play(gateway.handle(world.clone(), request), HangUp::Never).expect("the request ends")
}

/// Gets a page of the admin API or the metrics as its owner. Asserts the status 200.
#[track_caller]
pub fn assert_page(world: &World, gateway: &Rc<Gateway>, path: &str) -> String {
    let request = http::Request::get(path).header("authorization", "Bearer ADMIN_TOKEN");
    let request = request.body(Body::Empty).expect("the request is valid");
    let response = service::dispatch(gateway, None, world.clone(), request);
    let received = world.play(response, HangUp::Never).expect("the request ends");
    assert_eq!(received.status(), 200, "{path}: {}", received.text());
    received.text()
}

/// Returns the seeds to play: the one in `SERIN_SEED`, else the first `SERIN_SEEDS`, else the first `default`.
pub fn seeds(default: u64) -> Range<u64> {
    let setting = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    match setting("SERIN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SERIN_SEEDS").unwrap_or(default),
    }
}

/// Random number generator: equal seeds give equal numbers.
pub struct Rng(pub u64);

impl Rng {
    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        let (state, number) = splitmix64(self.0);
        self.0 = state;
        number % end
    }

    /// Selects one of these values.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

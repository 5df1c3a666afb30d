//! A caller who reads slowly is not mistaken for an upstream that is silent.

use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::Clock;
use gateway::host::body::Body;
use secret::Secret;
use sim::scenario::Scenario;
use sim::world::{CLOSED, UPSTREAM, World};

const SCENARIO: &str = r#"
about = "Events come every second, and the caller reads one in forty."
config = '''
[[providers]]
id       = "openai"
base_url = "UPSTREAM/openai/v1"
keys     = ["secret:OPENAI_API_KEY"]

[[routes]]
id       = "chat"
models   = ["gpt-4o"]
targets  = [{ provider = "openai" }]
timeouts = { first_byte = "5s", idle = "30s", total = "10m" }

[[consumers]]
id   = "app"
keys = ["secret:APP_KEY"]
'''
secrets = { OPENAI_API_KEY = "sk-upstream-openai", APP_KEY = "app-key" }

[upstreams.openai]
script = [{ answer = "one two three four five", gap = "1s" }]

[[requests]]
path = "/v1/chat/completions"
"#;

#[test]
fn a_slow_reader_gets_everything() {
    let scenario = Scenario::parse("slow", SCENARIO).expect("the scenario is right");
    let secret = |name: &str| scenario.secrets.get(name).map(|value| Secret::new(value));
    let config = author::from_toml(&scenario.config_for(UPSTREAM, CLOSED), &secret)
        .expect("the configuration is right");
    let world = World::new(1, scenario.upstreams.clone());
    let gateway = Gateway::new(config, GatewaySecrets::default());
    let body = r#"{"model":"gpt-4o","messages":[],"stream":true}"#;
    let request = http::Request::post("/v1/chat/completions")
        .header("authorization", "Bearer app-key")
        .header("content-type", "application/json")
        .body(Body::from(Bytes::from_static(body.as_bytes())))
        .expect("the request is right");
    let reading = async {
        let mut body = gateway.handle(world.clone(), request).await.into_body();
        let mut whole = Vec::new();
        while let Some(piece) = body.next_piece().await {
            whole.extend_from_slice(&piece.expect("it does not break off"));
            // Longer than the idle time, in which the host is not asked for anything.
            world.sleep(Duration::from_secs(40)).await;
        }
        String::from_utf8(whole).expect("events are text")
    };
    let text = world.executor().run(reading).expect("it ends");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let records = world.take_records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["outcome"], "answered");
}

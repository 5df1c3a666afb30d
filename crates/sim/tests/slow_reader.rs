//! A caller that reads slowly is not treated as an upstream that is silent.

use std::time::Duration;

use gateway::host::Clock;
use sim::testing::{self, chat_request, upstream};

const DOCUMENT: &str = r#"
[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "UPSTREAM/up/v1"
[[routes]]
id = "chat"
models = ["m"]
targets = [{ provider = "up" }]
timeouts = { first_byte = "5s", idle = "30s", total = "10m" }
[[consumers]]
id = "app"
keys = ["secret:APP_KEY"]
"#;

#[test]
fn stream_to_a_reader_slower_than_the_idle_timeout_is_complete() {
    let script = "answer = 'one two three four five'\ngap = '1s'";
    let world = testing::world(1, [("up", upstream(&[script]))]);
    let gateway = testing::gateway_without_admin(DOCUMENT);
    let request = chat_request("APP_KEY", r#"{"model":"m","messages":[],"stream":true}"#);
    let reading = async {
        let mut body = gateway.handle(world.clone(), request).await.into_body();
        let mut whole = Vec::new();
        while let Some(piece) = body.next_piece().await {
            whole.extend_from_slice(&piece.expect("the body does not break off"));
            // Longer than the idle timeout, without a read from the upstream.
            world.sleep(Duration::from_secs(40)).await;
        }
        String::from_utf8(whole).expect("the body is UTF-8")
    };
    let text = world.executor().run(reading).expect("the request ends");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let records = world.take_records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["outcome"], "answered");
}

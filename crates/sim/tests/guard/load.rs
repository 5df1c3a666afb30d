//! Callers that use up the quota of a guard's service.

use serde_json::json;
use sim::testing::{self, chat_request, send};

const DOCUMENT: &str = r#"
[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "UPSTREAM/up/v1"
[[providers]]
id = "service"
kind = "openai-compatible"
base_url = "UPSTREAM/service/v1"
[[routes]]
id = "chat"
models = ["m"]
targets = [{ provider = "up" }]
[[consumers]]
id = "app"
keys = ["secret:APP"]
[[consumers]]
id = "other"
keys = ["secret:OTHER"]
[[guards]]
id = "moderation"
kind = "openai-moderation"
provider = "service"
"#;

/// Sends requests with the keys to a gateway whose guard answers this status; returns the statuses.
fn statuses<'k>(status: u16, keys: impl IntoIterator<Item = &'k str>) -> Vec<u16> {
    let refusal = format!("status = {status}\njson = {{ error = {{ message = 'slow down' }} }}");
    let upstreams = [
        ("up", testing::upstream(&["answer = 'Hello'"])),
        ("service", testing::upstream(&[&refusal])),
    ];
    let (world, gateway) = (testing::world(7, upstreams), testing::gateway(DOCUMENT));
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello?" }] });
    let send_with = |key| send(&world, &gateway, chat_request(key, body.to_string())).status();
    keys.into_iter().map(send_with).collect()
}

#[test]
fn caller_that_uses_up_a_guards_quota_does_not_open_it_for_itself() {
    let keys = std::iter::repeat_n("APP", 40).chain(std::iter::repeat_n("OTHER", 8));
    let found = statuses(429, keys);
    // A request makes two calls: for the question, and for its answer.
    assert_eq!(found[..15], [200; 15], "a guard with `on_error = \"open\"` lets text pass");
    assert_eq!(found[15..40], [503; 25], "the cause of the refusals does not pass");
    assert_eq!(found[40..], [200; 8], "others do not suffer");
}

#[test]
fn guard_that_fails_otherwise_stays_open() {
    assert_eq!(statuses(500, std::iter::repeat_n("APP", 40)), [200; 40]);
}

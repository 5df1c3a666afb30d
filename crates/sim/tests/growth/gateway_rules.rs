//! Rules of a gateway for the bodies of its callers: whole requests through a simulated gateway.

use sim::testing::{self, chat_request, send};

use super::{Factor, assert_linear, fill, fill_numbered, list};

const DOCUMENT: &str = r#"
[server]
max_body = "16MiB"
[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "UPSTREAM/up/v1"
[[routes]]
id = "chat"
models = ["m"]
targets = [{ provider = "up" }]
[[consumers]]
id = "app"
keys = ["secret:APP"]
[consumers.params]
temperature = { max = 1 }
stop = { allow = ["END"] }
forbid = ["logit_bias"]
"#;

/// Makes a value of about this length.
type MakeValue = fn(usize) -> String;

#[test]
fn parameters_are_judged_in_linear_memory() {
    let factor = Factor { peak: 12, total: 24 };
    let values: [(&str, MakeValue); 5] = [
        ("objects", |length| list(&fill("{\"\":0},", length))),
        ("numbers", |length| list(&fill("0,", length))),
        ("texts", |length| list(&fill("\"END\",", length))),
        ("members", |length| {
            format!("{{{}\"z\":0}}", fill_numbered(length, |at| format!("\"m{at}\":0,")))
        }),
        ("deep", |length| format!("{}{}", "[".repeat(length / 2), "]".repeat(length / 2))),
    ];
    for field in ["temperature", "stop", "logit_bias"] {
        for (kind, value) in values {
            let body = |length| {
                let value = value(length);
                format!(r#"{{"model":"m","messages":[],"{field}":{value}}}"#)
            };
            assert_linear(&format!("{field}, {kind}"), factor, body, String::len, |body| {
                let world = testing::world(7, [("up", testing::upstream(&["answer = 'Hello'"]))]);
                send(&world, &testing::gateway(DOCUMENT), chat_request("APP", body)).status()
            });
        }
    }
}

//! Guards in virtual time: streams that are split and interleaved in many ways, and requests that try to
//! evade a guard.

mod load;
mod requests;
mod streams;

use std::rc::Rc;

use gateway::gateway::Gateway;
use gateway::host::body::Body;
use serde_json::{Value, json};
use sim::testing::{self, chat_request, send};
use sim::upstream::{Script, UpstreamSpec};
use sim::world::{Received, World};

const DOCUMENT: &str = r#"
[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "UPSTREAM/up/v1"
[[routes]]
id = "plain"
models = ["plain"]
targets = [{ provider = "up" }]
[[routes]]
id = "terms"
models = ["terms"]
targets = [{ provider = "up" }]
[[routes]]
id = "narrow"
models = ["narrow"]
targets = [{ provider = "up" }]
[[routes]]
id = "private"
models = ["private"]
targets = [{ provider = "up" }]
[[routes]]
id = "whole"
models = ["whole"]
targets = [{ provider = "up" }]
[[routes]]
id = "stored"
models = ["stored"]
targets = [{ provider = "up" }]
[[consumers]]
id = "app"
keys = ["secret:APP"]
[[guards]]
id = "terms"
kind = "words"
routes = ["terms"]
words = ["forbidden phrase", "bad", "违禁词"]
on_block = { message = "No." }
stream_window = 200
[[guards]]
id = "narrow"
kind = "words"
routes = ["narrow"]
words = ["forbidden phrase", "bad", "违禁词"]
on_block = { message = "No." }
stream_window = 1
on_error = "closed"
[[guards]]
id = "private"
kind = "pii"
routes = ["private"]
detect = ["phone"]
stream_window = 7
[[guards]]
id = "whole"
kind = "words"
routes = ["whole"]
words = ["bad"]
look_at = "all"
[[guards]]
id = "stored"
kind = "words"
routes = ["stored"]
list = "terms"
on_block = { message = "No." }
on_error = "closed"
"#;

fn gateway() -> Rc<Gateway> {
    testing::gateway(DOCUMENT)
}

fn request(model: &str, stream: bool, content: &Value) -> http::Request<Body> {
    let messages = json!([{ "role": "user", "content": content }]);
    post(&json!({ "model": model, "stream": stream, "messages": messages }))
}

fn post(body: &Value) -> http::Request<Body> {
    chat_request("APP", body.to_string())
}

fn world(script: Script) -> World {
    let spec = UpstreamSpec { script: vec![script], ..UpstreamSpec::default() };
    testing::world(7, [("up", spec)])
}

/// Sends one request to a new gateway. Returns the response and the record.
#[track_caller]
fn send_request(script: &Script, request: http::Request<Body>) -> (Received, Value) {
    let world = world(script.clone());
    let received = send(&world, &gateway(), request);
    let mut records = world.take_records();
    assert_eq!(records.len(), 1, "one request has one record");
    (received, records.remove(0))
}

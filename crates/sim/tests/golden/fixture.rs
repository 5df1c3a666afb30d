//! Shared configuration and requests of the golden tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use config::author;
use gateway::host::PeerIp;
use gateway::host::body::Body;
use sim::upstream::{Script, Then, UpstreamSpec};
use sim::world::{HangUp, UPSTREAM};

use crate::host::RecordingHost;
use crate::show;

/// Configuration with at least one of each feature that stores, sends or logs something.
pub(crate) const DOCUMENT: &str = r#"
[server]
max_body = "64KiB"
cors = ["https://app.example.com"]
[auth]
addresses = { deny = ["203.0.113.9"] }
[[providers]]
id = "openai"
base_url = "UPSTREAM/openai/v1"
keys = ["secret:OPENAI_A", "secret:OPENAI_B"]
[[providers]]
id = "azure"
base_url = "UPSTREAM/azure"
api_version = "2024-10-21"
keys = ["secret:AZURE_KEY"]
[[providers]]
id = "local"
kind = "openai-compatible"
base_url = "UPSTREAM/local/v1"
[[providers]]
id = "judge"
kind = "openai-compatible"
base_url = "UPSTREAM/judge/v1"
keys = ["secret:JUDGE_KEY"]
[[routes]]
id = "chat"
models = ["gpt-4o"]
targets = [{ provider = "openai" }]
fallback = [{ provider = "local", model = "qwq-32b" }]
retries = { attempts = 0 }
timeouts = { first_byte = "1s", idle = "1s", total = "8s" }
[[routes]]
id = "azure"
models = ["azure-gpt"]
targets = [{ provider = "azure", model = "my deployment" }]
[[routes]]
id = "kept"
models = ["kept"]
targets = [{ provider = "local", model = "qwq-32b" }]
[[routes]]
id = "talk"
models = ["talk"]
targets = [{ provider = "local", model = "qwq-32b" }]
[[routes]]
id = "hedged"
models = ["hedged"]
targets = [{ provider = "openai", model = "gpt-4o" }]
fallback = [{ provider = "local", model = "qwq-32b" }]
hedge = { share = 1.0, after = "200ms" }
continue = true
timeouts = { first_byte = "3s", idle = "1s", total = "8s" }
[[routes]]
id = "guarded"
models = ["guarded"]
targets = [{ provider = "local", model = "qwq-32b" }]
[[routes]]
id = "strict"
models = ["strict"]
targets = [{ provider = "local", model = "qwq-32b" }]
[[routes]]
id = "moderated"
models = ["moderated"]
targets = [{ provider = "local", model = "qwq-32b" }]
[[routes]]
id = "listed"
models = ["listed"]
targets = [{ provider = "local", model = "qwq-32b" }]
[[routes]]
id = "metered"
models = ["metered", "o1-*"]
targets = [{ provider = "local", model = "qwq-32b" }]
[[consumers]]
id = "app"
group = "gold"
keys = ["secret:APP_KEY"]
[[consumers]]
id = "guest"
keys = ["secret:GUEST_KEY"]
routes = ["chat"]
params = { temperature = { max = 1.0 }, forbid = ["logit_bias"] }
addresses = { allow = ["198.51.100.0/24"] }
[[groups]]
id = "gold"
routes = ["chat", "azure", "kept", "talk", "hedged", "guarded", "strict", "moderated", "listed", "metered"]
[[limits]]
id = "rate"
by = "consumer"
keys = ["app", "acme"]
on = { routes = ["metered"] }
requests = { per = "minute", max = 4 }
tokens = { per = "hour", max = 2000 }
[[limits]]
id = "daily"
by = "group"
on = { routes = ["metered"] }
requests = { per = "day", max = 50, timezone = "Asia/Shanghai" }
tokens = { per = "month", max = 100000 }
[[limits]]
id = "prepaid"
by = "header:x-team"
on = { routes = ["metered"] }
cost = { per = "total", max = 1.5 }
[[limits]]
id = "everybody"
by = "all"
on = { routes = ["metered"] }
lease = true
tokens = { per = "hour", max = 1000000 }
[[limits]]
id = "closed"
by = "param:user"
on = { routes = ["strict"] }
requests = { per = "second", max = 100 }
on_error = "closed"
[[prices]]
model = "qwq-32b"
provider = "local"
input = 1000.0
output = 10000.0
cached_input = 100.0
[[guards]]
id = "terms"
kind = "words"
routes = ["guarded"]
words = ["forbidden phrase"]
keep_content = 200
on_block = { message = "No.", format = "structured" }
[[guards]]
id = "pii"
kind = "pii"
routes = ["guarded"]
detect = ["email", "phone"]
check = ["request"]
[[guards]]
id = "strict"
kind = "llm"
routes = ["strict"]
provider = "judge"
model = "llama-guard-3-8b"
format = "llama-guard"
on_error = "closed"
timeout = "500ms"
[[guards]]
id = "moderation"
kind = "openai-moderation"
routes = ["moderated"]
provider = "judge"
on_block = { message = "Blocked.", format = "error" }
[[guards]]
id = "listed"
kind = "words"
routes = ["listed"]
list = "terms"
on_block = { message = "No." }
[cache]
routes = ["kept"]
ttl = "1h"
[history]
routes = ["talk"]
session = "header:x-session-id"
turns = 2
[observe]
content = [{ routes = ["chat", "guarded"], max = 40 }]
[[admin.operators]]
name = "eve"
token = "secret:EVE_TOKEN"
role = "viewer"
"#;

/// Addition to [`DOCUMENT`]: an OTLP collector.
pub(crate) const COLLECTOR: &str = r#"
[observe.otlp]
endpoint = "UPSTREAM/collector"
headers = { authorization = "secret:OTLP_KEY" }
service = "edge"
"#;

/// Converts a configuration to JSON, the form that hosts deploy.
pub(crate) fn document(toml: &str) -> String {
    author::to_json(&toml.replace("UPSTREAM", UPSTREAM)).expect("the document is right")
}

/// Secrets of the configuration, each with a distinct value.
pub(crate) fn secrets() -> BTreeMap<String, String> {
    let all = [
        ("OPENAI_A", "sk-upstream-a"),
        ("OPENAI_B", "sk-upstream-b"),
        ("AZURE_KEY", "azure-upstream-key"),
        ("JUDGE_KEY", "sk-upstream-judge"),
        ("APP_KEY", "app-key"),
        ("GUEST_KEY", "guest-key"),
        ("EVE_TOKEN", "the-token-of-eve"),
        ("ADMIN_TOKEN", "the-token-of-the-owner"),
        ("KEY_PEPPER", "a-pepper-of-at-least-thirty-two-characters"),
        ("OTLP_KEY", "otlp-key"),
    ];
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Upstream that plays these scripts in turn and repeats the last one.
pub(crate) fn upstream(scripts: &[&str]) -> UpstreamSpec {
    let script = scripts.iter().map(|text| toml::from_str::<Script>(text).expect("a script"));
    UpstreamSpec { script: script.collect(), then: Then::Repeat, service: None }
}

/// Host with a configuration and these upstreams.
pub(crate) fn host(toml: &str, upstreams: &[(&str, UpstreamSpec)]) -> RecordingHost {
    let upstreams = upstreams.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone()));
    RecordingHost::new(&document(toml), &secrets(), upstreams.collect())
}

/// Request from an address that the configuration allows.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> http::Request<Body> {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    let request = request.extension(PeerIp("198.51.100.7".parse().expect("an address")));
    request.body(Body::from(Bytes::from(body.to_owned()))).expect("a request")
}

/// Chat request of the consumer `app`.
pub(crate) fn question(model: &str, content: &str, more: &str) -> http::Request<Body> {
    let headers = [("authorization", "Bearer app-key")];
    request("POST", "/v1/chat/completions", &headers, &chat(model, content, more))
}

/// Body of a chat request; `more` holds further members.
pub(crate) fn chat(model: &str, content: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{content}"}}]{more}}}"#)
}

/// Further members: a stream with usage.
pub(crate) const STREAM: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

/// Longest request body that a golden file shows, in bytes.
const MAX_SHOWN_BODY_BYTES: usize = 1_000;

/// Host and the golden text of its requests so far.
pub(crate) struct Session {
    pub(crate) host: RecordingHost,
    pub(crate) text: String,
}

impl Session {
    pub(crate) fn new(host: RecordingHost) -> Self {
        Self { host, text: String::new() }
    }

    /// Plays a request and appends the response, the upstream requests and the records.
    pub(crate) fn send_until(
        &mut self,
        title: &str,
        request: http::Request<Body>,
        hang_up: HangUp,
    ) {
        let received = self.host.play(request, hang_up);
        let _ = writeln!(self.text, "━━ {title}");
        self.text.push_str(&show::part("answer", &show::answer(&received)));
        self.text.push_str(&show::part("upstream", &self.host.take_calls()));
        self.text.push_str(&show::part("log", &self.host.take_lines()));
    }

    /// Same as [`Session::send_until`], for a caller that reads to the end.
    pub(crate) fn send(&mut self, title: &str, request: http::Request<Body>) {
        self.send_until(title, request, HangUp::Never);
    }

    /// Plays a request of the owner to the admin API and appends the response.
    pub(crate) fn send_admin(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> sim::world::Received {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut all = vec![
            ("authorization", "Bearer the-token-of-the-owner"),
            ("x-request-id", "req_of_the_operator"),
        ];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        let received = self.host.play(request(method, path, &all, body), HangUp::Never);
        let shown = if body.len() > MAX_SHOWN_BODY_BYTES { "(a long body)" } else { body };
        let _ = writeln!(self.text, "━━ {line} {shown}");
        let _ = writeln!(self.text, "{}", show::answer(&received));
        received
    }
}

//! The official packages and agent frameworks for Python and Node as clients of both edges.
//!
//! `SERIN_PYTHON` names a Python that has them installed; `cargo xtask test` makes one.

use std::ffi::OsStr;
use std::process::Command;

use sim::scenario::Scenario;
use sim::server::Server;
use tests::closed_port::ClosedPort;
use tests::component::Wasmtime;
use tests::edge::{App, Edge};
use tests::scenario_runner::prepare;
use tests::workerd::{Workerd, root};
use tokio::runtime::Runtime;

const CHAT: &str = r#"
about = "Requests of the official clients."
config = '''
[[providers]]
id       = "openai"
base_url = "UPSTREAM/openai/v1"
keys     = ["secret:OPENAI_API_KEY"]

[[providers]]
id       = "broken"
kind     = "openai-compatible"
base_url = "UPSTREAM/broken/v1"

[[routes]]
id      = "chat"
models  = ["gpt-4o", "text-embedding-3-small"]
targets = [{ provider = "openai" }]

[[routes]]
id      = "broken"
models  = ["broken"]
targets = [{ provider = "broken" }]

[[consumers]]
id   = "app"
keys = ["secret:APP_KEY"]
'''
secrets = { OPENAI_API_KEY = "sk-upstream-openai", APP_KEY = "app-key" }

[upstreams.openai]
script = [{ answer = "Hello there my friend", prompt_tokens = 9, completion_tokens = 4, embedding = [0.25, -0.5] }]

[upstreams.broken]
script = [{ answer = "Hello there my friend", cut_after = 3 }]

[[requests]]
path = "/v1/models"
"#;

/// Providers of each protocol, for clients of Messages and Responses. The models with the suffix `-tool` call a
/// tool first and answer its result.
const PROTOCOLS: &str = r#"
about = "Requests of clients of all protocols."
config = '''
[[providers]]
id       = "chat"
kind     = "openai-compatible"
base_url = "UPSTREAM/chat/v1"

[[providers]]
id       = "messages"
kind     = "anthropic"
base_url = "UPSTREAM/messages"
keys     = ["secret:ANTHROPIC_API_KEY"]

[[providers]]
id        = "responses"
kind      = "openai-compatible"
base_url  = "UPSTREAM/responses/v1"
protocols = ["responses"]

[[providers]]
id       = "chat-tool"
kind     = "openai-compatible"
base_url = "UPSTREAM/chat-tool/v1"

[[providers]]
id       = "messages-tool"
kind     = "anthropic"
base_url = "UPSTREAM/messages-tool"
keys     = ["secret:ANTHROPIC_API_KEY"]

[[providers]]
id        = "responses-tool"
kind      = "openai-compatible"
base_url  = "UPSTREAM/responses-tool/v1"
protocols = ["responses"]

[[providers]]
id       = "broken"
kind     = "openai-compatible"
base_url = "UPSTREAM/broken/v1"

[[routes]]
id      = "chat"
models  = ["chat"]
targets = [{ provider = "chat" }]

[[routes]]
id      = "messages"
models  = ["messages"]
targets = [{ provider = "messages" }]

[[routes]]
id      = "responses"
models  = ["responses"]
targets = [{ provider = "responses" }]

[[routes]]
id        = "chat-tool"
models    = ["chat-tool"]
targets   = [{ provider = "chat-tool" }]
translate = { unknown = "shed" }

[[routes]]
id        = "messages-tool"
models    = ["messages-tool"]
targets   = [{ provider = "messages-tool" }]
translate = { unknown = "shed" }

[[routes]]
id        = "responses-tool"
models    = ["responses-tool"]
targets   = [{ provider = "responses-tool" }]
translate = { unknown = "shed" }

[[routes]]
id      = "broken"
models  = ["broken"]
targets = [{ provider = "broken" }]

[[consumers]]
id   = "app"
keys = ["secret:APP_KEY"]
'''
secrets = { ANTHROPIC_API_KEY = "sk-ant-upstream", APP_KEY = "app-key" }

[upstreams.chat]
script = [{ answer = "Hello there my friend", prompt_tokens = 9, completion_tokens = 4 }]

[upstreams.messages]
script = [{ answer = "Hello there my friend", prompt_tokens = 9, completion_tokens = 4 }]

[upstreams.responses]
script = [{ answer = "Hello there my friend", prompt_tokens = 9, completion_tokens = 4 }]

[upstreams.chat-tool]
then   = "cycle"
script = [{ answer = "", call = { name = "get_weather", arguments = { city = "Paris" } } }, { answer = "Hello there my friend" }]

[upstreams.messages-tool]
then   = "cycle"
script = [{ answer = "", call = { name = "get_weather", arguments = { city = "Paris" } } }, { answer = "Hello there my friend" }]

[upstreams.responses-tool]
then   = "cycle"
script = [{ answer = "", call = { name = "get_weather", arguments = { city = "Paris" } } }, { answer = "Hello there my friend" }]

[upstreams.broken]
script = [{ answer = "Hello there my friend", cut_after = 3 }]

[[requests]]
path = "/v1/models"
"#;

#[test]
fn official_clients_work_on_cloudflare() {
    run(|app| Workerd::start(&[app], None), CHAT, ["official.py", "official.mjs"]);
}

#[test]
fn official_clients_work_on_spin() {
    run(|app| Wasmtime::start(&[app], None), CHAT, ["official.py", "official.mjs"]);
}

#[test]
fn clients_of_all_protocols_work_on_cloudflare() {
    run(|app| Workerd::start(&[app], None), PROTOCOLS, ["protocols.py", "protocols.mjs"]);
}

#[test]
fn clients_of_all_protocols_work_on_spin() {
    run(|app| Wasmtime::start(&[app], None), PROTOCOLS, ["protocols.py", "protocols.mjs"]);
}

/// Runs a script of Python and one of Node against an edge.
fn run<E: Edge>(start: impl FnOnce(App) -> anyhow::Result<E>, world: &str, scripts: [&str; 2]) {
    let runtime = Runtime::new().expect("a runtime");
    let scenario = Scenario::parse("sdk", world).expect("the world is valid");
    let server = runtime.block_on(Server::start()).expect("a free port");
    let closed = ClosedPort::reserve().expect("a free port");
    let app = prepare(&scenario, &server, &closed).expect("the app is valid");
    let edge = start(app).expect("the edge starts");
    let base_url = format!("http://{}/v1", edge.address("sdk"));
    let python =
        std::env::var("SERIN_PYTHON").expect("SERIN_PYTHON is set: run `cargo xtask test`");
    let node = root().join("node_modules/.bin/node");
    for (script, program) in scripts.into_iter().zip([OsStr::new(&python), node.as_os_str()]) {
        let output = Command::new(program)
            .arg(root().join("tests/sdk").join(script))
            .args([&base_url, "app-key"])
            .current_dir(root())
            .output()
            .expect("the client runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{script} on {}:\n{text}\n{errors}\n{}",
            edge.name(),
            edge.log().lines().join("\n")
        );
        assert!(
            text.lines().filter(|line| line.starts_with("ok: ")).count() >= 13,
            "{script}: {text}"
        );
    }
}

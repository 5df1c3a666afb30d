//! The official OpenAI packages for Python and Node as clients of both edges.
//!
//! `SERIN_PYTHON` names a Python that has `openai` installed; `cargo xtask test` makes one.

use std::collections::BTreeMap;
use std::process::Command;

use sim::server::Server;
use tests::closed_port::ClosedPort;
use tests::component::Wasmtime;
use tests::edge::{App, Edge};
use tests::scenario_runner::prepare;
use tests::workerd::{Workerd, root};
use tokio::runtime::Runtime;

const WORLD: &str = r#"
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

#[test]
fn official_clients_work_on_cloudflare() {
    run(|app| Workerd::start(&[app], None));
}

#[test]
fn official_clients_work_on_spin() {
    run(|app| Wasmtime::start(&[app], None));
}

fn run<E: Edge>(start: impl FnOnce(App) -> anyhow::Result<E>) {
    let runtime = Runtime::new().expect("a runtime");
    let scenario = sim::scenario::Scenario::parse("sdk", WORLD).expect("the world is valid");
    let server = runtime.block_on(Server::start()).expect("a free port");
    let closed = ClosedPort::reserve().expect("a free port");
    let app = prepare(&scenario, &server, &closed).expect("the app is valid");
    let edge = start(app).expect("the edge starts");
    let base_url = format!("http://{}/v1", edge.address("sdk"));
    let python =
        std::env::var("SERIN_PYTHON").expect("SERIN_PYTHON is set: run `cargo xtask test`");
    let node = root().join("node_modules/.bin/node");
    let clients: BTreeMap<&str, &std::ffi::OsStr> = BTreeMap::from([
        ("tests/sdk/official.py", python.as_ref()),
        ("tests/sdk/official.mjs", node.as_ref()),
    ]);
    for (script, program) in clients {
        let output = Command::new(program)
            .arg(root().join(script))
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

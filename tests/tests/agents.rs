//! Claude Code and Codex CLI, run for real, as clients of both edges: each completes a task with a tool against
//! a provider of Chat, against one of its own protocol, and through a fallback between them in the middle of
//! the conversation.
//!
//! `SERIN_AGENTS` names a directory with the programs; `cargo xtask test` installs them from npm. Without it
//! the test says so and checks nothing.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sim::scenario::Scenario;
use sim::server::Server;
use tests::closed_port::ClosedPort;
use tests::component::Wasmtime;
use tests::edge::{App, Edge};
use tests::scenario_runner::prepare;
use tests::scratch::ScratchDirectory;
use tests::workerd::Workerd;
use tokio::runtime::Runtime;

/// Text that the tool prints: only a shell computes it.
const RESULT: &str = "serin-42";
/// Last answer of every provider.
const ANSWER: &str = "The sum is known.";
/// Time for one run of a program.
const RUN_TIMEOUT: Duration = Duration::from_secs(90);

/// Program, and the tool by which it runs a command.
struct Agent {
    name: &'static str,
    tool: &'static str,
    argument: &'static str,
    own_protocol: &'static str,
}

const AGENTS: [Agent; 2] = [
    Agent { name: "claude", tool: "Bash", argument: "command", own_protocol: "messages" },
    Agent { name: "codex", tool: "exec_command", argument: "cmd", own_protocol: "responses" },
];

/// Routes: the protocol of the provider that calls the tool, and that of its fallback, which answers last.
const ROUTES: [&str; 4] = ["chat", "own", "own-then-chat", "chat-then-own"];

#[test]
fn coding_agents_complete_a_task_on_cloudflare() {
    run(|app| Workerd::start(&[app], None));
}

#[test]
fn coding_agents_complete_a_task_on_spin() {
    run(|app| Wasmtime::start(&[app], None));
}

fn run<E: Edge>(start: impl FnOnce(App) -> anyhow::Result<E>) {
    let Some(programs) = std::env::var_os("SERIN_AGENTS").filter(|path| Path::new(path).is_dir())
    else {
        eprintln!("skipped: SERIN_AGENTS names no directory with Claude Code and Codex CLI");
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let scenario = Scenario::parse("agents", &world()).expect("the world is valid");
    let server = runtime.block_on(Server::start()).expect("a free port");
    let closed = ClosedPort::reserve().expect("a free port");
    let app = prepare(&scenario, &server, &closed).expect("the app is valid");
    let edge = start(app).expect("the edge starts");
    let root = format!("http://{}", edge.address("agents"));
    for agent in &AGENTS {
        for route in ROUTES {
            let model = format!("{}-{route}", agent.name);
            let output = run_agent(Path::new(&programs), agent, &root, &model);
            let text = String::from_utf8_lossy(&output.stdout);
            let calls = runtime.block_on(server.settled("agents", Duration::from_secs(10)));
            let bodies = |provider: &str| -> Vec<String> {
                let calls = calls.get(&format!("{model}-{provider}"));
                let bodies = calls.into_iter().flatten().map(|call| &call.body);
                bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect()
            };
            let (first, last) = (bodies("first"), bodies("last"));
            let has_result = |bodies: &[String]| bodies.iter().any(|body| body.contains(RESULT));
            // The provider of the call receives its result; the fallback receives it too, if there is one.
            let is_used_rightly = has_result(&first)
                && match route {
                    "own-then-chat" | "chat-then-own" => has_result(&last),
                    _ => last.is_empty(),
                };
            let bodies = [first, last].concat();
            assert!(
                output.status.success() && text.contains(ANSWER) && is_used_rightly,
                "{model} on {}: {}\n{text}\n{}\n{}\nlast request: {}",
                edge.name(),
                output.status,
                String::from_utf8_lossy(&output.stderr),
                edge.log().lines().join("\n"),
                bodies.last().map_or("none", |body| &body[..body.floor_char_boundary(4_000)]),
            );
        }
    }
}

/// Runs a program with a task, in directories of its own.
fn run_agent(programs: &Path, agent: &Agent, root: &str, model: &str) -> Output {
    let home = ScratchDirectory::new("agents").expect("a directory");
    let work = home.path().join("work");
    let settings = home.path().join("settings");
    for directory in [&work, &settings] {
        std::fs::create_dir(directory).expect("a directory");
    }
    let task = "Compute 40 + 2 with the shell and tell me when it is done.";
    let mut command = Command::new("timeout");
    command.arg(RUN_TIMEOUT.as_secs().to_string()).arg(programs.join(agent.name));
    match agent.name {
        "claude" => command.args(["-p", task, "--model", model, "--allowedTools", "Bash"]),
        _ => {
            let provider = format!(
                r#"model_providers.serin={{name="serin",base_url="{root}/v1",env_key="SERIN_KEY",wire_api="responses"}}"#
            );
            command
                .args([
                    "exec",
                    "--skip-git-repo-check",
                    "--dangerously-bypass-approvals-and-sandbox",
                ])
                .args(["-m", model, "-c", "model_provider=serin", "-c", &provider, task])
        }
    };
    let mut path = programs.as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    command
        .current_dir(&work)
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .env("CLAUDE_CONFIG_DIR", &settings)
        .env("CODEX_HOME", &settings)
        .env("ANTHROPIC_BASE_URL", root)
        .env("ANTHROPIC_API_KEY", "app-key")
        .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", "small")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("SERIN_KEY", "app-key")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Configuration and upstreams: for each program and route a provider that calls the tool, and one with the last
/// answer, which is the same one or its fallback.
fn world() -> String {
    let mut config = String::new();
    let mut upstreams = String::new();
    let mut provider = |id: &str, protocol: &str, script: &str| {
        let kind = match protocol {
            "messages" => "anthropic",
            _ => "openai-compatible",
        };
        let keys = if kind == "anthropic" { "keys = [\"secret:PROVIDER_KEY\"]\n" } else { "" };
        config += &format!(
            "[[providers]]\nid = \"{id}\"\nkind = \"{kind}\"\nbase_url = \"UPSTREAM/{id}/v1\"\nprotocols = [\"{protocol}\"]\n{keys}\n"
        );
        upstreams += &format!("[upstreams.{id}]\nscript = [{script}]\n\n");
    };
    let answer = format!("{{ answer = \"{ANSWER}\", prompt_tokens = 900, completion_tokens = 4 }}");
    let mut routes = String::new();
    for agent in &AGENTS {
        let Agent { name, tool, argument, own_protocol } = agent;
        let call = format!(
            "{{ answer = \"\", call = {{ name = \"{tool}\", arguments = {{ {argument} = \"echo serin-$((40+2))\" }} }}, prompt_tokens = 900, completion_tokens = 4 }}"
        );
        for route in ROUTES {
            let model = format!("{name}-{route}");
            let whole = format!("{call}, {answer}");
            let broken = format!("{call}, {{ status = 529 }}");
            let (first, script, last) = match route {
                "chat" => ("chat", whole, "chat"),
                "own" => (*own_protocol, whole, "chat"),
                "own-then-chat" => (*own_protocol, broken, "chat"),
                _ => ("chat", broken, *own_protocol),
            };
            provider(&format!("{model}-first"), first, &script);
            provider(&format!("{model}-last"), last, &answer);
            routes += &format!(
                "[[routes]]\nid = \"{model}\"\nmodels = [\"{model}\"]\ntargets = [{{ provider = \"{model}-first\" }}]\nfallback = [{{ provider = \"{model}-last\" }}]\nretries = {{ attempts = 0 }}\n\n"
            );
        }
    }
    provider("small", "chat", &answer);
    routes += "[[routes]]\nid = \"small\"\nmodels = [\"small\"]\ntargets = [{ provider = \"small\" }]\n\n";
    format!(
        "about = \"Coding agents.\"\nconfig = '''\n{config}{routes}[[consumers]]\nid = \"app\"\nkeys = [\"secret:APP_KEY\"]\n'''\nsecrets = {{ APP_KEY = \"app-key\", PROVIDER_KEY = \"sk-provider\" }}\n\n{upstreams}[[requests]]\npath = \"/v1/models\"\n"
    )
}

//! Demo: three simulated providers and the tour that `up` prints. Each provider is a process that
//! the user can kill; it restarts after `OUTAGE`. Needs no key and sends nothing off the machine.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::child::{Ended, Processes};
use crate::config_file::Document;
use crate::secrets::Secrets;
use crate::{artifact, edge, root};

/// Caller's key in the tour's commands, valid only in the demo.
const KEY: &str = "demo-key";
/// Token of the demo's admin API, which listens on loopback only.
const ADMIN: &str = "demo-admin";
const DOCUMENT: &str = include_str!("demo.toml");
/// Simulated providers and their ports in the document.
const PROVIDERS: [(&str, u16); 3] = [("openai", 9101), ("deepseek", 9102), ("local", 9103)];
/// Maximum time until a simulated provider listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from the end of a simulated provider to its restart: longer than step 8 of the tour takes.
const OUTAGE: Duration = Duration::from_secs(30);

/// Simulated providers of this run.
pub(crate) struct Demo {
    providers: Vec<ProviderProcess>,
}

struct ProviderProcess {
    persona: &'static str,
    port: u16,
    program: PathBuf,
    state: State,
}

enum State {
    Runs,
    EndedAt(Instant),
}

/// Step of the tour: commands to paste together, in one block.
struct Step {
    title: &'static str,
    note: &'static str,
    commands: Vec<String>,
}

/// Secrets that the demo's configuration names, and the gateway's own. A simulated provider never
/// receives a real one.
pub(crate) fn secrets() -> Secrets {
    let stand_in = "sk-of-the-demo";
    Secrets::only(&[
        ("APP_KEY", KEY),
        ("OPENAI_API_KEY", stand_in),
        ("DEEPSEEK_API_KEY", stand_in),
        ("ADMIN_TOKEN", ADMIN),
        ("KEY_PEPPER", "pepper-of-the-demo"),
    ])
}

impl Demo {
    /// Builds and starts the simulated providers. Returns the configuration to serve in front of
    /// them.
    pub(crate) fn start(processes: &mut Processes) -> anyhow::Result<(Self, Document)> {
        let program = artifact::demo_provider(processes)?;
        let mut document = DOCUMENT.to_owned();
        let mut stand_ins = Vec::new();
        for (persona, usual) in PROVIDERS {
            let port = free_port(usual)?;
            document =
                document.replace(&format!("127.0.0.1:{usual}/"), &format!("127.0.0.1:{port}/"));
            let program = program.clone();
            let mut provider =
                ProviderProcess { persona, port, program, state: State::EndedAt(Instant::now()) };
            provider.start(processes)?;
            await_listener(processes, persona, port)?;
            stand_ins.push(provider);
        }
        let document =
            Document { path: PathBuf::from("crates/xtask/src/demo.toml"), text: document };
        Ok((Self { providers: stand_ins }, document))
    }

    /// Text of the tour, with commands to paste.
    pub(crate) fn tour(&self, base: &str) -> String {
        let mut text = "The demo. In another terminal, paste the blocks in order:\n".to_owned();
        for (index, Step { title, note, commands }) in self.steps(base).into_iter().enumerate() {
            text += &format!("\n{}. {title}. {note}\n{}\n", index + 1, commands.join("\n"));
        }
        text += &format!(
            "\nAn OpenAI client works as it is: OPENAI_BASE_URL={base}/v1 OPENAI_API_KEY={KEY}\n\
             Every request appears here as one line; --log json prints the whole records."
        );
        text
    }

    /// Steps of the tour. A test compares them with README.md and README.zh-CN.md.
    fn steps(&self, base: &str) -> Vec<Step> {
        let own = |flags: &str, model: &str, more: &str| {
            curl_command(base, flags, &format!("authorization: Bearer {KEY}"), model, more)
        };
        let head = "-s -o /dev/null -D -";
        let by_target = "grep -i '^x-serin-target' | sort | uniq -c";
        let question = own(head, "gpt-4o", "");
        let hundred =
            format!("hundred() {{ for i in $(seq 100); do {question}; done | {by_target}; }}");
        let repeat = || "hundred".to_owned();
        let admin = format!("-H \"authorization: Bearer {ADMIN}\"");
        let issued = curl_command(base, head, "authorization: Bearer $KEY", "gpt-4o", "");
        let each_user = own(head, "gpt-4o-mini", r#","user":"'$user'""#);
        let seven = own(head, "deepseek-chat", "");
        let step = |title, note, commands| Step { title, note, commands };
        vec![
            step(
                "A question",
                "The headers x-serin-* say who answered, after how many calls.",
                vec![own(r"-si -w '\n'", "gpt-4o", "")],
            ),
            step(
                "The same as a stream",
                "Words arrive one at a time; data: [DONE] ends it.",
                vec![own("-sN", "gpt-4o", r#","stream":true"#)],
            ),
            step(
                "The canary",
                "100 questions, counted by who answered: about 90 OpenAI, 10 DeepSeek.",
                vec![hundred, repeat()],
            ),
            step(
                "A fallback",
                "The model's name makes OpenAI's stand-in fail with 503; the local server answers.",
                vec![own(r"-si -w '\n'", "gpt-4o-fail-503", "")],
            ),
            step(
                "A sticky canary",
                "Split 50 to 50 by the request's user: ada and bob get DeepSeek, grace gets OpenAI.",
                vec![format!(
                    "for user in ada bob grace; do echo $user; for i in $(seq 10); do {each_user}; done | {by_target}; done"
                )],
            ),
            step(
                "A key and a limit",
                "The group trial may ask three times a minute: the fourth question gets 429.",
                vec![
                    format!(
                        "curl -s -w '\\n' {base}/admin/v1/consumers {admin} -H 'content-type: application/json' -d '{{\"id\":\"acme\",\"group\":\"trial\"}}'"
                    ),
                    format!(
                        "KEY=$(curl -s -X POST {base}/admin/v1/consumers/acme/keys {admin} | sed 's/.*\"key\":\"\\([^\"]*\\)\".*/\\1/')"
                    ),
                    format!(
                        "for i in 1 2 3 4; do {issued}; done | grep -iE '^http|^x-ratelimit|^retry-after'"
                    ),
                ],
            ),
            step(
                "Over a limit and still served",
                "After five questions a minute the local server answers instead of DeepSeek.",
                vec![format!("for i in $(seq 7); do {seven}; done | {by_target}")],
            ),
            step(
                "A provider dies",
                "OpenAI's stand-in is killed. After five failures it cools down: the local server answers those five, DeepSeek the rest.",
                vec![format!("kill $(cat {})", self.pid_file_of_openai()), repeat()],
            ),
            step(
                "It comes back",
                "30 seconds after the kill this terminal says so. Wait 10 seconds more: about 90 to 10 again.",
                vec![repeat()],
            ),
            step(
                "Who spent what",
                "Requests, tokens and latency by consumer and provider.",
                vec![format!(
                    "curl -s -w '\\n' '{base}/admin/v1/usage?by=consumer,provider' {admin}"
                )],
            ),
        ]
    }

    fn pid_file_of_openai(&self) -> String {
        let openai = self.providers.iter().find(|it| it.persona == "openai");
        openai.map(|it| it.pid_file().display().to_string()).unwrap_or_default()
    }

    /// Records the end of a simulated provider, which is a step of the tour. Returns the message to
    /// print. `None` if another process ended.
    pub(crate) fn note_end(&mut self, ended: &Ended) -> Option<String> {
        let provider = self.providers.iter_mut().find(|it| it.persona == ended.name)?;
        provider.state = State::EndedAt(Instant::now());
        Some(format!(
            "The stand-in for {} has ended ({}). It restarts in {} seconds.",
            provider.persona,
            ended.how,
            OUTAGE.as_secs()
        ))
    }

    /// Restarts the first simulated provider whose outage is over. Returns the message to print.
    /// `None` if no outage is over.
    pub(crate) fn restart_due(&mut self, processes: &mut Processes) -> Option<String> {
        let is_due = |it: &&mut ProviderProcess| match it.state {
            State::Runs => false,
            State::EndedAt(time) => time.elapsed() >= OUTAGE,
        };
        let provider = self.providers.iter_mut().find(is_due)?;
        let persona = provider.persona;
        Some(match provider.start(processes) {
            Ok(id) => format!(
                "The stand-in for {persona} has restarted as process {id}. Its cool-down ends within 10 seconds."
            ),
            Err(error) => {
                if matches!(provider.state, State::EndedAt(_)) {
                    provider.state = State::EndedAt(Instant::now());
                }
                format!("cannot start the stand-in for {persona}: {error:#}")
            }
        })
    }
}

impl ProviderProcess {
    fn start(&mut self, processes: &mut Processes) -> anyhow::Result<u32> {
        let mut command = Command::new(&self.program);
        command
            .args(["--as", self.persona, "--port", &self.port.to_string(), "--quiet"])
            .stdout(Stdio::null());
        let id = processes.start(self.persona, &mut command, &[], true)?;
        self.state = State::Runs;
        let file = self.pid_file();
        std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
        std::fs::write(&file, format!("{id}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(id)
    }

    /// File with the process id, for the `kill` command of the tour.
    fn pid_file(&self) -> PathBuf {
        root().join(format!(".serin/{}-{}.pid", self.persona, self.port))
    }
}

impl Drop for ProviderProcess {
    fn drop(&mut self) {
        if matches!(self.state, State::Runs) {
            std::fs::remove_file(self.pid_file()).ok();
        }
    }
}

/// `curl` command that sends one chat completion request.
pub(crate) fn curl_command(
    base: &str,
    flags: &str,
    authorization: &str,
    model: &str,
    more: &str,
) -> String {
    let question = r#""messages":[{"role":"user","content":"Hello?"}]"#;
    // Double quotes around the credential let the shell expand a variable in it.
    let authorization =
        if authorization.is_empty() { String::new() } else { format!(" -H \"{authorization}\"") };
    format!(
        "curl {flags} {base}/v1/chat/completions{authorization} -H 'content-type: application/json' \
         -d '{{\"model\":\"{model}\",{question}{more}}}'"
    )
}

/// Returns the usual port, or any free port if another process uses it.
fn free_port(usual: u16) -> anyhow::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(usual).or_else(|_| bind(0))?;
    Ok(listener.local_addr()?.port())
}

fn await_listener(processes: &mut Processes, name: &str, port: u16) -> anyhow::Result<()> {
    let until = Instant::now() + START_TIMEOUT;
    while !edge::is_listening(port) {
        if let Some(ended) = processes.ended() {
            bail!("the stand-in for {} ended: {}", ended.name, ended.how);
        }
        if processes.is_interrupted() || Instant::now() > until {
            bail!("the stand-in for {name} does not listen on port {port}");
        }
        processes.wait_briefly();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::child::Ended;
    use crate::config_file::Document;
    use crate::root;

    use super::{DOCUMENT, Demo, PROVIDERS, ProviderProcess, State, Step, secrets};

    const README: &str = include_str!("../../../README.md");
    const README_IN_CHINESE: &str = include_str!("../../../README.zh-CN.md");

    #[test]
    fn the_demo_is_valid_with_its_own_secrets_and_stays_on_loopback() {
        let document = Document { path: "demo.toml".into(), text: DOCUMENT.to_owned() };
        let config = document.parse(&secrets()).expect("the demo is valid");
        // Spin passes only the variables that its manifest declares.
        let manifest = include_str!("../../../spin.toml");
        let is_declared = |name: &String| manifest.contains(&format!("\n{} ", name.to_lowercase()));
        assert!(document.secret_names().iter().all(is_declared), "{:?}", document.secret_names());
        for (provider, (persona, port)) in config.providers.iter().zip(PROVIDERS) {
            assert_eq!(provider.id, persona);
            assert_eq!(provider.base_url, format!("http://127.0.0.1:{port}/v1"));
        }
    }

    fn demo() -> Demo {
        let provider = |(persona, port)| ProviderProcess {
            persona,
            port,
            program: "upstream".into(),
            state: State::EndedAt(Instant::now()),
        };
        Demo { providers: PROVIDERS.map(provider).into() }
    }

    /// Steps with paths relative to the root of the repository, as in the documentation.
    fn steps() -> Vec<Step> {
        let prefix = format!("{}/", root().display());
        let relative = |command: String| command.replace(&prefix, "");
        let steps = demo().steps("http://127.0.0.1:8787").into_iter();
        steps
            .map(|it| Step { commands: it.commands.into_iter().map(relative).collect(), ..it })
            .collect()
    }

    /// Title and commands of each step in a page, with continued lines joined.
    fn steps_of(page: &str) -> Vec<(String, Vec<String>)> {
        let (_, rest) = page.split_once("<!-- tour -->").expect("the tour begins");
        let (tour, _) = rest.split_once("<!-- end of tour -->").expect("the tour ends");
        let steps = tour.split("\n**").skip(1);
        steps
            .enumerate()
            .map(|(index, step)| {
                let (title, rest) = step.split_once("**").expect("a title ends");
                let number = format!("{}.", index + 1);
                let title =
                    title.strip_prefix(&number).unwrap_or_else(|| panic!("{number} {title}"));
                let blocks = rest.split("```sh\n").skip(1);
                let blocks: Vec<&str> = blocks.filter_map(|it| it.split("```").next()).collect();
                let [block] = blocks[..] else { panic!("{title} has {} blocks", blocks.len()) };
                let lines = block.replace("\\\n", " ");
                let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
                (title.trim().to_owned(), lines.lines().map(words).collect())
            })
            .collect()
    }

    #[test]
    fn tour_is_the_same_in_both_pages_and_in_the_terminal() {
        let printed = steps().into_iter().map(|it| (format!("{}.", it.title), it.commands));
        let printed: Vec<(String, Vec<String>)> = printed.collect();
        assert_eq!(steps_of(README), printed);
        let chinese = steps_of(README_IN_CHINESE).into_iter().map(|(_, commands)| commands);
        assert_eq!(
            chinese.collect::<Vec<_>>(),
            printed.into_iter().map(|(_, commands)| commands).collect::<Vec<_>>()
        );
    }

    #[test]
    fn tour_names_models_that_a_route_serves_as_the_text_says() {
        let document = Document { path: "demo.toml".into(), text: DOCUMENT.to_owned() };
        let config = document.parse(&secrets()).expect("the demo is valid");
        let route = |model: &str| {
            let index =
                config.models.route(model).unwrap_or_else(|| panic!("{model} has no route"));
            &config.route(index).id
        };
        let models = ["gpt-4o", "gpt-4o-fail-503", "gpt-4o-slow", "gpt-4o-mini", "deepseek-chat"];
        assert_eq!(models.map(route), ["chat", "failing", "failing", "sticky", "limited"]);
    }

    #[test]
    fn tour_can_be_pasted() {
        let tour = demo().tour("http://127.0.0.1:8787");
        let question = "\ncurl -si -w '\\n' http://127.0.0.1:8787/v1/chat/completions -H \"authorization: Bearer demo-key\" \
                        -H 'content-type: application/json' \
                        -d '{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello?\"}]}'\n";
        assert!(tour.contains(question), "{tour}");
        assert!(tour.contains("/.serin/openai-9101.pid)\n"), "{tour}");
    }

    #[test]
    fn stand_in_that_ended_is_announced_and_other_processes_are_not() {
        let mut demo = demo();
        let ended = |name: &str| Ended { name: name.to_owned(), how: "signal: 15".to_owned() };
        let message = demo.note_end(&ended("deepseek")).expect("it is a stand-in");
        assert!(message.contains("deepseek") && message.contains("30 seconds"), "{message}");
        assert_eq!(demo.note_end(&ended("workerd")), None);
    }
}

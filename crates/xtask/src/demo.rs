//! The demo: stand-ins for three providers, each a process that a person can kill, and the tour that
//! is printed when all is up. It needs no key and sends nothing off the machine.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::artifact;
use crate::child::{Ended, Processes};
use crate::document::Document;
use crate::edge;
use crate::secrets::Secrets;

/// The key that the tour's commands present. It opens nothing but the demo.
const KEY: &str = "demo-key";
/// The token of its admin plane, which is on loopback as everything of the demo.
const ADMIN: &str = "demo-admin";
const DOCUMENT: &str = include_str!("demo.toml");
/// Who is stood in for, and the port that the document gives them.
const CAST: [(&str, u16); 3] = [("openai", 9101), ("deepseek", 9102), ("local", 9103)];
const PATIENCE: Duration = Duration::from_secs(10);

/// The stand-ins at work.
pub(crate) struct Demo {
    stand_ins: Vec<StandIn>,
}

struct StandIn {
    persona: &'static str,
    port: u16,
    id: u32,
    program: PathBuf,
}

/// The secrets that the demo's configuration names, and the gateway's own. Real ones never reach a
/// stand-in.
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
    /// Builds and starts the stand-ins, and says what is to be served in front of them.
    pub(crate) fn start(processes: &mut Processes) -> anyhow::Result<(Self, Document)> {
        let program = artifact::stand_in(processes)?;
        let mut document = DOCUMENT.to_owned();
        let mut stand_ins = Vec::new();
        for (persona, usual) in CAST {
            let port = free_port(usual)?;
            document =
                document.replace(&format!("127.0.0.1:{usual}/"), &format!("127.0.0.1:{port}/"));
            let mut command = Command::new(&program);
            command
                .args(["--as", persona, "--port", &port.to_string(), "--quiet"])
                .stdout(Stdio::null());
            let id = processes.start(persona, &mut command, &[], true)?;
            await_listener(processes, persona, port)?;
            stand_ins.push(StandIn { persona, port, id, program: program.clone() });
        }
        let document =
            Document { path: PathBuf::from("crates/xtask/src/demo.toml"), text: document };
        Ok((Self { stand_ins }, document))
    }

    /// What to try, as lines to paste.
    pub(crate) fn tour(&self, base: &str) -> String {
        let ask = |flags: &str, model: &str, more: &str| {
            let authorization = format!("authorization: Bearer {KEY}");
            ask(base, flags, &authorization, model, more)
        };
        let pids: Vec<String> = self
            .stand_ins
            .iter()
            .map(|it| format!("{} is process {}", it.persona, it.id))
            .collect();
        let bearer = "authorization: Bearer $KEY";
        let openai = self.stand_ins.first().map_or(0, |it| it.id);
        let head = "-o /dev/null -D -";
        let count = "| grep -i '^x-serin-target' | tr -d '\\r' | sort | uniq -c";
        format!(
            "\
The demo: {pids}. In another terminal:

1. A question.
{question}

2. The same as a stream.
{stream}

3. The canary: 100 questions, counted by who answered (about 90 to 10).
(for i in $(seq 100); do {counted}; done) {count}

4. The fallback: a model whose name asks OpenAI's stand-in to fail, so that the local one answers.
   (DeepSeek still has its one in ten: it is asked for another model and does not fail.)
{failing}
   Also -fail-429, -fail-500, -fail-connect, -fail-timeout (3 seconds), -fail-cut and -slow.

5. The fallback for real: kill OpenAI's stand-in, then repeat 1 and 3.
kill {openai}

6. A sticky canary: a user stays with one provider; try other names than ada.
(for i in $(seq 10); do {sticky}; done) {count}

7. A key and a limit: whoever has a key of the group trial may ask three times a minute.
curl -s -w '\\n' {base}/admin/v1/consumers -H 'authorization: Bearer {ADMIN}' -H 'content-type: application/json' -d '{{\"id\":\"acme\",\"group\":\"trial\"}}'
KEY=$(curl -s -X POST {base}/admin/v1/consumers/acme/keys -H 'authorization: Bearer {ADMIN}' | sed 's/.*\"key\":\"\\([^\"]*\\)\".*/\\1/')
(for i in 1 2 3 4; do {limited}; done) | grep -iE '^http|^x-ratelimit|^retry-after'

8. Over the limit and served all the same: after five questions a minute the local server answers.
(for i in $(seq 7); do {degraded}; done) {count}

9. Who spent what.
curl -s -w '\\n' '{base}/admin/v1/usage?by=consumer,provider' -H 'authorization: Bearer {ADMIN}'

An OpenAI client works as it is: OPENAI_BASE_URL={base}/v1 OPENAI_API_KEY={KEY}
The record of every request appears here, one JSON line each.",
            pids = pids.join(", "),
            question = ask(r"-s -w '\n'", "gpt-4o", ""),
            stream = ask("-sN", "gpt-4o", r#","stream":true"#),
            counted = ask(&format!("-s {head}"), "gpt-4o", ""),
            failing = ask(r"-si -w '\n'", "gpt-4o-fail-503", ""),
            limited = self::ask(base, &format!("-s {head}"), bearer, "gpt-4o", ""),
            degraded = ask(&format!("-s {head}"), "deepseek-chat", ""),
            sticky = ask(&format!("-s {head}"), "gpt-4o-mini", r#","user":"ada""#),
        )
    }

    /// What to tell when one of the stand-ins has ended, `None` if it was none of them: that is what
    /// the tour proposes, and no reason to stop.
    pub(crate) fn farewell(&self, ended: &Ended) -> Option<String> {
        let StandIn { persona, port, program, .. } =
            self.stand_ins.iter().find(|it| it.persona == ended.name)?;
        Some(format!(
            "The stand-in for {persona} has ended ({}). To bring it back:\n{} --as {persona} --port {port}",
            ended.how,
            program.display(),
        ))
    }
}

/// A `curl` command that asks one question.
pub(crate) fn ask(base: &str, flags: &str, authorization: &str, model: &str, more: &str) -> String {
    let question = r#""messages":[{"role":"user","content":"Hello?"}]"#;
    // Double quotes around the credential, so that a shell puts a variable's value there.
    let authorization =
        if authorization.is_empty() { String::new() } else { format!(" -H \"{authorization}\"") };
    format!(
        "curl {flags} {base}/v1/chat/completions{authorization} -H 'content-type: application/json' \
         -d '{{\"model\":\"{model}\",{question}{more}}}'"
    )
}

/// The usual port, or where somebody has it, any that is free.
fn free_port(usual: u16) -> anyhow::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(usual).or_else(|_| bind(0))?;
    Ok(listener.local_addr()?.port())
}

fn await_listener(processes: &mut Processes, name: &str, port: u16) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    while !edge::is_listening(port) {
        if let Some(ended) = processes.ended() {
            bail!("the stand-in for {} ended: {}", ended.name, ended.how);
        }
        if processes.is_interrupted() || Instant::now() > until {
            bail!("the stand-in for {name} does not listen on port {port}");
        }
        processes.glance();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{CAST, DOCUMENT, Demo, StandIn, secrets};
    use crate::child::Ended;
    use crate::document::Document;

    #[test]
    fn the_demo_is_valid_with_its_own_secrets_and_stays_on_loopback() {
        let document = Document { path: "demo.toml".into(), text: DOCUMENT.to_owned() };
        let config = document.parse(&secrets()).expect("the demo is valid");
        // Spin hands on no others.
        let manifest = include_str!("../../../spin.toml");
        let is_declared = |name: &String| manifest.contains(&format!("\n{} ", name.to_lowercase()));
        assert!(document.secret_names().iter().all(is_declared), "{:?}", document.secret_names());
        for (provider, (persona, port)) in config.providers.iter().zip(CAST) {
            assert_eq!(provider.id, persona);
            assert_eq!(provider.base_url, format!("http://127.0.0.1:{port}/v1"));
        }
    }

    #[test]
    fn the_tour_can_be_pasted() {
        let stand_in =
            |(persona, port)| StandIn { persona, port, id: 4711, program: "upstream".into() };
        let demo = Demo { stand_ins: CAST.map(stand_in).into() };
        let tour = demo.tour("http://127.0.0.1:8787");
        let question = "curl -s -w '\\n' http://127.0.0.1:8787/v1/chat/completions -H \"authorization: Bearer demo-key\" \
                        -H 'content-type: application/json' \
                        -d '{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello?\"}]}'\n";
        assert!(tour.contains(question), "{tour}");
        assert!(tour.contains("\nkill 4711\n"), "{tour}");
        let ended = |name: &str| Ended { name: name.to_owned(), how: "signal: 15".to_owned() };
        let farewell = demo.farewell(&ended("deepseek")).expect("it was one of them");
        assert!(farewell.ends_with("\nupstream --as deepseek --port 9102"), "{farewell}");
        assert!(demo.farewell(&ended("workerd")).is_none());
    }
}

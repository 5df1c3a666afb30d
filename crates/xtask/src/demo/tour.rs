//! Tour of the demo: its steps, with commands to paste. README.md and README.zh-CN.md have the same
//! steps.

use super::{ADMIN, KEY};

/// Step of the tour: commands to paste together, in one block.
struct Step {
    title: &'static str,
    note: &'static str,
    commands: Vec<String>,
}

/// Text of the tour, with commands to paste.
pub(super) fn text(base: &str, pid_file_of_openai: &str, port_of_deepseek: u16) -> String {
    let mut text = "The demo. In another terminal, paste the blocks in order:\n".to_owned();
    let steps = steps(base, pid_file_of_openai, port_of_deepseek);
    for (index, Step { title, note, commands }) in steps.into_iter().enumerate() {
        text += &format!("\n{}. {title}. {note}\n{}\n", index + 1, commands.join("\n"));
    }
    text += &format!(
        "\nThe console is at {base}/console/: sign in with the token {ADMIN}.\n\
         An OpenAI client needs no change: OPENAI_BASE_URL={base}/v1 OPENAI_API_KEY={KEY}\n\
         Every request appears here as one line; --log json prints the whole records."
    );
    text
}

/// Steps of the tour. A test compares them with README.md and README.zh-CN.md.
fn steps(base: &str, pid_file_of_openai: &str, port_of_deepseek: u16) -> Vec<Step> {
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
    let rollout = format!("{base}/admin/v1/rollouts/migration");
    let json = "-H 'content-type: application/json'";
    let moved = own(head, "gpt-4.1", "");
    let outage = format!("http://127.0.0.1:{port_of_deepseek}/outage");
    let step = |title, note, commands| Step { title, note, commands };
    vec![
        step(
            "A question",
            "The headers x-serin-* name the target and the number of attempts.",
            vec![own(r"-si -w '\n'", "gpt-4o", "")],
        ),
        step(
            "The same as a stream",
            "Words arrive one at a time; data: [DONE] ends it.",
            vec![own("-sN", "gpt-4o", r#","stream":true"#)],
        ),
        step(
            "The canary",
            "100 requests, counted by target: about 90 OpenAI, 10 DeepSeek.",
            vec![hundred, repeat()],
        ),
        step(
            "A fallback",
            "The model's name makes the simulated provider OpenAI fail with 503; the local server answers.",
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
            "The group trial may send three requests per minute: the fourth gets 429.",
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
            "A fallback above a limit",
            "After five requests per minute, the local server answers instead of DeepSeek.",
            vec![format!("for i in $(seq 7); do {seven}; done | {by_target}")],
        ),
        step(
            "A provider fails",
            "The simulated provider OpenAI is killed. After five failures it cools down: the local server answers those five requests, DeepSeek the rest.",
            vec![format!("kill $(cat {pid_file_of_openai})"), repeat()],
        ),
        step(
            "The provider recovers",
            "30 seconds after the kill, this terminal reports the restart. Wait 10 seconds more (30 if you sent requests meanwhile): about 90 to 10 again.",
            vec![repeat()],
        ),
        step(
            "A usage report",
            "Requests, tokens and latency by consumer and provider.",
            vec![format!("curl -s -w '\\n' '{base}/admin/v1/usage?by=consumer,provider' {admin}")],
        ),
        step(
            "A rollout",
            "DeepSeek's share climbs from 5 to 20 and 50 percent while the evidence allows it: after each 100 requests the share is printed.",
            vec![
                format!(
                    "share() {{ curl -s {rollout} {admin} | sed 's/.*\"weight\":\\([0-9]*\\).*/share: \\1 %/'; }}"
                ),
                format!(
                    "migration() {{ for turn in $(seq $1); do for i in $(seq 100); do {moved}; done | {by_target}; share; done; }}"
                ),
                format!(
                    "curl -s -o /dev/null {rollout}/restart {admin} -H 'if-match: *' {json} -d '{{\"reason\":\"The tour\"}}'; migration 15"
                ),
            ],
        ),
        step(
            "The canary fails",
            "The simulated provider DeepSeek is told to fail. Its share is 0 within seconds, the local server answers the failed requests, and the reason is here, in this terminal and in the console.",
            vec![
                format!("curl -s -X POST '{outage}?status=503'"),
                "migration 3".to_owned(),
                format!(
                    "curl -s '{base}/admin/v1/audit?action=rollout.rollback&limit=1' {admin} | grep -o '\"reason\":\"[^\"]*\"'"
                ),
                format!("curl -s -X DELETE {outage}"),
            ],
        ),
    ]
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

#[cfg(test)]
mod tests {
    use super::{Step, steps, text};

    const BASE: &str = "http://127.0.0.1:8787";
    const PID_FILE: &str = ".serin/openai-9101.pid";
    const DEEPSEEK: u16 = 9102;
    const README: &str = include_str!("../../../../README.md");
    const README_IN_CHINESE: &str = include_str!("../../../../README.zh-CN.md");

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
        let steps = || steps(BASE, PID_FILE, DEEPSEEK).into_iter();
        let printed: Vec<(String, Vec<String>)> =
            steps().map(|it| (format!("{}.", it.title), it.commands)).collect();
        assert_eq!(steps_of(README), printed);
        let chinese = steps_of(README_IN_CHINESE).into_iter().map(|(_, commands)| commands);
        assert_eq!(
            chinese.collect::<Vec<_>>(),
            printed.into_iter().map(|(_, commands)| commands).collect::<Vec<_>>()
        );
        // The page marks code, which the terminal does not.
        let page = README.replace('`', "");
        for Step { title, note, .. } in steps() {
            let note = note.replace("this terminal", "the other terminal");
            assert!(page.contains(&format!("{title}.** {note}\n")), "{title}: {note}");
        }
    }

    #[test]
    fn tour_has_commands_to_paste() {
        let tour = text(BASE, PID_FILE, DEEPSEEK);
        let request = "\ncurl -si -w '\\n' http://127.0.0.1:8787/v1/chat/completions -H \"authorization: Bearer demo-key\" \
                       -H 'content-type: application/json' \
                       -d '{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello?\"}]}'\n";
        assert!(tour.contains(request), "{tour}");
        assert!(tour.contains("(cat .serin/openai-9101.pid)\n"), "{tour}");
    }
}

//! Kinds of answers that the scenario files do not have, and every error of the data plane that they
//! do not have either.

use std::time::Duration;

use bytes::Bytes;
use gateway::body::Body;
use gateway::platform::{Outage, Peer};
use sim::upstream::{Finds, Part, Service};
use sim::world::HangUp;

use crate::golden::assert_golden;
use crate::show;
use crate::stage::{self, DOCUMENT, STREAM, Tale, chat, part, question, request};

const KEY: (&str, &str) = ("authorization", "Bearer app-key");

fn judge(service: Service) -> Part {
    Part { service: Some(service), ..Part::default() }
}

#[test]
fn every_kind_of_end_has_its_answer_and_record() {
    let answer =
        "answer = 'one two three four'\nprompt_tokens = 20\ncompletion_tokens = 4\ngap = '100ms'";
    let openai = part(&[
        answer,
        answer,
        "status = 500",
        "cut_after = 3\nanswer = 'one two three four'",
        answer,
        "hang = true",
        "answer = 'late'\ndelay = '2s'",
        "answer = 'one two three four'\ncut_after = 3",
        "status = 429\nheaders = { retry-after = '7' }",
    ]);
    let local = part(&[
        "answer = 'from the fallback'\nprompt_tokens = 9\ncompletion_tokens = 3\ncached_tokens = 2",
    ]);
    let azure = part(&["answer = 'from Azure'"]);
    let host = stage::host(DOCUMENT, &[("openai", openai), ("local", local), ("azure", azure)]);
    let mut tale = Tale::new(host);
    tale.ask(
        "a plain answer, with its content in the record",
        question("gpt-4o", "Mail ann@example.com, please", ""),
    );
    tale.ask("a stream", question("gpt-4o", "Hello", STREAM));
    tale.ask("a fallback", question("gpt-4o", "Hello", r#", "temperature":0.5"#));
    tale.ask("a truncated stream", question("gpt-4o", "Hello", STREAM));
    tale.tell(
        "a hang-up within a stream",
        question("gpt-4o", "Hello", STREAM),
        HangUp::AfterEvents(2),
    );
    let patience = HangUp::After(Duration::from_millis(500));
    tale.tell("a hang-up before the head", question("gpt-4o", "Hello", STREAM), patience);
    tale.ask("a hedge", question("hedged", "Hello", ""));
    tale.ask("a continued stream", question("hedged", "Hello", STREAM));
    tale.ask(
        "an answer of another endpoint",
        request("POST", "/v1/completions", &[KEY], r#"{"model":"kept","prompt":"Hello"}"#),
    );
    tale.ask(
        "embeddings",
        request("POST", "/v1/embeddings", &[KEY], r#"{"model":"kept","input":["a","b"]}"#),
    );
    tale.ask("Azure", question("azure-gpt", "Hello", ""));
    tale.ask("a cache miss", question("kept", "Hello", ""));
    tale.ask("a cache hit", question("kept", "Hello", ""));
    tale.ask("a cache hit as a stream", question("kept", "Hello", STREAM));
    tale.ask(
        "a cache bypass",
        request(
            "POST",
            "/v1/chat/completions",
            &[KEY, ("cache-control", "no-store")],
            &chat("kept", "Hello", ""),
        ),
    );
    let session = [KEY, ("x-session-id", "s-1")];
    tale.ask(
        "the first turn",
        request("POST", "/v1/chat/completions", &session, &chat("talk", "One?", "")),
    );
    tale.ask(
        "the second turn",
        request("POST", "/v1/chat/completions", &session, &chat("talk", "Two?", STREAM)),
    );
    tale.ask("the models", request("GET", "/v1/models", &[KEY], ""));
    tale.ask("their head", request("HEAD", "/v1/models", &[KEY], ""));
    tale.ask("the health", request("GET", "/healthz", &[], ""));
    tale.ask(
        "a browser's question",
        request(
            "OPTIONS",
            "/v1/models",
            &[("origin", "https://app.example.com"), ("access-control-request-method", "GET")],
            "",
        ),
    );
    assert_golden("data_plane/ends.txt", &tale.text);
}

#[test]
fn requests_that_meet_share_an_answer() {
    let local = part(&["answer = 'one two'\ngap = '100ms'\ndelay = '300ms'"]);
    let host = stage::host(DOCUMENT, &[("local", local)]);
    let more = ["", "", STREAM, r#","seed":1"#];
    let requests = more.map(|more| question("kept", "Hello", more)).into();
    let mut text = String::new();
    for received in host.play_together(requests, Duration::from_millis(20)) {
        text.push_str(&show::part("answer", &show::answer(&received)));
    }
    text.push_str(&show::part("upstream", &host.take_calls()));
    text.push_str(&show::part("log", &host.take_lines()));
    assert_golden("data_plane/together.txt", &text);
}

#[test]
fn guards_send_and_answer_as_before() {
    let local = part(&["answer = 'mind the forbidden phrase, ann@example.com'"]);
    let answers = part(&["answer = 'one two three'"]);
    let finds = Finds { risky: [("attack plan".to_owned(), "S9".to_owned())].into() };
    let parts = [("local", local), ("judge", judge(Service::LlamaGuard(finds)))];
    let mut tale = Tale::new(stage::host(DOCUMENT, &parts));
    tale.ask("blocked question", question("guarded", "a forbidden phrase", ""));
    tale.ask("blocked question, streamed", question("guarded", "a forbidden phrase", STREAM));
    tale.ask("blocked answer", question("guarded", "Hello", ""));
    tale.ask("blocked answer, streamed", question("guarded", "Hello", STREAM));
    tale.ask(
        "blocked completion",
        request(
            "POST",
            "/v1/completions",
            &[KEY],
            r#"{"model":"guarded","prompt":"a forbidden phrase"}"#,
        ),
    );
    tale.ask(
        "blocked completion, streamed",
        request(
            "POST",
            "/v1/completions",
            &[KEY],
            r#"{"model":"guarded","prompt":"a forbidden phrase","stream":true}"#,
        ),
    );
    tale.ask(
        "blocked embeddings",
        request(
            "POST",
            "/v1/embeddings",
            &[KEY],
            r#"{"model":"guarded","input":"a forbidden phrase"}"#,
        ),
    );
    tale.ask("a judge blocks", question("strict", "my attack plan", ""));
    tale.ask("unreadable content", request("POST", "/v1/chat/completions", &[KEY], &deep()));
    assert_golden("data_plane/guards.txt", &tale.text);

    let finds = Finds { risky: [("attack plan".to_owned(), "violence".to_owned())].into() };
    let parts = [("local", answers.clone()), ("judge", judge(Service::Moderation(finds)))];
    let mut tale = Tale::new(stage::host(DOCUMENT, &parts));
    tale.ask("masked question", question("guarded", "I am ann@example.com, 13800138000", ""));
    tale.ask("moderation passes", question("moderated", "Hello", ""));
    tale.ask("moderation blocks", question("moderated", "my attack plan", ""));
    tale.ask(
        "moderation blocks a stream's question",
        question("moderated", "my attack plan", STREAM),
    );
    assert_golden("data_plane/moderation.txt", &tale.text);

    let parts = [("local", answers), ("judge", part(&["answer = 'safe'", "status = 500"]))];
    let mut tale = Tale::new(stage::host(DOCUMENT, &parts));
    tale.ask("a stream whose judge fails", question("strict", "Hello", STREAM));
    tale.ask("a question whose judge fails", question("strict", "Hello", ""));
    tale.ask("a guard that fails open", question("moderated", "Hello", ""));
    assert_golden("data_plane/guards_away.txt", &tale.text);
}

/// A question whose content is nested too deep to be looked at.
fn deep() -> String {
    let nested = format!("{}\"x\"{}", "[".repeat(40), "]".repeat(40));
    format!(r#"{{"model":"guarded","messages":[{{"role":"user","content":"a","x":{nested}}}]}}"#)
}

#[test]
fn every_refusal_has_its_status_code_and_headers() {
    let parts = [("openai", part(&["status = 401"])), ("local", part(&["status = 503"]))];
    let mut tale = Tale::new(stage::host(DOCUMENT, &parts));
    let path = "/v1/chat/completions";
    let hello = chat("gpt-4o", "Hello", "");
    let guest = ("authorization", "Bearer guest-key");
    tale.ask("no key", request("POST", path, &[], &hello));
    tale.ask("a wrong key", request("POST", path, &[("authorization", "Bearer x")], &hello));
    tale.ask(
        "a browser's wrong key",
        request(
            "POST",
            path,
            &[("authorization", "Bearer x"), ("origin", "https://app.example.com")],
            &hello,
        ),
    );
    for (title, address) in
        [("an address for nobody", "203.0.113.9"), ("an address not for this key", "192.0.2.1")]
    {
        let mut request = request("POST", path, &[guest], &hello);
        request.extensions_mut().insert(Peer(address.parse().expect("an address")));
        tale.ask(title, request);
    }
    for (title, body) in [
        ("a model that is not allowed", chat("kept", "Hello", "")),
        ("a parameter that is not allowed", chat("gpt-4o", "Hello", r#","temperature":1.5"#)),
        ("a parameter that is forbidden", chat("gpt-4o", "Hello", r#","logit_bias":{}"#)),
    ] {
        tale.ask(title, request("POST", path, &[guest], &body));
    }
    let long = chat("gpt-4o", &"x".repeat(70_000), "");
    for (title, body) in [
        ("no JSON", "{"),
        ("no object", "[]"),
        ("no model", r#"{"messages":[]}"#),
        ("a model twice", r#"{"model":"a","model":"b","messages":[]}"#),
        ("an ambiguous member", r#"{"model":"a","mod\u0065l":"b","messages":[]}"#),
        ("a wrong stream", r#"{"model":"gpt-4o","stream":"yes","messages":[]}"#),
        ("an unknown model", r#"{"model":"nothing","messages":[]}"#),
        ("a long body", &long),
    ] {
        tale.ask(title, request("POST", path, &[KEY], body));
    }
    let broken = Body::stream(Pieces(vec![Ok(Bytes::from("{\"mo")), Err(Outage::new("reset"))]));
    let mut breaks_off = request("POST", path, &[KEY, ("content-type", "application/json")], "");
    *breaks_off.body_mut() = broken;
    tale.ask("a body that breaks off", breaks_off);
    tale.ask("another type", request("POST", path, &[KEY, ("content-type", "text/plain")], &hello));
    tale.ask(
        "a compressed body",
        request("POST", path, &[KEY, ("content-encoding", "gzip")], &hello),
    );
    tale.ask("an unknown path", request("GET", "/v1/nothing", &[KEY], ""));
    tale.ask("a wrong method", request("GET", path, &[KEY], ""));
    tale.ask("a wrong method for the health", request("POST", "/healthz", &[], ""));
    tale.ask("nobody answers", question("gpt-4o", "Hello", ""));
    tale.ask("nobody answers a stream", question("gpt-4o", "Hello", STREAM));
    assert_golden("data_plane/refusals.txt", &tale.text);
}

/// The pieces of a body.
struct Pieces(Vec<Result<Bytes, Outage>>);

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, Outage>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
        std::task::Poll::Ready(next)
    }
}

#[test]
fn limits_tell_how_they_stand() {
    let local = part(&["answer = 'one'\nprompt_tokens = 30\ncompletion_tokens = 20"]);
    let mut tale = Tale::new(stage::host(DOCUMENT, &[("local", local)]));
    let ask = |tale: &mut Tale, title: &str, team: &str, most: u32| {
        let body = chat("metered", "Hello", &format!(r#","max_tokens":{most}"#));
        let request = request("POST", "/v1/chat/completions", &[KEY, ("x-team", team)], &body);
        tale.ask(title, request);
        let operations = tale.host.take_operations(|text| !is_sum(text));
        tale.text.push_str(&show::part("ledger", &operations));
    };
    ask(&mut tale, "within every limit", "a", 100);
    ask(&mut tale, "more tokens than an hour has", "a", 5_000);
    ask(&mut tale, "more tokens than are left", "a", 1_960);
    ask(&mut tale, "more money than is left", "a", 160);
    for turn in 0..4 {
        ask(&mut tale, &format!("until the minute is full, {turn}"), "b", 10);
    }
    tale.host.wait(Duration::from_secs(120));
    ask(&mut tale, "two minutes later, in a lease", "b", 10);
    tale.host.wait(Duration::from_secs(60));
    ask(&mut tale, "a minute later", "c", 10);
    assert_golden("data_plane/limits.txt", &tale.text);
    assert_golden("ledger/books.txt", &tale.host.books(""));
}

fn is_sum(operation: &str) -> bool {
    operation.starts_with("usage/") || operation.starts_with("metrics/")
}

#[test]
fn hosts_that_fail_are_told_as_before() {
    let local = part(&["answer = 'one'"]);
    let mut tale = Tale::new(stage::host(
        DOCUMENT,
        &[("local", local.clone()), ("judge", part(&["answer = 'safe'"]))],
    ));
    tale.ask("all is well", question("metered", "Hello", ""));
    tale.host.take_ledger_away(true);
    tale.ask("the ledger is away, its limits are open", question("metered", "Hello", ""));
    tale.ask(
        "the ledger is away, its limit is closed",
        request("POST", "/v1/chat/completions?user=u", &[KEY], &chat("strict", "Hello", "")),
    );
    tale.host.take_ledger_away(false);
    tale.host.take_store_away(true);
    let stranger = ("authorization", "Bearer sk-from-somewhere-else-0123456789");
    tale.ask(
        "the store is away: whose key",
        request("POST", "/v1/chat/completions", &[stranger], &chat("metered", "Hello", "")),
    );
    tale.ask("the store is away: cache", question("kept", "Hello", ""));
    tale.ask("the store is away: list of words", question("listed", "Hello", ""));
    assert_golden("data_plane/hosts.txt", &tale.text);

    let host = stage::host(DOCUMENT, &[("local", local)]);
    host.take_settings_away(true);
    let mut tale = Tale::new(host);
    tale.ask("there is no gateway", question("metered", "Hello", ""));
    assert_golden("data_plane/closed.txt", &tale.text);
}

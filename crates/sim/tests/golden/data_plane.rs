//! Data plane: each kind of response and each error, with upstream requests and records.

use std::time::Duration;

use bytes::Bytes;
use gateway::host::PeerIp;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use sim::upstream::{RiskyWords, Service, UpstreamSpec};
use sim::world::HangUp;

use crate::fixture::{self, DOCUMENT, STREAM, Session, chat, question, request, upstream};
use crate::golden::assert_golden;
use crate::scenarios::is_sum;
use crate::show;

const KEY: (&str, &str) = ("authorization", "Bearer app-key");

fn judge(service: Service) -> UpstreamSpec {
    UpstreamSpec { service: Some(service), ..UpstreamSpec::default() }
}

#[test]
fn responses_of_each_kind_match_golden() {
    let answer =
        "answer = 'one two three four'\nprompt_tokens = 20\ncompletion_tokens = 4\ngap = '100ms'";
    let openai = upstream(&[
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
    let local = upstream(&[
        "answer = 'from the fallback'\nprompt_tokens = 9\ncompletion_tokens = 3\ncached_tokens = 2",
    ]);
    let azure = upstream(&["answer = 'from Azure'"]);
    let host = fixture::host(DOCUMENT, &[("openai", openai), ("local", local), ("azure", azure)]);
    let mut session = Session::new(host);
    session.send(
        "a plain answer, with its content in the record",
        question("gpt-4o", "Mail ann@example.com, please", ""),
    );
    session.send("a stream", question("gpt-4o", "Hello", STREAM));
    session.send("a fallback", question("gpt-4o", "Hello", r#", "temperature":0.5"#));
    session.send("a truncated stream", question("gpt-4o", "Hello", STREAM));
    session.send_until(
        "a hang-up within a stream",
        question("gpt-4o", "Hello", STREAM),
        HangUp::AfterEvents(2),
    );
    let patience = HangUp::After(Duration::from_millis(500));
    session.send_until("a hang-up before the head", question("gpt-4o", "Hello", STREAM), patience);
    session.send("a hedge", question("hedged", "Hello", ""));
    session.send("a continued stream", question("hedged", "Hello", STREAM));
    session.send(
        "an answer of another endpoint",
        request("POST", "/v1/completions", &[KEY], r#"{"model":"kept","prompt":"Hello"}"#),
    );
    session.send(
        "embeddings",
        request("POST", "/v1/embeddings", &[KEY], r#"{"model":"kept","input":["a","b"]}"#),
    );
    session.send("Azure", question("azure-gpt", "Hello", ""));
    session.send("a cache miss", question("kept", "Hello", ""));
    session.send("a cache hit", question("kept", "Hello", ""));
    session.send("a cache hit as a stream", question("kept", "Hello", STREAM));
    session.send(
        "a cache bypass",
        request(
            "POST",
            "/v1/chat/completions",
            &[KEY, ("cache-control", "no-store")],
            &chat("kept", "Hello", ""),
        ),
    );
    let headers = [KEY, ("x-session-id", "s-1")];
    session.send(
        "the first turn",
        request("POST", "/v1/chat/completions", &headers, &chat("talk", "One?", "")),
    );
    session.send(
        "the second turn",
        request("POST", "/v1/chat/completions", &headers, &chat("talk", "Two?", STREAM)),
    );
    session.send("the models", request("GET", "/v1/models", &[KEY], ""));
    session.send("their head", request("HEAD", "/v1/models", &[KEY], ""));
    session.send("the health", request("GET", "/healthz", &[], ""));
    session.send(
        "a browser's question",
        request(
            "OPTIONS",
            "/v1/models",
            &[("origin", "https://app.example.com"), ("access-control-request-method", "GET")],
            "",
        ),
    );
    assert_golden("data_plane/ends.txt", &session.text);
}

#[test]
fn identical_concurrent_requests_match_golden() {
    let local = upstream(&["answer = 'one two'\ngap = '100ms'\ndelay = '300ms'"]);
    let host = fixture::host(DOCUMENT, &[("local", local)]);
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
fn guarded_requests_match_golden() {
    let local = upstream(&["answer = 'mind the forbidden phrase, ann@example.com'"]);
    let answers = upstream(&["answer = 'one two three'"]);
    let finds = RiskyWords { risky: [("attack plan".to_owned(), "S9".to_owned())].into() };
    let upstreams = [("local", local), ("judge", judge(Service::LlamaGuard(finds)))];
    let mut session = Session::new(fixture::host(DOCUMENT, &upstreams));
    session.send("blocked question", question("guarded", "a forbidden phrase", ""));
    session.send("blocked question, streamed", question("guarded", "a forbidden phrase", STREAM));
    session.send("blocked answer", question("guarded", "Hello", ""));
    session.send("blocked answer, streamed", question("guarded", "Hello", STREAM));
    session.send(
        "blocked completion",
        request(
            "POST",
            "/v1/completions",
            &[KEY],
            r#"{"model":"guarded","prompt":"a forbidden phrase"}"#,
        ),
    );
    session.send(
        "blocked completion, streamed",
        request(
            "POST",
            "/v1/completions",
            &[KEY],
            r#"{"model":"guarded","prompt":"a forbidden phrase","stream":true}"#,
        ),
    );
    session.send(
        "blocked embeddings",
        request(
            "POST",
            "/v1/embeddings",
            &[KEY],
            r#"{"model":"guarded","input":"a forbidden phrase"}"#,
        ),
    );
    session.send("a judge blocks", question("strict", "my attack plan", ""));
    session.send("unreadable content", request("POST", "/v1/chat/completions", &[KEY], &deep()));
    assert_golden("data_plane/guards.txt", &session.text);

    let finds = RiskyWords { risky: [("attack plan".to_owned(), "violence".to_owned())].into() };
    let upstreams = [("local", answers.clone()), ("judge", judge(Service::Moderation(finds)))];
    let mut session = Session::new(fixture::host(DOCUMENT, &upstreams));
    session.send("masked question", question("guarded", "I am ann@example.com, 13800138000", ""));
    session.send("moderation passes", question("moderated", "Hello", ""));
    session.send("moderation blocks", question("moderated", "my attack plan", ""));
    session.send(
        "moderation blocks a stream's question",
        question("moderated", "my attack plan", STREAM),
    );
    assert_golden("data_plane/moderation.txt", &session.text);

    let upstreams = [("local", answers), ("judge", upstream(&["answer = 'safe'", "status = 500"]))];
    let mut session = Session::new(fixture::host(DOCUMENT, &upstreams));
    session.send("a stream whose judge fails", question("strict", "Hello", STREAM));
    session.send("a question whose judge fails", question("strict", "Hello", ""));
    session.send("a guard that fails open", question("moderated", "Hello", ""));
    assert_golden("data_plane/guards_away.txt", &session.text);
}

/// Body whose content is nested too deeply for guards.
fn deep() -> String {
    let nested = format!("{}\"x\"{}", "[".repeat(40), "]".repeat(40));
    format!(r#"{{"model":"guarded","messages":[{{"role":"user","content":"a","x":{nested}}}]}}"#)
}

#[test]
fn stored_entries_read_by_a_new_gateway_match_golden() {
    let local = upstream(&["answer = 'one two'"]);
    let mut session =
        Session::new(fixture::host(DOCUMENT, &[("local", local.clone()), ("openai", local)]));
    let turn = |content: &str| {
        let headers = [KEY, ("x-session-id", "s-1")];
        request("POST", "/v1/chat/completions", &headers, &chat("talk", content, ""))
    };
    session.send("cache miss", question("kept", "Hello", ""));
    session.send("first turn", turn("One?"));
    session.send_admin("PUT /admin/v1/words/terms", &[], r#"{"words":["forbidden phrase"]}"#);
    session.send_admin("POST /admin/v1/consumers", &[], r#"{"id":"acme","group":"gold"}"#);
    let key = "sk-proj-0123456789abcdef";
    let body = format!(r#"{{"key":"{key}"}}"#);
    session.send_admin("POST /admin/v1/consumers/acme/keys", &[], &body);
    let document = fixture::document(&DOCUMENT.replace("turns = 2", "turns = 1"));
    session.send_admin("PUT /admin/v1/config", &[("if-match", "*")], &document);
    session.text.clear();
    session.host.restart();
    session.send("cache hit", question("kept", "Hello", ""));
    session.send("second turn", turn("Two?"));
    session.send("blocked by a stored list", question("listed", "a forbidden phrase", ""));
    let headers = [("authorization", "Bearer sk-proj-0123456789abcdef")];
    let body = chat("gpt-4o", "Hello", "");
    session.send("adopted key", request("POST", "/v1/chat/completions", &headers, &body));
    session.send_admin("GET /admin/v1/consumers/acme/keys", &[], "");
    session.send_admin("GET /admin/v1/config/versions", &[], "");
    assert_golden("data_plane/restart.txt", &session.text);
}

#[test]
fn refusals_match_golden() {
    let upstreams =
        [("openai", upstream(&["status = 401"])), ("local", upstream(&["status = 503"]))];
    let mut session = Session::new(fixture::host(DOCUMENT, &upstreams));
    let path = "/v1/chat/completions";
    let hello = chat("gpt-4o", "Hello", "");
    let guest = ("authorization", "Bearer guest-key");
    session.send("no key", request("POST", path, &[], &hello));
    session.send("a wrong key", request("POST", path, &[("authorization", "Bearer x")], &hello));
    session.send(
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
        request.extensions_mut().insert(PeerIp(address.parse().expect("an address")));
        session.send(title, request);
    }
    for (title, body) in [
        ("a model that is not allowed", chat("kept", "Hello", "")),
        ("a parameter that is not allowed", chat("gpt-4o", "Hello", r#","temperature":1.5"#)),
        ("a parameter that is forbidden", chat("gpt-4o", "Hello", r#","logit_bias":{}"#)),
    ] {
        session.send(title, request("POST", path, &[guest], &body));
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
        session.send(title, request("POST", path, &[KEY], body));
    }
    let broken = Body::stream(Pieces(vec![Ok(Bytes::from("{\"mo")), Err(HostError::new("reset"))]));
    let mut breaks_off = request("POST", path, &[KEY, ("content-type", "application/json")], "");
    *breaks_off.body_mut() = broken;
    session.send("a body that breaks off", breaks_off);
    session.send(
        "another type",
        request("POST", path, &[KEY, ("content-type", "text/plain")], &hello),
    );
    session.send(
        "a compressed body",
        request("POST", path, &[KEY, ("content-encoding", "gzip")], &hello),
    );
    session.send("an unknown path", request("GET", "/v1/nothing", &[KEY], ""));
    session.send("a wrong method", request("GET", path, &[KEY], ""));
    session.send("a wrong method for the health", request("POST", "/healthz", &[], ""));
    session.send("nobody answers", question("gpt-4o", "Hello", ""));
    session.send("nobody answers a stream", question("gpt-4o", "Hello", STREAM));
    assert_golden("data_plane/refusals.txt", &session.text);
}

/// Chunks of a request body.
struct Pieces(Vec<Result<Bytes, HostError>>);

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, HostError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
        std::task::Poll::Ready(next)
    }
}

#[test]
fn limited_requests_match_golden() {
    let local = upstream(&["answer = 'one'\nprompt_tokens = 30\ncompletion_tokens = 20"]);
    let mut session = Session::new(fixture::host(DOCUMENT, &[("local", local)]));
    let ask = |session: &mut Session, title: &str, team: &str, max: u32| {
        let body = chat("metered", "Hello", &format!(r#","max_tokens":{max}"#));
        let request = request("POST", "/v1/chat/completions", &[KEY, ("x-team", team)], &body);
        session.send(title, request);
        let operations = session.host.take_operations(|text| !is_sum(text));
        session.text.push_str(&show::part("ledger", &operations));
    };
    ask(&mut session, "within every limit", "a", 100);
    ask(&mut session, "more tokens than an hour has", "a", 5_000);
    ask(&mut session, "more tokens than are left", "a", 1_960);
    ask(&mut session, "more money than is left", "a", 160);
    for turn in 0..4 {
        ask(&mut session, &format!("until the minute is full, {turn}"), "b", 10);
    }
    session.host.wait(Duration::from_secs(120));
    ask(&mut session, "two minutes later, in a lease", "b", 10);
    session.host.wait(Duration::from_secs(60));
    ask(&mut session, "a minute later", "c", 10);
    assert_golden("data_plane/limits.txt", &session.text);
    assert_golden("ledger/books.txt", &session.host.books(""));
}

#[test]
fn failing_hosts_match_golden() {
    let local = upstream(&["answer = 'one'"]);
    let mut session = Session::new(fixture::host(
        DOCUMENT,
        &[("local", local.clone()), ("judge", upstream(&["answer = 'safe'"]))],
    ));
    session.send("all is well", question("metered", "Hello", ""));
    session.host.set_ledger_available(false);
    session.send("the ledger is away, its limits are open", question("metered", "Hello", ""));
    session.send(
        "the ledger is away, its limit is closed",
        request("POST", "/v1/chat/completions?user=u", &[KEY], &chat("strict", "Hello", "")),
    );
    session.host.set_ledger_available(true);
    session.host.set_store_available(false);
    let stranger = ("authorization", "Bearer sk-from-somewhere-else-0123456789");
    session.send(
        "the store is away: whose key",
        request("POST", "/v1/chat/completions", &[stranger], &chat("metered", "Hello", "")),
    );
    session.send("the store is away: cache", question("kept", "Hello", ""));
    session.send("the store is away: list of words", question("listed", "Hello", ""));
    assert_golden("data_plane/hosts.txt", &session.text);

    let host = fixture::host(DOCUMENT, &[("local", local)]);
    host.set_settings_available(false);
    let mut session = Session::new(host);
    session.send("there is no gateway", question("metered", "Hello", ""));
    assert_golden("data_plane/closed.txt", &session.text);
}

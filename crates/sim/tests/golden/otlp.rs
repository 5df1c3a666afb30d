//! OTLP exports: spans and metrics in JSON.

use std::time::Duration;

use sim::world::HangUp;

use crate::fixture::{
    self, COLLECTOR, DOCUMENT, STREAM, Session, chat, question, request, upstream,
};
use crate::golden::{assert_golden, mask_member, mask_version};

#[test]
fn spans_and_metrics_match_golden() {
    let answer = "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 8\ncached_tokens = 4\nreasoning_tokens = 1\ngap = '50ms'";
    let openai = upstream(&[
        answer,
        "status = 500",
        "cut_after = 2",
        "hang = true",
        "answer = 'late'\ndelay = '2s'",
        "answer = 'one two'\ncut_after = 2",
        answer,
    ]);
    let local = upstream(&["answer = 'from the other'\nprompt_tokens = 9\ncompletion_tokens = 3"]);
    let upstreams = [("openai", openai), ("local", local), ("collector", upstream(&["json = {}"]))];
    let document = format!("{DOCUMENT}{COLLECTOR}");
    let mut session = Session::new(fixture::host(&document, &upstreams));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced =
        [("authorization", "Bearer app-key"), ("traceparent", parent), ("tracestate", "a=1")];
    session.send(
        "a plain answer in a trace",
        request("POST", "/v1/chat/completions", &traced, &chat("gpt-4o", "Hello", "")),
    );
    session.send("a fallback", question("gpt-4o", "Hello", ""));
    session.send("a truncated stream", question("gpt-4o", "Hello", STREAM));
    session.send_until(
        "a hang-up",
        question("gpt-4o", "Hello", ""),
        HangUp::After(Duration::from_millis(300)),
    );
    session.send("a hedge", question("hedged", "Hello", ""));
    session.send("a continued stream", question("hedged", "Hello", STREAM));
    session.send("a cache miss", question("kept", "Hello", ""));
    session.send("a cache hit", question("kept", "Hello", ""));
    session.send("blocked", question("guarded", "a forbidden phrase", ""));
    session.send("limited", question("metered", "Hello", r#","max_tokens":9999"#));
    session.send("within limits", question("metered", "Hello", ""));
    session.send("a stranger", request("POST", "/v1/chat/completions", &[], "{}"));
    let text = mask_version(&mask_member(&session.text, "description", |_| false));
    assert_golden("observe/otlp.txt", &text);
}

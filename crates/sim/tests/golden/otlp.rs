//! What a collector is sent: spans and metrics, as OTLP in JSON.

use std::time::Duration;

use sim::world::HangUp;

use crate::golden::{assert_golden, mask_member, mask_version};
use crate::stage::{self, COLLECTOR, DOCUMENT, STREAM, Tale, chat, part, question, request};

#[test]
fn spans_and_metrics_have_their_names_and_attributes() {
    let answer = "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 8\ncached_tokens = 4\nreasoning_tokens = 1\ngap = '50ms'";
    let openai = part(&[
        answer,
        "status = 500",
        "cut_after = 2",
        "hang = true",
        "answer = 'late'\ndelay = '2s'",
        "answer = 'one two'\ncut_after = 2",
        answer,
    ]);
    let local = part(&["answer = 'from the other'\nprompt_tokens = 9\ncompletion_tokens = 3"]);
    let parts = [("openai", openai), ("local", local), ("collector", part(&["json = {}"]))];
    let document = format!("{DOCUMENT}{COLLECTOR}");
    let mut tale = Tale::new(stage::host(&document, &parts));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced =
        [("authorization", "Bearer app-key"), ("traceparent", parent), ("tracestate", "a=1")];
    tale.ask(
        "a plain answer in a trace",
        request("POST", "/v1/chat/completions", &traced, &chat("gpt-4o", "Hello", "")),
    );
    tale.ask("a fallback", question("gpt-4o", "Hello", ""));
    tale.ask("a truncated stream", question("gpt-4o", "Hello", STREAM));
    tale.tell(
        "a hang-up",
        question("gpt-4o", "Hello", ""),
        HangUp::After(Duration::from_millis(300)),
    );
    tale.ask("a hedge", question("hedged", "Hello", ""));
    tale.ask("a continued stream", question("hedged", "Hello", STREAM));
    tale.ask("a cache miss", question("kept", "Hello", ""));
    tale.ask("a cache hit", question("kept", "Hello", ""));
    tale.ask("blocked", question("guarded", "a forbidden phrase", ""));
    tale.ask("limited", question("metered", "Hello", r#","max_tokens":9999"#));
    tale.ask("within limits", question("metered", "Hello", ""));
    tale.ask("a stranger", request("POST", "/v1/chat/completions", &[], "{}"));
    let text = mask_version(&mask_member(&tale.text, "description", |_| false));
    assert_golden("observe/otlp.txt", &text);
}

//! Conversations: earlier turns of a session.

use std::time::Duration;

use config::{Cache, History, RouteIndex, SessionSource};
use serde_json::{Value, json};
use sim::world::HangUp;

use super::{Harness, Observation, STREAM, cache, sleep};

fn history() -> History {
    History {
        routes: None,
        session: SessionSource::Header(http::HeaderName::from_static("x-session")),
        turns: 2,
        max_bytes: 1_000,
        ttl: Duration::from_secs(600),
    }
}

/// Gateway with conversations and without a response cache.
fn harness(scripts: &[&str]) -> Harness {
    let mut harness =
        Harness::new(scripts, || Cache { routes: Some(Vec::<RouteIndex>::new()), ..cache() });
    harness.history = Some(history);
    harness.next_isolate();
    harness
}

const COUNTED: &[&str] =
    &["answer = 'one'", "answer = 'two'", "answer = 'three'", "answer = 'four'"];

fn send_message(
    harness: &Harness,
    key: &str,
    session: &str,
    content: &str,
    rest: &str,
) -> Observation {
    let body = format!(
        r#"{{"model":"m", "messages": [ {{"role":"system","content":"Be brief"}}, {{"content":"{content}","role":"user"}} ] {rest}}}"#
    );
    harness.send(key, &body, &[("x-session", session)], HangUp::Never)
}

/// Role and content of each message in the last upstream request.
fn last_prompt(harness: &Harness) -> Vec<String> {
    let calls = harness.world.calls();
    let body: Value =
        serde_json::from_slice(&calls["first"].last().expect("a call").body).expect("JSON");
    let messages = body["messages"].as_array().expect("messages").iter();
    messages
        .map(|one| {
            format!(
                "{}: {}",
                one["role"].as_str().unwrap_or("?"),
                one["content"].as_str().unwrap_or("?")
            )
        })
        .collect()
}

fn turns(observed: &Observation) -> Option<&str> {
    observed.headers.get("x-serin-history").map(|value| value.to_str().expect("text"))
}

#[test]
fn single_question_is_preceded_by_the_last_turns() {
    for rest in ["", STREAM] {
        let mut harness = harness(COUNTED);
        assert_eq!(turns(&send_message(&harness, "APP_KEY", "s", "1?", rest)), Some("0"));
        assert_eq!(last_prompt(&harness), ["system: Be brief", "user: 1?"]);
        harness.next_isolate();
        assert_eq!(turns(&send_message(&harness, "APP_KEY", "s", "2?", rest)), Some("1"));
        assert_eq!(
            last_prompt(&harness),
            ["system: Be brief", "user: 1?", "assistant: one", "user: 2?"]
        );
        send_message(&harness, "APP_KEY", "s", "3?", rest);
        assert_eq!(turns(&send_message(&harness, "APP_KEY", "s", "4?", rest)), Some("2"));
        let expected = [
            "system: Be brief",
            "user: 2?",
            "assistant: two",
            "user: 3?",
            "assistant: three",
            "user: 4?",
        ];
        assert_eq!(last_prompt(&harness), expected);
        // After ten minutes, the conversation has expired.
        sleep(&harness, 600);
        assert_eq!(turns(&send_message(&harness, "APP_KEY", "s", "5?", rest)), Some("0"));
    }
}

#[test]
fn conversations_of_other_consumers_and_sessions_are_separate() {
    let harness = harness(COUNTED);
    send_message(&harness, "APP_KEY", "s", "1?", "");
    assert_eq!(turns(&send_message(&harness, "APP2_KEY", "s", "2?", "")), Some("0"));
    assert_eq!(turns(&send_message(&harness, "APP_KEY", "other", "3?", "")), Some("0"));
    assert_eq!(turns(&send_message(&harness, "APP_KEY", "", "4?", "")), None);
    assert_eq!(last_prompt(&harness), ["system: Be brief", "user: 4?"]);
}

#[test]
fn request_with_its_own_turns_or_history_off_has_no_history() {
    let harness = harness(COUNTED);
    send_message(&harness, "APP_KEY", "s", "1?", "");
    let own = json!({ "model": "m", "messages": [
        { "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }, { "role": "user", "content": "c" },
    ] });
    let observed = harness.send("APP_KEY", &own.to_string(), &[("x-session", "s")], HangUp::Never);
    assert_eq!((turns(&observed), last_prompt(&harness).len()), (None, 3));
    let lone =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "a" }] }).to_string();
    let off = harness.send(
        "APP_KEY",
        &lone,
        &[("x-session", "s"), ("x-serin-history", "off")],
        HangUp::Never,
    );
    assert_eq!((turns(&off), last_prompt(&harness).len()), (None, 1));
    assert_eq!(
        turns(&send_message(&harness, "APP_KEY", "s", "2?", "")),
        Some("1"),
        "neither request was stored"
    );
}

#[test]
fn incomplete_and_failed_answers_are_not_stored() {
    let harness =
        harness(&["answer = 'one two three'\ncut_after = 3", "status = 400", "answer = 'four'"]);
    for content in ["1?", "2?", "3?"] {
        assert_eq!(
            turns(&send_message(&harness, "APP_KEY", "s", content, STREAM)),
            Some("0"),
            "{content}"
        );
    }
    assert_eq!(harness.stored("history/"), 1);
    assert!(
        !harness.world.stored_text().contains("history/app/s"),
        "the session's name is not stored"
    );
}

#[test]
fn unavailable_store_leaves_the_conversation_unchanged() {
    let mut harness = harness(COUNTED);
    send_message(&harness, "APP_KEY", "s", "1?", "");
    harness.next_isolate();
    harness.world.set_store_unavailable(true);
    assert_eq!(turns(&send_message(&harness, "APP_KEY", "s", "2?", "")), None);
    harness.world.set_store_unavailable(false);
    assert_eq!(
        turns(&send_message(&harness, "APP_KEY", "s", "3?", "")),
        Some("1"),
        "the stored turn is still there"
    );
    harness.world.corrupt_entries("history/", b"{");
    harness.next_isolate();
    assert_eq!(turns(&send_message(&harness, "APP_KEY", "s", "4?", "")), Some("0"));
}

#[test]
fn cached_answer_is_a_turn_and_depends_on_earlier_turns() {
    let mut harness = Harness::new(COUNTED, cache);
    harness.history = Some(history);
    harness.next_isolate();
    assert_eq!(send_message(&harness, "APP_KEY", "s", "1?", "").cache, "miss");
    let again = send_message(&harness, "APP_KEY", "other", "1?", "");
    assert_eq!((again.cache.as_str(), turns(&again)), ("hit", Some("0")));
    let next = send_message(&harness, "APP_KEY", "other", "2?", "");
    assert_eq!((next.cache.as_str(), turns(&next)), ("miss", Some("1")));
    assert_eq!(
        last_prompt(&harness),
        ["system: Be brief", "user: 1?", "assistant: one", "user: 2?"]
    );
    assert_eq!(
        send_message(&harness, "APP_KEY", "third", "2?", "").cache,
        "miss",
        "its earlier turns differ"
    );
}

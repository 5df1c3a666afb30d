//! What callers said before.

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

/// A gateway that remembers and keeps no answers.
fn harness(script: &str) -> Harness {
    let mut stage =
        Harness::new(script, || Cache { routes: Some(Vec::<RouteIndex>::new()), ..cache() });
    stage.history = Some(history);
    stage.next_isolate();
    stage
}

const COUNTED: &str =
    "script = [{ answer = 'one' }, { answer = 'two' }, { answer = 'three' }, { answer = 'four' }]";

fn send_message(
    harness: &Harness,
    key: &str,
    session: &str,
    what: &str,
    rest: &str,
) -> Observation {
    let body = format!(
        r#"{{"model":"m", "messages": [ {{"role":"system","content":"Be brief"}}, {{"content":"{what}","role":"user"}} ] {rest}}}"#
    );
    harness.send(key, &body, &[("x-session", session)], HangUp::Never)
}

/// What the upstream was told last: who speaks, and what.
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

fn turns(seen: &Observation) -> Option<&str> {
    seen.headers.get("x-serin-history").map(|value| value.to_str().expect("text"))
}

#[test]
fn the_last_turns_are_put_before_a_lone_question() {
    for rest in ["", STREAM] {
        let mut stage = harness(COUNTED);
        assert_eq!(turns(&send_message(&stage, "app-key", "s", "1?", rest)), Some("0"));
        assert_eq!(last_prompt(&stage), ["system: Be brief", "user: 1?"]);
        stage.next_isolate();
        assert_eq!(turns(&send_message(&stage, "app-key", "s", "2?", rest)), Some("1"));
        assert_eq!(
            last_prompt(&stage),
            ["system: Be brief", "user: 1?", "assistant: one", "user: 2?"]
        );
        send_message(&stage, "app-key", "s", "3?", rest);
        assert_eq!(turns(&send_message(&stage, "app-key", "s", "4?", rest)), Some("2"));
        let expected = [
            "system: Be brief",
            "user: 2?",
            "assistant: two",
            "user: 3?",
            "assistant: three",
            "user: 4?",
        ];
        assert_eq!(last_prompt(&stage), expected);
        // Ten minutes later it is another conversation.
        sleep(&stage, 600);
        assert_eq!(turns(&send_message(&stage, "app-key", "s", "5?", rest)), Some("0"));
    }
}

#[test]
fn nobody_hears_of_somebody_elses() {
    let stage = harness(COUNTED);
    send_message(&stage, "app-key", "s", "1?", "");
    assert_eq!(turns(&send_message(&stage, "app2-key", "s", "2?", "")), Some("0"));
    assert_eq!(turns(&send_message(&stage, "app-key", "other", "3?", "")), Some("0"));
    assert_eq!(turns(&send_message(&stage, "app-key", "", "4?", "")), None);
    assert_eq!(last_prompt(&stage), ["system: Be brief", "user: 4?"]);
}

#[test]
fn who_brings_a_conversation_or_wants_none() {
    let stage = harness(COUNTED);
    send_message(&stage, "app-key", "s", "1?", "");
    let own = json!({ "model": "m", "messages": [
        { "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }, { "role": "user", "content": "c" },
    ] });
    let seen = stage.send("app-key", &own.to_string(), &[("x-session", "s")], HangUp::Never);
    assert_eq!((turns(&seen), last_prompt(&stage).len()), (None, 3));
    let lone =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "a" }] }).to_string();
    let off = stage.send(
        "app-key",
        &lone,
        &[("x-session", "s"), ("x-serin-history", "off")],
        HangUp::Never,
    );
    assert_eq!((turns(&off), last_prompt(&stage).len()), (None, 1));
    assert_eq!(
        turns(&send_message(&stage, "app-key", "s", "2?", "")),
        Some("1"),
        "neither was remembered"
    );
}

#[test]
fn only_whole_answers_are_remembered() {
    let stage = harness(
        "script = [{ answer = 'one two three', cut_after = 3 }, { status = 400 }, { answer = 'four' }]",
    );
    for what in ["1?", "2?", "3?"] {
        assert_eq!(turns(&send_message(&stage, "app-key", "s", what, STREAM)), Some("0"), "{what}");
    }
    assert_eq!(stage.kept("history/"), 1);
    assert!(!stage.world.stored_text().contains("history/app/s"), "a session's name is not kept");
}

#[test]
fn a_store_that_is_away_is_no_conversation() {
    let mut stage = harness(COUNTED);
    send_message(&stage, "app-key", "s", "1?", "");
    stage.next_isolate();
    stage.world.set_store_unavailable(true);
    assert_eq!(turns(&send_message(&stage, "app-key", "s", "2?", "")), None);
    stage.world.set_store_unavailable(false);
    assert_eq!(
        turns(&send_message(&stage, "app-key", "s", "3?", "")),
        Some("1"),
        "what was there is still there"
    );
    stage.world.corrupt_entries("history/", b"{");
    stage.next_isolate();
    assert_eq!(turns(&send_message(&stage, "app-key", "s", "4?", "")), Some("0"));
}

#[test]
fn a_kept_answer_is_a_turn_too_and_depends_on_those_before() {
    let mut harness = Harness::new(COUNTED, cache);
    harness.history = Some(history);
    harness.next_isolate();
    assert_eq!(send_message(&harness, "app-key", "s", "1?", "").cache, "miss");
    let again = send_message(&harness, "app-key", "other", "1?", "");
    assert_eq!((again.cache.as_str(), turns(&again)), ("hit", Some("0")));
    let next = send_message(&harness, "app-key", "other", "2?", "");
    assert_eq!((next.cache.as_str(), turns(&next)), ("miss", Some("1")));
    assert_eq!(
        last_prompt(&harness),
        ["system: Be brief", "user: 1?", "assistant: one", "user: 2?"]
    );
    assert_eq!(
        send_message(&harness, "app-key", "third", "2?", "").cache,
        "miss",
        "it has another past"
    );
}

//! Answers that are never cached, and failing stores.

use std::time::Duration;

use config::Cache;
use sim::world::HangUp;

use super::{HELLO, Harness, STREAM, cache, question};

#[test]
fn incomplete_or_failed_answers_are_not_cached() {
    for script in [
        "answer = 'one two three four'\ncut_after = 3",
        "answer = 'one two three four'\nerror_after = 3",
        "answer = 'one two three four'\nmalformed_after = 3",
        "answer = 'one two three four'\nend_after = 3",
        "answer = 'one two three four'\nstall_after = 3",
        "status = 400\njson = { error = { message = 'x' } }",
        "stream = false\njson = { choices = [{ message = { content = 'x' }, finish_reason = 'content_filter' }] }",
        "answer = 'too long'\nanswer_times = 100000",
    ] {
        let is_json = script.contains("json");
        let harness = Harness::new(&[script], cache);
        let rest = if is_json { "" } else { STREAM };
        for _ in 0..2 {
            let observed = harness.ask("APP_KEY", &question(rest));
            assert_eq!(observed.cache, "miss", "{script}: {}", observed.body);
        }
        assert_eq!(harness.stored("cache/"), 0, "{script}");
    }
}

#[test]
fn stream_with_a_hang_up_is_not_cached() {
    let harness = Harness::new(&["answer = 'one two three four'\ngap = '1s'"], cache);
    let hung_up = harness.send("APP_KEY", &question(STREAM), &[], HangUp::AfterEvents(3));
    assert_eq!(
        (hung_up.record["outcome"].as_str(), harness.stored("cache/")),
        (Some("hung_up"), 0)
    );
    assert_eq!(harness.ask("APP_KEY", &question(STREAM)).cache, "miss");
    assert_eq!(harness.stored("cache/"), 1);
}

#[test]
fn answer_of_a_fallback_is_not_cached() {
    let harness =
        Harness::new(&["status = 500", "status = 500", "answer = 'from the first'"], cache);
    let one = harness.ask("APP_KEY", &question(""));
    assert_eq!((one.cache.as_str(), one.transcript.text.as_str()), ("miss", "from the fallback"));
    assert_eq!(harness.stored("cache/"), 0);
}

#[test]
fn failing_or_corrupt_store_is_a_miss() {
    let mut harness = Harness::new(HELLO, cache);
    harness.world.set_store_unavailable(true);
    for _ in 0..2 {
        harness.next_isolate();
        let observed = harness.ask("APP_KEY", &question(""));
        assert_eq!((observed.status, observed.cache.as_str()), (200, "miss"));
    }
    harness.world.set_store_unavailable(false);
    harness.ask("APP_KEY", &question("")); // served from memory
    harness.next_isolate();
    harness.ask("APP_KEY", &question(""));
    for corrupt in [b"".as_slice(), b"{}", b"\n", b"{\"v\":1}\n{}", b"\xff\n", b"{\"v\":9}\n"] {
        harness.world.corrupt_entries("cache/", corrupt);
        harness.next_isolate();
        let observed = harness.ask("APP_KEY", &question(""));
        assert_eq!((observed.status, observed.cache.as_str()), (200, "miss"), "{corrupt:?}");
    }
    harness.next_isolate();
    assert_eq!(harness.ask("APP_KEY", &question("")).cache, "hit", "the entry is written again");
}

#[test]
fn slow_store_is_a_miss_within_half_a_second() {
    let mut harness = Harness::new(HELLO, cache);
    harness.ask("APP_KEY", &question(""));
    harness.next_isolate();
    harness.world.set_store_latency(Duration::from_secs(3_000));
    for rest in ["", STREAM] {
        harness.next_isolate();
        let observed = harness.ask("APP_KEY", &question(rest));
        assert_eq!((observed.status, observed.cache.as_str()), (200, "miss"));
        assert!(observed.took <= Duration::from_millis(500), "{:?}", observed.took);
    }
}

#[test]
fn answer_above_max_entry_passes_and_is_not_cached() {
    let harness = Harness::new(HELLO, || Cache { max_entry: 100, ..cache() });
    for rest in ["", STREAM] {
        assert_eq!(harness.ask("APP_KEY", &question(rest)).transcript.text, "Hello to you");
    }
    assert_eq!(harness.stored("cache/"), 0);
}

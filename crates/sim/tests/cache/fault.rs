//! What is never kept, and stores that fail.

use std::time::Duration;

use config::Cache;
use sim::world::HangUp;

use super::{HELLO, Harness, STREAM, cache, question};

#[test]
fn what_is_not_whole_is_not_kept() {
    for script in [
        "{ answer = 'one two three four', cut_after = 3 }",
        "{ answer = 'one two three four', error_after = 3 }",
        "{ answer = 'one two three four', malformed_after = 3 }",
        "{ answer = 'one two three four', end_after = 3 }",
        "{ answer = 'one two three four', stall_after = 3 }",
        "{ status = 400, json = { error = { message = 'x' } } }",
        "{ json = { choices = [{ message = { content = 'x' }, finish_reason = 'content_filter' }] }, stream = false }",
        "{ answer = 'too long', answer_times = 100000 }",
    ] {
        let is_json = script.contains("json");
        let harness = Harness::new(&format!("script = [{script}]"), cache);
        let rest = if is_json { "" } else { STREAM };
        for _ in 0..2 {
            let seen = harness.ask("app-key", &question(rest));
            assert_eq!(seen.cache, "miss", "{script}: {}", seen.body);
        }
        assert_eq!(harness.kept("cache/"), 0, "{script}");
    }
}

#[test]
fn whoever_leaves_keeps_nothing() {
    let harness = Harness::new("script = [{ answer = 'one two three four', gap = '1s' }]", cache);
    let left = harness.send("app-key", &question(STREAM), &[], HangUp::AfterEvents(3));
    assert_eq!((left.record["outcome"].as_str(), harness.kept("cache/")), (Some("hung_up"), 0));
    assert_eq!(harness.ask("app-key", &question(STREAM)).cache, "miss");
    assert_eq!(harness.kept("cache/"), 1);
}

#[test]
fn a_fallback_speaks_for_itself_alone() {
    let harness = Harness::new(
        "script = [{ status = 500 }, { status = 500 }, { answer = 'from the first' }]",
        cache,
    );
    let one = harness.ask("app-key", &question(""));
    assert_eq!((one.cache.as_str(), one.transcript.text.as_str()), ("miss", "from the fallback"));
    assert_eq!(harness.kept("cache/"), 0);
}

#[test]
fn a_broken_store_breaks_nothing() {
    let mut harness = Harness::new(HELLO, cache);
    harness.world.set_store_unavailable(true);
    for _ in 0..2 {
        harness.next_isolate();
        let seen = harness.ask("app-key", &question(""));
        assert_eq!((seen.status, seen.cache.as_str()), (200, "miss"));
    }
    harness.world.set_store_unavailable(false);
    harness.ask("app-key", &question("")); // served from memory
    harness.next_isolate();
    harness.ask("app-key", &question(""));
    for spoilt in [b"".as_slice(), b"{}", b"\n", b"{\"v\":1}\n{}", b"\xff\n", b"{\"v\":9}\n"] {
        harness.world.corrupt_entries("cache/", spoilt);
        harness.next_isolate();
        let seen = harness.ask("app-key", &question(""));
        assert_eq!((seen.status, seen.cache.as_str()), (200, "miss"), "{spoilt:?}");
    }
    harness.next_isolate();
    assert_eq!(harness.ask("app-key", &question("")).cache, "hit", "it was written anew");
}

#[test]
fn a_slow_store_is_not_waited_for() {
    let mut harness = Harness::new(HELLO, cache);
    harness.ask("app-key", &question(""));
    harness.next_isolate();
    harness.world.set_store_latency(Duration::from_secs(3_000));
    for rest in ["", STREAM] {
        harness.next_isolate();
        let seen = harness.ask("app-key", &question(rest));
        assert_eq!((seen.status, seen.cache.as_str()), (200, "miss"));
        assert!(seen.took <= Duration::from_millis(500), "{:?}", seen.took);
    }
}

#[test]
fn what_is_too_long_is_passed_on() {
    let harness = Harness::new(HELLO, || Cache { max_entry: 100, ..cache() });
    for rest in ["", STREAM] {
        assert_eq!(harness.ask("app-key", &question(rest)).transcript.text, "Hello to you");
    }
    assert_eq!(harness.kept("cache/"), 0);
}

//! The same question at once.

use std::cell::RefCell;
use std::time::Duration;

use sim::world::{HangUp, Received};

use super::{Harness, STREAM, cache, message, question};

/// Plays callers who ask the same in one isolate, a millisecond after each other.
fn send_concurrently(harness: &Harness, rest: &str, callers: &[HangUp]) -> Vec<Received> {
    let all: RefCell<Vec<Option<Received>>> = RefCell::new(vec![None; callers.len()]);
    let play = async |position: usize, hang_up: HangUp| {
        harness.world.executor().sleep(Duration::from_millis(position as u64)).await;
        let answer =
            harness.gateway.handle(harness.world.clone(), message("app-key", &question(rest), &[]));
        let received = harness.world.receive(answer, hang_up).await;
        all.borrow_mut()[position] = Some(received);
    };
    let mut plays: Vec<_> = callers
        .iter()
        .enumerate()
        .map(|(position, hang_up)| Box::pin(play(position, *hang_up)))
        .collect();
    let joined = std::future::poll_fn(|cx| {
        plays.retain_mut(|play| play.as_mut().poll(cx).is_pending());
        if plays.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    harness.world.executor().run(joined).expect("it ends");
    harness.world.executor().drain().expect("it ends");
    all.take().into_iter().map(|received| received.expect("it was played")).collect()
}

fn cache_of(received: &Received) -> &str {
    let (status, headers) = received.head.as_ref().expect("a head");
    assert_eq!(status.as_u16(), 200);
    headers["x-serin-cache"].to_str().expect("text")
}

#[test]
fn one_call_serves_all_who_ask_at_once() {
    let harness = Harness::new("script = [{ answer = 'Hello', delay = '3s' }]", cache);
    let all = send_concurrently(&harness, "", &[HangUp::Never; 5]);
    let outcome: Vec<&str> = all.iter().map(cache_of).collect();
    assert_eq!(
        (outcome.as_slice(), harness.calls()),
        (["miss", "hit", "hit", "hit", "hit"].as_slice(), 1)
    );
    assert!(all.iter().all(|one| one.took < Duration::from_millis(3_200)));
    assert_eq!(harness.world.take_records().len(), 5);
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let harness = Harness::new("script = [{ answer = 'Hello to you', gap = '1s' }]", cache);
    let all = send_concurrently(&harness, STREAM, &[HangUp::Never; 2]);
    assert_eq!(
        (all.iter().map(cache_of).collect::<Vec<_>>(), harness.calls()),
        (vec!["miss", "miss"], 2)
    );
}

#[test]
fn whoever_waits_for_nothing_calls_by_itself() {
    // The first one's answer cannot be kept; the first one hangs up; it takes too long.
    for (script, first) in [
        (
            "{ json = { choices = [{ message = {}, finish_reason = 'content_filter' }] }, delay = '1s' }",
            HangUp::Never,
        ),
        ("{ answer = 'Hello', delay = '2s' }", HangUp::After(Duration::from_secs(1))),
        ("{ answer = 'Hello', delay = '20s' }", HangUp::Never),
    ] {
        let harness = Harness::new(&format!("script = [{script}, {{ answer = 'Hello' }}]"), cache);
        let all = send_concurrently(&harness, "", &[first, HangUp::Never]);
        assert_eq!((cache_of(&all[1]), harness.calls()), ("miss", 2), "{script}");
        assert!(all[1].took < Duration::from_secs(16), "{:?}", all[1].took);
    }
}

//! Coalescing of identical concurrent requests.

use std::cell::RefCell;
use std::time::Duration;

use sim::world::{HangUp, Received};

use super::{Harness, STREAM, cache, message, question};

/// Plays callers with the same request to one isolate, one millisecond apart.
fn send_concurrently(harness: &Harness, rest: &str, callers: &[HangUp]) -> Vec<Received> {
    let all: RefCell<Vec<Option<Received>>> = RefCell::new(vec![None; callers.len()]);
    let play = async |position: usize, hang_up: HangUp| {
        harness.world.executor().sleep(Duration::from_millis(position as u64)).await;
        let answer =
            harness.gateway.handle(harness.world.clone(), message("APP_KEY", &question(rest), &[]));
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

/// Asserts the status 200. Returns the cache header.
fn assert_success(received: &Received) -> &str {
    assert_eq!(received.status(), 200);
    received.header("x-serin-cache")
}

#[test]
fn concurrent_identical_requests_make_one_call() {
    let harness = Harness::new(&["answer = 'Hello'\ndelay = '3s'"], cache);
    let all = send_concurrently(&harness, "", &[HangUp::Never; 5]);
    let outcome: Vec<&str> = all.iter().map(assert_success).collect();
    assert_eq!(
        (outcome.as_slice(), harness.calls()),
        (["miss", "hit", "hit", "hit", "hit"].as_slice(), 1)
    );
    assert!(all.iter().all(|one| one.took < Duration::from_millis(3_200)));
    assert_eq!(harness.world.take_records().len(), 5);
}

#[test]
fn concurrent_streams_make_their_own_calls() {
    let harness = Harness::new(&["answer = 'Hello to you'\ngap = '1s'"], cache);
    let all = send_concurrently(&harness, STREAM, &[HangUp::Never; 2]);
    assert_eq!(
        (all.iter().map(assert_success).collect::<Vec<_>>(), harness.calls()),
        (vec!["miss", "miss"], 2)
    );
}

#[test]
fn waiting_request_without_a_shared_answer_makes_its_own_call() {
    // The first answer cannot be cached; its caller hangs up; it takes too long.
    for (script, first) in [
        (
            "delay = '1s'\njson = { choices = [{ message = {}, finish_reason = 'content_filter' }] }",
            HangUp::Never,
        ),
        ("answer = 'Hello'\ndelay = '2s'", HangUp::After(Duration::from_secs(1))),
        ("answer = 'Hello'\ndelay = '20s'", HangUp::Never),
    ] {
        let harness = Harness::new(&[script, "answer = 'Hello'"], cache);
        let all = send_concurrently(&harness, "", &[first, HangUp::Never]);
        assert_eq!((assert_success(&all[1]), harness.calls()), ("miss", 2), "{script}");
        assert!(all[1].took < Duration::from_secs(16), "{:?}", all[1].took);
    }
}

#[test]
fn slow_first_caller_of_a_long_answer_delays_nobody() {
    // Longer than any answer that is kept, so it is passed on as it comes.
    let answer =
        format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]}}"#, "x".repeat(9 << 20));
    let script = format!("raw = '{answer}'\ncontent_type = 'application/json'\nsplit = 65536");
    let harness = Harness::new(&[&script], cache);
    let ask = || {
        let request = message("APP_KEY", &question(""), &[]);
        harness.gateway.handle(harness.world.clone(), request)
    };
    let unread = harness.world.executor().run(ask()).expect("the head arrives");
    assert_eq!(unread.status(), 200);
    let second = harness.world.executor().run(harness.world.receive(ask(), HangUp::Never));
    let second = second.expect("it ends");
    assert_eq!((assert_success(&second), harness.calls()), ("miss", 2));
    assert!(second.took < Duration::from_secs(10), "{:?}", second.took);
}

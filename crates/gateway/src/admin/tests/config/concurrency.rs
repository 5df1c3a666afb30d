//! Concurrent changes, and crashes in the middle of one.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use serde_json::json;

use crate::testing::fake_host::{block_on_both, poll_times};

use super::{Isolate, document};

/// Waits for this number of polls, then runs `work`.
async fn after<T>(mut polls: usize, work: impl Future<Output = T>) -> T {
    poll_fn(|_| {
        let wait = polls > 0;
        polls = polls.saturating_sub(1);
        if wait { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    work.await
}

#[test]
fn concurrent_puts_have_one_winner() {
    for delay in 0..60 {
        let one = Isolate::first();
        let other = Isolate::sharing(&one.fake);
        let tag = one.etag();
        let (first, second) = (document("first"), document("second"));
        let (left, right) = block_on_both(
            one.send("PUT /admin/v1/config", Some(&tag), &first),
            after(delay, other.send("PUT /admin/v1/config", Some(&tag), &second)),
        );
        let statuses = BTreeSet::from([left.status.as_u16(), right.status.as_u16()]);
        assert_eq!(statuses, BTreeSet::from([200, 412]), "{delay}");
        let (winner, loser) = if left.status == 200 { ("first", right) } else { ("second", left) };
        assert_eq!(loser.body["error"]["current"]["version"], 1, "{delay}");
        one.fake.advance(Duration::from_secs(60));
        assert_eq!((one.model().as_str(), other.model().as_str()), (winner, winner), "{delay}");
        assert_eq!(one.versions().len(), 2, "{delay}");
        let entries = one.fake.entries();
        let attempts = entries.keys().filter(|name| name.starts_with("config/version/")).count();
        assert_eq!(attempts, 1, "{delay}: the loser has deleted its attempt");
    }
}

#[test]
fn crash_during_put_leaves_one_version_for_all_isolates() {
    let mut committed = 0;
    for polls in 1..60 {
        let one = Isolate::first();
        let tag = one.etag();
        let new = document("new");
        poll_times(polls, one.send("PUT /admin/v1/config", Some(&tag), &new));
        // Its deferred tasks are lost, too.
        let other = Isolate::sharing(&one.fake);
        one.fake.advance(Duration::from_secs(60));
        let answer = other.request("GET config?status=true", None, "");
        let version = answer.headers["x-serin-config-version"].to_str().expect("text").to_owned();
        let expected = if version == "1" { "new" } else { "deployed" };
        committed += usize::from(version == "1");
        assert_eq!(
            answer.body["document"]["routes"][0]["models"],
            json!([expected]),
            "after {polls}"
        );
        assert_eq!(other.model(), expected, "after {polls}");
        // Later isolates and the first one serve the same version.
        let late = Isolate::sharing(&one.fake);
        assert_eq!(late.model(), expected, "after {polls}");
        one.fake.advance(Duration::from_secs(60));
        assert_eq!(one.model(), expected, "after {polls}");
        // There is no change without an audit entry.
        let logged = one.fake.entries().keys().any(|name| name.starts_with("audit/"));
        assert!(logged || version == "0", "after {polls}");
        // The change can be repeated.
        let put = late.put(&document("next"));
        assert_eq!(put["version"].as_u64(), version.parse::<u64>().ok().map(|it| it + 1));
        let numbers: Vec<u64> =
            late.versions().iter().filter_map(|it| it["version"].as_u64()).collect();
        let all: Vec<u64> = (0..numbers.len() as u64).rev().collect();
        assert_eq!(numbers, all, "after {polls}");
        for number in numbers {
            late.assert_status(&format!("GET config/versions/{number}"), None, "", 200);
        }
    }
    assert!((2..58).contains(&committed), "crashes before and after the commit: {committed}");
}

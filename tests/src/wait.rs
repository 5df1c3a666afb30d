//! Waits for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longest wait for an expected event. Only a failing test waits for that long, so the bound leaves
/// room for a loaded machine.
pub const EVENT_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until a condition holds, or for up to `timeout`; returns whether it holds.
pub async fn wait_until(timeout: Duration, condition: impl Fn() -> bool) -> bool {
    let until = Instant::now() + timeout;
    while !condition() {
        if Instant::now() >= until {
            return false;
        }
        sleep(POLL_INTERVAL).await;
    }
    true
}

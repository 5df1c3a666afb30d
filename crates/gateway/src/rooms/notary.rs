//! How the ledger is spoken to: in bounded time before an answer, and as often as it takes after it.

use std::time::Duration;

use crate::ledger::{Operation, Place, Reply};
use crate::outage::Outage;
use crate::platform::Platform;

use super::futures::{join, race};

/// How long a ledger may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often something is said that nobody confirms, and the wait before the second time; it doubles.
const TRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(200);
/// A lease is not drawn from in its last moments: the ledger's clock may be ahead of ours, and what
/// was spent must reach it before it takes the lease back.
pub(super) const MARGIN: Duration = Duration::from_secs(1);
/// Asks a ledger, and waits for its answer.
pub(crate) async fn ask<P: Platform>(
    platform: &P,
    place: &Place,
    operation: &Operation,
) -> Result<Reply, Outage> {
    race(platform.apply(place, operation), platform.sleep(PATIENCE))
        .await
        .unwrap_or_else(|| Err(Outage::new("the ledger did not answer in time")))
}

/// Tells ledgers something, beside the answer and until they have confirmed it.
pub(super) fn tell<P: Platform>(platform: &P, told: Vec<(Place, Operation)>) {
    let host = platform.clone();
    platform.defer(async move {
        let told = told.into_iter().map(|(place, operation)| {
            let host = host.clone();
            async move { say(&host, &place, &operation).await }
        });
        join(told.collect()).await;
    });
}

/// Says something until it is confirmed, within bounds. What is lost then returns by its expiry.
pub(super) async fn say<P: Platform>(platform: &P, place: &Place, operation: &Operation) -> bool {
    for attempt in 0..TRIES {
        if attempt > 0 {
            platform.sleep(BACKOFF * (1 << (attempt - 1))).await;
        }
        if ask(platform, place, operation).await.is_ok() {
            return true;
        }
    }
    false
}

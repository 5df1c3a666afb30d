//! Drains an upstream's body after the end of its stream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::host::Host;
use crate::host::body::Body;

/// Time for the upstream to end its body after `[DONE]`, so that the host can reuse the connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_DRAINED_BYTES: usize = 64 << 10;

/// Reads a body to its end in the background, within [`DRAIN_TIMEOUT`] and [`MAX_DRAINED_BYTES`].
pub(super) fn drain_in_background(host: &impl Host, body: Body) {
    host.defer(drain(body, host.sleep(DRAIN_TIMEOUT)));
}

async fn drain(mut body: Body, timer: impl Future<Output = ()>) {
    let mut timer = pin!(timer);
    let mut drained = 0;
    poll_fn(|cx| {
        while let Poll::Ready(piece) = body.poll_piece(cx) {
            match piece {
                Some(Ok(piece)) if drained < MAX_DRAINED_BYTES => drained += piece.len(),
                Some(_) | None => return Poll::Ready(()),
            }
        }
        timer.as_mut().poll(cx)
    })
    .await;
}

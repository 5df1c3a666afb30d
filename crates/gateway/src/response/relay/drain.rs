//! Drains an upstream's body after the end of its stream, or after its caller left.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::host::Host;
use crate::host::body::Body;
use crate::upstream::sse_reader::{SseReader, StreamState};

/// Time for the upstream to end its body after `[DONE]`, so that the host can reuse the connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_DRAINED_BYTES: usize = 64 << 10;

/// Reads a body to its end in the background, within [`DRAIN_TIMEOUT`] and [`MAX_DRAINED_BYTES`].
pub(super) fn drain_in_background(host: &impl Host, body: Body) {
    host.defer(drain(body, host.sleep(DRAIN_TIMEOUT)));
}

/// Time for the usage to arrive after the caller left.
const USAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes before the usage that are read after the caller left.
const MAX_BYTES_BEFORE_USAGE: usize = 64 << 10;

/// Reads on until the usage has arrived, within [`USAGE_TIMEOUT`] and [`MAX_BYTES_BEFORE_USAGE`].
pub(super) async fn read_usage(
    host: &impl Host,
    mut body: Body,
    mut reader: SseReader,
) -> SseReader {
    let mut timer = pin!(host.sleep(USAGE_TIMEOUT));
    let (mut length, mut events) = (0, VecDeque::new());
    poll_fn(|cx| {
        while let Poll::Ready(piece) = body.poll_piece(cx) {
            let Some(Ok(piece)) = piece else { return Poll::Ready(()) };
            length += piece.len();
            let state = reader.push(piece, &mut events);
            events.clear();
            let is_over = state != StreamState::Open || length > MAX_BYTES_BEFORE_USAGE;
            if is_over || !reader.meter().awaits_usage() {
                return Poll::Ready(());
            }
        }
        timer.as_mut().poll(cx)
    })
    .await;
    reader
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

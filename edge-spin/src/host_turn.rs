//! A turn of the host between two steps of a request.

use std::future::poll_fn;
use std::task::Poll;

/// Lets every other ready task, and the host, run once.
///
/// A call to the store blocks the instance, and Spin runs its connections on another thread meanwhile. They
/// are back in step with the instance after one turn: an upstream's request that left before would be
/// sent in two segments.
pub(crate) async fn yield_once() {
    let mut is_second_poll = false;
    poll_fn(|cx| {
        if is_second_poll {
            return Poll::Ready(());
        }
        is_second_poll = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! Concurrent futures: timeout, join, select.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use crate::host::Clock;

/// Runs `work` until `timer` completes; `None` if the timer is first, and `work` is dropped.
pub(crate) async fn until_timer<T>(
    work: impl Future<Output = T>,
    timer: impl Future<Output = ()>,
) -> Option<T> {
    let (mut work, mut timer) = (pin!(work), pin!(timer));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Runs `work` for at most `time`; `None` if it takes longer, and `work` is dropped.
pub(crate) async fn timeout<T>(
    clock: &impl Clock,
    time: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    until_timer(work, clock.sleep(time)).await
}

/// Runs futures concurrently and returns their results in order.
pub(crate) async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *slot = Some(output),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The result of the future that is ready first.
pub(crate) enum Either<T> {
    Left(T),
    Right(T),
}

/// Polls both and returns the output of the one that is ready first.
pub(crate) async fn select<T>(
    mut left: Pin<&mut impl Future<Output = T>>,
    mut right: Pin<&mut impl Future<Output = T>>,
) -> Either<T> {
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

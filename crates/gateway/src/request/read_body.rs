//! Reading of a request's body within bounds on its length, its time, and the isolate's memory.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use crate::error::{Error, Fault, Refusal};
use crate::host::Clock;
use crate::host::body::{self, Body};
use crate::host::futures::until_timer;

use super::body_budget::{BodyBudget, BodyPermit};
use super::headers::has_media_type;

/// Time without a byte after which a body is given up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that must arrive within [`SPEED_PERIOD`], again and again: 1 KiB per second.
const MIN_PERIOD_BYTES: usize = 30 << 10;
/// Period in which the speed of a body is measured.
const SPEED_PERIOD: Duration = Duration::from_secs(30);

/// Bytes of an unread body that are dropped before a response.
const MAX_DRAINED_BYTES: usize = 32 << 20;
/// Time for which an unread body is dropped before a response.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds on a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyBounds<'a> {
    /// The greatest length, in bytes.
    pub max_bytes: usize,
    /// Deadline of the request.
    pub deadline: Timestamp,
    /// The isolate's budget.
    pub budget: &'a Rc<BodyBudget>,
}

/// A whole body, with its share of the isolate's budget.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    pub bytes: Bytes,
    pub permit: BodyPermit,
}

/// Reads a JSON body. What is left of it after an error can be drained.
pub(crate) async fn read_json_body(
    host: &impl Clock,
    headers: &HeaderMap,
    body: &mut Body,
    bounds: BodyBounds<'_>,
) -> Result<ReceivedBody, Error> {
    // `text/plain` is refused too: a page of any origin may send it without a preflight request.
    if !has_media_type(headers, &["application/json"]) {
        return Err(Refusal::UnsupportedMediaType.into());
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Refusal::Encoded.into());
    }
    let limit = bounds.max_bytes;
    if content_length(headers).is_some_and(|length| length > limit) {
        return Err(Refusal::TooLarge { limit }.into());
    }
    // A burst at the start must not allow an hour of silence.
    let (mut period_began, mut period_start) = (host.now(), 0);
    let mut permit = bounds.budget.permit();
    let mut whole = Bytes::new();
    loop {
        let received = whole.len();
        let late = || Error::from(Refusal::BodyTimeout { received });
        let now = host.now();
        if received - period_start >= MIN_PERIOD_BYTES {
            (period_began, period_start) = (now, received);
        }
        let deadline = bounds.deadline.min(period_began + SPEED_PERIOD);
        // A host's timer never fires while pieces are always available.
        if now >= deadline {
            *body = Body::Empty;
            return Err(late());
        }
        let piece = match body::now_or_never(body).await {
            Some(piece) => piece,
            None => {
                let timer = host.sleep(deadline.min(now + IDLE_TIMEOUT).since(now));
                match until_timer(body.next_piece(), timer).await {
                    Some(piece) => piece,
                    // The rest would be as late.
                    None => {
                        *body = Body::Empty;
                        return Err(late());
                    }
                }
            }
        };
        let Some(piece) = piece.transpose().map_err(|_| Refusal::BodyBroken)? else {
            return Ok(ReceivedBody { bytes: whole, permit });
        };
        if received + piece.len() > limit {
            return Err(Refusal::TooLarge { limit }.into());
        }
        permit.grow(piece.len()).map_err(|_| Fault::Overloaded)?;
        whole = body::append(whole, piece);
    }
}

/// Reads and drops the rest of a body within bounds. Many clients read no response before they have sent
/// their request: a connection that closes under the upload would hide the answer from them.
pub(crate) async fn drain_body(host: &impl Clock, headers: &HeaderMap, body: &mut Body) {
    if !matches!(body, Body::Stream(_))
        || content_length(headers).is_some_and(|length| length > MAX_DRAINED_BYTES)
    {
        return;
    }
    let until = host.now() + DRAIN_TIMEOUT;
    let mut dropped = 0;
    let drop_rest = async {
        while let Some(Ok(piece)) = body.next_piece().await {
            dropped += piece.len();
            if dropped > MAX_DRAINED_BYTES || host.now() >= until {
                break;
            }
        }
    };
    until_timer(drop_rest, host.sleep(DRAIN_TIMEOUT)).await;
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use bytes::Bytes;
    use http::HeaderMap;
    use http::header::{CONTENT_LENGTH, HeaderValue};

    use crate::error::{Error, Fault, Refusal};
    use crate::host::Clock;
    use crate::host::body::Body;
    use crate::request::body_budget::{BODY_COPIES, BodyBudget};
    use crate::testing::fake_host::{FakeHost, block_on};
    use crate::testing::pieces::Pieces;

    use super::{BodyBounds, ReceivedBody, drain_body, read_json_body};

    fn body(
        host: &FakeHost,
        (size, count): (usize, usize),
        every: u64,
        ends: bool,
    ) -> (Body, Rc<Cell<usize>>) {
        Pieces { size, count, every: Duration::from_secs(every), ends }.into_body(host)
    }

    fn read(host: &FakeHost, body: &mut Body, total: u64) -> Result<ReceivedBody, Error> {
        let deadline = host.now() + Duration::from_secs(total);
        let budget = Rc::new(BodyBudget::new(1_000));
        let bounds = BodyBounds { max_bytes: 100_000, deadline, budget: &budget };
        block_on(read_json_body(host, &HeaderMap::new(), body, bounds))
    }

    #[track_caller]
    fn assert_late(found: Result<ReceivedBody, Error>, expected: usize) {
        let is_late = matches!(
            &found,
            Err(Error::Refusal(Refusal::BodyTimeout { received })) if *received == expected
        );
        assert!(is_late, "{found:?}");
    }

    #[test]
    fn body_that_dribbles_is_given_up_at_the_deadline() {
        let host = FakeHost::new();
        let (mut slow, _) = body(&host, (1, 1_000), 5, true);
        assert_late(read(&host, &mut slow, 20), 4);
        assert!(matches!(slow, Body::Empty), "nothing is drained");
    }

    #[test]
    fn body_below_the_least_speed_is_given_up_before_a_long_deadline() {
        let host = FakeHost::new();
        let (mut slow, _) = body(&host, (1, 1_000), 5, true);
        assert_late(read(&host, &mut slow, 600), 6);
        // A slow line is not too slow.
        let (mut line, _) = body(&host, (2_048, 40), 1, true);
        assert_eq!(read(&host, &mut line, 600).expect("in time").bytes.len(), 2_048 * 40);
    }

    #[test]
    fn body_that_stalls_is_given_up() {
        let host = FakeHost::new();
        let before = host.now();
        let (mut stalls, _) = body(&host, (90_000, 1), 0, false);
        assert_late(read(&host, &mut stalls, 600), 90_000);
        assert_eq!(host.now().since(before), Duration::from_secs(30));
    }

    #[test]
    fn body_beyond_the_budget_is_refused_before_it_is_read_on() {
        let host = FakeHost::new();
        let budget = Rc::new(BodyBudget::new(1_000 * BODY_COPIES));
        let mut other = budget.permit();
        other.grow(900).expect("it is alone");
        let (mut long, pieces) = body(&host, (60, 10), 0, true);
        let deadline = host.now() + Duration::from_secs(60);
        let bounds = BodyBounds { max_bytes: 100_000, deadline, budget: &budget };
        let found = block_on(read_json_body(&host, &HeaderMap::new(), &mut long, bounds));
        assert!(matches!(found, Err(Error::Fault(Fault::Overloaded))), "{found:?}");
        assert_eq!(pieces.get(), 2);
        drop(other);
        // The refused request returned its bytes.
        let mut all = budget.permit();
        assert_eq!((all.grow(1_000), budget.permit().grow(1).is_err()), (Ok(()), true));
    }

    #[test]
    fn rest_of_a_body_is_dropped_within_bounds() {
        let host = FakeHost::new();
        let drained = |(size, count): (usize, usize), every, ends, announced: Option<usize>| {
            let (mut rest, pieces) = body(&host, (size, count), every, ends);
            let length = announced.map(|length| (CONTENT_LENGTH, HeaderValue::from(length)));
            let before = host.now();
            block_on(drain_body(&host, &HeaderMap::from_iter(length), &mut rest));
            (pieces.get(), host.now().since(before).as_secs())
        };
        assert_eq!(drained((1 << 20, 8), 0, true, Some(8 << 20)), (8, 0));
        assert_eq!(drained((1 << 20, 100), 0, true, None), (33, 0));
        assert_eq!(drained((1, 100), 1, true, None), (5, 5));
        assert_eq!(drained((1, 1), 0, false, None), (1, 5));
        assert_eq!(drained((1 << 20, 8), 0, true, Some(1 << 30)), (0, 0));
    }

    #[test]
    fn drain_of_a_read_body_needs_no_time() {
        let host = FakeHost::new();
        for mut done in [Body::Empty, Body::from(Bytes::from_static(b"x"))] {
            let before = host.now();
            block_on(drain_body(&host, &HeaderMap::new(), &mut done));
            assert_eq!(host.now(), before);
        }
    }
}

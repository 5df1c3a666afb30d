//! The caller of a request: what it reads, and when it goes away.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use gateway::host::body::Body;

use crate::scenario::count_events;

/// When a caller goes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HangUp {
    /// It reads to the end.
    #[default]
    Never,
    /// After this many events, comments included.
    AfterEvents(usize),
    /// After this many pieces of the body.
    AfterPieces(usize),
    /// After this time, whatever has come by then.
    After(Duration),
}

/// What a caller got.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The head, if it came.
    pub head: Option<(http::StatusCode, http::HeaderMap)>,
    /// The pieces of the body, and when each came.
    pub pieces: Vec<(Duration, Bytes)>,
    /// The host would have to break the body off: something no caller should see.
    pub broken: Option<String>,
    /// The body was read to its end.
    pub is_whole: bool,
    /// The time from the request to the end, or to the hang-up.
    pub took: Duration,
}

impl Received {
    /// The body as far as it came.
    pub fn body(&self) -> Bytes {
        let pieces: Vec<&[u8]> = self.pieces.iter().map(|(_, piece)| &piece[..]).collect();
        pieces.concat().into()
    }
}

/// Reads an answer as far as the caller wants it.
pub(super) async fn read(
    answer: impl Future<Output = http::Response<Body>>,
    hang_up: HangUp,
    received: &mut Received,
    age: impl Fn() -> Duration,
) {
    let (head, mut body) = answer.await.into_parts();
    received.head = Some((head.status, head.headers));
    loop {
        let had_enough = match hang_up {
            HangUp::AfterEvents(count) => count_events(&received.body()) >= count,
            HangUp::AfterPieces(count) => received.pieces.len() >= count,
            HangUp::Never | HangUp::After(_) => false,
        };
        if had_enough {
            return;
        }
        match body.next_piece().await {
            Some(Ok(piece)) => received.pieces.push((age(), piece)),
            Some(Err(error)) => {
                received.broken = Some(error.reason().to_owned());
                return;
            }
            None => {
                received.is_whole = true;
                return;
            }
        }
    }
}

//! Simulated caller: reads a response and hangs up at a given moment.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use gateway::host::body::Body;
use serde_json::Value;

use crate::scenario::count_events;

/// Moment at which a caller hangs up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HangUp {
    /// The caller reads to the end.
    #[default]
    Never,
    /// After this many events, comments included.
    AfterEvents(usize),
    /// After this many pieces of the body.
    AfterPieces(usize),
    /// After this time since the request, regardless of progress.
    After(Duration),
}

/// Response as the caller received it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Status and headers; `None` if the caller hung up before them.
    pub head: Option<(http::StatusCode, http::HeaderMap)>,
    /// Pieces of the body, each with the time from the request to its arrival.
    pub pieces: Vec<(Duration, Bytes)>,
    /// Reason for which the host would have to break the body off; `None` otherwise.
    pub broken: Option<String>,
    /// Whether the body was read to its end.
    pub is_whole: bool,
    /// Time from the request to the end or to the hang-up.
    pub took: Duration,
}

impl Received {
    /// Returns the body as far as it arrived.
    pub fn body(&self) -> Bytes {
        let pieces: Vec<&[u8]> = self.pieces.iter().map(|(_, piece)| &piece[..]).collect();
        pieces.concat().into()
    }

    /// Returns the body as text. Panics if it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body().to_vec()).expect("the body is UTF-8")
    }

    /// Returns the body as JSON. Panics if it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body()).expect("the body is JSON")
    }

    /// Returns the status. Panics if the caller hung up before the head.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.head.as_ref().expect("the response has a head").0.as_u16()
    }

    /// Returns a header; empty if it is absent. Panics if the caller hung up before the head.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let (_, headers) = self.head.as_ref().expect("the response has a head");
        headers.get(name).map_or("", |value| value.to_str().expect("the header is text"))
    }
}

/// Reads a response up to its end or to the hang-up.
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

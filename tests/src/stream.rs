//! Streams that are read but not stored, so that any number of them, of any length, can be open.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Longest pause of a stream.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Last event of a complete stream.
const DONE_EVENT: &[u8] = b"data: [DONE]\n\n";

/// The caller's end of a stream. Dropping it disconnects.
pub struct Stream {
    body: Incoming,
    counts: StreamCounts,
    /// Kept, since dropping it would signal that no more requests follow.
    _sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

/// Request for a stream.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    pub path: String,
    /// The bearer token.
    pub token: String,
    /// The body, with `stream` set.
    pub body: Value,
}

/// Counts of a stream's events and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Complete events, including `[DONE]`.
    pub events: usize,
    pub bytes: usize,
    /// The last bytes, enough to recognize the stream's end.
    tail: Vec<u8>,
}

impl StreamCounts {
    fn add_piece(&mut self, piece: &[u8]) {
        let begins = self.tail.last() == Some(&b'\n') && piece.first() == Some(&b'\n');
        self.events += usize::from(begins) + memchr::memmem::find_iter(piece, b"\n\n").count();
        self.bytes += piece.len();
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(DONE_EVENT.len())..]);
        self.tail.drain(..self.tail.len().saturating_sub(DONE_EVENT.len()));
    }

    /// Whether it ended with `[DONE]`. The gateway sends that for complete streams only.
    pub fn is_whole(&self) -> bool {
        self.tail == DONE_EVENT
    }
}

impl Stream {
    /// Opens a stream; any status but success is an error.
    pub async fn open(address: SocketAddr, request: &StreamRequest) -> anyhow::Result<Self> {
        timeout(SILENCE_TIMEOUT, Self::send(address, request))
            .await
            .context("no response in time")?
    }

    async fn send(address: SocketAddr, stream_request: &StreamRequest) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        let request = http::Request::post(&stream_request.path)
            .header("host", address.to_string())
            .header("authorization", format!("Bearer {}", stream_request.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(stream_request.body.to_string())))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let mut stream =
            Self { body, counts: StreamCounts::default(), _sender: sender, connection };
        if head.status != 200 {
            while stream.more().await? {}
            let end = String::from_utf8_lossy(&stream.counts.tail).into_owned();
            anyhow::bail!("{}: …{end}", head.status);
        }
        Ok(stream)
    }

    /// Reads one frame; returns whether there was one.
    async fn more(&mut self) -> anyhow::Result<bool> {
        let frame = timeout(SILENCE_TIMEOUT, self.body.frame()).await.context("stream stalled")?;
        let Some(frame) = frame else { return Ok(false) };
        self.counts.add_piece(&frame?.into_data().unwrap_or_default());
        Ok(true)
    }

    /// Reads until `count` events have arrived; returns the counts.
    pub async fn events(&mut self, count: usize) -> anyhow::Result<&StreamCounts> {
        while self.counts.events < count {
            ensure!(self.more().await?, "ended after {:?}", self.counts);
        }
        Ok(&self.counts)
    }

    /// Reads to the end, which must be that of a complete stream.
    pub async fn end(mut self) -> anyhow::Result<StreamCounts> {
        while self.more().await? {}
        ensure!(self.counts.is_whole(), "incomplete: {:?}", self.counts);
        Ok(std::mem::take(&mut self.counts))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Opens several streams at once; each has received its role and its first word.
pub async fn open_streams(
    address: SocketAddr,
    request: &StreamRequest,
    count: usize,
) -> anyhow::Result<Vec<Stream>> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let request = request.clone();
        opening.spawn(async move {
            let mut stream = Stream::open(address, &request).await?;
            stream.events(2).await?;
            anyhow::Ok(stream)
        });
    }
    opening.join_all().await.into_iter().collect()
}

/// Reads all of them to their ends, concurrently.
pub async fn read_all_to_end(streams: Vec<Stream>) -> anyhow::Result<Vec<StreamCounts>> {
    let mut ending = JoinSet::new();
    for stream in streams {
        ending.spawn(stream.end());
    }
    ending.join_all().await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::StreamCounts;

    #[test]
    fn counts_are_equal_for_any_split() {
        let text = b"data: {}\n\ndata: {}\n\ndata: [DONE]\n\n";
        for size in 1..=text.len() {
            let mut counts = StreamCounts::default();
            text.chunks(size).for_each(|piece| counts.add_piece(piece));
            assert_eq!((counts.events, counts.bytes), (3, text.len()), "{size}");
            assert!(counts.is_whole());
        }
        let mut cut = StreamCounts::default();
        cut.add_piece(&text[..text.len() - 1]);
        assert!(cut.events == 2 && !cut.is_whole());
    }
}

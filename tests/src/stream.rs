//! Streams that are read as they come and not kept, so that any number of them, of any length, can be
//! open.

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

/// How long a stream may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// What ends a stream that is whole.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// The caller's end of a stream. Dropping it hangs up.
pub struct Stream {
    body: Incoming,
    tally: Tally,
    /// Dropping it would say that nothing more is asked.
    _sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The bearer token.
    pub token: String,
    /// The body, which asks for a stream.
    pub body: Value,
}

/// What has come of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that are whole, `[DONE]` among them.
    pub events: usize,
    /// Bytes.
    pub bytes: usize,
    /// The last bytes, enough to tell how it ended.
    tail: Vec<u8>,
}

impl Tally {
    fn take(&mut self, piece: &[u8]) {
        let begins = self.tail.last() == Some(&b'\n') && piece.first() == Some(&b'\n');
        self.events += usize::from(begins) + memchr::memmem::find_iter(piece, b"\n\n").count();
        self.bytes += piece.len();
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(DONE.len())..]);
        self.tail.drain(..self.tail.len().saturating_sub(DONE.len()));
    }

    /// Whether it ended as a whole stream does. The gateway says so of no other.
    pub fn is_whole(&self) -> bool {
        self.tail == DONE
    }
}

impl Stream {
    /// Asks for a stream, which must be a success.
    pub async fn open(address: SocketAddr, asked: &Asked) -> anyhow::Result<Self> {
        timeout(PATIENCE, Self::ask(address, asked)).await.context("no answer in time")?
    }

    async fn ask(address: SocketAddr, asked: &Asked) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        let request = http::Request::post(&asked.path)
            .header("host", address.to_string())
            .header("authorization", format!("Bearer {}", asked.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(asked.body.to_string())))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let mut stream = Self { body, tally: Tally::default(), _sender: sender, connection };
        if head.status != 200 {
            while stream.more().await? {}
            let end = String::from_utf8_lossy(&stream.tally.tail).into_owned();
            anyhow::bail!("{}: …{end}", head.status);
        }
        Ok(stream)
    }

    /// Reads one piece; says whether there was one.
    async fn more(&mut self) -> anyhow::Result<bool> {
        let frame = timeout(PATIENCE, self.body.frame()).await.context("it went silent")?;
        let Some(frame) = frame else { return Ok(false) };
        self.tally.take(&frame?.into_data().unwrap_or_default());
        Ok(true)
    }

    /// Reads until so many events have come; says what has.
    pub async fn events(&mut self, count: usize) -> anyhow::Result<&Tally> {
        while self.tally.events < count {
            ensure!(self.more().await?, "it ended after {:?}", self.tally);
        }
        Ok(&self.tally)
    }

    /// Reads to the end, which must be that of a whole stream.
    pub async fn end(mut self) -> anyhow::Result<Tally> {
        while self.more().await? {}
        ensure!(self.tally.is_whole(), "it broke off after {:?}", self.tally);
        Ok(std::mem::take(&mut self.tally))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Opens so many streams at once; each has had its role and its first word.
pub async fn crowd(
    address: SocketAddr,
    asked: &Asked,
    count: usize,
) -> anyhow::Result<Vec<Stream>> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let asked = asked.clone();
        opening.spawn(async move {
            let mut stream = Stream::open(address, &asked).await?;
            stream.events(2).await?;
            anyhow::Ok(stream)
        });
    }
    opening.join_all().await.into_iter().collect()
}

/// Reads all of them to their ends, side by side.
pub async fn dismiss(streams: Vec<Stream>) -> anyhow::Result<Vec<Tally>> {
    let mut ending = JoinSet::new();
    for stream in streams {
        ending.spawn(stream.end());
    }
    ending.join_all().await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn however_it_is_split_it_is_counted_alike() {
        let text = b"data: {}\n\ndata: {}\n\ndata: [DONE]\n\n";
        for size in 1..=text.len() {
            let mut tally = Tally::default();
            text.chunks(size).for_each(|piece| tally.take(piece));
            assert_eq!((tally.events, tally.bytes), (3, text.len()), "{size}");
            assert!(tally.is_whole());
        }
        let mut cut = Tally::default();
        cut.take(&text[..text.len() - 1]);
        assert!(cut.events == 2 && !cut.is_whole());
    }
}

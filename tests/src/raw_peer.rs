//! HTTP at the byte level, for tests that observe the arrival of each byte.

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::EVENT_TIMEOUT;

/// One side of a connection, byte by byte.
pub struct RawPeer {
    stream: TcpStream,
    /// Bytes that have arrived and are not yet discarded.
    pub received: Vec<u8>,
}

impl RawPeer {
    /// Takes over a connection.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        timeout(EVENT_TIMEOUT, self.stream.write_all(text.as_bytes()))
            .await
            .context("the peer did not read")??;
        Ok(())
    }

    /// Reads until a text has arrived.
    pub async fn until(&mut self, text: &str) -> anyhow::Result<()> {
        let needle = text.as_bytes();
        while !self.received.windows(needle.len()).any(|window| window == needle) {
            let mut piece = [0; 16 << 10];
            let read = timeout(EVENT_TIMEOUT, self.stream.read(&mut piece)).await;
            let count = read.with_context(|| format!("timed out before {text:?}"))??;
            anyhow::ensure!(count > 0, "the stream ended before {text:?}");
            self.received.extend_from_slice(&piece[..count]);
        }
        Ok(())
    }

    /// Reads what has arrived, at least one byte.
    pub async fn read_piece(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut piece = vec![0; 64 << 10];
        let read = timeout(EVENT_TIMEOUT, self.stream.read(&mut piece)).await;
        let count = read.context("nothing arrived")??;
        anyhow::ensure!(count > 0, "the stream ended");
        piece.truncate(count);
        Ok(piece)
    }

    /// Reads a whole request with a JSON body, and discards it.
    pub async fn request(&mut self) -> anyhow::Result<()> {
        self.until("\"messages\"").await?;
        self.received.clear();
        Ok(())
    }

    /// Reads to the end, orderly or not, and returns the last bytes, at most 64.
    pub async fn read_to_end(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut piece = vec![0; 64 << 10];
        let mut last = Vec::new();
        loop {
            match timeout(EVENT_TIMEOUT, self.stream.read(&mut piece))
                .await
                .context("not closed")?
            {
                Ok(count) if count > 0 => {
                    last.extend_from_slice(&piece[..count]);
                    last.drain(..last.len().saturating_sub(64));
                }
                Ok(_) | Err(_) => return Ok(last),
            }
        }
    }

    /// Resets the connection, as a caller does that disconnects. workerd does not treat the mere end of
    /// a caller's data as a disconnect, since half-closed connections are valid HTTP.
    pub fn reset(self) -> anyhow::Result<()> {
        self.stream.set_zero_linger()?;
        Ok(())
    }

    /// Waits until the other side has closed the connection.
    pub async fn closed(&mut self) -> anyhow::Result<()> {
        let mut piece = [0; 64];
        while !matches!(self.stream.read(&mut piece).await, Ok(0) | Err(_)) {}
        Ok(())
    }
}

/// A text as one chunk of a body.
pub fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Body of a chunked response.
pub fn unchunked(response: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(response)?;
    let (_, mut rest) = text.split_once("\r\n\r\n").context("no end of the head")?;
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").context("no chunk length")?;
        let length = usize::from_str_radix(length, 16)?;
        if length == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..length).context("truncated chunk")?);
        rest = after.get(length + 2..).context("truncated chunk")?;
    }
}

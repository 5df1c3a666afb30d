//! Reads responses from a kept-alive connection, down to the last byte of each.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use sim::server::STAMP_PREFIX;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// End of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// A connection's incoming side; its buffers are reused for every response.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: BytesMut,
    /// Body of the last response.
    pub(super) body: Vec<u8>,
    /// Time from the upstream's write of the first content to its arrival; `None` if it has no time
    /// stamp.
    pub(super) transit: Option<Duration>,
    /// Whether the content is searched for a time stamp.
    has_time_stamp: bool,
    /// Cache status of the last response.
    pub(super) cache: Option<String>,
}

/// Fields of a response's head.
#[derive(Debug, PartialEq, Eq)]
struct ResponseHead {
    status: u16,
    framing: Framing,
    length: usize,
    cache: Option<String>,
}

/// Times of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Arrival of the first byte of its body.
    pub(super) first: Instant,
    /// Arrival of its end.
    pub(super) end: Instant,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            buffer: BytesMut::with_capacity(64 << 10),
            body: Vec::with_capacity(128 << 10),
            transit: None,
            has_time_stamp: false,
            cache: None,
        }
    }

    /// A reader that reads the time stamp of the first content ([`CannedResponse::prelude`]).
    ///
    /// [`CannedResponse::prelude`]: sim::server::CannedResponse::prelude
    pub(super) fn with_time_stamp() -> Self {
        Self { has_time_stamp: true, ..Self::new() }
    }

    /// Reads one response, which must be a success.
    pub(super) async fn read_response(&mut self, stream: &mut TcpStream) -> anyhow::Result<Times> {
        let framing = loop {
            if let Some(ResponseHead { status, framing, length, cache }) = head(&self.buffer)? {
                if status != 200 {
                    bail!("unexpected response: {}", String::from_utf8_lossy(&self.buffer));
                }
                self.buffer.advance(length);
                self.cache = cache;
                break framing;
            }
            self.read_more(stream).await?;
        };
        self.body.clear();
        self.transit = None;
        self.read_time_stamp();
        if self.buffer.is_empty() {
            self.read_more(stream).await?;
        }
        let first = Instant::now();
        match framing {
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    self.read_more(stream).await?;
                }
                self.body.extend_from_slice(&self.buffer[..length]);
                self.buffer.advance(length);
            }
            Framing::Chunked => {
                while !self.take_chunks()? {
                    self.read_more(stream).await?;
                }
            }
        }
        ensure!(self.buffer.is_empty(), "bytes after the response");
        Ok(Times { first, end: Instant::now() })
    }

    /// Takes the complete chunks; returns whether the last one was among them.
    fn take_chunks(&mut self) -> anyhow::Result<bool> {
        loop {
            let httparse::Status::Complete((start, size)) =
                httparse::parse_chunk_size(&self.buffer)
                    .map_err(|_| anyhow::anyhow!("invalid chunk"))?
            else {
                return Ok(false);
            };
            let end = start + usize::try_from(size)?;
            if self.buffer.len() < end + 2 {
                return Ok(false);
            }
            self.body.extend_from_slice(&self.buffer[start..end]);
            self.buffer.advance(end + 2);
            if size == 0 {
                return Ok(true);
            }
        }
    }

    async fn read_more(&mut self, stream: &mut TcpStream) -> anyhow::Result<()> {
        self.buffer.reserve(16 << 10);
        let count = stream.read_buf(&mut self.buffer).await?;
        ensure!(count > 0, "connection closed before the response's end");
        self.read_time_stamp();
        Ok(())
    }

    fn read_time_stamp(&mut self) {
        if self.has_time_stamp && self.transit.is_none() {
            self.transit = time_stamp(&self.buffer)
                .map(|written| SystemTime::now().duration_since(written).unwrap_or_default());
        }
    }
}

/// Time stamp in a text.
fn time_stamp(text: &[u8]) -> Option<SystemTime> {
    let at = memchr::memmem::find(text, STAMP_PREFIX.as_bytes())? + STAMP_PREFIX.len();
    let digits = std::str::from_utf8(text.get(at..at + 16)?).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_micros(digits.parse().ok()?))
}

/// Parses a head; `None` if it is incomplete.
fn head(bytes: &[u8]) -> anyhow::Result<Option<ResponseHead>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let header = |name: &str| {
        let header =
            response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let framing = match header("content-length") {
        Some(length) => Framing::Length(length.parse()?),
        None if header("transfer-encoding") == Some("chunked") => Framing::Chunked,
        None => bail!("no content-length and no chunks"),
    };
    let cache = header("x-serin-cache").map(str::to_owned);
    let status = response.code.context("no status in the head")?;
    Ok(Some(ResponseHead { status, framing, length, cache }))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use std::time::{Duration, SystemTime};

    use super::{Framing, Reader, ResponseHead, head, time_stamp};

    #[test]
    fn head_defines_the_end_of_the_body() {
        let half = b"HTTP/1.1 200 OK\r\ncontent-le";
        assert_eq!(head(half).expect("an incomplete head"), None);
        let whole = b"HTTP/1.1 404 No\r\nContent-Length: 12\r\nX-Serin-Cache: hit\r\n\r\nabc";
        let cache = Some("hit".to_owned());
        let expected =
            ResponseHead { status: 404, framing: Framing::Length(12), length: 59, cache };
        assert_eq!(head(whole).expect("a valid head"), Some(expected));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn time_stamp_is_read_once_it_is_complete() {
        let text = br#"data: {"choices":[{"delta":{"content":"@0000000001500000"}}]}"#;
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        assert_eq!(time_stamp(text), Some(time));
        assert_eq!(time_stamp(&text[..50]), None);
    }

    #[tokio::test]
    async fn responses_on_one_connection_are_read_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let writer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            for byte in b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nb\r\ndefghijklmn\r\n0\r\n\r\n" {
                stream.write_all(&[*byte]).await.expect("peer reads");
                tokio::task::yield_now().await;
            }
            let mut request = [0];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut request).await.expect("a byte");
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                .await
                .expect("peer reads");
        });
        let mut stream = TcpStream::connect(address).await.expect("a listener");
        let mut reader = Reader::new();
        reader.read_response(&mut stream).await.expect("a response");
        assert_eq!(reader.body, b"abcdefghijklmn");
        stream.write_all(b"?").await.expect("peer reads");
        reader.read_response(&mut stream).await.expect("a second response");
        assert_eq!(reader.body, b"hi");
        writer.await.expect("writer succeeds");
    }
}

//! HTTP/1.1 parser of requests and writer of heads and chunks. No sockets.

use std::fmt::Write as _;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Longest request head.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Longest request body.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 128;

/// Head of a request.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether the caller closes the connection after the response.
    pub(super) closes: bool,
}

/// Framing of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// The bytes are not HTTP/1.1 or exceed a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidHttp;

/// Removes a head from the front of a buffer. `None` if it is incomplete.
pub(super) fn take_head(buffer: &mut BytesMut) -> Result<Option<RequestHead>, InvalidHttp> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(buffer).map_err(|_| InvalidHttp)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if buffer.len() > MAX_HEAD_BYTES => return Err(InvalidHttp),
        httparse::Status::Partial => return Ok(None),
    };
    let mut map = HeaderMap::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| InvalidHttp)?;
        map.append(name, HeaderValue::from_bytes(header.value).map_err(|_| InvalidHttp)?);
    }
    let text = |name| map.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let framing = if text("transfer-encoding").eq_ignore_ascii_case("chunked") {
        Framing::Chunked
    } else {
        match text("content-length") {
            "" => Framing::Length(0),
            length => Framing::Length(length.parse().map_err(|_| InvalidHttp)?),
        }
    };
    if matches!(framing, Framing::Length(length) if length > MAX_BODY_BYTES) {
        return Err(InvalidHttp);
    }
    let target = request.path.unwrap_or("/");
    let target = match target.strip_prefix("http://") {
        Some(absolute) => absolute.find('/').map_or("/", |slash| &absolute[slash..]),
        None => target,
    };
    let connection = text("connection");
    let closes = connection.eq_ignore_ascii_case("close")
        || (request.version == Some(0) && !connection.eq_ignore_ascii_case("keep-alive"));
    let head = RequestHead {
        method: request.method.unwrap_or_default().to_owned(),
        target: target.to_owned(),
        framing,
        closes,
        headers: map,
    };
    buffer.advance(length);
    Ok(Some(head))
}

/// Removes a body from the front of a buffer. `None` if it is incomplete.
pub(super) fn take_body(
    buffer: &mut BytesMut,
    framing: Framing,
) -> Result<Option<Bytes>, InvalidHttp> {
    match framing {
        Framing::Length(length) if buffer.len() < length => Ok(None),
        Framing::Length(length) => Ok(Some(buffer.split_to(length).freeze())),
        Framing::Chunked => take_chunks(buffer),
    }
}

fn take_chunks(buffer: &mut BytesMut) -> Result<Option<Bytes>, InvalidHttp> {
    let mut body = BytesMut::new();
    let mut at = 0;
    loop {
        let (digits, size) =
            match httparse::parse_chunk_size(&buffer[at..]).map_err(|_| InvalidHttp)? {
                httparse::Status::Complete((digits, size)) => {
                    (digits, usize::try_from(size).map_err(|_| InvalidHttp)?)
                }
                httparse::Status::Partial => return Ok(None),
            };
        if body.len().saturating_add(size) > MAX_BODY_BYTES {
            return Err(InvalidHttp);
        }
        let (start, end) = (at + digits, at + digits + size);
        if buffer.len() < end + 2 {
            return Ok(None);
        }
        // Trailers are not supported: a body with trailers is invalid.
        if &buffer[end..end + 2] != b"\r\n" {
            return Err(InvalidHttp);
        }
        body.extend_from_slice(&buffer[start..end]);
        at = end + 2;
        if size == 0 {
            buffer.advance(at);
            return Ok(Some(body.freeze()));
        }
    }
}

/// Writes the head of a response. `length` is `None` for a chunked body.
pub(super) fn head(status: StatusCode, headers: &HeaderMap, length: Option<u64>) -> BytesMut {
    let mut head = String::with_capacity(256);
    let reason = status.canonical_reason().unwrap_or("Unknown");
    let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
    match length {
        Some(length) => {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        None => head.push_str("transfer-encoding: chunked\r\n"),
    }
    let mut head = BytesMut::from(head.as_bytes());
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes a chunk. Empty input writes nothing, because an empty chunk ends the body.
pub(super) fn chunk(bytes: &[u8], out: &mut BytesMut) {
    if !bytes.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

/// End of a chunked body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use http::{HeaderMap, StatusCode};

    use super::{Framing, chunk, head, take_body, take_head};

    #[test]
    fn take_request_byte_by_byte_returns_head_and_body() {
        let whole = b"POST http://h:1/a?b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET";
        let mut buffer = BytesMut::new();
        let (mut request, mut body) = (None, None);
        for byte in whole {
            buffer.extend_from_slice(&[*byte]);
            if request.is_none() {
                request = take_head(&mut buffer).expect("HTTP");
            } else if body.is_none() {
                body = take_body(&mut buffer, Framing::Chunked).expect("chunks");
            }
        }
        let request = request.expect("a head");
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a?b"));
        assert_eq!((request.framing, request.closes), (Framing::Chunked, false));
        assert_eq!((body, &buffer[..]), (Some(Bytes::from_static(b"abcde")), &b"GET"[..]));
    }

    #[test]
    fn invalid_http_is_refused() {
        assert!(take_head(&mut BytesMut::from("\0\0\0 nothing\r\n\r\n")).is_err());
        assert!(
            take_head(&mut BytesMut::from("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n")).is_err()
        );
        assert!(take_body(&mut BytesMut::from("3\r\nabcdef"), Framing::Chunked).is_err());
        let old = take_head(&mut BytesMut::from("GET / HTTP/1.0\r\n\r\n")).expect("HTTP");
        assert!(old.expect("a head").closes);
    }

    #[test]
    fn head_and_chunks_are_written_in_wire_format() {
        let mut out = head(StatusCode::OK, &HeaderMap::new(), None);
        chunk(b"", &mut out);
        chunk(b"0123456789abcdef", &mut out);
        assert_eq!(
            &out[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n"
        );
    }
}

//! One request over its own connection, and the whole response.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest duration of a response.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Text of a chat completion, streamed or not; `None` unless the response is a complete success.
    pub fn content(&self) -> Option<String> {
        if self.status != 200 {
            return None;
        }
        let text = std::str::from_utf8(&self.body).ok()?;
        if !text.starts_with("data: ") {
            return self.json()["choices"][0]["message"]["content"].as_str().map(str::to_owned);
        }
        let events = text.strip_suffix("data: [DONE]\n\n")?.split("\n\n");
        let chunks = events
            .filter_map(|event| event.strip_prefix("data: "))
            .filter_map(|data| serde_json::from_str::<Value>(data).ok());
        let content =
            |chunk: Value| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
        Some(chunks.filter_map(content).collect())
    }

    /// A header's value; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Sends a request with a bearer token, and a JSON body unless it is null.
pub async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> anyhow::Result<Answer> {
    call_with(address, method, path, token, &[], body).await
}

/// Sends a request with a bearer token and other headers, and a JSON body unless it is null.
pub async fn call_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> anyhow::Result<Answer> {
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    timeout(ANSWER_TIMEOUT, exchange(address, request.body(Full::new(body))?))
        .await
        .context("no response in time")?
}

async fn exchange(
    address: SocketAddr,
    request: http::Request<Full<Bytes>>,
) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::Answer;

    #[test]
    fn content_of_a_complete_answer_is_its_text() {
        let content = |status, body: &'static str| {
            Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) }
                .content()
        };
        let json = r#"{"choices":[{"message":{"content":"a b"}}]}"#;
        assert_eq!(content(200, json).as_deref(), Some("a b"));
        assert_eq!(content(500, json), None);
        assert_eq!(content(200, "{}"), None);
        const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
                              data: {\"choices\":[{\"delta\":{\"content\":\" b\"}}]}\n\n\
                              data: [DONE]\n\n";
        assert_eq!(content(200, STREAM).as_deref(), Some("a b"));
        assert_eq!(content(200, &STREAM[..STREAM.len() - 14]), None);
    }
}

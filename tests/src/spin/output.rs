//! Output of a component, as whole lines, for subscribers. It prints nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Log of an app, which all of its instances write.
#[derive(Default)]
pub(crate) struct AppLog {
    listeners: Mutex<Vec<mpsc::UnboundedSender<String>>>,
}

impl AppLog {
    /// Lines from now on.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn write(&self, line: &[u8]) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if !listeners.is_empty() {
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            listeners.retain(|listener| listener.send(text.clone().into_owned()).is_ok());
        }
    }
}

/// One output of one instance. It holds a line back until the line is complete, so that the lines
/// of instances do not mix.
#[derive(Clone)]
pub(crate) struct Output {
    log: Arc<AppLog>,
    held: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    /// An output of a new instance.
    pub(crate) fn new(log: Arc<AppLog>) -> Self {
        Self { log, held: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(bytes);
        while let Some(end) = held.iter().position(|&byte| byte == b'\n') {
            let rest = held.split_off(end + 1);
            self.log.write(&held);
            *held = rest;
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{AppLog, Output};

    #[test]
    fn lines_of_two_outputs_are_whole_and_separate() {
        let log = Arc::new(AppLog::default());
        let mut lines = log.subscribe();
        let (first, second) = (Output::new(Arc::clone(&log)), Output::new(log));
        first.take(b"{\"a\":");
        second.take(b"b\nc\nd");
        first.take(b"1}\n");
        second.take(b"\r\n");
        let mut received = Vec::new();
        while let Ok(line) = lines.try_recv() {
            received.push(line);
        }
        assert_eq!(received, ["b", "c", "{\"a\":1}", "d"]);
    }
}

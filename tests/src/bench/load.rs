//! Load generator: several connections, each of which sends the next request after the end of the
//! last response.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::candidate::{ExpectedCache, QuestionReuse, RequestStyle};
use super::reader::{Reader, Times};
use super::workload::{Responder, Workload};

/// Longest duration of one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Request, address and duration of a load.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) workload: Workload,
    /// Whether it is the gateway, which records its requests and removes the usage that it added to
    /// the request.
    pub(super) is_gateway: bool,
    pub(super) style: RequestStyle,
    pub(super) connections: usize,
    /// Time for requests that are sent but not counted: they warm connections and code.
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// Response times, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    /// From the request to the response's end, for every response.
    pub(super) whole: Vec<f64>,
    /// From the request to the first byte of the response's body; for late content, from the
    /// upstream's write of the first content to its arrival.
    pub(super) first: Vec<f64>,
}

/// Result of a load.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadResult {
    pub(super) latencies: Latencies,
    /// Number of responses of the warm-up.
    pub(super) uncounted: usize,
}

impl Latencies {
    pub(super) fn extend(&mut self, other: Self) {
        self.whole.extend(other.whole);
        self.first.extend(other.first);
    }
}

impl Load {
    /// Sends requests until the time is up. Any incorrect response fails the run.
    pub(super) async fn run(&self) -> anyhow::Result<LoadResult> {
        let request = self.workload.request();
        let begin = Instant::now() + self.warm_up;
        let end = begin + self.duration;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..self.connections {
            callers.spawn(self.clone().send_until(request.clone(), begin, end));
        }
        let mut all = LoadResult::default();
        while let Some(caller) = callers.join_next().await {
            let one = caller.context("a caller panicked")??;
            all.latencies.extend(one.latencies);
            all.uncounted += one.uncounted;
        }
        Ok(all)
    }

    /// Sends a number of requests in sequence; returns the duration of each, in milliseconds.
    pub(super) async fn send(&self, count: usize) -> anyhow::Result<Vec<f64>> {
        let mut caller = Caller::connect(self, self.workload.request()).await?;
        let mut durations = Vec::with_capacity(count);
        for _ in 0..count {
            let sent = Instant::now();
            durations.push(milliseconds(caller.send().await?.end - sent));
        }
        Ok(durations)
    }

    /// Sends a number of requests in sequence; returns whether the cache served all of them.
    pub(super) async fn is_cached(&self, count: usize) -> anyhow::Result<bool> {
        let mut caller = Caller::connect(self, self.workload.request()).await?;
        let mut is_cached = true;
        for _ in 0..count {
            caller.send().await?;
            is_cached &= caller.reader.cache.as_deref() == Some("hit");
        }
        Ok(is_cached)
    }

    async fn send_until(
        self,
        request: Bytes,
        begin: Instant,
        end: Instant,
    ) -> anyhow::Result<LoadResult> {
        let mut caller = Caller::connect(&self, request).await?;
        let mut result = LoadResult::default();
        loop {
            let sent = Instant::now();
            if sent >= end {
                return Ok(result);
            }
            let times = caller.send().await?;
            if sent >= begin {
                result.latencies.whole.push(milliseconds(times.end - sent));
                result.latencies.first.push(milliseconds(if self.workload.is_stamped() {
                    caller.reader.transit.context("no time stamp in the content")?
                } else {
                    times.first - sent
                }));
            } else {
                result.uncounted += 1;
            }
        }
    }

    fn responder(&self) -> Responder {
        match self.style.cache {
            ExpectedCache::Hit | ExpectedCache::Either => Responder::Cache,
            ExpectedCache::Nothing | ExpectedCache::Miss if self.is_gateway => Responder::Gateway,
            ExpectedCache::Nothing | ExpectedCache::Miss => Responder::PassThrough,
        }
    }
}

/// Numbers that make requests unique.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// One connection.
struct Caller<'a> {
    load: &'a Load,
    stream: TcpStream,
    reader: Reader,
    request: Vec<u8>,
    /// Offset of the request's number; `None` if all requests are the same.
    number: Option<usize>,
}

impl<'a> Caller<'a> {
    async fn connect(load: &'a Load, request: Bytes) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(load.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let reader =
            if load.workload.is_stamped() { Reader::with_time_stamp() } else { Reader::new() };
        let request = Vec::from(request);
        let number = match load.style.question {
            QuestionReuse::Same => None,
            QuestionReuse::Fresh => {
                Some(memchr::memmem::find(&request, b"word ").context("no space for a number")?)
            }
        };
        Ok(Self { load, stream, reader, request, number })
    }

    /// Sends one request. An incorrect response is an error.
    async fn send(&mut self) -> anyhow::Result<Times> {
        if let Some(at) = self.number {
            let number = format!("{:015}", NEXT_NUMBER.fetch_add(1, Ordering::Relaxed));
            self.request[at..at + number.len()].copy_from_slice(number.as_bytes());
        }
        self.stream.write_all(&self.request).await?;
        let response = timeout(RESPONSE_TIMEOUT, self.reader.read_response(&mut self.stream));
        let times = response.await.context("no response in time")??;
        let Self { load, reader, .. } = self;
        ensure!(
            load.workload.is_answered_by(&reader.body, load.responder()),
            "unexpected response: {}",
            String::from_utf8_lossy(&reader.body)
        );
        let (expected, status) = (load.style.cache, reader.cache.as_deref());
        let is_expected = match expected {
            ExpectedCache::Nothing => status.is_none(),
            ExpectedCache::Miss => status == Some("miss"),
            ExpectedCache::Hit => status == Some("hit"),
            ExpectedCache::Either => status.is_some(),
        };
        ensure!(is_expected, "cache status {status:?}, expected {expected:?}");
        Ok(times)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

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
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Request, address and duration of a load.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) subject: Workload,
    /// Whether it is the gateway, which records its requests and removes the usage that it asked
    /// for.
    pub(super) is_gateway: bool,
    pub(super) manner: RequestStyle,
    pub(super) connections: usize,
    /// Requests that are sent but not counted: they warm connections and code.
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// Result of a load. Times are in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadResult {
    /// From the request to the response's end, for every response.
    pub(super) whole: Vec<f64>,
    /// From the request to the first byte of the response's body; for late content, from the
    /// upstream's write of the first content to its arrival.
    pub(super) first: Vec<f64>,
    /// Responses of the warm-up.
    pub(super) uncounted: usize,
}

impl Load {
    /// Sends requests until the time is up. Any incorrect response fails the run.
    pub(super) async fn run(&self) -> anyhow::Result<LoadResult> {
        let question = self.subject.question();
        let begin = Instant::now() + self.warm_up;
        let end = begin + self.duration;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..self.connections {
            callers.spawn(self.clone().call(question.clone(), begin, end));
        }
        let mut all = LoadResult::default();
        while let Some(caller) = callers.join_next().await {
            let seen = caller.context("a caller panicked")??;
            all.whole.extend(seen.whole);
            all.first.extend(seen.first);
            all.uncounted += seen.uncounted;
        }
        Ok(all)
    }

    /// Sends a number of requests in sequence; returns the duration of each, in milliseconds.
    pub(super) async fn ask(&self, times: usize) -> anyhow::Result<Vec<f64>> {
        let mut caller = Caller::connect(self, self.subject.question()).await?;
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let asked = Instant::now();
            took.push(milliseconds(caller.ask().await?.end - asked));
        }
        Ok(took)
    }

    async fn call(
        self,
        question: Bytes,
        begin: Instant,
        end: Instant,
    ) -> anyhow::Result<LoadResult> {
        let mut caller = Caller::connect(&self, question).await?;
        let mut seen = LoadResult::default();
        loop {
            let asked = Instant::now();
            if asked >= end {
                return Ok(seen);
            }
            let times = caller.ask().await?;
            if asked >= begin {
                seen.whole.push(milliseconds(times.end - asked));
                seen.first.push(milliseconds(if self.subject.is_stamped() {
                    caller.reader.underway.context("no time stamp in the content")?
                } else {
                    times.first - asked
                }));
            } else {
                seen.uncounted += 1;
            }
        }
    }

    fn responder(&self) -> Responder {
        match self.manner.shown {
            ExpectedCache::Hit | ExpectedCache::Either => Responder::Cache,
            ExpectedCache::Nothing | ExpectedCache::Miss if self.is_gateway => Responder::Gateway,
            ExpectedCache::Nothing | ExpectedCache::Miss => Responder::PassThrough,
        }
    }
}

/// Numbers that make requests unique.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// One connection.
struct Caller<'a> {
    load: &'a Load,
    stream: TcpStream,
    reader: Reader,
    question: Vec<u8>,
    /// Offset of the request's number; `None` if all requests are the same.
    number: Option<usize>,
}

impl<'a> Caller<'a> {
    async fn connect(load: &'a Load, question: Bytes) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(load.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let reader = if load.subject.is_stamped() { Reader::watching() } else { Reader::new() };
        let question = Vec::from(question);
        let number = match load.manner.asking {
            QuestionReuse::Same => None,
            QuestionReuse::Fresh => {
                Some(memchr::memmem::find(&question, b"word ").context("no place for a number")?)
            }
        };
        Ok(Self { load, stream, reader, question, number })
    }

    /// Sends one request. An incorrect response is an error.
    async fn ask(&mut self) -> anyhow::Result<Times> {
        if let Some(at) = self.number {
            let number = format!("{:015}", ASKED.fetch_add(1, Ordering::Relaxed));
            self.question[at..at + number.len()].copy_from_slice(number.as_bytes());
        }
        self.stream.write_all(&self.question).await?;
        let answer = timeout(ANSWER_TIMEOUT, self.reader.answer(&mut self.stream));
        let times = answer.await.context("no response in time")??;
        let Self { load, reader, .. } = self;
        ensure!(
            load.subject.is_answered_by(&reader.body, load.responder()),
            "this is not the answer: {}",
            String::from_utf8_lossy(&reader.body)
        );
        let expected = load.manner.shown;
        let shown = reader.cache.as_deref();
        let is_expected = match expected {
            ExpectedCache::Nothing => shown.is_none(),
            ExpectedCache::Miss => shown == Some("miss"),
            ExpectedCache::Hit => shown == Some("hit"),
            ExpectedCache::Either => shown.is_some(),
        };
        ensure!(is_expected, "cache status {shown:?}, expected {expected:?}");
        Ok(times)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

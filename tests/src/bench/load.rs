//! Load: some connections, each of which asks again as soon as it has the whole answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::reader::Reader;
use super::subject::Subject;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to ask, whom and for how long.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) subject: Subject,
    pub(super) hides_usage: bool,
    pub(super) connections: usize,
    /// Asked but not counted: connections and code get warm.
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// What came of it. Times are in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Yield {
    /// From the question to the answer's end, for every answer.
    pub(super) whole: Vec<f64>,
    /// From the question to the first byte of the answer's body; of what is late, from the upstream's
    /// write of the first content to its arrival.
    pub(super) first: Vec<f64>,
    /// The answers of the warm-up.
    pub(super) uncounted: usize,
}

impl Load {
    /// Asks until the time is up. Any answer that is not right fails the whole.
    pub(super) async fn run(&self) -> anyhow::Result<Yield> {
        let question = self.subject.question();
        let begin = Instant::now() + self.warm_up;
        let end = begin + self.duration;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..self.connections {
            callers.spawn(self.clone().call(question.clone(), begin, end));
        }
        let mut all = Yield::default();
        while let Some(caller) = callers.join_next().await {
            let seen = caller.context("a caller does not panic")??;
            all.whole.extend(seen.whole);
            all.first.extend(seen.first);
            all.uncounted += seen.uncounted;
        }
        ensure!(!all.whole.is_empty(), "no answer came in {:?}", self.duration);
        Ok(all)
    }

    async fn call(self, question: Bytes, begin: Instant, end: Instant) -> anyhow::Result<Yield> {
        let mut stream = TcpStream::connect(self.address).await.context("it does not listen")?;
        stream.set_nodelay(true)?;
        let mut reader = match self.subject {
            Subject::Late(_) => Reader::watching(),
            Subject::Json | Subject::Stream | Subject::PacedStream | Subject::Prelude(_) => {
                Reader::new()
            }
        };
        let mut seen = Yield::default();
        loop {
            let asked = Instant::now();
            if asked >= end {
                return Ok(seen);
            }
            stream.write_all(&question).await?;
            let times = timeout(PATIENCE, reader.answer(&mut stream))
                .await
                .context("it does not answer")??;
            ensure!(
                self.subject.is_answered_by(&reader.body, self.hides_usage),
                "this is not the answer: {}",
                String::from_utf8_lossy(&reader.body)
            );
            if asked >= begin {
                seen.whole.push(milliseconds(times.end - asked));
                seen.first.push(milliseconds(match self.subject {
                    Subject::Late(_) => {
                        reader.underway.context("no word of when it was written")?
                    }
                    Subject::Json
                    | Subject::Stream
                    | Subject::PacedStream
                    | Subject::Prelude(_) => times.first - asked,
                }));
            } else {
                seen.uncounted += 1;
            }
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

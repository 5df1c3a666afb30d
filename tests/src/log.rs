//! Log of an edge, line by line.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;

/// Lines of a log; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    pub fn push(&self, line: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Reads a child's output on its own thread, until the output ends.
    pub fn follow(&self, output: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                log.push(line);
            }
        });
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the line in which a host reports its ports, `{"listening":{NAME:PORT,…}}`. `host` is
    /// the process whose output this log follows.
    pub fn await_ports(
        &self,
        host: &mut Child,
        timeout: Duration,
    ) -> anyhow::Result<BTreeMap<String, u16>> {
        #[derive(Deserialize)]
        struct Line {
            listening: BTreeMap<String, u16>,
        }
        let until = Instant::now() + timeout;
        loop {
            let lines = self.lines();
            if let Some(Line { listening }) =
                lines.iter().find_map(|line| serde_json::from_str(line).ok())
            {
                return Ok(listening);
            }
            if let Some(status) = host.try_wait()? {
                bail!("ended with {status}:\n{}", lines.join("\n"));
            }
            if Instant::now() > until {
                bail!("no port after {timeout:?}:\n{}", lines.join("\n"));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The records of all requests.
    pub fn requests(&self) -> Vec<Value> {
        self.lines().iter().filter_map(|line| record(line)).collect()
    }

    /// The records of one request.
    pub fn records(&self, request_id: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let records = lines.iter().filter(|line| line.contains(request_id));
        let records = records.filter_map(|line| record(line));
        records.filter(|record| record["id"] == request_id).collect()
    }
}

/// The record of a request in a line; `None` for other lines.
fn record(line: &str) -> Option<Value> {
    let record: Value = serde_json::from_str(line.trim()).ok()?;
    (record["event"] == "request").then_some(record)
}
